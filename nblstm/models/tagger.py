"""`SequenceTagger`: a network that reads a sequence and answers at each of its steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nblstm.arguments import as_flag, as_seed, as_size, check_array, check_integers, shown
from nblstm.cells import Cell
from nblstm.datasets.tagged import as_sentences, token_places
from nblstm.datasets.words_of_text import UNKNOWN
from nblstm.layers.embedding import Embedding
from nblstm.layers.layer import Layer
from nblstm.layers.linear import Linear
from nblstm.layers.recording import Record
from nblstm.losses.loss_functions import cross_entropy
from nblstm.models.labels import Label, NamedClasses, as_targets, numbered
from nblstm.models.network import Network, part_name, recurrent_layer, settings_of

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

IGNORED = -100
"""The target of a step that does not count, unless another is named; PyTorch's, too."""


class SequenceTagger(NamedClasses, Network):
    r"""Which of K classes each step of a sequence belongs to: recurrent layers, and a linear one at every step.

    .. math::
        y_t = \mathrm{LSTM}(x)_t, \qquad
        z_t = W y_t + b, \qquad
        p(k \mid x, t) = \mathrm{softmax}(z_t)_k

    In both directions, as is the default, an answer hangs on the whole sequence; in one it hangs on the steps up to its
    own. With a vocabulary the steps are tokens, and :math:`x_t = E_{k_t}` is the row of an embedding.

    Parameters
    ----------
    input_size : int
        Width of x; with a vocabulary the numbers that stand for a token.
    hidden_size, num_layers : int
        Units per layer and direction, recurrent layers.
    num_classes : int
        K.
    classes : sequence of str, bool or int; optional
        What the K classes are called, which `tag` and `classify` answer with and `save` keeps; 0..K - 1 by default. A
        `TagTrainer` whose targets are strings or booleans sets them, where they are not given.
    vocabulary : sequence of str, optional
        ``"<unk>"``, which stands for all tokens that are not there, and then the distinct tokens.
    cell, dropout, forget_bias, formulation, heads, layer_norm, dtype, seed
        As in `SequenceClassifier`.
    bidirectional : bool

    Attributes
    ----------
    recurrent, linear : Layer
        The parts, beside ``embedding`` where there is a vocabulary; also as the list `layers`, for an optimiser.

    Raises
    ------
    TypeError, ValueError
        An unknown cell, labels that are repeated or not K, or what the layers refuse.

    Examples
    --------
    >>> import numpy as np
    >>> from nblstm import SequenceTagger
    >>> model = SequenceTagger(3, 16, 1, num_classes=2, seed=0)
    >>> x, lengths = np.zeros((7, 5, 3), "float32"), np.array([7, 4, 4, 2, 1])  # 7 steps of 5 sequences
    >>> z, tape = model.forward(x, lengths)
    >>> targets = np.where(np.arange(7)[:, None] < lengths, 1, -100)  # what stands past an end does not count
    >>> loss, dz = model.loss(z, targets)
    >>> dx = model.backward(dz, tape)
    >>> z.shape
    (7, 5, 2)
    """

    reads_lengths = True

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int, num_classes: int, *,
        classes: Sequence[Label] | None = None, vocabulary: Sequence[str] | None = None, cell: Cell | str = "lstm",
        bidirectional: bool = True, dropout: float = 0.0, forget_bias: float = 0.0, formulation: str = "split",
        heads: int = 1, layer_norm: bool = False, dtype: str = "float32", seed: int | None = None,
    ) -> None:  # fmt: skip
        seeds = [int(word) for word in np.random.SeedSequence(as_seed(seed)).generate_state(3)]
        input_size, num_classes = as_size("input_size", input_size), as_size("num_classes", num_classes)
        self.vocabulary = None if vocabulary is None else as_vocabulary(vocabulary)
        self.recurrent = recurrent_layer(
            cell, input_size, hidden_size, num_layers, dropout=dropout, forget_bias=forget_bias,
            bidirectional=bidirectional, formulation=formulation, heads=heads, layer_norm=layer_norm, dtype=dtype,
            seed=seeds[0],
        )  # fmt: skip
        width = self.recurrent.directions * self.recurrent.hidden_size
        self.linear = Linear(width, num_classes, dtype=dtype, seed=seeds[1])
        parts: dict[str, Layer] = {part_name(self.recurrent): self.recurrent, "linear": self.linear}
        self.embedding = None
        if self.vocabulary is not None:
            self.embedding = Embedding(len(self.vocabulary), input_size, dtype=dtype, seed=seeds[2])
            parts = {"embedding": self.embedding, **parts}
        super().__init__(
            parts,
            {
                "input_size": input_size,
                "num_classes": num_classes,
                **({} if self.vocabulary is None else {"vocabulary": self.vocabulary}),
                "bidirectional": self.recurrent.bidirectional,
                **settings_of(self.recurrent),
            },
        )
        self.name_classes(classes)
        self._places = {token: place for place, token in enumerate(self.vocabulary or ())}

    def __repr__(self) -> str:
        shown_ = {name: value for name, value in self.config.items() if name != "vocabulary"}
        settings = ", ".join(f"{name}={value!r}" for name, value in shown_.items())
        return f"SequenceTagger({f'{len(self._places)} tokens, ' if self._places else ''}{settings})"

    def __call__(self, x: np.ndarray, lengths: Sequence[int] | np.ndarray | None = None) -> np.ndarray:
        """The answers; nothing is dropped or kept.

        Parameters
        ----------
        x : numpy.ndarray, shape (T, B, I), or (T, I) without a batch
            Of the network's dtype. With a vocabulary places of tokens in it: integers, shape (T, B) or (T,).
        lengths : integers, shape (B,), optional
            Steps of each sequence, 0..T, in any order; T by default. What is answered past an end says nothing.

        Returns
        -------
        numpy.ndarray, shape (T, B, K), or (T, K) without a batch
        """
        vectors = x if self.embedding is None else self.embedding(self.embedding.check("x", x))
        y, _ = self.recurrent(vectors, lengths=lengths)
        return self.linear(y)

    def forward(
        self, x: np.ndarray, lengths: Sequence[int] | np.ndarray | None = None, tape: Record | None = None
    ) -> tuple[np.ndarray, Record]:
        """The training pass: as `__call__`, and a tape for `backward`; a tape handed in is used again.

        The answers are a view into the tape, valid until its next forward. x must not change before `backward`.
        """
        *embedding, recurrent, linear = self.rewind(tape, len(self.layers))
        if self.embedding is not None:
            x, *embedding = self.embedding.forward(self.embedding.check("x", x), tape=embedding[0])
        y, _, recurrent = self.recurrent.forward(x, lengths=lengths, tape=recurrent)
        z, linear = self.linear.forward(y, tape=linear)
        return self.record(tape, z, (*embedding, recurrent, linear))

    def backward(self, dz: np.ndarray, tape: Record, need_dx: bool = True) -> np.ndarray | None:
        """Add the gradients of all parameters to each layer's `grads`.

        Parameters
        ----------
        dz : numpy.ndarray in the form of the answers
            Gradient of the loss by the answers.
        tape : Record
            From the forward pass.
        need_dx : bool
            False leaves out the gradient of x.

        Returns
        -------
        numpy.ndarray in the form of x, or None
            The gradient of x; tokens have none.
        """
        need_dx = as_flag("need_dx", need_dx)
        dz, (*embedding, recurrent, linear) = self.replay(tape, dz, "dz")
        dy: Any = self.linear.backward(dz, linear)
        dx: Any
        dx, _ = self.recurrent.backward(dy, recurrent, need_dx=need_dx or self.embedding is not None)
        if self.embedding is None:
            return dx
        self.embedding.backward(dx, embedding[0])
        return None

    def loss(
        self, z: np.ndarray, targets: np.ndarray, *, ignore_index: int = IGNORED, weight: ArrayLike | None = None
    ) -> tuple[float, np.ndarray]:
        """Mean cross-entropy in nats over the steps that count, and its gradient; see `cross_entropy`.

        Parameters
        ----------
        z : numpy.ndarray
            The answers.
        targets : numpy.ndarray, shape (T, B), or (T,) without a batch
            The class of each step, integers; `ignore_index` for those that do not count, such as all past an end. Or
            labels in `classes`, strings or booleans; a step with the empty string does not count.
        ignore_index : int
        weight : array of K numbers, optional
            What each class weighs.
        """
        z, size = check_array("z", z, self.dtype), self.linear.out_features
        check_array("z", z, self.dtype, (None, size) if z.ndim == 2 else (None, None, size))
        ignored = as_size("ignore_index", ignore_index, least=-(2**63))
        found = numbered("targets", as_targets("targets", targets), self.classes, ignored)
        return cross_entropy(z, found, ignore_index=ignored, weight=weight)

    def encode(self, sentences: Sequence[Sequence[str]]) -> tuple[np.ndarray, np.ndarray]:
        """Tokens as places in the vocabulary (T, N), 0 past the ends and for what is unknown; and the lengths (N,).

        Raises
        ------
        TypeError, ValueError
            A model without a vocabulary, no sentences, or such as are no lists of strings.
        """
        if self.vocabulary is None:
            raise ValueError(
                "sentences can be read by a model with a vocabulary alone, and this one reads vectors: "
                "classify(x, lengths)"
            )
        return token_places(as_sentences(sentences), self._places)

    def classify(self, x: np.ndarray, lengths: Sequence[int] | np.ndarray | None = None) -> np.ndarray:
        """The most probable class of each step, by its name in `classes` if there is one; x as in `__call__`.

        Returns
        -------
        numpy.ndarray, shape (T, B), or (T,) without a batch
            What stands past an end says nothing.

        Raises
        ------
        TypeError, ValueError
            What `__call__` refuses.

        Examples
        --------
        >>> import numpy as np
        >>> from nblstm import SequenceTagger
        >>> model = SequenceTagger(3, 4, 1, 2, classes=["rest", "move"], seed=0)
        >>> model.classify(np.zeros((2, 5, 3), "float32")).shape, model.classify(np.zeros((1, 3), "float32"))
        ((2, 5), array(['rest'], dtype='<U4'))
        """
        return self._most_probable(self(x, lengths))

    def tag(self, sentences: Sequence[Sequence[str]], batch_size: int = 100) -> list[list[Any]]:
        """The most probable class of every token, by its name in `classes` if there is one.

        Parameters
        ----------
        sentences : sequence of sequences of str
        batch_size : int
            Sentences that are read side by side.

        Returns
        -------
        list of lists
            As long as the sentences.

        Raises
        ------
        TypeError, ValueError
            A model without a vocabulary, no sentences, such as are no lists of strings, or a batch size below 1.

        Examples
        --------
        >>> from nblstm import SequenceTagger
        >>> words = ["<unk>", "the", "fox"]
        >>> model = SequenceTagger(4, 8, 1, 2, classes=["noun", "other"], vocabulary=words, seed=0)
        >>> model.tag([["the", "fox"], ["a", "fox"]])
        [['other', 'other'], ['other', 'other']]
        """
        x, lengths = self.encode(sentences)
        found: list[list[Any]] = []
        for start in range(0, len(lengths), as_size("batch_size", batch_size)):
            steps = lengths[start : start + batch_size]
            part = x[: max(1, steps.max()), start : start + batch_size]
            labels = self.classify(part, steps)
            found += [labels[:count, n].tolist() for n, count in enumerate(steps)]
        return found

    def check_input(self, name: str, x: np.ndarray) -> np.ndarray:
        """A batch of sequences that the network can read; `name` is what the caller calls it."""
        if self.embedding is None:
            return check_array(name, x, self.dtype, (None, None, self.recurrent.input_size))
        tokens = check_integers(name, self.embedding.check(name, x))
        return check_array(name, tokens, tokens.dtype, (None, None))


def as_vocabulary(vocabulary: Sequence[str]) -> tuple[str, ...]:
    """`vocabulary` as strings, of which the first stands for what is unknown."""
    if isinstance(vocabulary, str) or not isinstance(vocabulary, Sequence):
        raise TypeError(f"vocabulary must be a list of tokens, got {shown(vocabulary)}")
    if not all(isinstance(token, str) for token in vocabulary) or not vocabulary or vocabulary[0] != UNKNOWN:
        raise ValueError(f"vocabulary must be {UNKNOWN!r} and then distinct tokens, got {shown(vocabulary)}")
    if len(set(vocabulary)) < len(vocabulary):
        raise ValueError(f"vocabulary must be distinct tokens, got {shown(vocabulary)}")
    return tuple(map(str, vocabulary))

"""`LanguageModel`: a network that reads a text token by token, predicts the next one, and writes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np

from nblstm.arguments import as_flag, as_number, as_seed, as_size, as_text, check_array, check_kind
from nblstm.cells import Cell
from nblstm.kernels import sampling
from nblstm.kernels.streaming import sums_size
from nblstm.kernels.tag import ANY
from nblstm.layers.checks import check_backward
from nblstm.layers.embedding import Embedding
from nblstm.layers.linear import Linear
from nblstm.models.network import Network, part_name, recurrent_layer, settings_of

INTERRUPTIBLE = 200  # tokens drawn in one go, during which Ctrl-C has to wait


class Tape(NamedTuple):
    """What the three layers of a `LanguageModel` keep between forward and backward."""

    embedding: Any
    recurrent: Any
    linear: Any


class LanguageModel(Network, ABC):
    r"""Embedding, stacked recurrent layers, linear; a subclass says what the tokens are.

    For tokens :math:`k_1, k_2, \dots` given as places in a vocabulary of V,

    .. math::
        x_t = E_{k_t}, \qquad
        (y_t, s_t) = \mathrm{LSTM}(x_t, s_{t-1}), \qquad
        z_t = W y_t + b, \qquad
        p(k_{t+1} = j \mid k_1 \dots k_t) = \mathrm{softmax}(z_t)_j

    Parameters
    ----------
    vocabulary : sequence of str
        The distinct tokens, in the order of their numbers.
    embedding_size, hidden_size, num_layers : int
        Columns of E, units per recurrent layer, recurrent layers.
    cell : str or Cell
        The name of one in ``nblstm.cells.CELLS``, or one of your own, which `load` then takes besides the file.
    formulation : {"split", "concat"}
        See `nblstm.LSTM`; a cell whose sums are not all W x + U h' + b, as "gru", "mgu" and "indrnn", has "split" only.
    dropout : float
        Between the recurrent layers, in `forward` only; with one layer there is nothing between.
    forget_bias : float
        See `nblstm.LSTM`; must be 0 for a cell without a forget gate.
    heads : int
        See `nblstm.Recurrent`: into how many parts the units are divided, which do not read each other; 1 for none.
    layer_norm : bool
        See `nblstm.LSTM`.
    dtype : {"float32", "float64"}
    seed : int, optional
        Of the initial weights and the dropout masks; fresh ones each time by default.

    Attributes
    ----------
    embedding, recurrent, linear : Layer
        The parts, also as the list `layers`, which is what an optimiser takes.
    vocabulary : str or tuple of str
        The tokens.

    Raises
    ------
    ValueError
        Repeated, missing or wrong tokens, an unknown cell, or what the layers refuse.

    Examples
    --------
    >>> import os
    >>> import nblstm
    >>> from nblstm.models import LanguageModel
    >>> nblstm.CharLM("abc", 4, 8, 1, seed=0).save("model.safetensors")
    >>> LanguageModel.load("model.safetensors").vocabulary  # of either kind: the file says which
    'abc'
    >>> os.remove("model.safetensors")
    """

    item: ClassVar[str]
    """What a token is called."""

    never_drawn: ClassVar[tuple[int, ...]] = ()
    """Places of tokens that `sample` does not write."""

    vocabulary: Sequence[str]

    @staticmethod
    @abstractmethod
    def _checked(vocabulary: Any) -> Sequence[str]:
        """`vocabulary`, if it is one of this kind of model."""

    @abstractmethod
    def _encode(self, text: str) -> np.ndarray:
        """The tokens of a text, whose strings joined are the text, as places in the vocabulary."""

    def __init__(
        self,
        vocabulary: str | Sequence[str],
        embedding_size: int = 64,
        hidden_size: int = 256,
        num_layers: int = 2,
        *,
        cell: Cell | str = "lstm",
        formulation: str = "split",
        dropout: float = 0.0,
        forget_bias: float = 0.0,
        heads: int = 1,
        layer_norm: bool = False,
        dtype: str = "float32",
        seed: int | None = None,
    ) -> None:
        self.vocabulary = self._checked(vocabulary)
        seeds = [int(word) for word in np.random.SeedSequence(as_seed(seed)).generate_state(3)]
        embedding_size = as_size("embedding_size", embedding_size)
        self.embedding = Embedding(len(self.vocabulary), embedding_size, dtype=dtype, seed=seeds[0])
        self.recurrent = recurrent_layer(
            cell, embedding_size, hidden_size, num_layers, dropout=dropout, forget_bias=forget_bias,
            formulation=formulation, heads=heads, layer_norm=layer_norm, dtype=dtype, seed=seeds[1],
        )  # fmt: skip
        self.linear = Linear(hidden_size, len(self.vocabulary), dtype=dtype, seed=seeds[2])
        super().__init__(
            {"embedding": self.embedding, part_name(self.recurrent): self.recurrent, "linear": self.linear},
            {
                "vocabulary": self.vocabulary,
                "embedding_size": self.embedding.embedding_dim,
                **settings_of(self.recurrent),
            },
        )

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={value!r}" for name, value in self.config.items() if name != "vocabulary")
        return f"{type(self).__name__}({len(self.vocabulary)} {self.item}s, {settings})"

    def with_vocabulary(self, vocabulary: str | Sequence[str], seed: int | None = None) -> Self:
        """A model like this one over other tokens, to be trained further on another text.

        Tokens that both vocabularies have keep their vector, and the weights and the bias of their logit. Those that
        are new get fresh ones, and the smallest bias of all, as if they had been among the rarest. The recurrent layers
        are copies: a text without new tokens is read as before.

        Parameters
        ----------
        vocabulary : str or sequence of str
            As the model's own: ``vocabulary_of(old + new)``, say. Tokens that it lacks are forgotten.
        seed : int, optional
            Of the fresh weights, and of later dropout masks.

        Raises
        ------
        ValueError, TypeError
            Tokens that are wrong for this kind of model.

        Examples
        --------
        >>> from nblstm import CharLM
        >>> model = CharLM("abc", 4, 8, 1, seed=0)
        >>> more = model.with_vocabulary("abcd", seed=1)
        >>> more.vocabulary, more.num_parameters - model.num_parameters
        ('abcd', 13)
        """
        vocabulary = self._checked(vocabulary)
        model = type(self)(**self.config | {"vocabulary": vocabulary}, seed=seed)
        own, tensors = self.state_dict(), model.state_dict()
        places = {token: place for place, token in enumerate(self.vocabulary)}
        kept = [place for place, token in enumerate(vocabulary) if token in places]
        old = [places[vocabulary[place]] for place in kept]
        tensors["linear.bias"][:] = own["linear.bias"].min()
        for name, tensor in tensors.items():
            if name in ("embedding.weight", "linear.weight", "linear.bias"):
                tensor[kept] = own[name][old]
            else:
                tensor[...] = own[name]
        model.load_state_dict(tensors)
        return model

    def __call__(self, tokens: np.ndarray, state: Any = None) -> tuple[np.ndarray, Any]:
        """Logits and the state after the last token; nothing is dropped or kept.

        Parameters
        ----------
        tokens : numpy.ndarray of int, shape (T, B)
        state : the recurrent layer's state, optional
            Zeros by default.

        Returns
        -------
        logits : numpy.ndarray, shape (T, B, V)
        state : ``(h_n, c_n)``, or ``h_n`` for a GRU or an RNN
        """
        self._check(tokens, state)
        y, state = self.recurrent(self.embedding(tokens), state)
        return self.linear(y), state

    def forward(self, tokens: np.ndarray, state: Any = None, tape: Tape | None = None) -> tuple[np.ndarray, Any, Tape]:
        """The training pass: as `__call__`, and a tape for `backward`; a tape handed in is used again.

        The arrays returned are views into the tape, valid until its next forward; the state may be handed to that one.
        """
        self._check(tokens, state)
        if tape is not None:
            check_kind("tape", tape, Tape)
        embedding, recurrent, linear = tape or (None, None, None)
        x, embedding = self.embedding.forward(tokens, tape=embedding)
        y, state, recurrent = self.recurrent.forward(x, state, tape=recurrent)
        logits, linear = self.linear.forward(y, tape=linear)
        return logits, state, Tape(embedding, recurrent, linear)

    def backward(self, dlogits: np.ndarray, tape: Tape) -> None:
        """Add the gradients of all parameters to each layer's `grads`.

        The gradient stops at the initial state: this is where backpropagation through time is truncated.

        Parameters
        ----------
        dlogits : numpy.ndarray, shape (T, B, V)
            Gradient of the loss by the logits.
        tape : Tape
            From the forward pass.
        """
        check_kind("tape", tape, Tape)
        for layer, part in zip(self.layers, tape, strict=True):  # all may go back, or none goes
            check_backward(layer, part, None)
        check_array("dlogits", dlogits, self.dtype, (*tape.linear.shape, len(self.vocabulary)))
        dy = self.linear.backward(dlogits, tape.linear)
        dx: Any
        dx, _ = self.recurrent.backward(dy, tape.recurrent)
        self.embedding.backward(dx, tape.embedding)

    def _check(self, tokens: np.ndarray, state: Any) -> None:
        """Both before the first layer writes to its tape: a forward that is refused leaves all three as they were."""
        shape = self.embedding.check("tokens", tokens).shape
        if len(shape) not in (1, 2) or shape[0] < 1:
            raise ValueError(f"tokens must have shape (T, B) with T at least 1, got {shape}")
        self.recurrent._states("state", state, shape[-1], unbatched=len(shape) == 1)

    def sample(
        self, prompt: str = "", length: int = 200, temperature: float = 1.0, seed: int | None = None, *,
        top_k: int | None = None, top_p: float | None = None, stop: str | None = None, skip_unknown: bool = False,
    ) -> str:  # fmt: skip
        """`prompt`, continued by `length` tokens drawn one after the other, each read before the next is drawn.

        Token j has probability softmax(z / temperature)_j; for a number u uniform in [0, 1), the first j is taken
        whose cumulative probability exceeds u. At temperature 0, the limit, it is the most probable token, the first
        of equals, and u has no part in it. An empty prompt stands for a line end, or the vocabulary's first token if
        it has none.

        Parameters
        ----------
        prompt : str
        length : int
        temperature : float
            0 or more. Below 1 likely tokens become likelier still, above 1 the draw approaches chance.
        seed : int, optional
            Of the numbers u; fresh ones each time by default.
        top_k : int, optional
            The draw is among so many most probable tokens alone.
        top_p : float, optional
            Above 0, at most 1: the draw is among the fewest most probable tokens alone that have this probability
            together, at this temperature and within `top_k`.
        stop : str, optional
            What is drawn ends before this text, once that comes; without it what comes before is the same.
        skip_unknown : bool
            Characters of the prompt that are not in the vocabulary are not read. They stay in what is returned.

        Raises
        ------
        ValueError
            A temperature below 0 or not finite, or a prompt outside the vocabulary, whose characters are named.

        References
        ----------
        A. Holtzman and others, "The curious case of neural text degeneration", ICLR 2020: `top_p`.
        """
        length, temperature = as_size("length", length), as_number("temperature", temperature)
        kept = len(self.vocabulary) if top_k is None else as_size("top_k", top_k)
        share = 1.0 if top_p is None else as_number("top_p", top_p, positive=True)
        if share > 1:
            raise ValueError(f"top_p must be at most 1, got {top_p!r}")
        prompt = as_text("prompt", prompt)
        if stop is not None and not as_text("stop", stop):
            raise ValueError("stop must be a text of at least one character, got an empty one")
        if not all(np.isfinite(layer.flat_params).all() for layer in self.layers):
            raise ValueError("the model has weights that are not finite, so nothing can be drawn from it")
        read = self._known(prompt) if as_flag("skip_unknown", skip_unknown) else prompt
        try:
            tokens = self._encode(read) if read else self._first()
        except ValueError as error:
            raise ValueError(f"prompt: {error}; skip_unknown reads it without these") from None
        uniforms, drawn = np.random.default_rng(as_seed(seed)).random(length), ""
        for part in self._draw(tokens, uniforms, temperature, kept, share):
            drawn += "".join(self.vocabulary[token] for token in part)
            if stop is not None and stop in drawn:
                return prompt + drawn[: drawn.index(stop)]
        return prompt + drawn

    def _known(self, text: str) -> str:
        """`text` without what the vocabulary cannot say."""
        return text

    def _first(self) -> np.ndarray:
        """What is read before the first token drawn where there is no prompt."""
        return np.array([self.vocabulary.index("\n") if "\n" in self.vocabulary else 0])

    def _draw(
        self, tokens: np.ndarray, uniforms: np.ndarray, temperature: float, top_k: int, top_p: float
    ) -> Iterator[np.ndarray]:
        """The tokens drawn with `uniforms`, float64 (length,), after reading `tokens`, int64 (T,); some at a time."""
        layer, linear, dtype = self.recurrent, self.linear.inference_packs(threads=1), self.dtype
        packs = layer.inference_packs(threads=1)
        L, P, reads = layer.num_layers, layer.padded_units, bool(layer.cell.reads)
        h, c = np.zeros((L, 2, P), dtype), np.zeros(L * layer.cell.arrays * P, dtype)
        drawn = np.empty(len(uniforms), np.int64)
        bias = linear.bias.copy()
        bias[list(self.never_drawn)] = -np.inf
        sums = np.zeros(sums_size(1, layer.gate_columns, reads, layer.layer_norm, layer.lanes), dtype)
        table = self.embedding.state_dict()["weight"].reshape(-1)
        for start in range(0, len(drawn), INTERRUPTIBLE):
            part = drawn[start : start + INTERRUPTIBLE]
            sampling.sample(
                ANY, packs.plans, tokens, uniforms[start : start + len(part)], temperature, top_k, top_p, table,
                h.reshape(-1), c, sums, np.zeros(3, np.int64), linear.panels, bias,
                len(self.vocabulary), linear.columns, np.zeros(linear.columns, dtype), part,
            )  # fmt: skip
            h[:, 0] = h[:, (len(tokens) + len(part) - 1) % 2]  # where the newest state is, after so many steps
            tokens = part[-1:]
            yield part

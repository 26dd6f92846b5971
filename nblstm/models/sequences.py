"""`SequenceClassifier` and `SequenceRegressor`: networks that read a whole sequence and then give one answer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nblstm.arguments import as_flag, as_seed, as_size, check_array
from nblstm.cells import Cell
from nblstm.layers.linear import Linear
from nblstm.layers.recording import Record
from nblstm.losses.loss_functions import cross_entropy, mse_loss
from nblstm.models.labels import Label, NamedClasses, as_targets, numbered
from nblstm.models.network import Network, part_name, recurrent_layer, settings_of

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


class SequenceModel(Network, ABC):
    r"""A recurrent network that reads a sequence to its end and answers once: recurrent layers, linear.

    .. math:: h_n = \mathrm{LSTM}(x_1 \dots x_T), \qquad z = W h_n + b

    where :math:`h_n` is the top layer's last hidden state; with two directions, that of the forward direction after
    the last step beside that of the backward direction after the first. Subclasses say what z means.

    Parameters
    ----------
    outputs : pair of str and int
        What the subclass calls the number of answers, and this number. All other parameters are those of
        `SequenceClassifier`.

    Raises
    ------
    TypeError, ValueError
        As for `SequenceClassifier`; less than one answer.

    Examples
    --------
    >>> import os
    >>> from nblstm import SequenceRegressor
    >>> from nblstm.models import SequenceModel
    >>> SequenceRegressor(1, 16, 1, output_size=2, seed=0).save("model.safetensors")
    >>> model = SequenceModel.load("model.safetensors")  # of either kind: the file says which
    >>> type(model).__name__, model(np.zeros((12, 30, 1), "float32")).shape
    ('SequenceRegressor', (30, 2))
    >>> os.remove("model.safetensors")
    """

    reads_lengths = pools = True

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int, outputs: tuple[str, int], *, cell: Cell | str,
        bidirectional: bool, dropout: float, forget_bias: float, formulation: str, heads: int, layer_norm: bool,
        dtype: str, seed: int | None,
    ) -> None:  # fmt: skip
        seeds = [int(word) for word in np.random.SeedSequence(as_seed(seed)).generate_state(2)]
        self.recurrent = recurrent_layer(
            cell, input_size, hidden_size, num_layers, dropout=dropout, forget_bias=forget_bias,
            bidirectional=bidirectional, formulation=formulation, heads=heads, layer_norm=layer_norm, dtype=dtype,
            seed=seeds[0],
        )  # fmt: skip
        name, size = outputs
        width = self.recurrent.directions * self.recurrent.hidden_size
        self.linear = Linear(width, as_size(name, size), dtype=dtype, seed=seeds[1])
        super().__init__(
            {part_name(self.recurrent): self.recurrent, "linear": self.linear},
            {
                "input_size": self.recurrent.input_size,
                name: self.linear.out_features,
                "bidirectional": self.recurrent.bidirectional,
                **settings_of(self.recurrent),
            },
        )

    def __call__(self, x: np.ndarray, lengths: Sequence[int] | np.ndarray | None = None) -> np.ndarray:
        """The answers; nothing is dropped or kept.

        Parameters
        ----------
        x : numpy.ndarray, shape (T, B, I), or (T, I) without a batch
            Of the network's dtype.
        lengths : integers, shape (B,), optional
            Steps of each sequence, 0..T, in any order; T by default. Of a sequence without steps the state is zeros.

        Returns
        -------
        numpy.ndarray, shape (B, outputs), or (outputs,) without a batch
        """
        _, state = self.recurrent(x, lengths=lengths)
        return self.linear(self._top(state))

    def forward(
        self, x: np.ndarray, lengths: Sequence[int] | np.ndarray | None = None, tape: Record | None = None
    ) -> tuple[np.ndarray, Record]:
        """The training pass: as `__call__`, and a tape for `backward`; a tape handed in is used again.

        The answers are a view into the tape, valid until its next forward. x must not change before `backward`.
        """
        recurrent, linear = self.rewind(tape, 2)
        _, state, recurrent = self.recurrent.forward(x, lengths=lengths, tape=recurrent)
        z, linear = self.linear.forward(self._top(state), tape=linear)
        return self.record(tape, z, (recurrent, linear))

    def backward(self, dz: np.ndarray, tape: Record, need_dx: bool = True) -> np.ndarray | None:
        """Add the gradients of all parameters to each layer's `grads`.

        Parameters
        ----------
        dz : numpy.ndarray in the form of the answers
            Gradient of the loss by the answers.
        tape : Record
            From the forward pass.
        need_dx : bool
            False leaves out the gradient of x, which says which steps the answer hangs on.

        Returns
        -------
        numpy.ndarray in the form of x, or None
            The gradient of x.
        """
        need_dx = as_flag("need_dx", need_dx)
        dz, (recurrent, linear) = self.replay(tape, dz, "dz")
        dtop: Any = self.linear.backward(dz, linear)
        layer, batch = self.recurrent, linear.shape
        dh_n = np.zeros((layer.num_layers * layer.directions, *batch, layer.hidden_size), self.dtype)
        dh_n[-layer.directions :] = np.moveaxis(dtop.reshape(*batch, layer.directions, layer.hidden_size), -2, 0)
        others = [None] * (len(layer.cell.states) - 1)
        dstate: Any = (dh_n, *others) if others else dh_n
        dx, _ = layer.backward(None, recurrent, dstate, need_dx=need_dx)
        return dx

    @abstractmethod
    def loss(
        self, z: np.ndarray, targets: np.ndarray, sample_weight: ArrayLike | None = None
    ) -> tuple[float, np.ndarray]:
        """The loss of the answers z, and its gradient by them; `sample_weight` (B,) says what each answer weighs."""

    def _top(self, state: Any) -> np.ndarray:
        """The top layer's part of the last state, directions side by side: (B, D * H), or (D * H,) without a batch."""
        h_n = state if len(self.recurrent.cell.states) == 1 else state[0]
        return np.concatenate(h_n[-self.recurrent.directions :], axis=-1)

    def _check_answers(self, z: np.ndarray) -> np.ndarray:
        """z (B, outputs), or (outputs,) without a batch."""
        z, size = check_array("z", z, self.dtype), self.linear.out_features
        return check_array("z", z, self.dtype, (size,) if z.ndim == 1 else (None, size))


class SequenceClassifier(NamedClasses, SequenceModel):
    r"""Which of K classes a sequence belongs to, asked of its end.

    .. math::
        h_n = \mathrm{LSTM}(x_1 \dots x_T), \qquad
        z = W h_n + b, \qquad
        p(k \mid x_1 \dots x_T) = \mathrm{softmax}(z)_k

    With two directions :math:`h_n` is the forward direction's last state beside the backward direction's, which it has
    after reading the first step.

    Parameters
    ----------
    input_size, hidden_size, num_layers : int
        Width of x, units per layer and direction, recurrent layers.
    num_classes : int
        K.
    classes : sequence of str, bool or int; optional
        What the K classes are called, which `classify` answers with and `save` keeps; 0..K - 1 by default. A
        `BatchTrainer` whose targets are strings or booleans sets them, where they are not given.
    cell : str or Cell
        The name of one in ``nblstm.cells.CELLS``, or one of your own, which `load` then takes besides the file.
    bidirectional : bool
    dropout : float
        Between the recurrent layers, in `forward` only; with one layer there is nothing between.
    forget_bias : float
        See `nblstm.LSTM`; must be 0 for a cell without a forget gate.
    formulation : {"split", "concat"}
        See `nblstm.LSTM`; a cell whose sums are not all W x + U h' + b, as "gru", "mgu" and "indrnn", has "split" only.
    heads : int
        See `nblstm.Recurrent`: into how many parts the units are divided, which do not read each other; 1 for none.
    layer_norm : bool
        See `nblstm.LSTM`.
    dtype : {"float32", "float64"}
    seed : int, optional
        Of the initial weights and the dropout masks; fresh ones each time by default.

    Attributes
    ----------
    recurrent, linear : Layer
        The parts, also as the list `layers`, which is what an optimiser takes.

    Raises
    ------
    ValueError
        An unknown cell, or what the layers refuse.

    Examples
    --------
    >>> import numpy as np
    >>> from nblstm import SequenceClassifier
    >>> model = SequenceClassifier(8, 64, 1, num_classes=10, seed=0)
    >>> images = np.zeros((8, 5, 8), "float32")  # 8 rows of 5 images
    >>> logits, tape = model.forward(images)
    >>> loss, dlogits = model.loss(logits, np.array([3, 1, 4, 1, 5]))
    >>> dx = model.backward(dlogits, tape)
    >>> logits.shape, model.num_parameters
    ((5, 10), 19594)
    """

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int, num_classes: int, *,
        classes: Sequence[Label] | None = None, cell: Cell | str = "lstm", bidirectional: bool = False,
        dropout: float = 0.0, forget_bias: float = 0.0, formulation: str = "split", heads: int = 1,
        layer_norm: bool = False, dtype: str = "float32", seed: int | None = None,
    ) -> None:  # fmt: skip
        super().__init__(
            input_size, hidden_size, num_layers, ("num_classes", num_classes), cell=cell, bidirectional=bidirectional,
            dropout=dropout, forget_bias=forget_bias, formulation=formulation, heads=heads, layer_norm=layer_norm,
            dtype=dtype, seed=seed,
        )  # fmt: skip
        self.name_classes(classes)

    def classify(self, x: np.ndarray, lengths: Sequence[int] | np.ndarray | None = None) -> np.ndarray:
        """The most probable class of each sequence, by its name in `classes` if there is one; x as in `__call__`.

        Returns
        -------
        numpy.ndarray, shape (B,), or () without a batch

        Examples
        --------
        >>> import numpy as np
        >>> from nblstm import SequenceClassifier
        >>> model = SequenceClassifier(3, 4, 1, 2, classes=["down", "up"], seed=0)
        >>> model.classify(np.zeros((5, 2, 3), "float32"))
        array(['down', 'down'], dtype='<U4')
        """
        return self._most_probable(self(x, lengths))

    def loss(
        self, z: np.ndarray, targets: np.ndarray, sample_weight: ArrayLike | None = None
    ) -> tuple[float, np.ndarray]:
        """Mean cross-entropy in nats over the classes `targets` (B,), and its gradient; see `cross_entropy`.

        Targets are integers, or labels in `classes`, if these are strings or booleans.
        """
        found = numbered("targets", as_targets("targets", targets), self.classes)
        return cross_entropy(self._check_answers(z), found, sample_weight=sample_weight)


class SequenceRegressor(SequenceModel):
    r"""Numbers that follow from a sequence, asked of its end.

    .. math:: h_n = \mathrm{LSTM}(x_1 \dots x_T), \qquad z = W h_n + b

    Parameters
    ----------
    output_size : int
        How many numbers. All other parameters are those of `SequenceClassifier`.

    Raises
    ------
    TypeError, ValueError
        As for `SequenceClassifier`; `output_size` below 1.

    Examples
    --------
    >>> import numpy as np
    >>> from nblstm import SequenceRegressor
    >>> model = SequenceRegressor(1, 16, 1, output_size=1, seed=0)
    >>> twelve_days = np.zeros((12, 30, 1), "float32")
    >>> z, tape = model.forward(twelve_days)
    >>> loss, dz = model.loss(z, np.ones((30, 1), "float32"))
    >>> dx = model.backward(dz, tape)
    >>> z.shape
    (30, 1)
    """

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int, output_size: int, *, cell: Cell | str = "lstm",
        bidirectional: bool = False, dropout: float = 0.0, forget_bias: float = 0.0, formulation: str = "split",
        heads: int = 1, layer_norm: bool = False, dtype: str = "float32", seed: int | None = None,
    ) -> None:  # fmt: skip
        super().__init__(
            input_size, hidden_size, num_layers, ("output_size", output_size), cell=cell, bidirectional=bidirectional,
            dropout=dropout, forget_bias=forget_bias, formulation=formulation, heads=heads, layer_norm=layer_norm,
            dtype=dtype, seed=seed,
        )  # fmt: skip

    def loss(
        self, z: np.ndarray, targets: np.ndarray, sample_weight: ArrayLike | None = None
    ) -> tuple[float, np.ndarray]:
        """Mean squared difference from `targets` (B, outputs), and its gradient; see `mse_loss`."""
        z = self._check_answers(z)
        return mse_loss(z, check_array("targets", targets, self.dtype, z.shape), sample_weight=sample_weight)

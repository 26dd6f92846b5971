"""Gradient checks: what a layer's written-out backward pass says, against centred differences of its forward pass."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nblstm.arguments import as_integer, as_number, as_size, check_kind
from nblstm.gradcheck.subject import Subject
from nblstm.layers.checks import State
from nblstm.layers.composed import Composed
from nblstm.layers.layer import Layer


@dataclass(frozen=True)
class GradientRow:
    """The check of one tensor.

    Attributes
    ----------
    name, shape : str, tuple of int
        The tensor; ``"x"``, ``"h_0"`` and ``"c_0"``, by the names of the cell's states, are the input and the initial
        state.
    checked : int
        Number of entries compared one by one.
    largest : float
        max|analytic| over the whole tensor.
    error : float
        max|analytic - numeric| over the entries compared, divided by `largest`.
    projection : float
        |analytic - numeric| of the derivative along a random direction of length 1, divided by the gradient's norm.
    index, analytic, numeric : tuple of int, float, float
        The entry with the largest difference.

    Examples
    --------
    >>> import numpy as np
    >>> from nblstm import Linear, gradcheck
    >>> row = gradcheck(Linear(2, 3, dtype="float64", seed=0), np.ones((4, 2))).rows[0]
    >>> row.name, row.shape, row.checked, row.error < 1e-7
    ('weight', (3, 2), 6, True)
    """

    name: str
    shape: tuple[int, ...]
    checked: int
    largest: float
    error: float
    projection: float
    index: tuple[int, ...]
    analytic: float
    numeric: float


@dataclass(frozen=True)
class GradientTable:
    """What `gradcheck` found: a row for every tensor. Print it to read it.

    Attributes
    ----------
    rows : tuple of GradientRow
    worst : GradientRow
        The one with the largest error of either kind.
    error : float
        That error.

    Examples
    --------
    >>> import numpy as np
    >>> from nblstm import Linear, gradcheck
    >>> table = gradcheck(Linear(2, 3, dtype="float64", seed=0), np.ones((4, 2)))
    >>> [row.name for row in table.rows], table.error < 1e-7
    (['weight', 'bias', 'x'], True)
    """

    rows: tuple[GradientRow, ...]

    @property
    def worst(self) -> GradientRow:
        """The row with the largest error of either kind."""
        return max(self.rows, key=lambda row: max(row.error, row.projection))

    @property
    def error(self) -> float:
        """That row's error."""
        return max(self.worst.error, self.worst.projection)

    def __str__(self) -> str:
        cells = [("tensor", "shape", "checked", "max|grad|", "error", "projection")]
        for row in self.rows:
            errors = f"{row.largest:.2e}", f"{row.error:.1e}", f"{row.projection:.1e}"
            cells.append((row.name, str(row.shape), str(row.checked), *errors))
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in cells]
        return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])


class GradientError(AssertionError):
    """A gradient differs from its centred difference; `table` holds all rows, the good ones too.

    Attributes
    ----------
    table : GradientTable

    Examples
    --------
    >>> from nblstm import Tanh
    >>> from nblstm.gradcheck import GradientError, gradcheck
    >>> class Wrong(Tanh):
    ...     def backward(self, dy, tape, **options):
    ...         return 2 * super().backward(dy, tape, **options)
    >>> try:
    ...     gradcheck(Wrong(), np.ones((2, 3)))
    ... except GradientError as error:
    ...     print(error.table.worst.name)
    x
    """

    def __init__(self, table: GradientTable, tolerance: float) -> None:
        row = table.worst
        super().__init__(
            f"{row.name}{list(row.index)}: analytic {row.analytic:.9g}, numeric {row.numeric:.9g}; {row.name} is off "
            f"by {row.error:.1e} of its largest gradient and by {row.projection:.1e} along a random direction, where "
            f"{tolerance:.1e} is allowed\n{table}"
        )
        self.table = table


def gradcheck(
    layer: Layer | Composed,
    x: np.ndarray | tuple[np.ndarray | None, ...],
    state: State = None,
    lengths: np.ndarray | None = None,
    *,
    entries: int | None = None,
    step: float = 1e-5,
    tolerance: float = 1e-7,
    seed: int = 0,
) -> GradientTable:
    r"""Compare every gradient of a layer, or of a net made of layers, with centred differences.

    With a random weight :math:`u_k` for every output :math:`o_k` (``y``, ``h_n`` and ``c_n``, or what the layer has),
    the loss is :math:`L(\theta) = \sum_k \langle u_k, o_k(\theta) \rangle`. For every tensor :math:`\theta` (the
    parameters, the input, the initial state) the gradient from `layer.backward` must satisfy

    .. math:: \frac{L(\theta + \epsilon v) - L(\theta - \epsilon v)}{2 \epsilon}
              = \langle \nabla L, v \rangle + O(\epsilon^2)

    for :math:`v` one entry at a time, and for one random :math:`v` of length 1, which sees all entries at once.
    Differences are measured per tensor, against its largest gradient or its norm: an entry that is small for its tensor
    drowns in rounding.

    Parameters
    ----------
    layer : Layer or Composed
        In float64: a layer of this library, a `Sequential`, or one of one's own whose ``forward(x, tape=None)`` returns
        y, or a tuple of arrays, and a tape, and whose ``backward(dy, tape)`` returns the gradient of x. Its parameters
        are moved during the check and put back exactly (so `version` goes up, and tapes from before are no longer
        good), and so are its gradients. Where it has dropout, every pass drops what its next one will drop.
    x : numpy.ndarray or tuple of numpy.ndarray
        What `layer.forward` takes; a tuple stands for several arguments, of which backward then returns a tuple of
        gradients. Indices and None have no gradient.
    state : numpy.ndarray or pair of numpy.ndarray, optional
        The initial state of a recurrent layer, of a `Sequential` the list of states; None stands for zeros, which are
        checked as well.
    lengths : numpy.ndarray, optional
        Lengths of the sequences, for what reads sequences.
    entries : int, optional
        Check a random sample of so many entries of each tensor; None checks all.
    step : float
        :math:`\epsilon`.
    tolerance : float
        The largest error allowed.
    seed : int
        Decides the weights of the outputs, the random directions and the sample.

    Returns
    -------
    GradientTable
        One row for every tensor.

    Raises
    ------
    GradientError
        An AssertionError that names the worst entry and carries the table.
    TypeError
        Layer or x is not float64, or the layer takes no `state` or `lengths`.
    ValueError
        Arguments that the layer refuses; a backward of one's own whose gradient of x has not the shape of x.

    Notes
    -----
    A ReLU has no derivative at 0, a maximum none where two numbers are equal: where a number lies within a step of it,
    the centred difference means nothing.

    Examples
    --------
    >>> import numpy as np
    >>> import nblstm
    >>> lstm = nblstm.LSTM(3, 4, dtype="float64", seed=0)
    >>> x = np.random.default_rng(0).standard_normal((5, 2, 3))
    >>> table = nblstm.gradcheck(lstm, x)
    >>> [row.name for row in table.rows]
    ['weight_ih_l0', 'weight_hh_l0', 'bias_ih_l0', 'bias_hh_l0', 'x', 'h_0', 'c_0']
    >>> table.error < 1e-7
    True
    """
    check_kind("layer", layer, Layer, Composed)
    entries = None if entries is None else as_size("entries", entries)
    step, tolerance = as_number("step", step, positive=True), as_number("tolerance", tolerance, finite=False)
    rng = np.random.default_rng(as_integer("seed", seed, least=0))
    subject = Subject(layer, x, state, lengths)
    try:
        upstream = [rng.standard_normal(output.shape) for output in subject.forward()[0]]
        gradients = {name: gradient for name, gradient in subject.backward(upstream).items() if gradient.size}
        table = GradientTable(
            tuple(_check(subject, name, gradients[name], upstream, entries, step, rng) for name in gradients)
        )
    finally:
        subject.restore()
    if table.error > tolerance:
        raise GradientError(table, tolerance)
    return table


def _check(
    subject: Subject, name: str, gradient: np.ndarray, upstream: list[np.ndarray], entries: int | None, step: float,
    rng: np.random.Generator,
) -> GradientRow:  # fmt: skip
    """Compare one tensor's gradient entry by entry and along a random direction."""
    base = subject.tensors[name].copy()

    def slope(direction: np.ndarray) -> float:
        outputs = []
        for sign in (1, -1):
            subject.put(name, base + sign * step * direction)
            outputs.append(subject.forward()[0])
        subject.put(name, base)
        return sum(np.vdot(u, plus - minus) for u, plus, minus in zip(upstream, *outputs, strict=True)) / (2 * step)

    def entry(position: int) -> np.ndarray:
        unit = np.zeros(base.size)
        unit[position] = 1
        return unit.reshape(base.shape)

    count = base.size if entries is None else min(entries, base.size)
    positions = np.sort(rng.choice(base.size, count, replace=False))
    numeric = np.array([slope(entry(position)) for position in positions])
    analytic = gradient.reshape(-1)[positions]
    differences = np.abs(analytic - numeric)
    worst = int(differences.argmax())
    direction = rng.standard_normal(base.shape)
    direction /= np.linalg.norm(direction)
    largest = float(np.abs(gradient).max())
    return GradientRow(
        name=name,
        shape=base.shape,
        checked=count,
        largest=largest,
        error=_relative(differences[worst], largest),
        projection=_relative(abs(np.vdot(gradient, direction) - slope(direction)), float(np.linalg.norm(gradient))),
        index=tuple(int(k) for k in np.unravel_index(positions[worst], base.shape)),
        analytic=float(analytic[worst]),
        numeric=float(numeric[worst]),
    )


def _relative(difference: float, scale: float) -> float:
    """The ratio; a gradient of zeros allows no difference, and what is not a number counts as infinitely wrong."""
    if difference == 0:
        return 0.0
    ratio = difference / scale if scale > 0 else np.inf
    return float(np.nan_to_num(ratio, nan=np.inf))

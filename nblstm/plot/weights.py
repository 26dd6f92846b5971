"""The weight matrices of a layer, to scale."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from nblstm.layers.layer import Layer
from nblstm.plot.colours import COLOURS, GREY
from nblstm.plot.drawings.pen import Pen
from nblstm.plot.sheet import NAMES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MARGIN, HEADER, TALL, WIDE = 13.0, 9.0, 26.0, 40.0  # in tenths of an inch: left margin, words above, largest extents
HAIR = 0.4  # least extent that is seen
PITCH = 10.5  # least distance of two tensors: their names have to fit


def weight_blocks(layer: Layer, ax: Axes | None = None) -> Axes:
    r"""Every parameter of a layer as a rectangle of its rows and columns, all to one scale, with shapes and counts.

    The rows of a recurrent layer's matrices belong to its cell's sums: an LSTM's to the gates i, f, g, o, a GRU's to r,
    z, n, with the gates' colours; those of an RNN to its hidden state. A bias is one column, drawn no thinner than can
    be seen.

    Parameters
    ----------
    layer : LSTM, GRU, RNN, Linear, Embedding or another layer of nblstm
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default, as wide as the number of tensors asks for, at most ten inches.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    TypeError
        `layer` is no layer.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> import nblstm
    >>> from nblstm.plot import weight_blocks
    >>> ax = weight_blocks(nblstm.LSTM(28, 128), Figure().subplots())
    >>> [text.get_text() for text in ax.texts if "weight" in text.get_text()]
    ['weight_ih_l0\n(512, 28)\n14,336', 'weight_hh_l0\n(512, 128)\n65,536']
    """
    if not isinstance(layer, Layer):
        raise TypeError(f"layer must be a layer of nblstm, such as LSTM, got {type(layer).__name__}")
    shapes = {name: tensor.shape for name, tensor in layer.params.items()}
    forms = {name: shape if len(shape) == 2 else (*shape, 1) for name, shape in shapes.items()}
    number = min(TALL / max(rows for rows, _ in forms.values()), WIDE / max(columns for _, columns in forms.values()))
    pitches = {name: max(PITCH, 0.85 * len(name), columns * number + 2) for name, (_, columns) in forms.items()}
    spare = max(0.0, 79 - MARGIN - sum(pitches.values())) / len(pitches)
    pitches = {name: pitch + min(spare, 5) for name, pitch in pitches.items()}
    tall = max(6.0, number * max(rows for rows, _ in forms.values()))
    pen = Pen(
        ax,
        max(80.0, MARGIN + sum(pitches.values()) + 1),
        tall + HEADER + 2,
        f"{layer!r}: {layer.num_parameters:,} parameters",
    )
    gates = {name: _gates_of(layer, name) for name in forms}
    top, left = tall + 2, MARGIN
    for name, (rows, columns) in forms.items():
        middle = left + pitches[name] / 2
        pen.words(middle, top + 1, f"{name}\n{shapes[name]}\n{rows * columns:,}", size=9, va="bottom")
        start = middle - max(HAIR, columns * number) / 2
        for reads, width in _parts_of(layer, name, columns):
            _draw_part(pen, gates[name], start, top, rows * number, width * number, rows * width, reads)
            start += width * number
        left += pitches[name]
    _name_rows(pen, next(iter(gates.values())), top, number * next(iter(forms.values()))[0])
    return pen.ax


def _gates_of(layer: Layer, name: str) -> Sequence[str]:
    """The name of each block of equally many rows, from top to bottom."""
    cell = getattr(layer, "cell", None)
    if cell is None:
        return ["y"]
    if "peephole" in name:
        return [target for target, _ in cell.peepholes.values()]
    sums = cell.sums_of_h if name.startswith(("weight_hh", "bias_hh", "gain_hh")) else cell.sums_of_x
    return sums if len(cell.sums) > 1 else ["h"]


def _parts_of(layer: Layer, name: str, columns: int) -> list[tuple[str, int]]:
    """What the columns read, where that is to be said, and their number: in a joined matrix first h, then x."""
    if getattr(layer, "formulation", "split") == "concat" and name.startswith("weight_l"):
        hidden = len(layer.params[name]) // len(_gates_of(layer, name))
        return [("h", hidden), ("x", columns - hidden)]
    return [("", columns)]


def _draw_part(
    pen: Pen, gates: Sequence[str], left: float, top: float, tall: float, wide: float, count: int, reads: str
) -> None:
    """One rectangle for each gate, with its letter and, where there is room, its count."""
    step, wide = max(tall / len(gates), HAIR), max(wide, HAIR)
    strength = 1 if min(wide, step) <= 2 * HAIR else 0.45
    for k, gate in enumerate(gates):
        low = top - (k + 1) * step
        pen.block(left, low, wide, step, COLOURS.get(gate, GREY), strength)
        number = f"{count // len(gates):,}"
        if wide > max(3.0, 0.5 + 0.75 * len(number)) and step > 3:
            pen.words(left + wide / 2, low + step / 2, f"{gate}\n{number}", size=9)
        elif wide > 1.6 and step > 1.6:
            pen.words(left + wide / 2, low + step / 2, gate, size=9)
    if reads and wide > 1.6:
        pen.words(left + wide / 2, top - tall - 1.2, f"${reads}$", size=9.5)


def _name_rows(pen: Pen, gates: Sequence[str], top: float, tall: float) -> None:
    """The gates' names left of the first tensor."""
    step = tall / len(gates)
    for k, gate in enumerate(gates):
        if step > 1.6 and gate in NAMES:
            pen.words(MARGIN - 0.5, top - (k + 0.5) * step, NAMES[gate], size=9.5, ha="right")

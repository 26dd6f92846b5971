"""The engine of every recurrent layer: its cell, its parameters by name, and its weights as the kernels read them."""

from __future__ import annotations

import copy
from typing import Any, ClassVar, Self

import numba
import numpy as np

from nblstm.arguments import as_choice, as_flag, as_float, as_rate, as_seed, as_size, check_kind
from nblstm.cells.cell import CELLS, Cell
from nblstm.cells.initial import drawn
from nblstm.kernels.simd import BYTES
from nblstm.kernels.units import compiled
from nblstm.layers.checks import State
from nblstm.layers.dropout_keys import DropoutKeys
from nblstm.layers.layer import Layer
from nblstm.layers.memory import padded
from nblstm.layers.packs import Packs
from nblstm.layers.parameters import Block
from nblstm.layers.stream import Stream

FORMULATIONS = ("split", "concat")
MOST_LAYERS = 10_000  # which take a second to make; a slip of the hand should not take an hour


def as_formulation(formulation: str, cell: Cell) -> str:
    """`formulation` as one of the words known, and one that layers of the cell can have."""
    formulation = as_choice("formulation", formulation, FORMULATIONS)
    if formulation == "concat" and cell.apart:
        raise ValueError(
            f"formulation must be 'split' for cell {cell.name!r}, which keeps the parts of {cell.apart[0]} "
            "from x and h apart, got 'concat'"
        )
    if formulation == "concat" and cell.reads:
        raise ValueError(
            f"formulation must be 'split' for cell {cell.name!r}, whose sum {next(iter(cell.reads))} reads something "
            "else than h, got 'concat'"
        )
    for part in cell.inputs_only + cell.hidden_only if formulation == "concat" else ():
        reads = "x" if part in cell.inputs_only else "h"
        raise ValueError(
            f"formulation must be 'split' for cell {cell.name!r}, whose sum {part} reads {reads} alone, got 'concat'"
        )
    return formulation


def as_heads(heads: int, hidden_size: int, formulation: str) -> int:
    """`heads` as a number of equally many units each, one in the concatenated formulation."""
    heads = as_size("heads", heads)
    if hidden_size % heads:
        raise ValueError(f"heads must divide hidden_size, {hidden_size}, got {heads}")
    if heads > 1 and formulation == "concat":
        raise ValueError(f"heads must be 1 in the concatenated formulation, got {heads}")
    return heads


class Engine(DropoutKeys, Layer):
    """Stacked recurrent layers of any cell, in one or two directions, over (T, B, I); subclasses check arguments.

    `tracks` lists, for every layer and direction in PyTorch's order, the suffix of its parameters' names and its
    input's width.
    """

    batch_first = False  # layers over sequences may have it otherwise
    own_settings: ClassVar[dict[str, Any]] = {}  # of a subclass, that `repr` shows, with what is usual

    def __init__(
        self, cell: Cell, input_size: int, hidden_size: int, num_layers: int, *, bias: bool, dropout: float,
        bidirectional: bool, formulation: str, forget_bias: float, dtype: str, seed: int | None,
        checkpoint: int | None = None, heads: int = 1, layer_norm: bool = False, suffixes: bool = True,
    ) -> None:  # fmt: skip
        check_kind("cell", cell, Cell)
        self.formulation = as_formulation(formulation, cell)
        self.bias, self.forget_bias = as_flag("bias", bias), as_float("forget_bias", forget_bias)
        if not np.isfinite(self.forget_bias):
            raise ValueError(f"forget_bias must be finite, got {forget_bias!r}")
        if self.forget_bias and not self.bias:
            raise ValueError(f"forget_bias={forget_bias} needs bias=True, got bias=False")
        if self.forget_bias and cell.forget is None:
            raise ValueError(
                f"forget_bias must be 0 for cell {cell.name!r}, which has no forget gate, got {forget_bias!r}"
            )
        self.input_size, self.hidden_size = as_size("input_size", input_size), as_size("hidden_size", hidden_size)
        self.num_layers, self.bidirectional = as_size("num_layers", num_layers), as_flag("bidirectional", bidirectional)
        if self.num_layers > MOST_LAYERS:
            raise ValueError(f"num_layers must be at most {MOST_LAYERS}, got {num_layers}")
        self.directions = 1 + self.bidirectional
        self.cell = cell
        self.dropout = as_rate("dropout", dropout)
        self.checkpoint = None if checkpoint is None else as_size("checkpoint", checkpoint)
        self.heads = as_heads(heads, self.hidden_size, self.formulation)
        self.head = self.hidden_size // self.heads
        self.layer_norm = as_flag("layer_norm", layer_norm)
        if self.layer_norm and cell.reads:
            raise ValueError(
                f"layer_norm must be False for cell {cell.name!r}, whose sum {next(iter(cell.reads))} reads something "
                "else than h, got True"
            )
        split = ("bias_ih", "bias_hh") if cell.sums_of_h else ("bias_ih",)
        self.bias_names: tuple[str, ...] = () if not self.bias else split if self.formulation == "split" else ("bias",)
        self.tracks = [
            (f"_l{k}{'_reverse' * d}" * suffixes, self.input_size if k == 0 else self.directions * self.hidden_size)
            for k in range(self.num_layers)
            for d in range(self.directions)
        ]
        super().__init__(self._shapes(), dtype)
        if CELLS.get(cell.name) is not cell and not numba.config.DISABLE_JIT:
            cell.check_unchanged()
            compiled(cell, self.dtype)  # now, so that what it cannot do is refused where the layer is made
        self.offsets = [self._offsets_of(suffix, inputs) for suffix, inputs in self.tracks]
        self.lanes = BYTES // self.dtype.itemsize
        self.padded_units = padded(self.hidden_size, self.dtype)
        self.gate_columns = cell.slots * self.padded_units
        self._packs: Packs | None = None
        weights, masks = np.random.SeedSequence(as_seed(seed)).spawn(2)
        self._dropout_keys = np.random.default_rng(masks)
        self._initialise(np.random.default_rng(weights))

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        H, of_x, of_h = self.hidden_size, len(self.cell.sums_of_x), len(self.cell.sums_of_h)
        shapes: dict[str, tuple[int, ...]] = {}
        for suffix, inputs in self.tracks:
            if self.formulation == "split":
                shapes["weight_ih" + suffix] = (of_x * H, inputs)
                if of_h:
                    shapes["weight_hh" + suffix] = (of_h * H, self.head)
            else:
                shapes["weight" + suffix] = (of_x * H, H + inputs)
            shapes |= {name + suffix: (H * (of_h if name == "bias_hh" else of_x),) for name in self.bias_names}
            if self.cell.peepholes:
                shapes["weight_peephole" + suffix] = (len(self.cell.peepholes), H)
            if self.layer_norm:
                shapes |= {name + suffix: (rows * H,) for name, rows in (("gain_ih", of_x), ("gain_hh", of_h)) if rows}
        return shapes

    def _offsets_of(self, suffix: str, inputs: int) -> list[int]:
        """Where the parameters of a track lie in the flat block, as `kernels.products` describes it."""
        starts, H = self._writable.starts, self.hidden_size
        if self.formulation == "split":
            weights = [starts["weight_ih" + suffix], inputs, starts.get("weight_hh" + suffix, -1), self.head]
        else:
            start = starts["weight" + suffix]
            weights = [start + H, H + inputs, start, H + inputs]
        biases = [starts[name + suffix] for name in self.bias_names]
        return [*weights, *biases, -1, -1][:6]

    def _initialise(self, generator: np.random.Generator) -> None:
        H = self.hidden_size
        with self.editing() as p:
            p.flat[:] = generator.uniform(-1, 1, p.flat.size) / np.sqrt(H)
            for name in p:
                if name.startswith("gain"):
                    p[name][...] = 1
            for suffix, _ in self.tracks:
                for name, function in self.cell.draw.items():
                    numbers = drawn(name, function, generator, H)
                    if name in self.cell.peepholes:
                        p["weight_peephole" + suffix][[*self.cell.peepholes].index(name)] = numbers
                    elif self.bias:
                        first, *second = self._biases_of(name, p, suffix)
                        first[:] = numbers
                        for other in second:
                            other[:] = 0
                if self.forget_bias:
                    assert self.cell.forget
                    self._biases_of(self.cell.forget, p, suffix)[0][:] += self.forget_bias

    def _biases_of(self, name: str, params: Block, suffix: str) -> list[np.ndarray]:
        """The numbers that are added to a sum, that beside x first."""
        H, parts = self.hidden_size, (self.cell.sums_of_x, self.cell.sums_of_h)
        return [
            params[bias + suffix][part.index(name) * H :][:H]
            for bias, part in zip(self.bias_names, parts, strict=False)  # joined there is but one bias
            if name in part
        ]

    def __repr__(self) -> str:
        own = {name: (getattr(self, name), usual) for name, usual in self.own_settings.items()}
        settings = {
            "num_layers": (self.num_layers, 1), **own,
            "bias": (self.bias, True), "batch_first": (self.batch_first, False), "dropout": (self.dropout, 0.0),
            "bidirectional": (self.bidirectional, False), "formulation": (self.formulation, "split"),
            "dtype": (self.dtype.name, "float32"), "checkpoint": (self.checkpoint, None),
            "layer_norm": (self.layer_norm, False),
        }  # fmt: skip
        unusual = [f"{name}={value!r}" for name, (value, usual) in settings.items() if value != usual]
        return f"{type(self).__name__}({', '.join([str(self.input_size), str(self.hidden_size), *unusual])})"

    def to_formulation(self, formulation: str) -> Self:
        """A new layer that computes the same function with the weights of the other formulation.

        From "split" to "concat" the two biases become their sum; back, the one becomes ``bias_ih`` and ``bias_hh`` is
        zero.

        Examples
        --------
        >>> from nblstm import LSTM
        >>> LSTM(3, 5, seed=0).to_formulation("concat").params["weight_l0"].shape
        (20, 8)
        """
        other = copy.copy(self)  # with all that a subclass knows besides
        Engine.__init__(
            other, self.cell, self.input_size, self.hidden_size, self.num_layers, bias=self.bias,
            dropout=self.dropout, bidirectional=self.bidirectional, formulation=formulation,
            forget_bias=self.forget_bias, dtype=self.dtype.name, seed=0, checkpoint=self.checkpoint, heads=self.heads,
            layer_norm=self.layer_norm, suffixes=bool(self.tracks[0][0]),
        )  # fmt: skip
        if formulation == self.formulation:
            other.load_state_dict(self.params)
        else:
            self._copy_weights_to(other)
        other.set_dropout_state(self.dropout_state())
        return other

    def _copy_weights_to(self, other: Engine) -> None:
        """Give `other`, the same layer in the other formulation, this one's function."""
        H = self.hidden_size
        with other.editing() as p:
            for suffix, _ in self.tracks:
                if self.formulation == "split":
                    p["weight" + suffix][...] = np.hstack(
                        [self.params["weight_hh" + suffix], self.params["weight_ih" + suffix]]
                    )
                else:
                    p["weight_hh" + suffix][...] = self.params["weight" + suffix][:, :H]
                    p["weight_ih" + suffix][...] = self.params["weight" + suffix][:, H:]
                for name in other.bias_names:
                    p[name + suffix][...] = 0
                if self.bias:
                    p[other.bias_names[0] + suffix][...] = sum(self.params[name + suffix] for name in self.bias_names)
                for name in ("weight_peephole", "gain_ih", "gain_hh"):
                    if name + suffix in p:
                        p[name + suffix][...] = self.params[name + suffix]

    def inference_packs(self, threads: int) -> Packs:
        """Packed weights for calls that keep nothing; published whole, so that several threads may read them."""
        packs = self._packs
        if packs is None or packs.forward_version != self.version:
            packs = Packs(self)
            packs.refresh_forward(threads)
            self._packs = packs
        return packs

    def stream(self, state: State = None) -> Stream:
        """For inputs that come one by one: a function of x (I,) that steps all layers and keeps the state between.

        The results are those of calling the layer with the whole sequence, bit for bit. It never drops, and there is no
        way back: ``h = stream(x)`` is the last layer's new h (H,), a fresh array, ``stream.state`` a copy of the state.

        Parameters
        ----------
        state : an array for each state, or h alone where there is no other; each (L, H), or (H,) for a cell, optional
            Initial state, copied; None, also for one of several, is zeros.

        Examples
        --------
        >>> import numpy as np
        >>> from nblstm import LSTM
        >>> lstm, x = LSTM(3, 5, num_layers=2, seed=0), np.ones((7, 3), "float32")
        >>> stream = lstm.stream()
        >>> bool(np.all([stream(row) for row in x] == lstm(x)[0]))
        True
        """
        return Stream(self, state)

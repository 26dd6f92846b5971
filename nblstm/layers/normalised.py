"""Layer norm in a recurrent layer: its gains as the kernels read them, and the gradients that its steps leave."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nblstm.kernels.layer_norm import OF_BIAS, OF_H, OF_X, compiled
from nblstm.kernels.plan import FIELDS, PLACES, fill
from nblstm.kernels.tile import VECTORS
from nblstm.layers.memory import address

if TYPE_CHECKING:
    from nblstm.layers.engine import Engine
    from nblstm.layers.parameters import Block
    from nblstm.layers.tape import Tape

PARTS = OF_X, OF_H
GAINS = "gain_ih", "gain_hh"
OWN_FIELDS = [PLACES[name] for name in ("gates", "I", "hiddens", "blocks", "offsets", "gradient_sums")]


class NormalisedTrack:
    """What kernels read of one layer in one direction: `gains` (2, G), and more that never changes.

    `blocks` and `offsets` are those of `kernels.plan` for the product with x alone and for that with h alone, without
    biases.
    """

    def __init__(self, layer: Engine, number: int) -> None:
        self._layer, self._suffix = layer, layer.tracks[number][0]
        self.gains = np.zeros((2, layer.gate_columns), layer.dtype)
        self._zeros = np.zeros(VECTORS * layer.lanes, layer.dtype)
        self._units = (np.arange(layer.padded_units) < layer.hidden_size).astype(layer.dtype)
        self.blocks = [np.where(np.arange(3) == part, layer.cell.rows, -1) for part in PARTS]
        self.offsets = np.array([*layer.offsets[number][:4], -1, -1])

    def plan(self, plan: np.ndarray) -> None:
        """Write what a plan says of layer norm that is the same for every pass."""
        inputs, step, back = (function.address for function in compiled(self._layer.dtype))
        fill(
            plan, norm_inputs=inputs, norm_step=step, norm_back=back, gains=address(self.gains),
            units=address(self._units), zeros=address(self._zeros),
        )  # fmt: skip

    def pack(self) -> None:
        """Take the gains as they are now."""
        layer = self._layer
        gains = np.zeros((2, layer.cell.slots, layer.padded_units), layer.dtype)
        for part, name in zip(PARTS, GAINS, strict=True):
            slots, blocks = _slots_and_blocks(layer, part)
            if len(slots):
                gains[part, slots, : layer.hidden_size] = _by_block(layer, layer.params[name + self._suffix])[blocks]
        self.gains.reshape(2, -1, layer.cell.slots, layer.lanes)[...] = gains.reshape(
            2, layer.cell.slots, -1, layer.lanes
        ).swapaxes(1, 2)


def products_of(tape: Tape) -> np.ndarray:
    """What `plans_of_products` writes into plans, by track and part: (tracks, 2, fields)."""
    found = np.empty((len(tape.tracks), 2, len(OWN_FIELDS)), np.int64)
    for number, (track, packed) in enumerate(zip(tape.tracks, tape.packs.tracks, strict=True)):
        own, sums = packed.normalised, tape.gradients.sums
        of_x = (
            address(track.from_x),
            packed.inputs,
            0,
            address(own.blocks[OF_X]),
            address(own.offsets),
            address(sums[0]),
        )
        of_h = address(track.from_h), 0, tape.layer.hidden_size, address(own.blocks[OF_H]), of_x[4], address(sums[1])
        found[number] = of_x, of_h
    return found


def plans_of_products(tape: Tape, plans: np.ndarray) -> np.ndarray:
    """Plans for `weight_gradients` after the way back: of each track that with x alone, then that with h alone."""
    own = np.repeat(plans, 2)
    own.view(np.int64).reshape(-1, len(FIELDS))[:, OWN_FIELDS] = tape.gradients.products[plans["number"]].reshape(
        -1, len(OWN_FIELDS)
    )
    return own


def add_gradients(layer: Engine, suffix: str, sums: np.ndarray, grads: Block) -> None:
    """Gradients of gains and biases, given as sums (3, B, G) over the steps of each row, see `kernels.layer_norm`."""
    cell, H = layer.cell, layer.hidden_size
    columns = sums.sum(axis=1).reshape(3, -1, cell.slots, layer.lanes).swapaxes(1, 2).reshape(3, cell.slots, -1)
    biases = zip((OF_BIAS, OF_BIAS), PARTS, layer.bias_names, strict=False)
    for kind, part, name in (*zip(PARTS, PARTS, GAINS, strict=True), *biases):
        slots, blocks = _slots_and_blocks(layer, part)
        if len(slots):
            _by_block(layer, grads[name + suffix])[blocks] += columns[kind, slots, :H]


def _slots_and_blocks(layer: Engine, part: int) -> tuple[np.ndarray, np.ndarray]:
    """The slots that have a part, and for each its block of rows of the weights."""
    slots = np.flatnonzero(layer.cell.rows[:, part] >= 0)
    return slots, layer.cell.rows[slots, part]


def _by_block(layer: Engine, tensor: np.ndarray) -> np.ndarray:
    """A gain or a bias as (blocks, H)."""
    return tensor.reshape(-1, layer.hidden_size)

"""What every whole network has: layers composed, the settings that they were made with, and a file."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Self

from nblstm import files
from nblstm.arguments import as_float, as_rate, as_size
from nblstm.cells import Cell, gru, lstm, rnn
from nblstm.cells.recorded import as_cell, as_record, cell_of, record_of
from nblstm.layers import checks, parameters
from nblstm.layers.composed import Composed
from nblstm.layers.engine import as_formulation
from nblstm.layers.layer import Layer
from nblstm.layers.recurrent import GRU, LSTM, RNN, Recurrent

CLASSES: dict[Cell, Callable[..., LSTM | GRU | RNN]] = {
    lstm.LSTM: LSTM, lstm.PEEPHOLE: partial(LSTM, peephole=True), gru.GRU: GRU, rnn.RNN_TANH: RNN,
    rnn.RNN_RELU: partial(RNN, nonlinearity="relu"),
}  # fmt: skip
"""The cells that have a class of their own."""


class Network(Composed):
    """Layers composed; a subclass adds how the data flow through them.

    Parameters
    ----------
    parts : mapping of str to Layer
        The layers under the names that stand before those of their parameters.
    config : mapping of str to object
        Arguments, as plain data, with which the subclass makes a network of the same form.

    Attributes
    ----------
    layers : list of Layer
        What an optimiser takes.
    """

    recurrent: LSTM | GRU | RNN | Recurrent

    def __init__(self, parts: Mapping[str, Layer], config: Mapping[str, Any]) -> None:
        super().__init__(parts)
        self.config = dict(config)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.config.items())})"

    def save(self, path: str | Path) -> None:
        """Write weights and settings to one safetensors file, atomically."""
        tensors = self.state_dict()
        config = self.config | {"cell": record_of(self.recurrent.cell)}
        files.save(path, tensors, {self._format(): files.seal(config, tensors)})

    @classmethod
    def load(cls, path: str | Path, cell: Cell | None = None) -> Self:
        """The network that `save` wrote; ``Network.load`` takes a file of any kind of network.

        Parameters
        ----------
        path : str or Path
        cell : Cell, optional
            The network's cell, if it is one of your own: a file has its numbers, and the name, not the equations.

        Raises
        ------
        ValueError
            A damaged file, or one that holds something else; a cell that is missing, or another than the file's.
        """
        tensors, metadata = files.load_with_metadata(path)
        kinds = {kind._format(): kind for kind in cls._kinds() if kind._format() in metadata}
        if len(kinds) != 1:
            raise ValueError(f"{path} must be a model saved by {cls.__name__}.save; its metadata does not say so")
        ((form, kind),) = kinds.items()
        with _damage_named(path):
            config = files.unseal(metadata[form], tensors)
            record = as_record(config["cell"])
        config["cell"] = cell_of(record, cell, str(path), "cell=...")
        with _damage_named(path):
            with parameters.no_more_parameters_than(tensors, config["num_layers"]):
                model = kind(**config)
            model.load_state_dict(tensors)
        return model

    @classmethod
    def _format(cls) -> str:
        """Under which name the metadata of a file hold the settings."""
        return f"nblstm.{cls.__name__}"

    @classmethod
    def _kinds(cls) -> Iterator[type[Self]]:
        """The class itself and all that are made from it."""
        yield cls
        for kind in cls.__subclasses__():
            yield from kind._kinds()


@contextmanager
def _damage_named(path: str | Path) -> Iterator[None]:
    """Name the file when what was read from it does not make sense."""
    try:
        yield
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is a damaged model file: {error}") from error


def check_tape(tape: Any, kind: type) -> None:
    """`tape` is of the kind that the network's forward returns."""
    if not isinstance(tape, kind):
        raise TypeError(f"tape must be one that forward of such a network returned, got {type(tape).__name__}")


def check_backward(network: Network, tape: Any, kind: type) -> None:
    """All layers may go back: one that refused after another had gone would leave half of the gradients."""
    check_tape(tape, kind)
    for layer, part in zip(network.layers, tape, strict=True):
        checks.check_backward(layer, part, None)


def no_effect(dropout: float) -> str:
    """What is said of dropout where there is nothing between layers to drop."""
    return f"dropout={dropout} has no effect with one layer: it acts between layers"


def recurrent_layer(
    cell: Cell | str, input_size: int, hidden_size: int, num_layers: int, *, dropout: float, forget_bias: float,
    formulation: str, **options: Any,
) -> LSTM | GRU | RNN | Recurrent:  # fmt: skip
    """The layer of a cell; with one layer there is nothing between layers to drop."""
    declared, num_layers = as_cell(cell), as_size("num_layers", num_layers)
    if as_rate("dropout", dropout) and num_layers == 1:
        warnings.warn(no_effect(dropout), stacklevel=4)
        dropout = 0.0
    if as_formulation(formulation, declared) != "split":  # which not every class takes
        options["formulation"] = formulation
    if as_float("forget_bias", forget_bias):
        if declared.forget is None:
            raise ValueError(
                f"forget_bias must be 0 for cell {declared.name!r}, which has no forget gate, got {forget_bias!r}"
            )
        options["forget_bias"] = forget_bias
    make = CLASSES.get(declared, partial(Recurrent, declared))
    return make(input_size, hidden_size, num_layers, dropout=dropout, **options)


def part_name(layer: LSTM | GRU | RNN | Recurrent) -> str:
    """What stands before the names of its parameters: lstm, gru, rnn or recurrent."""
    return type(layer).__name__.lower()

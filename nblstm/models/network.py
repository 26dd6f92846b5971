"""What every whole network has: layers composed, the settings that they were made with, and a file."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Self

from nblstm import files
from nblstm.arguments import as_float, as_rate, as_size, check_kind
from nblstm.cells import Cell, gru, lstm, rnn
from nblstm.cells.recorded import as_cell, as_record, cell_of, name_or_cell, record_of
from nblstm.layers import parameters
from nblstm.layers.composed import Composed
from nblstm.layers.engine import as_formulation
from nblstm.layers.layer import Layer
from nblstm.layers.recurrent import GRU, LSTM, RNN, Recurrent

CLASSES: dict[Cell, Callable[..., LSTM | GRU | RNN]] = {
    lstm.LSTM: LSTM, lstm.PEEPHOLE: partial(LSTM, peephole=True), gru.GRU: GRU,
    gru.GRU_ORIGINAL: partial(GRU, reset_after=False), rnn.RNN_TANH: RNN,
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
        The arguments with which the subclass makes a network of the same form: `load` calls it with them. Plain data,
        as JSON has it, but for a `Cell` or its name under "cell".

    Attributes
    ----------
    layers : list of Layer
        What an optimiser takes.
    config : dict of str to object
        As given. A subclass of a network that comes with nblstm, with arguments of its own, writes them here.

    Raises
    ------
    TypeError
        `parts` that are no layers, or a `config` that is no mapping.

    Examples
    --------
    >>> import os
    >>> from nblstm import GRU, Linear
    >>> from nblstm.models import Network
    >>> class Forecast(Network):
    ...     def __init__(self, units, days, seed=None):
    ...         self.gru, self.linear = GRU(1, units, seed=seed), Linear(units, days, seed=seed)
    ...         super().__init__({"gru": self.gru, "linear": self.linear}, {"units": units, "days": days})
    ...     def __call__(self, x):
    ...         return self.linear(self.gru(x)[1][-1])
    >>> Forecast(8, 6, seed=0).save("forecast.safetensors")
    >>> Forecast.load("forecast.safetensors")
    Forecast(units=8, days=6)
    >>> os.remove("forecast.safetensors")
    """

    recurrent: LSTM | GRU | RNN | Recurrent

    def __init__(self, parts: Mapping[str, Layer], config: Mapping[str, Any]) -> None:
        super().__init__(parts)
        check_kind("config", config, Mapping)
        self.config = dict(config)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.config.items())})"

    def save(self, path: str | Path) -> None:
        """Write weights and settings to one safetensors file, atomically.

        Raises
        ------
        TypeError
            `config` has not the arguments that the class takes, or something that JSON does not have.
        OSError
            `path` cannot be written.
        """
        name = type(self).__name__
        try:
            inspect.signature(type(self)).bind(**self.config)
        except TypeError as error:
            raise TypeError(
                f"config must be the arguments with which {name} makes this network again, got "
                f"{', '.join(self.config) or 'none'} ({error}): write them to self.config in {name}.__init__"
            ) from error
        config, tensors = dict(self.config), self.state_dict()
        if "cell" in config:
            config["cell"] = record_of(config["cell"])
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
            raise ValueError(f"{path} must be a model saved by {cls.__name__}.save, got {_said_in(metadata)}")
        ((form, kind),) = kinds.items()
        with _damage_named(path):
            config = files.unseal(metadata[form], tensors)
            check_kind("config", config, dict)
            record = as_record(config["cell"]) if "cell" in config else None
        if record is not None:
            config["cell"] = name_or_cell(cell_of(record, cell, str(path), "cell=..."))
        elif cell is not None:
            raise ValueError(f"cell must be left out for {path}, which names none, got {cell!r}")
        with _damage_named(path):
            num_layers = config["num_layers"] if "num_layers" in inspect.signature(kind).parameters else 1
            with parameters.no_more_parameters_than(tensors, num_layers):
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


def _said_in(metadata: Mapping[str, str]) -> str:
    """What the metadata of a file say that it is."""
    names = [name.removeprefix("nblstm.") for name in metadata if name.startswith("nblstm.")]
    if len(names) != 1:
        return "a file whose metadata does not say so"
    known = any(kind.__name__ == names[0] for kind in Network._kinds())
    return f"one of {names[0]}.save" + ("" if known else ", a class that must be imported first")


@contextmanager
def _damage_named(path: str | Path) -> Iterator[None]:
    """Name the file when what was read from it does not make sense."""
    try:
        yield
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is a damaged model file: {error}") from error


def no_effect(dropout: float) -> str:
    """What is said of dropout where there is nothing between layers to drop."""
    return f"dropout={dropout} has no effect with one layer: it acts between layers"


def recurrent_layer(
    cell: Cell | str, input_size: int, hidden_size: int, num_layers: int, *, dropout: float, forget_bias: float,
    formulation: str, heads: int, **options: Any,
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
    if as_size("heads", heads) > 1:  # which only the layer of any cell takes
        make = partial(Recurrent, declared, heads=heads)
    return make(input_size, hidden_size, num_layers, dropout=dropout, **options)


def settings_of(layer: LSTM | GRU | RNN | Recurrent) -> dict[str, Any]:
    """The arguments that every model has for its recurrent layer, as its config keeps them."""
    later = {"heads": layer.heads} if layer.heads > 1 else {}  # which older files do not have
    later |= {"layer_norm": True} if layer.layer_norm else {}
    return later | {
        "hidden_size": layer.hidden_size,
        "num_layers": layer.num_layers,
        "cell": name_or_cell(layer.cell),
        "formulation": layer.formulation,
        "dropout": layer.dropout,
        "dtype": str(layer.dtype),
    }


def part_name(layer: LSTM | GRU | RNN | Recurrent) -> str:
    """What stands before the names of its parameters: lstm, gru, rnn or recurrent."""
    return type(layer).__name__.lower()

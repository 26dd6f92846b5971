"""The settings of a training run, checked as soon as they are given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from nblstm.arguments import as_choice, as_flag, as_integer, as_number, as_rate, as_size, as_text, shown
from nblstm.cells import CELLS, Cell
from nblstm.cells.recorded import as_cell, record_of
from nblstm.class_weights import as_class_weight
from nblstm.datasets import DEFAULT_TEXT
from nblstm.datasets.text import as_encoding
from nblstm.layers.engine import as_formulation

LENGTHS = ("steps", "epochs", "minutes")
TOKENS = ("characters", "words")
VOCABULARY_SIZE = 10_000  # of words, where nobody says
IMAGES = ("digits", "mnist")
MNIST = {"hidden_size": 128, "num_layers": 2, "batch_size": 100, "epochs": 2}  # in place of the defaults


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What determines a run besides its data. At most one of `steps`, `epochs` and `minutes` says how long it is.

    Without any of them it is `LENGTH`. An epoch is one pass over the training part. With `minutes` the number of steps
    depends on the machine and on what else it does, so the run cannot be reproduced.

    `cell` is the name of one in ``nblstm.cells.CELLS``, or a `nblstm.Cell` of your own. The run's files have the name
    of such a cell, not its equations: `Run.resume` takes it again, ``given={"cell": ...}``.
    """

    LENGTH: ClassVar[tuple[str, int]]
    PLACES: ClassVar[tuple[str, ...]] = ()
    """Those that only say where the data are, the place itself first: a run goes on with others, if the data are the
    same."""

    hidden_size: int
    num_layers: int
    cell: str | Cell = "lstm"
    formulation: str = "split"
    batch_size: int = 32
    steps: int | None = None
    epochs: int | None = None
    minutes: float | None = None
    learning_rate: float
    dropout: float = 0.0
    clip: float = 5.0
    seed: int = 1
    evaluate_every: int = 100

    def __post_init__(self) -> None:
        for name in ("hidden_size", "num_layers", "batch_size", "evaluate_every"):
            self._keep(name, as_size(name, getattr(self, name)))
        self._keep("seed", as_integer("seed", self.seed, least=0))
        cell = as_cell(self.cell)
        self._keep("cell", cell.name if CELLS.get(cell.name) is cell else cell)
        self._keep("formulation", as_formulation(self.formulation, cell))
        self._keep("dropout", as_rate("dropout", self.dropout))
        given = {name: getattr(self, name) for name in LENGTHS if getattr(self, name) is not None}
        if len(given) > 1:
            found = ", ".join(f"{name}={value}" for name, value in given.items())
            raise ValueError(f"at most one of steps, epochs and minutes must be given, got {found}")
        if not given:
            self._keep(*self.LENGTH)
        for name, value in given.items():
            self._keep(name, as_number(name, value, positive=True) if name == "minutes" else as_size(name, value))
        self._keep("learning_rate", as_number("learning_rate", self.learning_rate, positive=True))
        self._keep("clip", as_number("clip", self.clip, positive=True, finite=False))

    @property
    def length(self) -> tuple[str, float]:
        """The one of the three that says how long the run is: its name and its value."""
        return next((name, value) for name in LENGTHS if (value := getattr(self, name)) is not None)

    def record(self) -> dict[str, Any]:
        """All of them as the plain data that files hold."""
        return asdict(self) | {"cell": record_of(as_cell(self.cell))}

    def _keep(self, name: str, value: Any) -> None:
        """Python's own value in place of the one given, which may be NumPy's: the run's files hold no such thing."""
        object.__setattr__(self, name, value)


@dataclass(frozen=True, kw_only=True)
class TextSettings(Settings):
    """Of a run that trains a `CharLM` on a text, or, if `tokens` is "words", a `WordLM`."""

    LENGTH = ("steps", 1700)
    PLACES = ("text", "encoding")

    text: str | Sequence[str] = DEFAULT_TEXT
    encoding: str = "utf-8"
    tokens: str = "characters"
    vocabulary_size: int | None = None
    hidden_size: int = 256
    num_layers: int = 2
    window: int = 100
    learning_rate: float = 2e-3
    dropout: float = 0.2

    def __post_init__(self) -> None:
        super().__post_init__()
        self._keep("window", as_size("window", self.window))
        self._keep("text", _texts(self.text))
        self._keep("encoding", as_encoding(self.encoding))
        self._keep("tokens", as_choice("tokens", self.tokens, TOKENS))
        if self.tokens == "words":
            size = VOCABULARY_SIZE if self.vocabulary_size is None else self.vocabulary_size
            self._keep("vocabulary_size", as_size("vocabulary_size", size, least=2))
        elif self.vocabulary_size is not None:
            raise ValueError(
                f"vocabulary_size must be left out but for words: of a text all characters are known, "
                f"got {self.vocabulary_size}"
            )


def _texts(text: str | Sequence[str]) -> str | tuple[str, ...]:
    """`text` as one string or as several."""
    if isinstance(text, str):
        return str(text)
    if not isinstance(text, Sequence) or not text:
        raise TypeError(f"text must be a string, or one or more of them, got {shown(text)}")
    return tuple(as_text("text", one) for one in text)


@dataclass(frozen=True, kw_only=True)
class SequenceSettings(Settings):
    """Of a run that trains a `SequenceClassifier` or `SequenceRegressor`."""

    LENGTH = ("epochs", 40)

    hidden_size: int = 64
    num_layers: int = 1
    bidirectional: bool = False
    learning_rate: float = 1e-2
    class_weight: Any = None
    """"balanced", a dict or as many numbers as there are classes; see `class_weights`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._keep("bidirectional", as_flag("bidirectional", self.bidirectional))
        if self.class_weight is not None:
            self._keep("class_weight", as_class_weight(self.class_weight))


@dataclass(frozen=True, kw_only=True)
class ImageSettings(SequenceSettings):
    """Of a run that trains a `SequenceClassifier` on images of digits, row by row."""

    PLACES = ("folder",)

    images: str = "digits"
    folder: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self._keep("images", as_choice("images", self.images, IMAGES))
        if self.folder is not None:
            self._keep("folder", as_text("folder", self.folder))
        if self.folder is not None and self.images != "mnist":
            raise ValueError(f"folder must be left out but for mnist, which can be read from one, got {self.folder!r}")

"""The settings of a training run, checked as soon as they are given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from nblstm.arguments import as_choice, as_flag, as_integer, as_number, as_rate, as_size, as_text, shown
from nblstm.cells import Cell
from nblstm.cells.recorded import as_cell, name_or_cell, record_of
from nblstm.datasets import DEFAULT_TEXT
from nblstm.datasets.text import as_encoding
from nblstm.datasets.tokens import check_characters
from nblstm.datasets.words_of_text import check_words
from nblstm.distributed import EXCHANGES
from nblstm.layers.engine import as_formulation, as_heads
from nblstm.losses.class_weights import as_class_weight

LENGTHS = ("steps", "epochs", "minutes")

OPTIMIZERS = ("adam", "adamw", "rmsprop", "sgd")
TOKENS = ("characters", "words")
VOCABULARY_SIZE = 10_000  # of words, where nobody says
IMAGES = ("digits", "mnist")
MNIST = {"hidden_size": 128, "num_layers": 2, "batch_size": 100, "epochs": 2}  # in place of the defaults


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What determines a run besides its data.

    At most one of `steps`, `epochs` and `minutes` says how long it is; without any of them it is `LENGTH`. On the
    command line each field is the option of the same name: ``--hidden-size`` for `hidden_size`.

    Parameters
    ----------
    hidden_size, num_layers : int
        Units per recurrent layer and direction, and how many such layers are stacked.
    cell : str or Cell
        A name in `nblstm.cells.CELLS`, "lstm", "gru" or "rnn_tanh", say, or a cell of your own. The run's files have
        the name of such a cell, not its equations: `Run.resume` takes it again, ``given={"cell": ...}``.
    formulation : {"split", "concat"}
        See `nblstm.LSTM`.
    heads : int
        Into how many parts, which do not read each other, the units are divided; see `nblstm.Recurrent`.
    layer_norm : bool
        See `nblstm.LSTM`.
    batch_size : int
        Sequences, or streams of text, in a step.
    steps, epochs : int, optional
        Length of the run in training steps, or in passes over the training part.
    minutes : float, optional
        Length of the run in minutes. How many steps fit depends on the machine and on what else it does, so the run
        cannot be reproduced.
    optimizer : {"adam", "adamw", "rmsprop", "sgd"}
        See `nblstm.Adam` and the others; "sgd" has a momentum of 0.9, all else is their default.
    lr : float
        The learning rate at the beginning; it falls along half a cosine, to a twentieth at the end.
    weight_decay : float
        As in the optimiser: 0 for none.
    dropout : float
        Between the recurrent layers, from 0 to below 1; with one layer there is nothing between.
    clip : float
        The largest norm of the gradient, to which a larger one is scaled down; `math.inf` for no limit.
    seed : int
        Of all that is drawn: initial weights, dropout, the order of the sequences.
    evaluate_every : int, optional
        Steps from one evaluation on the validation part to the next. By default ten to twenty-five share out the run;
        with `epochs` they come at the end of one, or, where these are few, several times in each.
    shards : int
        Into how many parts each batch is cut, which the ranks of a training over MPI share out, see
        `nblstm.distributed`: with 1, ordinary training, every process is by itself. What comes out depends on the
        shards, in its last bits at first, and not on the ranks.
    exchange : {"ordered", "allreduce"}
        How ranks add up their gradients: "ordered" gives the same bits for any number of them, "allreduce" does not.
    patience : int, optional
        After so many evaluations without a lower validation loss the run ends early; by default it never does.

    Raises
    ------
    TypeError, ValueError
        A field of another kind or out of its range, which is named; more than one of the lengths.

    Examples
    --------
    >>> from nblstm.jobs import SequenceSettings, Settings
    >>> settings = SequenceSettings(hidden_size=64, epochs=5)
    >>> isinstance(settings, Settings), settings.length
    (True, ('epochs', 5))
    """

    LENGTH: ClassVar[tuple[str, int]]
    LOCATION: ClassVar[tuple[str, ...]] = ()
    """Those that only say where the data are and how to read them, where first: a run goes on with others, if the data
    are the same."""
    COMMON: ClassVar[tuple[str, ...]] = ()
    """Those that say, besides, what the loss is of: it does not compare with that of a run that has others."""

    hidden_size: int
    num_layers: int
    cell: str | Cell = "lstm"
    formulation: str = "split"
    heads: int = 1
    layer_norm: bool = False
    batch_size: int = 32
    steps: int | None = None
    epochs: int | None = None
    minutes: float | None = None
    optimizer: str = "adam"
    lr: float
    weight_decay: float = 0.0
    dropout: float = 0.0
    clip: float = 5.0
    seed: int = 1
    evaluate_every: int | None = None
    patience: int | None = None
    shards: int = 1
    exchange: str = "ordered"

    def __post_init__(self) -> None:
        for name in ("hidden_size", "num_layers", "batch_size", "shards"):
            self._keep(name, as_size(name, getattr(self, name)))
        for name in ("evaluate_every", "patience"):
            if getattr(self, name) is not None:
                self._keep(name, as_size(name, getattr(self, name)))
        self._keep("seed", as_integer("seed", self.seed, least=0))
        cell = as_cell(self.cell)
        self._keep("cell", name_or_cell(cell))
        self._keep("formulation", as_formulation(self.formulation, cell))
        self._keep("heads", as_heads(self.heads, self.hidden_size, self.formulation))
        self._keep("layer_norm", as_flag("layer_norm", self.layer_norm))
        self._keep("dropout", as_rate("dropout", self.dropout))
        given = {name: getattr(self, name) for name in LENGTHS if getattr(self, name) is not None}
        if len(given) > 1:
            found = ", ".join(f"{name}={value}" for name, value in given.items())
            raise ValueError(f"at most one length must be given, got {found}")
        if not given:
            self._keep(*self.LENGTH)
        for name, value in given.items():
            self._keep(name, as_number(name, value, positive=True) if name == "minutes" else as_size(name, value))
        self._keep("optimizer", as_choice("optimizer", self.optimizer, OPTIMIZERS))
        self._keep("exchange", as_choice("exchange", self.exchange, EXCHANGES))
        self._keep("lr", as_number("lr", self.lr, positive=True))
        self._keep("weight_decay", as_number("weight_decay", self.weight_decay))
        self._keep("clip", as_number("clip", self.clip, positive=True, finite=False))

    @property
    def length(self) -> tuple[str, float]:
        """The one of the three that says how long the run is: its name and its value."""
        return next((name, value) for name in LENGTHS if (value := getattr(self, name)) is not None)

    def record(self) -> dict[str, Any]:
        """All of them as the plain data that files hold."""
        return asdict(self) | {"cell": record_of(self.cell)}

    def _keep(self, name: str, value: Any) -> None:
        """Python's own value in place of the one given, which may be NumPy's: the run's files hold no such thing."""
        object.__setattr__(self, name, value)


@dataclass(frozen=True, kw_only=True)
class TextSettings(Settings):
    """Of a run that trains a `CharLM` on a text, or, if `tokens` is "words", a `WordLM`; see also `Settings`.

    Parameters
    ----------
    text : str or sequence of str
        Files and folders, or a name that `nblstm.datasets.load_text` knows; several are one text.
    encoding : str
        Of the files.
    tokens : {"characters", "words"}
        What the model reads and predicts.
    vocabulary_size : int, optional
        Of words alone: how many the model knows, the rarer ones being one token. 10,000 by default.
    vocabulary : str or sequence of str, optional
        The tokens that the model knows, in the order of their numbers; by default those of the text. Of words
        ``"<unk>"`` is the first.
    embedding_size : int, optional
        Numbers that stand for a token: 64 by default, for words as many as a layer has units.
    window : int
        Tokens in a training step of each stream; no gradient reaches beyond it.

    Raises
    ------
    TypeError, ValueError
        A field of another kind or out of its range, which is named.

    Examples
    --------
    >>> from nblstm.jobs import TextSettings
    >>> settings = TextSettings(text=["novel.txt", "letters/"], tokens="words", epochs=5)
    >>> settings.vocabulary_size, settings.length
    (10000, ('epochs', 5))
    """

    LENGTH = ("steps", 1700)
    LOCATION = ("text", "encoding")
    COMMON = ("tokens", "vocabulary_size", "vocabulary")

    text: str | Sequence[str] = DEFAULT_TEXT
    encoding: str = "utf-8"
    tokens: str = "characters"
    vocabulary_size: int | None = None
    vocabulary: str | Sequence[str] | None = None
    embedding_size: int | None = None
    hidden_size: int = 256
    num_layers: int = 2
    window: int = 100
    lr: float = 2e-3
    dropout: float = 0.2

    def __post_init__(self) -> None:
        super().__post_init__()
        self._keep("window", as_size("window", self.window))
        self._keep("text", _texts(self.text))
        self._keep("encoding", as_encoding(self.encoding))
        self._keep("tokens", as_choice("tokens", self.tokens, TOKENS))
        if self.embedding_size is not None:
            self._keep("embedding_size", as_size("embedding_size", self.embedding_size))
        if self.tokens == "words":
            size = VOCABULARY_SIZE if self.vocabulary_size is None else self.vocabulary_size
            self._keep("vocabulary_size", as_size("vocabulary_size", size, least=2))
        elif self.vocabulary_size is not None:
            raise ValueError(
                f"vocabulary_size must be left out but for words: of a text all characters are known, "
                f"got {self.vocabulary_size}"
            )
        if self.vocabulary is not None:
            check = check_words if self.tokens == "words" else check_characters
            self._keep("vocabulary", check(self.vocabulary))


def _texts(text: str | Sequence[str]) -> str | tuple[str, ...]:
    """`text` as one string or as several."""
    if isinstance(text, str):
        return str(text)
    if not isinstance(text, Sequence) or not text:
        raise TypeError(f"text must be a string, or one or more of them, got {shown(text)}")
    return tuple(as_text("text", one) for one in text)


@dataclass(frozen=True, kw_only=True)
class SequenceSettings(Settings):
    """Of a run that trains a `SequenceClassifier` or `SequenceRegressor`; see also `Settings`.

    Parameters
    ----------
    bidirectional : bool
        Whether the sequences are read from their end to their beginning as well.
    class_weight : "balanced", dict, or as many numbers as there are classes; optional
        Of a classifier or tagger: what each class weighs in the loss, see `nblstm.class_weights`. A dict may name
        classes by their labels.
    target_scale : float
        Of a regressor alone: what 1 of the targets is in the data's own unit, in which the mean absolute error is
        said. For targets (celsius - mean) / std this is std.

    Raises
    ------
    TypeError, ValueError
        A field of another kind or out of its range, which is named.

    Examples
    --------
    >>> from nblstm.jobs import SequenceSettings
    >>> SequenceSettings(bidirectional=True, class_weight={"rain": 3.0, "sun": 1.0}).bidirectional
    True
    """

    LENGTH = ("epochs", 40)
    COMMON: ClassVar[tuple[str, ...]] = ("class_weight", "target_scale")

    hidden_size: int = 64
    num_layers: int = 1
    bidirectional: bool = False
    lr: float = 1e-2
    class_weight: Any = None
    target_scale: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._keep("bidirectional", as_flag("bidirectional", self.bidirectional))
        if self.class_weight is not None:
            self._keep("class_weight", as_class_weight(self.class_weight))
        self._keep("target_scale", as_number("target_scale", self.target_scale, positive=True))


@dataclass(frozen=True, kw_only=True)
class TaggingSettings(SequenceSettings):
    """Of a run that trains a `SequenceTagger`; see also `SequenceSettings`.

    Parameters
    ----------
    embedding_size : int
        Numbers that stand for a token, where the sequences are of tokens.
    ignore_index : int
        The target of steps that do not count, where targets are integers.

    Raises
    ------
    TypeError, ValueError
        A field of another kind or out of its range, which is named.

    Examples
    --------
    >>> from nblstm.jobs import TaggingSettings
    >>> TaggingSettings(epochs=3).ignore_index
    -100
    """

    LENGTH = ("epochs", 10)
    COMMON = (*SequenceSettings.COMMON, "ignore_index")

    bidirectional: bool = True
    embedding_size: int = 64
    ignore_index: int = -100

    def __post_init__(self) -> None:
        super().__post_init__()
        self._keep("embedding_size", as_size("embedding_size", self.embedding_size))
        self._keep("ignore_index", as_integer("ignore_index", self.ignore_index, least=-(2**63)))


@dataclass(frozen=True, kw_only=True)
class TaggedTextSettings(TaggingSettings):
    """Of a run that trains a `SequenceTagger` on sentences in a file; see also `TaggingSettings`.

    Parameters
    ----------
    file : str
        A token and its tag on each line, a blank line between sentences.
    validation_file : str, optional
        Another such file to validate on; by default it is the last tenth of the sentences in `file`.
    encoding : str
        Of the files.
    vocabulary_size : int
        Tokens that the model knows at most; those that occur once are not among them.

    Raises
    ------
    TypeError, ValueError
        A field of another kind or out of its range, which is named.

    Examples
    --------
    >>> from nblstm.jobs import TaggedTextSettings
    >>> TaggedTextSettings(file="tagged.txt").vocabulary_size
    10000
    """

    LOCATION = ("file", "validation_file", "encoding")

    file: str
    validation_file: str | None = None
    encoding: str = "utf-8"
    vocabulary_size: int = VOCABULARY_SIZE

    def __post_init__(self) -> None:
        super().__post_init__()
        self._keep("file", as_text("file", self.file))
        if self.validation_file is not None:
            self._keep("validation_file", as_text("validation_file", self.validation_file))
        self._keep("encoding", as_encoding(self.encoding))
        self._keep("vocabulary_size", as_size("vocabulary_size", self.vocabulary_size, least=2))


@dataclass(frozen=True, kw_only=True)
class ImageSettings(SequenceSettings):
    """Of a run that trains a `SequenceClassifier` on images of digits, row by row; see also `SequenceSettings`.

    Parameters
    ----------
    images : {"digits", "mnist"}
        Those that come with scikit-learn, or the 70,000 of MNIST.
    folder : str, optional
        Where the files of MNIST are; fetched by default.

    Raises
    ------
    TypeError, ValueError
        A field of another kind or out of its range, which is named; a folder for the digits, which need none.

    Examples
    --------
    >>> from nblstm.jobs import ImageSettings
    >>> ImageSettings(images="digits", cell="gru").cell
    'gru'
    """

    LOCATION = ("folder",)
    COMMON = (*SequenceSettings.COMMON, "images", "seed")  # which also says what images are held out

    images: str = "digits"
    folder: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self._keep("images", as_choice("images", self.images, IMAGES))
        if self.folder is not None:
            self._keep("folder", as_text("folder", self.folder))
        if self.folder is not None and self.images != "mnist":
            raise ValueError(f"folder must be left out but for mnist, which can be read from one, got {self.folder!r}")

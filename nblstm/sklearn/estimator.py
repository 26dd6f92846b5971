"""What the two estimators share: parameters, training, answers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.model_selection import train_test_split
from sklearn.utils import Tags, check_random_state
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from nblstm.arguments import as_flag, as_float, as_number, as_size, as_weights
from nblstm.cells import Cell
from nblstm.models import SequenceModel
from nblstm.optim.optimizers import Adam
from nblstm.optim.schedules import warmup_cosine
from nblstm.sklearn.inputs import Series, prepared, read, scaler_of
from nblstm.training import BatchTrainer, predict

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

CLIP = 1.0
"""The largest norm of a gradient: larger ones come where a recurrent net begins to learn something new."""
FINAL = 0.05
"""What is left of the learning rate at the end of `fit`."""
LONGEST = 32
"""Steps of the net, at most, where `patch_length` is "auto"."""
OF_THE_NET = ("cell", "hidden_size", "num_layers", "bidirectional", "dropout")
OF_WHAT_IT_READS = ("patch_length", "standardize")


class SeriesEstimator(BaseEstimator, ABC):
    """A recurrent net behind scikit-learn's interface; a subclass says what y is."""

    _stratified = False

    def __init__(
        self, *, cell: Cell | str = "lstm", hidden_size: int = 64, num_layers: int = 1, bidirectional: bool = True,
        dropout: float = 0.0, patch_length: int | str = "auto", standardize: bool = True, alpha: float = 0.0,
        batch_size: int = 32, learning_rate_init: float = 0.005, max_iter: int = 200, early_stopping: bool = False,
        validation_fraction: float = 0.1, n_iter_no_change: int = 10, tol: float = 1e-4, warm_start: bool = False,
        random_state: int | np.random.RandomState | None = None, verbose: bool = False,
    ) -> None:  # fmt: skip
        self.cell = cell
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bidirectional = bidirectional
        self.dropout = dropout
        self.patch_length = patch_length
        self.standardize = standardize
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate_init = learning_rate_init
        self.max_iter = max_iter
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose

    @abstractmethod
    def _checked_targets(self, y: ArrayLike) -> np.ndarray:
        """Targets as an array of the right form, none of them NaN or infinite."""

    @abstractmethod
    def _begin_targets(self, y: np.ndarray, weights: np.ndarray | None) -> None:
        """Take in what the first targets say of the form of all: classes, scale."""

    @abstractmethod
    def _targets(self, y: np.ndarray) -> np.ndarray:
        """What the net learns."""

    @abstractmethod
    def _network(self, width: int, dtype: np.dtype, settings: dict[str, Any]) -> SequenceModel:
        """The net for series of this width."""

    def _weights(self, y: np.ndarray, weights: np.ndarray | None) -> np.ndarray | None:
        """What each series weighs in the loss."""
        return weights

    def fit(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Learn from series and their targets, from the start, or with `warm_start` from where the last fit ended.

        Parameters
        ----------
        X : array (n, time) or (n, time, features), or list of n arrays (time_i, features)
        y : array (n,)
            Or, of a regressor, (n, outputs).
        sample_weight : array of numbers, shape (n,), optional
            What each series weighs in the loss, 0 or more; one of weight 0 is as if it were not there.

        Returns
        -------
        self

        Raises
        ------
        TypeError, ValueError
            X, y, weights or a parameter of the wrong form; NaN or an infinity among them.
        FloatingPointError
            The loss is no longer finite: with a `learning_rate_init` far too large, say.
        """
        self._check_parameters()
        fresh = not (self.warm_start and hasattr(self, "model_"))
        with self._as_before_if_refused():
            series, targets, weights = self._read(X, y, sample_weight, reset=fresh)
            random = check_random_state(self.random_state)
            if fresh:
                self._begin_targets(targets, weights)
            held_out = None
            if self.early_stopping:
                rest, chosen = train_test_split(
                    np.arange(len(targets)), test_size=self.validation_fraction, random_state=random,
                    stratify=targets if self._stratified else None,
                )  # fmt: skip
                if len(chosen) < 2:
                    raise ValueError(
                        f"validation_fraction must hold out two series or more, got {self.validation_fraction} of "
                        f"{len(targets)}"
                    )
                held_out = series.of(chosen), targets[chosen], None if weights is None else weights[chosen]
                series, targets, weights = series.of(rest), targets[rest], None if weights is None else weights[rest]
            if fresh:
                self._begin(series, weights, random)
            learned, each = self._targets(targets), self._weights(targets, weights)
        self._optimizer = self._new_optimizer()
        self._train(self._prepared(series), learned, each, int(random.randint(2**31)), held_out)
        return self

    def _partial_fit(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None, classes: Any = None) -> Self:
        """One pass over the series, each of which is read."""
        self._check_parameters()
        if self.early_stopping:
            raise ValueError("early_stopping must be False for partial_fit, which has no end, got True")
        fresh = not hasattr(self, "model_")
        with self._as_before_if_refused():
            series, found, weights = self._read(X, y, sample_weight, reset=fresh)
            if fresh:
                self._begin_targets(found if classes is None else classes, weights)
                self._begin(series, weights, check_random_state(self.random_state))
                self._optimizer = self._new_optimizer()
            targets, weights = self._targets(found), self._weights(found, weights)
        series = self._prepared(series)
        parts = np.array_split(self._random.permutation(len(found)), -(-len(found) // self.batch_size))
        losses = []
        for part in parts:
            chosen = series.of(part)
            trainer = BatchTrainer(
                self.model_, self._optimizer, chosen.x, targets[part], len(part), lengths=chosen.lengths,
                sample_weight=None if weights is None else weights[part], clip=CLIP,
            )  # fmt: skip
            losses.append(trainer.step(self.learning_rate_init))
        self._note(float(np.mean(losses)))
        return self

    @contextmanager
    def _as_before_if_refused(self) -> Iterator[None]:
        """What was fitted before stays as it was where what comes is refused."""
        before = dict(vars(self))
        try:
            yield
        except (TypeError, ValueError):
            self.__dict__.clear()
            self.__dict__.update(before)
            raise

    def _check_parameters(self) -> None:
        """Those that nothing below checks, or checks under another name; and those that cannot change any more."""
        for name in ("batch_size", "max_iter", "n_iter_no_change"):
            as_size(name, getattr(self, name))
        for name in ("standardize", "early_stopping", "warm_start"):
            as_flag(name, getattr(self, name))
        if not isinstance(self.patch_length, str):
            as_size("patch_length", self.patch_length)
        elif self.patch_length != "auto":
            raise ValueError(f"patch_length must be an integer or 'auto', got {self.patch_length!r}")
        as_number("learning_rate_init", self.learning_rate_init, positive=True)
        as_number("alpha", self.alpha)
        as_number("tol", self.tol)
        if not 0 < as_float("validation_fraction", self.validation_fraction) < 1:
            raise ValueError(f"validation_fraction must be between 0 and 1, got {self.validation_fraction!r}")

    def _read(
        self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None, reset: bool
    ) -> tuple[Series, np.ndarray, np.ndarray | None]:
        """Series, targets and weights, checked, without those that weigh nothing."""
        series = read(self, X, reset=reset)
        if y is None:
            raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None")
        targets = self._checked_targets(y)
        check_consistent_length(series.x[0], targets)
        weights = None
        if sample_weight is not None:
            weights = as_weights("sample_weight", sample_weight, (len(targets),))
            some = np.flatnonzero(weights)
            series, targets, weights = series.of(some), targets[some], weights[some]
        if not reset:
            changed = [name for name, value in self._made_with.items() if getattr(self, name) != value]
            if changed:
                raise ValueError(
                    f"{changed[0]} must stay {self._made_with[changed[0]]!r} while a net learns on, got "
                    f"{getattr(self, changed[0])!r}"
                )
        return series, targets, weights

    def _begin(self, series: Series, weights: np.ndarray | None, random: np.random.RandomState) -> None:
        """A net that has learned nothing."""
        self._tabular = series.tabular
        self._scaler = scaler_of(series, weights) if self.standardize else None
        steps, _, features = series.x.shape
        self.patch_length_ = -(-steps // LONGEST) if isinstance(self.patch_length, str) else int(self.patch_length)
        self._made_with = {name: getattr(self, name) for name in OF_THE_NET + OF_WHAT_IT_READS}
        settings = {name: self._made_with[name] for name in OF_THE_NET} | {"seed": int(random.randint(2**31))}
        self.model_ = self._network(self.patch_length_ * features, series.x.dtype, settings)
        self._random = random  # from which partial_fit draws on
        self.loss_curve_: list[float] = []
        self.n_iter_ = 0

    def _new_optimizer(self) -> Adam:
        return Adam(self.model_.layers, lr=self.learning_rate_init, weight_decay=self.alpha / self.batch_size)

    def _prepared(self, series: Series) -> Series:
        return prepared(series, self._scaler, self.patch_length_, self.model_.dtype)

    def _train(
        self, prepared: Series, targets: np.ndarray, weights: np.ndarray | None, seed: int,
        held_out: tuple[Series, np.ndarray, np.ndarray | None] | None,
    ) -> None:  # fmt: skip
        """All passes of `fit`, over batches of nearly `batch_size` that leave out few or none."""
        from tqdm import tqdm

        batches = -(-len(targets) // self.batch_size)
        trainer = BatchTrainer(
            self.model_, self._optimizer, prepared.x, targets, len(targets) // batches, lengths=prepared.lengths,
            sample_weight=weights, clip=CLIP, seed=seed,
        )  # fmt: skip
        rate = warmup_cosine(self.learning_rate_init, 0, self.max_iter * batches, FINAL * self.learning_rate_init)
        patience = Patience(self.tol, self.n_iter_no_change)
        scored: list[float] = []
        if held_out is not None:
            held_out = self._prepared(held_out[0]), *held_out[1:]
        passes = tqdm(range(self.max_iter), desc="fit", unit=" passes", disable=not self.verbose)
        for _ in passes:
            self._note(float(np.mean([trainer.step(rate(trainer.steps)) for _ in range(batches)])))
            passes.set_postfix_str(f"loss {self.loss_curve_[-1]:.4g}", refresh=False)
            if held_out is not None:
                scored.append(self._score(*held_out))
                if patience.is_over(scored[-1], self.model_):
                    break
        passes.close()
        self.validation_scores_ = self.best_validation_score_ = None
        if held_out is not None:
            self.model_.load_state_dict(patience.best)
            self.validation_scores_, self.best_validation_score_ = scored, patience.score

    @abstractmethod
    def _score(self, prepared: Series, y: np.ndarray, weights: np.ndarray | None) -> float:
        """What `score` says."""

    def _note(self, loss: float) -> None:
        self.loss_curve_.append(loss)
        self.n_iter_ += 1

    def _answers(self, X: Any) -> np.ndarray:
        """What the net says, (n, outputs)."""
        check_is_fitted(self, "model_")
        return self._answers_of(self._prepared(read(self, X, reset=False)))

    def _answers_of(self, prepared: Series) -> np.ndarray:
        return predict(self.model_, prepared.x, prepared.lengths)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags


class Patience:
    """The best weights so far, and whether it is long enough since then to stop."""

    def __init__(self, tol: float, n_iter_no_change: int) -> None:
        self.tol, self.least = tol, n_iter_no_change
        self.score, self.waited = -np.inf, 0
        self.best: dict[str, np.ndarray] = {}

    def is_over(self, score: float, model: SequenceModel) -> bool:
        """Take in a pass's score; whether there were enough passes without one that is better by more than `tol`."""
        self.waited = 0 if score > self.score + self.tol else self.waited + 1
        if score > self.score:
            self.score, self.best = score, model.state_dict()
        return self.waited >= self.least

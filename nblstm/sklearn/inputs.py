"""The three forms that X may have, as the one that networks read, and what the net then reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_array, validate_data

from nblstm.arguments import shown
from nblstm.datasets.padding import pad_sequences

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

FLOATS = (np.float64, np.float32)
FORMS = "(n, time), (n, time, features) or a list of (time_i, features)"


class Series(NamedTuple):
    """N series as networks read them: x (T, N, features), and lengths (N,) where these differ."""

    x: np.ndarray
    lengths: np.ndarray | None
    tabular: bool
    """Whether they came as the rows of a table, of one feature."""

    def of(self, chosen: np.ndarray) -> Series:
        """Some of them."""
        return self._replace(x=self.x[:, chosen], lengths=None if self.lengths is None else self.lengths[chosen])

    def within(self) -> np.ndarray:
        """Where (T, N) the steps of the series are, and not what fills up the shorter ones."""
        steps, count, _ = self.x.shape
        if self.lengths is None:
            return np.ones((steps, count), bool)
        return np.arange(steps)[:, None] < self.lengths


def read(estimator: BaseEstimator, X: Any, *, reset: bool) -> Series:
    """X in any of its forms, checked as scikit-learn checks, and, unless `reset`, of the form that it had in `fit`."""
    if isinstance(X, np.ndarray) and X.dtype == object and X.ndim == 1:
        X = list(X)
    if isinstance(X, list | tuple):
        axes = {_axes(one) for one in X}
        if not X:
            raise ValueError(f"X must be {FORMS}, of one series or more, got none: {X}")
        if 2 in axes:
            return _checked(estimator, _of_list(X), X, reset)
        if axes == {1} and len({len(one) for one in X}) > 1:
            raise ValueError(
                f"X must be {FORMS}, got rows of unequal length; for series of one feature make a list of "
                "(time_i, 1): [np.reshape(x, (-1, 1)) for x in X]"
            )
    axes_of_all = _axes(X)
    if axes_of_all > 3:
        raise ValueError(f"X must be {FORMS}, got an array with {axes_of_all} axes")
    if axes_of_all == 3:
        array = check_array(X, dtype=FLOATS, ensure_2d=False, allow_nd=True, input_name="X", estimator=estimator)
        if 0 in array.shape[1:]:
            raise ValueError(f"X must have at least one time step and one feature, got shape {array.shape}")
        return _checked(estimator, Series(array.transpose(1, 0, 2), None, tabular=False), X, reset)
    if not reset and not estimator._tabular:
        raise ValueError(f"X must be {_form_of_fit(estimator)}, as it was in fit, got {_described(X)}")
    table = validate_data(estimator, X, dtype=FLOATS, reset=reset)
    return Series(table.T[..., None], None, tabular=True)


def _of_list(X: Sequence[ArrayLike]) -> Series:
    """Arrays (time_i, features), filled up with zeros."""
    arrays = []
    for n, one in enumerate(X):
        if _axes(one) != 2 or 0 in np.shape(one):
            raise ValueError(
                f"X[{n}] must be (time, features), with at least one of both, as it is in a list, got {_described(one)}"
            )
        arrays.append(check_array(one, dtype=FLOATS, input_name=f"X[{n}]"))
    widths = [array.shape[1] for array in arrays]
    odd = next((n for n, width in enumerate(widths) if width != widths[0]), None)
    if odd is not None:
        raise ValueError(f"X[{odd}] must have {widths[0]} features, as X[0] has, got {widths[odd]}")
    x, lengths = pad_sequences(arrays, np.result_type(*{array.dtype for array in arrays}))
    return Series(x, None if lengths.min() == lengths.max() else lengths, tabular=False)


def _checked(estimator: BaseEstimator, series: Series, X: Any, reset: bool) -> Series:
    """What `validate_data` does for tables: the number of features is kept, or is the one that was kept."""
    found = series.x.shape[2]
    if reset:
        estimator.n_features_in_ = found
        if hasattr(estimator, "feature_names_in_"):  # of a table, in a fit before
            del estimator.feature_names_in_
    elif estimator._tabular or found != estimator.n_features_in_:
        raise ValueError(f"X must be {_form_of_fit(estimator)}, as it was in fit, got {_described(X)}")
    return series


def _form_of_fit(estimator: BaseEstimator) -> str:
    features = estimator.n_features_in_
    return f"(n, {features})" if estimator._tabular else f"(n, time, {features}) or a list of (time_i, {features})"


def _described(X: Any) -> str:
    """Its shape, or what else can be said of it."""
    if hasattr(X, "shape"):
        return f"shape {tuple(X.shape)}"
    if isinstance(X, list | tuple) and hasattr(X[0], "shape"):
        return f"a list of {len(X)}, the first of shape {X[0].shape}"
    return shown(X)


def _axes(X: Any) -> int:
    """How many an array has, or what stands for one; 0 where it is none."""
    try:
        return len(X.shape) if hasattr(X, "shape") else np.asarray(X).ndim
    except ValueError:  # lists of unequal length
        return 0


def scaler_of(series: Series, weights: np.ndarray | None) -> StandardScaler:
    """Mean and deviation of each feature over all steps of all series, each step weighing what its series does."""
    within = series.within()
    each = None if weights is None else np.broadcast_to(weights, within.shape)[within]
    return StandardScaler().fit(series.x[within], sample_weight=each)


def prepared(series: Series, scaler: StandardScaler | None, patch_length: int, dtype: np.dtype) -> Series:
    """What the net reads: in units of the scaler, if there is one, `patch_length` steps as one; zeros past the ends."""
    (steps, count, features), within = series.x.shape, series.within()
    pieces = -(-steps // patch_length)
    x = np.zeros((pieces * patch_length, count, features), dtype)
    x[:steps][within] = series.x[within] if scaler is None else scaler.transform(series.x[within])
    pieces_of_steps = x.reshape(pieces, patch_length, count, features).transpose(0, 2, 1, 3)
    lengths = None if series.lengths is None else -(-series.lengths // patch_length)
    return Series(pieces_of_steps.reshape(pieces, count, -1), lengths, series.tabular)

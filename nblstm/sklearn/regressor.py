"""`LSTMRegressor`: numbers that follow from a series."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score
from sklearn.preprocessing import StandardScaler
from sklearn.utils import Tags, check_array

from nblstm.models import SequenceRegressor
from nblstm.sklearn.estimator import SeriesEstimator
from nblstm.sklearn.inputs import Series

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


class LSTMRegressor(RegressorMixin, SeriesEstimator):
    r"""Numbers that follow from a series: a recurrent net that reads it and answers at its end.

    .. math:: h_n = \mathrm{LSTM}(x_1 \dots x_T), \qquad y = \mu + \sigma (W h_n + b)

    This is `nblstm.SequenceRegressor`, trained as `LSTMClassifier` is, on the mean squared error of targets that are
    brought to mean 0 and deviation 1: \mu and \sigma are those of the targets that `fit` sees.

    Parameters
    ----------
    cell, hidden_size, num_layers, bidirectional, dropout, patch_length, standardize, alpha, batch_size, \
    learning_rate_init, max_iter, early_stopping, validation_fraction, n_iter_no_change, tol, warm_start, \
    random_state, verbose
        As for `LSTMClassifier`, and so is X. y are numbers (n,), or (n, outputs).

    Attributes
    ----------
    model_ : SequenceRegressor
    n_features_in_, feature_names_in_, patch_length_, n_iter_, loss_curve_, validation_scores_, best_validation_score_
        As of `LSTMClassifier`; the loss is that of the standardised targets, the score R2.

    Examples
    --------
    >>> import numpy as np
    >>> from nblstm.sklearn import LSTMRegressor
    >>> X = np.random.default_rng(0).standard_normal((100, 8))  # 100 series of 8 steps
    >>> y = 50 + 3 * X.sum(axis=1)
    >>> net = LSTMRegressor(hidden_size=8, max_iter=50, random_state=0).fit(X[:80], y[:80])
    >>> net.score(X[80:], y[80:]) > 0.9
    True
    """

    def partial_fit(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Learn on, in one pass over these series; the learning rate stays at `learning_rate_init`.

        The first call says what mean and deviation are, of the features as of the targets.

        Parameters
        ----------
        X, y, sample_weight
            As in `fit`.

        Returns
        -------
        self

        Raises
        ------
        TypeError, ValueError
            What `fit` refuses; `early_stopping`.
        """
        return self._partial_fit(X, y, sample_weight)

    def predict(self, X: Any) -> np.ndarray:
        """The numbers of each series, in the form that y had: (n,) or (n, outputs)."""
        return self._in_units_of_y(self._answers(X))

    def _in_units_of_y(self, answers: np.ndarray) -> np.ndarray:
        found = self._y_scaler.inverse_transform(answers.astype(np.float64))
        return found[:, 0] if self._flat else found

    def _checked_targets(self, y: ArrayLike) -> np.ndarray:
        found = check_array(y, ensure_2d=False, dtype="float64", input_name="y")
        if found.ndim > 2:
            raise ValueError(f"y must be (n,) or (n, outputs), got shape {found.shape}")
        return found

    def _begin_targets(self, y: np.ndarray, weights: np.ndarray | None) -> None:
        self._flat = y.ndim == 1
        self._y_scaler = StandardScaler().fit(y.reshape(len(y), -1), sample_weight=weights)

    def _targets(self, y: np.ndarray) -> np.ndarray:
        expected = 1 if self._flat else self._y_scaler.n_features_in_
        if (y.ndim == 1) != self._flat or (y.ndim == 2 and y.shape[1] != expected):
            raise ValueError(
                f"y must be (n,{'' if self._flat else f' {expected}'}), as in the first fit, got shape {y.shape}"
            )
        scaled = self._y_scaler.transform(y.reshape(len(y), -1))
        return scaled.astype(self.model_.dtype)

    def _network(self, width: int, dtype: np.dtype, settings: dict[str, Any]) -> SequenceRegressor:
        return SequenceRegressor(width, output_size=self._y_scaler.n_features_in_, dtype=str(dtype), **settings)

    def _score(self, prepared: Series, y: np.ndarray, weights: np.ndarray | None) -> float:
        return float(r2_score(y, self._in_units_of_y(self._answers_of(prepared)), sample_weight=weights))

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

"""`LSTMClassifier`: which class a series belongs to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.metrics import accuracy_score
from sklearn.utils import assert_all_finite
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d

from nblstm.arguments import shown
from nblstm.cells import Cell
from nblstm.losses.softmax import softmax
from nblstm.models import SequenceClassifier
from nblstm.sklearn.estimator import SeriesEstimator
from nblstm.sklearn.inputs import Series

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike


class LSTMClassifier(ClassifierMixin, SeriesEstimator):
    r"""Which of K classes a series belongs to: a recurrent net that reads it and answers at its end.

    .. math::
        h_n = \mathrm{LSTM}(x_1 \dots x_T), \qquad
        p(k \mid x_1 \dots x_T) = \mathrm{softmax}(W h_n + b)_k

    This is `nblstm.SequenceClassifier`, trained by Adam on the mean cross-entropy of shuffled batches, the norm of a
    gradient limited to 1, while the learning rate falls along half a cosine to a twentieth.

    X is an array (n, time) of series of one feature, an array (n, time, features), or, where lengths differ, a list of
    n arrays (time_i, features). What `predict` takes has the form of what `fit` took: a table as wide, or other series
    of any length with as many features. float32 is computed in float32, all else in float64. y are labels of any type.

    Parameters
    ----------
    cell : str or Cell
        The name of one in ``nblstm.cells.CELLS``, "lstm", "gru" or "rnn_tanh", say, or one of your own.
    hidden_size, num_layers : int
        Units per layer and direction, recurrent layers; in place of `hidden_layer_sizes` of `MLPClassifier`, for all
        layers are of one size.
    bidirectional : bool
        Whether a series is read from both ends.
    dropout : float
        Between the recurrent layers while the net learns; with one layer there is nothing between.
    patch_length : int or "auto"
        How many steps the net reads at once, as one of its own, of ``patch_length * features`` numbers; zeros fill up
        the last. "auto" takes as few as let the longest series of `fit` have 32 such patches, so one step of a series
        no longer than that.
    standardize : bool
        Whether each feature is brought to mean 0 and deviation 1 over all steps that `fit` sees.
    alpha : float
        ``alpha / batch_size * w`` is added to the gradient of each parameter w, as in `MLPClassifier`, but to that of
        biases, too.
    batch_size : int
        Series in a training step, as in `MLPClassifier`; `fit` makes batches of one size, at most this one. A pass
        leaves out those that are left over, fewer than it has batches and others each time.
    learning_rate_init : float
        The learning rate at the beginning of `fit`, and that of `partial_fit` throughout.
    max_iter : int
        Passes over the training part in `fit`, as in `MLPClassifier`, and never fewer unless `early_stopping` is on:
        the training loss of a recurrent net stands still for a while before it falls.
    early_stopping, validation_fraction, n_iter_no_change, tol
        As in `MLPClassifier`: a part of the data is held out, for a classifier with the same shares of classes, and
        training ends when `n_iter_no_change` passes have not bettered its score by more than `tol`. The weights are
        then those of the best pass.
    class_weight : "balanced", dict of label to float, or None
        What each class weighs in the loss, above 0; scikit-learn's.
    warm_start : bool
        Whether `fit` goes on from where the last one ended, as in `MLPClassifier`, the learning rate starting anew.
    random_state : int, RandomState or None
        Of initial weights, dropout, the order of the series and what is held out. The same int gives the same answers
        with any number of threads.
    verbose : bool
        A progress bar on the standard error stream.

    Attributes
    ----------
    classes_ : numpy.ndarray, shape (K,)
    n_features_in_ : int
        Features of a step; of a table its columns.
    feature_names_in_ : numpy.ndarray
        Of a table that is a data frame.
    model_ : SequenceClassifier
        The net. It reads patches of standardised series, (time, n, features).
    patch_length_ : int
    n_iter_ : int
        Passes that the net has learned in.
    loss_curve_ : list of float
        The mean loss of each.
    validation_scores_, best_validation_score_
        Of `early_stopping`: the score after each pass of the last `fit`, and the best; None without it.

    Examples
    --------
    >>> import numpy as np
    >>> from nblstm.sklearn import LSTMClassifier
    >>> X = np.random.default_rng(0).standard_normal((100, 8, 2))  # 100 series of 8 steps, with two features
    >>> y = np.where(X[:, :, 0].sum(axis=1) > 0, "up", "down")
    >>> net = LSTMClassifier(hidden_size=8, max_iter=30, random_state=0).fit(X[:80], y[:80])
    >>> net.predict(X[:3]), net.score(X[80:], y[80:]) > 0.8
    (array(['down', 'down', 'up'], dtype='<U4'), True)
    """

    def __init__(
        self, *, cell: Cell | str = "lstm", hidden_size: int = 64, num_layers: int = 1, bidirectional: bool = True,
        dropout: float = 0.0, patch_length: int | str = "auto", standardize: bool = True, alpha: float = 0.0,
        batch_size: int = 32, learning_rate_init: float = 0.005, max_iter: int = 200, early_stopping: bool = False,
        validation_fraction: float = 0.1, n_iter_no_change: int = 10, tol: float = 1e-4,
        class_weight: str | Mapping[Any, float] | None = None, warm_start: bool = False,
        random_state: int | np.random.RandomState | None = None, verbose: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(
            cell=cell, hidden_size=hidden_size, num_layers=num_layers, bidirectional=bidirectional, dropout=dropout,
            patch_length=patch_length, standardize=standardize, alpha=alpha, batch_size=batch_size,
            learning_rate_init=learning_rate_init, max_iter=max_iter, early_stopping=early_stopping,
            validation_fraction=validation_fraction, n_iter_no_change=n_iter_no_change, tol=tol,
            warm_start=warm_start, random_state=random_state, verbose=verbose,
        )  # fmt: skip
        self.class_weight = class_weight

    _stratified = True

    def partial_fit(
        self, X: Any, y: ArrayLike, classes: ArrayLike | None = None, sample_weight: ArrayLike | None = None
    ) -> Self:
        """Learn on, in one pass over these series; the learning rate stays at `learning_rate_init`.

        Parameters
        ----------
        X, y, sample_weight
            As in `fit`.
        classes : array of labels, optional
            All that there will be; needed in the first call, and the same ones in any other.

        Returns
        -------
        self

        Raises
        ------
        TypeError, ValueError
            What `fit` refuses; labels that are not among `classes`; `early_stopping`; `class_weight` "balanced", which
            no part of the data can tell.
        """
        if isinstance(self.class_weight, str):
            raise ValueError(
                f"class_weight must be a dict or None for partial_fit, got {self.class_weight!r}: compute it from all "
                "labels with sklearn.utils.class_weight.compute_class_weight"
            )
        if not hasattr(self, "classes_"):
            if classes is None:
                raise ValueError("classes must be given in the first call of partial_fit, got None")
            classes = np.unique(column_or_1d(classes))
        elif classes is not None and not np.array_equal(self.classes_, np.unique(column_or_1d(classes))):
            raise ValueError(f"classes must be those of the first call, {self.classes_}, got {shown(classes)}")
        return self._partial_fit(X, y, sample_weight, classes)

    def predict(self, X: Any) -> np.ndarray:
        """The most probable class of each series, (n,)."""
        places = self._answers(X).argmax(axis=1)
        return self.classes_[places]

    def predict_proba(self, X: Any) -> np.ndarray:
        """The probability of each class, (n, classes), in the order of `classes_`."""
        return softmax(self._answers(X))

    def decision_function(self, X: Any) -> np.ndarray:
        """The logits, (n, classes); of two classes the log odds of the second, (n,)."""
        logits = self._answers(X)
        return logits[:, 1] - logits[:, 0] if logits.shape[1] == 2 else logits

    def _checked_targets(self, y: ArrayLike) -> np.ndarray:
        found = column_or_1d(y, warn=True)
        assert_all_finite(found, input_name="y")
        return found

    def _begin_targets(self, y: np.ndarray, weights: np.ndarray | None) -> None:
        try:
            check_classification_targets(y)
            self.classes_ = np.unique(y)
        except TypeError:
            kinds = ", ".join(sorted({type(label).__name__ for label in y.tolist()}))
            raise TypeError(f"y must have labels of one type, which can be sorted, got {kinds}") from None
        if len(self.classes_) < 2:
            raise ValueError(f"y must have two classes or more, got one class: {self.classes_.tolist()[0]!r}")

    def _targets(self, y: np.ndarray) -> np.ndarray:
        places = {label: place for place, label in enumerate(self.classes_.tolist())}
        labels = y.tolist()  # not an array of the classes' type, for which a longer text would be cut
        unseen = next((label for label in labels if label not in places), None)
        if unseen is not None:
            raise ValueError(f"y must have labels that are among classes_, those of the first fit, got {unseen!r}")
        return np.array([places[label] for label in labels])

    def _weights(self, y: np.ndarray, weights: np.ndarray | None) -> np.ndarray | None:
        if self.class_weight is None:
            return weights
        of_classes = compute_class_weight(self.class_weight, classes=self.classes_, y=y)
        if not (of_classes > 0).all():
            raise ValueError(f"class_weight must be above 0 for each class, got {shown(self.class_weight)}")
        found = of_classes[self._targets(y)]
        return found if weights is None else found * weights

    def _network(self, width: int, dtype: np.dtype, settings: dict[str, Any]) -> SequenceClassifier:
        return SequenceClassifier(width, num_classes=len(self.classes_), dtype=str(dtype), **settings)

    def _score(self, prepared: Series, y: np.ndarray, weights: np.ndarray | None) -> float:
        answers = self.classes_[self._answers_of(prepared).argmax(axis=1)]
        return float(accuracy_score(y, answers, sample_weight=weights))

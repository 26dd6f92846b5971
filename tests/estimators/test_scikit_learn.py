"""The estimators hold scikit-learn's own checks, all of them, and work inside its tools."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs scikit-learn: the extra `sklearn`")

from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import GridSearchCV, HalvingRandomSearchCV, cross_val_score
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.utils.estimator_checks import estimator_checks_generator

from nblstm.sklearn import LSTMClassifier, LSTMRegressor

TINY: dict[str, Any] = {"hidden_size": 4, "max_iter": 12, "learning_rate_init": 0.05, "random_state": 0}


SMALLER = (  # and no smaller: among the checks are some that a net must have learned for
    LSTMClassifier(hidden_size=8, max_iter=30, learning_rate_init=0.03),
    LSTMRegressor(hidden_size=8, max_iter=40, learning_rate_init=0.03),
)


def named(estimator: Any, check: Callable[[Any], None]) -> Any:
    """A check under its name and the arguments that it has been given."""
    given = [f"{name}={value}" for name, value in getattr(check, "keywords", {}).items()]
    return pytest.param(estimator, check, id="-".join([type(estimator).__name__, check.func.__name__, *given]))


# As parametrize_with_checks, which in scikit-learn 1.6 hands pytest an iterator, of which newer ones warn.
@pytest.mark.parametrize(
    ("estimator", "check"), [named(*pair) for smaller in SMALLER for pair in estimator_checks_generator(smaller)]
)
def test_scikit_learns_own_checks(estimator: Any, check: Callable[[Any], None]) -> None:
    check(estimator)


@pytest.fixture
def labels(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    X = rng.normal(size=(48, 5, 2))
    X[:, :, 0] += rng.choice([-1, 1], 48)[:, None]
    return X, np.where(X[:, :, 0].mean(axis=1) > 0, "up", "down")


def forms(X: np.ndarray) -> list[Any]:
    """A table, an array and a list of unequal lengths."""
    return [X[:, :, 0], X, [x[: 3 + n % 3] for n, x in enumerate(X)]]


@pytest.mark.parametrize("scaler", [StandardScaler, MinMaxScaler])
def test_pipelines_with_scalers(labels: tuple[np.ndarray, np.ndarray], scaler: Any) -> None:
    X, y = labels
    scored = cross_val_score(make_pipeline(scaler(), LSTMClassifier(**TINY)), X[:, :, 0], y, cv=2, error_score="raise")
    assert scored.min() > 0.7


@pytest.mark.parametrize("form", range(3))
def test_searches(labels: tuple[np.ndarray, np.ndarray], form: int) -> None:
    X, y = forms(labels[0])[form], labels[1]
    assert cross_val_score(LSTMClassifier(**TINY), X, y, cv=2, error_score="raise").min() > 0.6
    search = GridSearchCV(LSTMClassifier(**TINY), {"cell": ["lstm", "gru"]}, cv=2, error_score="raise").fit(X, y)
    assert search.best_params_["cell"] in ("lstm", "gru")
    halving = HalvingRandomSearchCV(
        LSTMClassifier(**TINY), {"learning_rate_init": [0.0001, 0.0002, 0.05]}, n_candidates=3, resource="max_iter",
        min_resources=4, max_resources=12, cv=2, random_state=0, error_score="raise",
    ).fit(X, y)  # fmt: skip
    assert halving.best_params_ == {"learning_rate_init": 0.05, "max_iter": 12}


@pytest.mark.parametrize("form", range(3))
def test_calibration(labels: tuple[np.ndarray, np.ndarray], form: int) -> None:
    X, y = forms(labels[0])[form], labels[1]
    calibrated = CalibratedClassifierCV(LSTMClassifier(**TINY), cv=2).fit(X, y)
    assert calibrated.score(X, y) > 0.7


def test_labels_of_several_outputs_by_scikit_learns_wrapper(labels: tuple[np.ndarray, np.ndarray]) -> None:
    X, y = labels
    both = np.stack([y, np.where(X[:, 0, 1] > 0, "high", "low")], axis=1)
    assert MultiOutputClassifier(LSTMClassifier(**TINY)).fit(X, both).predict(X).shape == (48, 2)


def test_a_pickle_learns_on_as_the_original(labels: tuple[np.ndarray, np.ndarray]) -> None:
    X, y = labels
    net = LSTMClassifier(**TINY, dropout=0.5, num_layers=2, warm_start=True).fit(X, y)
    copy = pickle.loads(pickle.dumps(net))
    for one in (net, copy):
        one.partial_fit(X, y)
    np.testing.assert_array_equal(copy.predict_proba(X), net.predict_proba(X))
    for one in (net, copy):
        one.fit(X, y)
    np.testing.assert_array_equal(copy.predict_proba(X), net.predict_proba(X))
    assert net.n_iter_ == len(net.loss_curve_) == 25


def test_a_clone_is_as_before_fit(labels: tuple[np.ndarray, np.ndarray]) -> None:
    net = LSTMClassifier(**TINY).fit(*labels)
    again = clone(net).fit(*labels)
    assert not hasattr(clone(net), "model_")
    np.testing.assert_array_equal(again.predict_proba(labels[0]), net.predict_proba(labels[0]))


def test_a_data_frame_keeps_the_names_of_its_columns(labels: tuple[np.ndarray, np.ndarray]) -> None:
    pandas = pytest.importorskip("pandas", reason="needs pandas")
    frame = pandas.DataFrame(labels[0][:, :, 0], columns=["a", "b", "c", "d", "e"])
    net = LSTMClassifier(**TINY).fit(frame, labels[1])
    assert net.feature_names_in_.tolist() == ["a", "b", "c", "d", "e"]
    with pytest.raises(ValueError, match="feature names should match"):
        net.predict(frame.iloc[:, ::-1])
    assert not hasattr(net.fit(*labels), "feature_names_in_")

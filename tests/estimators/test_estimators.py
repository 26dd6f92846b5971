"""`LSTMClassifier` and `LSTMRegressor`: what they read and learn, the same bits, and what they refuse."""

from __future__ import annotations

import sys
import warnings
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs scikit-learn: the extra `sklearn`")

from sklearn.utils.class_weight import compute_class_weight

from nblstm import thread_policy
from nblstm.cells import CELLS
from nblstm.models import SequenceClassifier
from nblstm.sklearn import LSTMClassifier, LSTMRegressor
from nblstm.training import predict

TINY: dict[str, Any] = {"hidden_size": 4, "max_iter": 2, "learning_rate_init": 0.05, "random_state": 0}


@pytest.fixture
def X(rng: np.random.Generator) -> np.ndarray:
    X = rng.normal(size=(30, 5, 2))
    X[:, :, 0] += rng.choice([-1, 1], 30)[:, None]
    return X


@pytest.fixture
def y(X: np.ndarray) -> np.ndarray:
    return np.where(X[:, :, 0].mean(axis=1) > 0, "up", "down")


def same(one: Any, other: Any, X: Any, X_other: Any = None) -> None:
    np.testing.assert_array_equal(one.predict_proba(X), other.predict_proba(X if X_other is None else X_other))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_net_is_that_of_nblstm(X: np.ndarray, y: np.ndarray, dtype: str) -> None:
    X = X.astype(dtype)
    net = LSTMClassifier(**TINY, cell="gru", num_layers=2, bidirectional=False).fit(X, y)
    assert isinstance(net.model_, SequenceClassifier)
    assert str(net.model_.dtype) == dtype
    assert repr(net.model_.recurrent).startswith("GRU(2, 4, num_layers=2")
    mean, deviation = X.reshape(-1, 2).mean(axis=0), X.reshape(-1, 2).std(axis=0)
    z = predict(net.model_, ((X - mean) / deviation).transpose(1, 0, 2).astype(dtype))
    assert net.predict_proba(X).dtype == dtype
    np.testing.assert_allclose(net.decision_function(X), z[:, 1] - z[:, 0], rtol=1e-3, atol=1e-5)
    np.testing.assert_array_equal(net.predict(X), net.classes_[net.predict_proba(X).argmax(axis=1)])


@pytest.mark.parametrize("cell", CELLS)
def test_every_cell(X: np.ndarray, y: np.ndarray, cell: str) -> None:
    net = LSTMClassifier(**TINY | {"max_iter": 12}, cell=cell).fit(X, y)
    assert net.loss_curve_[-1] < net.loss_curve_[0]
    own = LSTMClassifier(**TINY | {"max_iter": 12}, cell=CELLS[cell]).fit(X, y)
    same(own, net, X)


def test_forms_of_X_that_mean_the_same(X: np.ndarray, y: np.ndarray) -> None:
    net = LSTMClassifier(**TINY).fit(X, y)
    ragged = np.empty(len(X), object)
    ragged[:] = list(X)
    for form in (list(X), tuple(X), X.tolist(), ragged, np.asfortranarray(X)):
        same(LSTMClassifier(**TINY).fit(form, y), net, form, X)
    same(LSTMClassifier(**TINY).fit(X[:, :, 0], y), LSTMClassifier(**TINY).fit(X[:, :, :1], y), X[:, :, 0], X[:, :, :1])


@pytest.mark.parametrize("patch_length", [1, 2, "auto"])
def test_what_stands_past_the_ends_of_series_is_not_read(X: np.ndarray, y: np.ndarray, patch_length: int | str) -> None:
    """The answer to a series is that to the series alone, and mean and deviation are those of the steps there are."""
    series = [x[: 2 + n % 4] for n, x in enumerate(X)]
    net = LSTMClassifier(**TINY, patch_length=patch_length).fit(series, y)
    alone = np.concatenate([net.predict_proba([x]) for x in series])
    np.testing.assert_array_equal(net.predict_proba(series), alone)
    moved = LSTMClassifier(**TINY, patch_length=patch_length).fit([10 * x + 5 for x in series], y)
    np.testing.assert_allclose(moved.predict_proba([10 * x + 5 for x in series]), alone, rtol=1e-6)


def test_patches_are_steps_side_by_side(X: np.ndarray, y: np.ndarray) -> None:
    patched = LSTMClassifier(**TINY, patch_length=2, standardize=False).fit(X, y)
    assert patched.patch_length_ == 2
    by_hand = np.concatenate([X, np.zeros((30, 1, 2))], axis=1).reshape(30, 3, 4)
    same(patched, LSTMClassifier(**TINY, standardize=False).fit(by_hand, y), X, by_hand)
    assert LSTMClassifier(**TINY).fit(np.tile(X, (1, 13, 1)), y).patch_length_ == 3  # 65 steps, at most 32 patches
    assert LSTMClassifier(**TINY).fit(X, y).patch_length_ == 1


def test_the_same_bits_for_any_number_of_threads(X: np.ndarray, y: np.ndarray) -> None:
    def answers(serial_below: int) -> list[np.ndarray]:
        with thread_policy(serial_below=serial_below, team_above=0):
            net = LSTMClassifier(**TINY, num_layers=2, dropout=0.2).fit(X, y)
            numbers = LSTMRegressor(**TINY).fit(X, X[:, 0]).partial_fit(X, X[:, 0])
            return [net.predict_proba(X), numbers.predict(X)]

    for one, other in zip(answers(0), answers(10**12), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    "labels", [np.array([False, True]), np.array([-3, 7]), np.array([1.0, 2.0]), np.array(["no", "yes"], object)]
)
def test_labels_of_any_type(X: np.ndarray, y: np.ndarray, labels: np.ndarray) -> None:
    net = LSTMClassifier(**TINY | {"max_iter": 10}).fit(X, labels[(y == "up").astype(int)])
    assert net.classes_.dtype == net.predict(X).dtype == labels.dtype
    assert net.score(X, labels[(y == "up").astype(int)]) > 0.8


def test_numbers_of_several_outputs_and_scales(X: np.ndarray) -> None:
    targets = np.stack([1000 + X[:, :, 0].sum(axis=1), 0.001 * X[:, :, 0].sum(axis=1)], axis=1)
    net = LSTMRegressor(**TINY | {"max_iter": 100}).fit(X, targets)
    assert net.predict(X).shape == (30, 2)
    assert net.score(X, targets) > 0.8  # the mean over both
    assert LSTMRegressor(**TINY).fit(X, targets[:, 0]).predict(X).shape == (30,)
    assert LSTMRegressor(**TINY).fit(X, targets[:, :1]).predict(X).shape == (30, 1)


def test_weights_of_classes_are_weights_of_their_series(X: np.ndarray, y: np.ndarray) -> None:
    y = np.where(np.arange(30) < 6, "rare", y)
    classes = np.unique(y)
    by_class = compute_class_weight("balanced", classes=classes, y=y)
    each = by_class[np.searchsorted(classes, y)]
    plain = TINY | {"standardize": False}  # whose mean is that of all series, whatever their class
    balanced = LSTMClassifier(**plain, class_weight="balanced").fit(X, y)
    same(balanced, LSTMClassifier(**plain).fit(X, y, sample_weight=each), X)
    named = dict(zip(classes, by_class, strict=True))
    same(balanced, LSTMClassifier(**plain, class_weight=named).fit(X, y), X)
    assert (balanced.predict_proba(X) != LSTMClassifier(**plain).fit(X, y).predict_proba(X)).any()


@pytest.mark.parametrize("kind", [LSTMClassifier, LSTMRegressor])
def test_a_weight_of_zero_is_as_if_the_series_were_not_there(X: np.ndarray, y: np.ndarray, kind: Any) -> None:
    targets = y if kind is LSTMClassifier else X[:, 0, 0]
    weights = (np.arange(30) % 3 > 0).astype(float)
    weighted = kind(**TINY).fit(X, targets, sample_weight=weights)
    without = kind(**TINY).fit(X[weights > 0], targets[weights > 0])
    np.testing.assert_allclose(weighted._answers(X), without._answers(X), rtol=1e-9)


def test_early_stopping_keeps_the_best(X: np.ndarray, y: np.ndarray) -> None:
    net = LSTMClassifier(
        **TINY | {"max_iter": 60}, early_stopping=True, validation_fraction=0.3, n_iter_no_change=4
    ).fit(X, y)  # fmt: skip
    assert net.n_iter_ == len(net.loss_curve_) == len(net.validation_scores_) < 60
    assert net.best_validation_score_ == max(net.validation_scores_)
    best = int(np.argmax(net.validation_scores_))
    assert net.n_iter_ == best + 5
    numbers = LSTMRegressor(**TINY, early_stopping=True).fit(X, X[:, 0, 0])
    assert len(numbers.validation_scores_) == 2
    assert numbers.set_params(early_stopping=False).fit(X, X[:, 0, 0]).validation_scores_ is None


def test_warm_start_learns_on(X: np.ndarray, y: np.ndarray) -> None:
    net = LSTMClassifier(**TINY, warm_start=True).fit(X, y)
    model, first = net.model_, net.loss_curve_[0]
    net.set_params(max_iter=3).fit(X, y)
    assert net.model_ is model
    assert net.n_iter_ == len(net.loss_curve_) == 5
    assert net.loss_curve_[-1] < first
    with pytest.raises(ValueError, match="hidden_size must stay 4 while a net learns on, got 5"):
        net.set_params(hidden_size=5).fit(X, y)
    assert net.set_params(warm_start=False).fit(X, y).n_iter_ == 3


def test_partial_fit_reads_every_series_once(X: np.ndarray, y: np.ndarray) -> None:
    """31 steps of one series each; and with one batch the step is that of all."""
    net = LSTMClassifier(**TINY, batch_size=1).partial_fit(X, y, classes=["up", "down", "level"])
    assert net._optimizer.steps == 30
    assert net.classes_.tolist() == ["down", "level", "up"]
    assert net.n_iter_ == len(net.loss_curve_) == 1
    net = LSTMClassifier(**TINY, batch_size=8).partial_fit(X, y, classes=["up", "down"])
    assert net._optimizer.steps == 4
    for _ in range(15):
        net.partial_fit(X, y)
    assert net.score(X, y) > 0.9


def test_verbose_shows_a_bar(X: np.ndarray, y: np.ndarray, capfd: pytest.CaptureFixture) -> None:
    LSTMClassifier(**TINY).fit(X, y)
    assert capfd.readouterr() == ("", "")
    LSTMClassifier(**TINY, verbose=True).fit(X, y)
    assert "2/2" in capfd.readouterr().err


PLAIN = np.random.default_rng(0).normal(size=(4, 5, 2))
BAD_X = {
    "four axes": (PLAIN[..., None], r"X must be \(n, time\).* got an array with 4 axes"),
    "no series": ([], r"X must be \(n, time\).* got none: \[\]"),
    "rows of unequal length": ([[1.0, 2.0], [3.0]], "rows of unequal length; for series of one feature make a list"),
    "lengths mixed with rows": ([PLAIN[0], PLAIN[1, :, 0]], r"X\[1\] must be \(time, features\).*got shape \(5,\)"),
    "rows mixed with lengths": ([PLAIN[0, :, 0], PLAIN[1]], r"X\[0\] must be \(time, features\).*got shape \(5,\)"),
    "another width": ([PLAIN[0], PLAIN[1, :, :1]], r"X\[1\] must have 2 features, as X\[0\] has, got 1"),
    "no steps": (PLAIN[:, :0], "X must have at least one time step and one feature"),
    "a series without steps": ([PLAIN[0], PLAIN[1, :0]], r"X\[1\] must be \(time, features\), with at least one"),
    "NaN": (np.where(PLAIN > 1, np.nan, PLAIN), "X contains NaN"),
    "infinity in a list": ([PLAIN[0], PLAIN[1] + np.inf], r"X\[1\] contains infinity"),
    "complex": (PLAIN + 1j, "Complex data not supported"),
    "words": ([[["a"], ["b"]]], "could not convert string to float"),
}


@pytest.mark.parametrize("kind", [LSTMClassifier, LSTMRegressor])
@pytest.mark.parametrize("case", BAD_X)
def test_bad_X_gets_a_sentence(kind: Any, case: str) -> None:
    X, sentence = BAD_X[case]
    net = kind(**TINY | {"max_iter": 1}).fit(PLAIN, [0, 1, 0, 1])
    before = net._answers(PLAIN)
    for call in (lambda: kind(**TINY).fit(X, [0, 1, 0, 1][: len(X)]), lambda: net.predict(X)):
        with pytest.raises(ValueError, match=sentence):
            call()
    with pytest.raises(ValueError, match=sentence):
        net.partial_fit(X, [0, 1, 0, 1][: len(X)])
    np.testing.assert_array_equal(net._answers(PLAIN), before)


def test_X_has_the_form_that_it_had_in_fit() -> None:
    of_series, of_table = (LSTMClassifier(**TINY).fit(X, [0, 1, 0, 1]) for X in (PLAIN, PLAIN[:, :, 0]))
    assert (of_series.n_features_in_, of_table.n_features_in_) == (2, 5)
    assert of_series.predict(PLAIN[:, :3]).shape == (4,)  # of another length
    for net, X, sentence in (
        (of_series, PLAIN[:, :, 0], r"X must be \(n, time, 2\) or a list of \(time_i, 2\), as it was in fit"),
        (of_series, PLAIN[:, :, :1], r"X must be \(n, time, 2\) .* got shape \(4, 5, 1\)"),
        (of_series, list(PLAIN[:, :, :1]), r"X must be \(n, time, 2\) .* got a list of 4, the first of shape \(5, 1\)"),
        (of_table, PLAIN, r"X must be \(n, 5\), as it was in fit, got shape \(4, 5, 2\)"),
        (of_table, PLAIN[:, :4, 0], "X has 4 features, but LSTMClassifier is expecting 5"),
    ):
        with pytest.raises(ValueError, match=sentence):
            net.predict(X)


BAD_ARGUMENTS = {
    "cell": ("lstn", "cell must be"),
    "hidden_size": (0, "hidden_size must be at least 1"),
    "num_layers": (1.5, "num_layers must be an integer"),
    "dropout": (1.0, r"dropout must be in \[0, 1\)"),
    "patch_length": ("all", "patch_length must be an integer or 'auto', got 'all'"),
    "standardize": (1, "standardize must be True or False"),
    "alpha": (-1, "alpha must be 0 or more"),
    "batch_size": (0, "batch_size must be at least 1"),
    "learning_rate_init": (0, "learning_rate_init must be above 0"),
    "max_iter": (0, "max_iter must be at least 1"),
    "early_stopping": ("yes", "early_stopping must be True or False"),
    "validation_fraction": (1.0, "validation_fraction must be between 0 and 1, got 1.0"),
    "n_iter_no_change": (0, "n_iter_no_change must be at least 1"),
    "tol": (None, "tol must be a number"),
    "random_state": ("seed", "seed"),
    "class_weight": ({0: 0}, "class_weight must be above 0 for each class"),
}


@pytest.mark.parametrize("name", BAD_ARGUMENTS)
def test_bad_parameters_get_a_sentence_in_fit(name: str) -> None:
    value, sentence = BAD_ARGUMENTS[name]
    net = LSTMClassifier(**TINY | {name: value})
    with pytest.raises((ValueError, TypeError), match=sentence):
        net.fit(PLAIN, [0, 1, 0, 1])


@pytest.mark.parametrize(
    ("y", "options", "sentence"),
    [
        ([0, 1, 0], {}, "inconsistent numbers of samples"),
        ([1, 1, 1, 1], {}, "y must have two classes or more, got one class"),
        ([0.1, 0.2, 0.3, 0.4], {}, "Unknown label type"),
        ([[0, 1]] * 4, {}, "y should be a 1d array"),
        ([0, 1, 0, 1], {"sample_weight": [1, 1, 1]}, r"sample_weight must have shape \(4,\)"),
        ([0, 1, 0, 1], {"sample_weight": [1, 1, 1, -1]}, "sample_weight must be 0 or more and finite"),
        ([0, 1, 0, 1], {"sample_weight": [0, 0, 0, 0]}, "sample_weight must have a number above 0, got zeros alone"),
    ],
)
def test_bad_targets_and_weights_get_a_sentence(y: Any, options: dict, sentence: str) -> None:
    """And what was fitted before still answers."""
    net = LSTMClassifier(**TINY).fit(PLAIN, [0, 1, 2, 1])
    before = net.predict_proba(PLAIN)
    with pytest.raises(ValueError, match=sentence):
        net.fit(PLAIN[:, :, :1], y, **options)
    assert net.classes_.tolist() == [0, 1, 2]
    np.testing.assert_array_equal(net.predict_proba(PLAIN), before)


def test_early_stopping_needs_something_to_stop_by() -> None:
    net = LSTMRegressor(**TINY, early_stopping=True)
    with pytest.raises(ValueError, match=r"validation_fraction must hold out two series or more, got 0\.1 of 4"):
        net.fit(PLAIN, PLAIN[:, 0, 0])


def test_partial_fit_refuses() -> None:
    net = LSTMClassifier(**TINY)
    with pytest.raises(ValueError, match="y must have labels that are among classes_, those of the first fit, got 2"):
        net.partial_fit(PLAIN, [0, 1, 2, 1], classes=[0, 1])
    assert not hasattr(net, "classes_")
    with pytest.raises(ValueError, match=r"classes must be given in the first call of partial_fit, got None"):
        net.partial_fit(PLAIN, [0, 1, 0, 1])
    net.partial_fit(PLAIN, [0, 1, 0, 1], classes=[0, 1])
    before = net.predict_proba(PLAIN)
    with pytest.raises(ValueError, match="y must have labels that are among classes_, those of the first fit, got 2"):
        net.partial_fit(PLAIN, [0, 1, 2, 1])
    with pytest.raises(ValueError, match=r"classes must be those of the first call, \[0 1\], got \[0, 1, 2\]"):
        net.partial_fit(PLAIN, [0, 1, 0, 1], classes=[0, 1, 2])
    with pytest.raises(ValueError, match="class_weight must be a dict or None for partial_fit, got 'balanced'"):
        net.set_params(class_weight="balanced").partial_fit(PLAIN, [0, 1, 0, 1])
    with pytest.raises(ValueError, match="early_stopping must be False for partial_fit"):
        net.set_params(class_weight=None, early_stopping=True).partial_fit(PLAIN, [0, 1, 0, 1])
    np.testing.assert_array_equal(net.predict_proba(PLAIN), before)
    numbers = LSTMRegressor(**TINY).partial_fit(PLAIN, PLAIN[:, 0])
    with pytest.raises(ValueError, match=r"y must be \(n, 2\), as in the first fit, got shape \(4,\)"):
        numbers.partial_fit(PLAIN, PLAIN[:, 0, 0])


def test_without_scikit_learn_one_sentence_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("nblstm.sklearn")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "sklearn.utils.validation", None)
    with pytest.raises(ImportError, match=r'needs scikit-learn, 1.6 or newer, .*: pip install "nblstm\[sklearn\]"'):
        import nblstm.sklearn  # noqa: F401


def test_one_layer_says_that_dropout_has_no_effect() -> None:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        LSTMClassifier(**TINY, dropout=0.5).fit(PLAIN, [0, 1, 0, 1])
    assert "dropout=0.5 has no effect with one layer" in str(said[0].message)


@pytest.mark.parametrize(
    ("first", "then", "unseen"),
    [
        (["u", "d", "u", "d"], ["up", "d", "u", "d"], "'up'"),
        ([1, 2, 1, 2], [1.7, 2, 1, 2], "1.7"),
        ([1, 2, 1, 2], ["1", "2", "1", "2"], "'1'"),
    ],
)
def test_labels_are_not_made_into_classes_that_they_are_not(first: list, then: list, unseen: str) -> None:
    """By the type of the array that holds the classes: no longer text, no fraction, no number in words."""
    net = LSTMClassifier(**TINY, warm_start=True).fit(PLAIN, first)
    for learn in (net.fit, net.partial_fit):
        with pytest.raises(ValueError, match=f"y must have labels that are among classes_, .*, got {unseen}"):
            learn(PLAIN, then)


def test_labels_of_several_types_are_refused_in_words() -> None:
    with pytest.raises(TypeError, match="y must have labels of one type, which can be sorted, got int, str"):
        LSTMClassifier(**TINY).fit(PLAIN, np.array(["a", 0, "a", 0], object))

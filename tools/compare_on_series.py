"""The table of docs/estimators.md: the estimators beside others on thirteen small public sets of series.

All sets lie in the wheels of aeon, sktime, tslearn and scikit-learn; nothing is downloaded:

    pip install . aeon sktime tslearn
    python tools/compare_on_series.py             # all of them
    python tools/compare_on_series.py GunPoint    # one

Everything has the defaults of its package, and is fitted on the training part alone. What draws random numbers is
fitted with three seeds; the table has the mean.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from nblstm import pad_sequences
from nblstm.sklearn import LSTMClassifier, LSTMRegressor

SEEDS = (0, 1, 2)
LEAST = 9  # steps, which MiniRocket needs
CLASSES = (
    "ArrowHead", "BasicMotions", "GunPoint", "ItalyPowerDemand", "JapaneseVowels", "OSULeaf", "ACSF1",
    "PickupGestureWiimoteZ", "Trace", "Digits",
)  # fmt: skip
NUMBERS = ("Covid3Month", "CardanoSentiment", "Tecator")


class Part(NamedTuple):
    """Series, a list of (time_i, features), and their targets."""

    X: list[np.ndarray]
    y: np.ndarray


def load(name: str) -> tuple[Part, Part]:
    """The training part and the test part, as the set's makers have split it; of the digits the first 1,000."""
    if name == "Digits":
        digits = load_digits()
        return tuple(Part(list(digits.images[part]), digits.target[part]) for part in (slice(1000), slice(1000, None)))
    if name == "Trace":
        from tslearn.datasets import CachedDatasets

        arrays = CachedDatasets().load_dataset(name)
        return tuple(Part(list(X), y) for X, y in (arrays[:2], arrays[2:]))
    if name == "Tecator":
        from sktime.datasets import load_tecator

        parts = [load_tecator(split=split, return_type="numpy3D") for split in ("train", "test")]
    else:
        from aeon.datasets import load_classification, load_regression

        read = load_regression if name in NUMBERS else load_classification
        parts = [read(name, split=split) for split in ("train", "test")]
    return tuple(Part([np.asarray(x, float).T for x in X], y.astype(float) if name in NUMBERS else y) for X, y in parts)


def filled(part: Part, steps: int) -> np.ndarray:
    """Series (n, features, time) of `steps` each, with zeros past their ends or cut there."""
    x = pad_sequences([x[:steps] for x in part.X], "float64")[0].transpose(1, 2, 0)
    return np.pad(x, [(0, 0), (0, 0), (0, steps - x.shape[2])])


def scores(training: Part, test: Part, numbers: bool) -> dict[str, list[float]]:
    """Accuracy, or R2, of each method on the test part, once for each seed."""
    from aeon.classification.convolution_based import MiniRocketClassifier
    from aeon.classification.distance_based import KNeighborsTimeSeriesClassifier
    from aeon.regression.convolution_based import MiniRocketRegressor
    from aeon.regression.distance_based import KNeighborsTimeSeriesRegressor

    steps = max(LEAST, *map(len, training.X))
    equal = len({len(x) for part in (training, test) for x in part.X}) == 1
    one_long, flat = (
        [form(part) for part in (training, test)]
        for form in (lambda part: filled(part, steps), lambda part: filled(part, steps).reshape(len(part.y), -1))
    )
    as_they_are = [
        np.stack([x.T for x in part.X]) if equal else [np.ascontiguousarray(x.T) for x in part.X]
        for part in (training, test)
    ]
    lstm, mlp, rocket, neighbours = (
        (LSTMRegressor, MLPRegressor, MiniRocketRegressor, KNeighborsTimeSeriesRegressor)
        if numbers
        else (LSTMClassifier, MLPClassifier, MiniRocketClassifier, KNeighborsTimeSeriesClassifier)
    )
    methods: dict[str, tuple[Callable[[int], Any], Any, tuple[int, ...]]] = {
        "LSTM": (lambda seed: lstm(random_state=seed), (training.X, test.X), SEEDS),
        "1-NN with DTW": (lambda _: neighbours(n_neighbors=1, distance="dtw"), as_they_are, SEEDS[:1]),
        "MLP": (lambda seed: make_pipeline(StandardScaler(), mlp(random_state=seed)), flat, SEEDS),
        "MiniRocket, ridge": (lambda seed: rocket(random_state=seed), one_long, SEEDS),
    }
    return {
        method: [float(make(seed).fit(x, training.y).score(x_test, test.y)) for seed in seeds]
        for method, (make, (x, x_test), seeds) in methods.items()
    }


def main() -> None:
    """A line of the table for each set."""
    warnings.simplefilter("ignore")  # the MLP's, that it might have gone on; aeon's, of what will change
    begun = False
    for name in sys.argv[1:] or (*CLASSES, *NUMBERS):
        training, test = load(name)
        found = scores(training, test, name in NUMBERS)
        if not begun:
            print("| set | training, test | steps, features | classes |", *(f"{method} |" for method in found))
            print("| --- | --- | --- | --- |" + " --- |" * len(found))
            begun = True
        lengths = sorted({len(x) for x in training.X})
        steps = f"{lengths[0]}" if len(lengths) == 1 else f"{lengths[0]} to {lengths[-1]}"
        classes = "-" if name in NUMBERS else len(set(training.y))
        best = max(np.mean(values) for values in found.values())
        cells = []
        for values in found.values():
            cell = f"{np.mean(values):.3f}" + (f" ± {np.std(values):.3f}" if len(values) > 1 else "")
            cells.append(f"**{cell}**" if np.mean(values) == best else cell)
        sizes = f"{len(training.y)}, {len(test.y)} | {steps}, {training.X[0].shape[1]} | {classes}"
        print(f"| {name} | {sizes} |", *(f"{cell} |" for cell in cells), flush=True)


if __name__ == "__main__":
    main()

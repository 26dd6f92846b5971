"""The job of a classifier of digits: which images, and which of them are held out."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nblstm import datasets
from nblstm.jobs.data import Sequences
from nblstm.jobs.sequences import ClassificationJob
from nblstm.jobs.settings import ImageSettings

HELD_OUT = {"digits": 5, "mnist": 10}  # one image in so many, where there is no part made for the purpose
MNIST_TEST_FILE = "t10k-images-idx3-ubyte"


class ImageJob(ClassificationJob):
    """A `SequenceClassifier` that reads images of digits row by row, from top to bottom.

    The bundled digits are split by chance, one in five held out. MNIST comes in two parts; of a folder that holds the
    test part alone, one image in ten is held out.

    Raises
    ------
    TypeError
        Settings of another job.
    ValueError
        Images that are missing: the digits need scikit-learn, MNIST its files or a network.

    Examples
    --------
    >>> from nblstm.jobs import ImageJob, ImageSettings
    >>> job = ImageJob(ImageSettings(images="digits"))  # doctest: +SKIP
    >>> job.training.x.shape, job.validation.x.shape  # doctest: +SKIP
    ((8, 1438, 8), (8, 359, 8))
    """

    settings_type = ImageSettings
    settings: ImageSettings
    item = "image"
    measure = "nats per image"

    def __init__(self, settings: ImageSettings) -> None:
        self._check_settings(settings)
        if settings.images == "mnist" and not _has_test_part_alone(settings.folder):
            training, validation = (_by_rows(*datasets.mnist(part, settings.folder)) for part in ("train", "test"))
        else:
            images, labels = (
                datasets.digits() if settings.images == "digits" else datasets.mnist("test", settings.folder)
            )
            order = np.random.default_rng(settings.seed).permutation(len(images))
            held_out = len(images) // HELD_OUT[settings.images]
            training, validation = (
                _by_rows(images[chosen], labels[chosen]) for chosen in (order[:-held_out], order[-held_out:])
            )
        super().__init__(settings, training, validation)

    def describe(self) -> str:
        """Which images, their form and their number."""
        rows, _, width = self.training.x.shape
        return f"{self.settings.images}: {rows} rows of {width} pixels; {super().describe()}"


def _by_rows(images: np.ndarray, labels: np.ndarray) -> Sequences:
    """Images (N, rows, columns) as sequences of rows."""
    return Sequences(np.ascontiguousarray(images.transpose(1, 0, 2)), labels)


def _has_test_part_alone(folder: str | None) -> bool:
    if folder is None:
        return False
    names = {path.name.removesuffix(".gz") for path in Path(folder).glob("*ubyte*")}
    return MNIST_TEST_FILE in names and MNIST_TEST_FILE.replace("t10k", "train") not in names

"""What was measured: one record a line, in memory and as CSV."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Iterable
from dataclasses import dataclass

OURS = "nblstm"


@dataclass(frozen=True)
class Measurement:
    """One figure.

    Attributes
    ----------
    row : str
        A shape of the table, or the name of what lies beyond layers.
    dtype : str
    threads : int
    what : str
        "training" or "inference" for a shape; else what was done.
    side : str
        Whose figure it is.
    value : float
        A median in `unit`.
    unit : str
    ratio : float, optional
        How many times as good as this side's nblstm's figure is: above 1, nblstm is faster or needs less.
    gflops : float, optional
        Rate of the multiplications and additions in matrix products.
    share : float, optional
        The part reached of what the machine can do at most.
    bound : str
        What sets that limit: "peak" of arithmetic or "bandwidth" of the weights.
    left_out : str
        Why there is no figure, if there is none; `value` is then NaN.
    """

    row: str
    dtype: str
    threads: int
    what: str
    side: str
    value: float
    unit: str = "s"
    ratio: float | None = None
    gflops: float | None = None
    share: float | None = None
    bound: str = ""
    left_out: str = ""


def to_csv(measurements: Iterable[Measurement]) -> str:
    """A header and a line for each; figures to four digits."""
    text = io.StringIO()
    names = [field.name for field in dataclasses.fields(Measurement)]
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    for measurement in measurements:
        fields = dataclasses.asdict(measurement)
        writer.writerow({n: f"{field:.4g}" if isinstance(field, float) else field for n, field in fields.items()})
    return text.getvalue()

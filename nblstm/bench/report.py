"""The report: what was measured as tables in Markdown."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence

from nblstm.bench.peers import PEERS, OnnxRuntime, Torch
from nblstm.bench.results import OURS, Measurement
from nblstm.bench.table import Shape

COLUMNS = "T, B, I, H, layers, directions"
WORKS = ("training", "inference")


class Results:
    """Measurements, to be looked up."""

    def __init__(self, measurements: Iterable[Measurement]) -> None:
        self.all = list(measurements)
        self.layers = [m for m in self.all if m.what in WORKS]
        self._found = {(m.row, m.dtype, m.threads, m.what, m.side): m for m in self.all}

    @property
    def groups(self) -> list[tuple[str, str, int]]:
        """What, dtype and threads of each group of layers, float32 and most threads first."""
        found = {(m.what, m.dtype, m.threads) for m in self.layers}
        return sorted(found, key=lambda group: (group[1], -group[2], WORKS.index(group[0])))

    def rows(self, what: str, dtype: str, threads: int) -> list[str]:
        """The shapes of a group, in the order in which they were measured."""
        return [
            m.row for m in self.layers if (m.what, m.dtype, m.threads, m.side) == (what, dtype, threads, OURS)
        ]  # fmt: skip

    def find(self, row: str, dtype: str, threads: int, what: str, side: str = OURS) -> Measurement | None:
        """One measurement, if it was made."""
        return self._found.get((row, dtype, threads, what, side))

    def ratio(self, row: str, dtype: str, threads: int, what: str, side: str) -> float | None:
        """How many times as good as this side's nblstm's figure is."""
        found = self.find(row, dtype, threads, what, side)
        return found.ratio if found else None

    def lead(self, row: str, dtype: str, threads: int, what: str) -> float | None:
        """That against PyTorch, or for inference against the faster of PyTorch and ONNX Runtime."""
        rivals = (Torch.name, OnnxRuntime.name) if what == "inference" else (Torch.name,)
        ratios = [self.ratio(row, dtype, threads, what, side) for side in rivals]
        return min((ratio for ratio in ratios if ratio is not None), default=None)

    def gain(self, row: str, dtype: str, threads: int, what: str) -> float | None:
        """How many times as fast as one thread so many are."""
        one, all_ = (self.find(row, dtype, n, what) for n in (1, threads))
        return one.value / all_.value if one and all_ and threads > 1 else None


def report(measurements: Sequence[Measurement], settings: Mapping[str, str]) -> str:
    """The whole report."""
    results = Results(measurements)
    parts = [
        "# Results",
        "Written by `nblstm bench`. What the figures mean and how they are taken: `benchmarks/README.md`.",
        _table(["setting", ""], [[name, text] for name, text in settings.items()]),
    ]
    if results.layers:
        parts += ["## In short", _summary(results)]
        for group in results.groups:
            what, dtype, threads = group
            parts += [f"## {what.capitalize()}, {dtype}, {_threads(threads)}", _group(results, *group)]
    if len(results.all) > len(results.layers):
        parts += ["## Beyond layers", _beyond(results)]
    return "\n\n".join(parts) + "\n"


def _summary(results: Results) -> str:
    """A line per group: the mean and the worst of its ratios; shares and gains of the rows that they are asked of."""
    lines = []
    for what, dtype, threads in results.groups:
        rows = results.rows(what, dtype, threads)
        leads = {row: results.lead(row, dtype, threads, what) for row in rows}
        large = [row for row in rows if (shape := Shape.parse(row)).B >= 32 and shape.H >= 128]
        shares = {row: m.share for row in large if (m := results.find(row, dtype, threads, what))}
        gains = {row: results.gain(row, dtype, threads, what) for row in rows if Shape.parse(row).B >= 8}
        found = [lead for lead in leads.values() if lead is not None]
        spread = [_number(_mean(found)), _number(statistics.median(found) if found else None)]
        spread.append(f"{sum(lead < 1 for lead in found)} of {len(found)}" if found else "-")
        least = [_least(leads, "{:.2f}"), _least(shares, "{:.0%}"), _least(gains, "{:.2f}")]
        lines.append([f"{what}, {dtype}, {_threads(threads)}", *spread, *least])
    head = ["", "geometric mean", "median", "below 1", "least", "least share where B >= 32, H >= 128"]
    head.append("least gain by threads where B >= 8")
    text = "Times as fast as PyTorch, for inference as the faster of PyTorch and ONNX Runtime; in brackets the row."
    return f"{text}\n\n{_table(head, lines)}"


def _group(results: Results, what: str, dtype: str, threads: int) -> str:
    """A line per row: nblstm's time and rate, what part of the possible that is, how many times as fast as others."""
    peers = [peer.name for peer in PEERS if peer.trains or what == "inference"]
    lines = []
    for row in results.rows(what, dtype, threads):
        ours = results.find(row, dtype, threads, what)
        assert ours
        assert ours.gflops
        assert ours.share
        ratios = [_number(results.ratio(row, dtype, threads, what, peer)) for peer in peers]
        lines.append([row, amount(ours), f"{ours.gflops:.0f}", f"{ours.share:.0%} of {ours.bound}", *ratios])
    means = [
        _mean(results.ratio(row, dtype, threads, what, peer) for row in results.rows(what, dtype, threads))
        for peer in peers
    ]
    lines.append(["geometric mean", "", "", "", *map(_number, means)])
    return _table([COLUMNS, OURS, "GFLOP/s", "reached", *(f"times as fast as {peer}" for peer in peers)], lines)


def _beyond(results: Results) -> str:
    """A line per measurement: nblstm's figure, and the other sides' with the ratio."""
    lines: dict[tuple[str, str, int], list[str]] = {}
    for m in results.all:
        if m.what in WORKS:
            continue
        line = lines.setdefault((m.row, m.what, m.threads), [])
        if m.side == OURS:
            line.append(amount(m))
        else:
            line.append(f"{m.side}: {m.left_out}" if m.left_out else f"{m.side} {amount(m)}: {m.ratio:.2f}")
    cells = [
        [row, what, str(threads), line[0], "; ".join(line[1:]) or "-"] for (row, what, threads), line in lines.items()
    ]  # fmt: skip
    text = "Behind the figure of another side stands how many times as good as it nblstm's is."
    return f"{text}\n\n{_table(['', 'what', 'threads', OURS, 'others'], cells)}"


def amount(m: Measurement) -> str:
    """The figure with its unit, in a size that reads well."""
    if m.unit == "s":
        scale, unit = (1, "s") if m.value >= 1 else (1e3, "ms") if m.value >= 1e-3 else (1e6, "µs")
        return f"{_digits(m.value * scale)} {unit}"
    return f"{m.value:.2f} times" if m.unit == "times" else f"{_digits(m.value)} {m.unit}"


def _digits(value: float) -> str:
    """Three digits, and all of those before the point."""
    return f"{value:,.{max(0, 2 - math.floor(math.log10(value)))}f}" if value > 0 else f"{value:g}"


def _threads(count: int) -> str:
    return "1 thread" if count == 1 else f"{count} threads"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _mean(ratios: Iterable[float | None]) -> float | None:
    """Geometric mean of those that there are."""
    found = [ratio for ratio in ratios if ratio is not None]
    return statistics.geometric_mean(found) if found else None


def _least(values: Mapping[str, float | None], form: str) -> str:
    """The smallest value and its row."""
    found = {row: value for row, value in values.items() if value is not None}
    if not found:
        return "-"
    row = min(found, key=lambda name: found[name])
    return f"{form.format(found[row])} ({row})"


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)

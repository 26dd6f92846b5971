"""A run: what was asked for, measured one after the other and told as it is found; then report, CSV and picture."""

from __future__ import annotations

import datetime
import functools
import io
import os
import platform
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nblstm import environment
from nblstm.bench import cells, layers, limits, models, processes
from nblstm.bench.peers import PEERS, load_before_threads
from nblstm.bench.picture import picture, scatter
from nblstm.bench.processes import ALL
from nblstm.bench.report import WORKS, amount, report
from nblstm.bench.results import OURS, Measurement, to_csv
from nblstm.bench.table import TABLE, Shape, cases, draw
from nblstm.bench.timing import Timing
from nblstm.weights import atomic_write

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Job = Callable[[], list[Measurement]]

IN_PROCESS = {
    "step": models.training_step,
    "sampling": models.sampling,
    "streaming": models.streaming,
    "denormals": models.denormals,
    "gru": cells.gru,
    "cells": cells.own,
}
"""Beyond layers, measured for each number of threads."""

APART = {
    "start": processes.start,
    "memory": processes.memory,
    "processes": processes.together,
    "allocator": processes.allocator,
}
"""Beyond layers, measured once, with all threads."""

ON_REQUEST = {"compile": cells.beside_compiled}
"""As `IN_PROCESS`, but measured only by name: what `torch.compile` takes is up to a quarter of an hour."""

NAMES = (*IN_PROCESS, *APART, *ON_REQUEST)


def choose(rows: Sequence[str], random: int = 0) -> tuple[list[Shape], list[str]]:
    """The shapes and names of measurements that `rows` ask for, and `random` shapes; without, all but `ON_REQUEST`.

    Examples
    --------
    >>> choose(["4", "sampling"])
    ([Shape(T=12, B=3, I=30, H=20, layers=1, directions=1)], ['sampling'])
    """
    if not rows and not random:
        return list(TABLE), [*IN_PROCESS, *APART]
    shapes, names = draw(random), []
    for row in rows:
        if row in NAMES:
            names.append(row)
        elif row.isdecimal() and 1 <= int(row) <= len(TABLE):
            shapes.append(TABLE[int(row) - 1])
        elif "," in row:
            shapes.append(Shape.parse(row))
        else:
            raise ValueError(f"a row must be 1..{len(TABLE)}, six numbers T,B,I,H,layers,directions, or one of "
                             f"{', '.join(NAMES)}, got {row!r}")  # fmt: skip
    return shapes, names


def jobs(
    rows: Sequence[str], dtype: str | None, threads: Sequence[int], timing: Timing, random: int = 0
) -> list[Job]:  # fmt: skip
    """All that is to be measured."""
    shapes, names = choose(rows, random)
    found: list[Job] = [functools.partial(layers.measure, case, timing) for case in cases(shapes, dtype, threads)]
    for name in names:
        if name in APART:
            found.append(functools.partial(APART[name], timing))
        else:
            found += [functools.partial((IN_PROCESS | ON_REQUEST)[name], n, timing) for n in threads]
    return found


def run(
    rows: Sequence[str],
    dtype: str | None,
    threads: Sequence[int],
    timing: Timing,
    out: Path | None,
    partly: bool = True,
    random: int = 0,
) -> bool:
    """Measure, print each result, and write the files to the folder `out`; returns whether it got to the end.

    Ctrl-C ends the measuring. Then, as after an error, what there is is written if `partly`, and the report says how
    much it is.
    """
    from tqdm import tqdm

    counts = list(dict.fromkeys(threads or (ALL, 1)))
    if max(counts) > ALL:
        raise ValueError(f"threads must be at most {ALL}, as many as Numba was started with, got {max(counts)}")
    todo = jobs(rows, dtype, counts, timing, random)
    load_before_threads()
    for peer in PEERS:
        if not peer.installed():
            print(f"{peer.name} is not installed and is left out; this brings it: {peer.install}")
    measurements: list[Measurement] = []
    done = 0
    try:
        with tqdm(total=len(todo), desc="measuring", dynamic_ncols=True, disable=None) as bar:
            for job in todo:
                found = job()
                measurements += found
                bar.write("\n".join(tell(found)))
                sys.stdout.flush()  # a pipe would keep it back
                done += 1
                bar.update()
    except KeyboardInterrupt:
        pass
    finally:
        if out and measurements and (partly or done == len(todo)):
            about = settings(measurements, timing, f"{done} of {len(todo)} measurements")
            drawing, name = (scatter, "-random") if random else (picture, "")
            print(f"{', '.join(write(measurements, about, out, drawing, name))} written to {out}")
    return done == len(todo)


def tell(found: Sequence[Measurement]) -> list[str]:
    """A line for each thing measured."""
    lines: dict[tuple[str, str, int, str], list[str]] = {}
    for m in found:
        line = lines.setdefault((m.row, m.dtype, m.threads, m.what), [])
        if m.left_out:
            line.append(f"{m.side}: {m.left_out}")
            continue
        share = f" ({m.share:.0%} of {m.bound})" if m.share and m.side == OURS else ""
        line.append(f"{m.side} {amount(m)}{share if m.ratio is None else f' = {m.ratio:.2f}'}")
    return [f"{row} | {dtype} | {n} | {what} | {', '.join(line)}" for (row, dtype, n, what), line in lines.items()]


def settings(measurements: Sequence[Measurement], timing: Timing, extent: str) -> dict[str, str]:
    """What the figures depend on."""
    machine = environment.describe()
    layers_ = [m for m in measurements if m.what in WORKS]
    peaks = dict.fromkeys((m.dtype, m.threads) for m in layers_)
    rates = [f"{limits.peak(*key) / 1e9:.0f} GFLOP/s in {key[0]} with {key[1]}" for key in peaks]
    reads = sorted({
        (Shape.parse(m.row).recurrent_weights * np.dtype(m.dtype).itemsize, -m.threads)
        for m in layers_ if m.bound == "bandwidth"
    })  # fmt: skip
    bandwidths = [f"{size // 1024} KiB at {limits.bandwidth(size, -n) / 1e9:.0f} GB/s with {-n}" for size, n in reads]
    versions = [f"{name} {machine[name]}" for name in ("nblstm", "numpy", "numba", "llvmlite")]
    versions += [f"{p.name} {p.version() if p.installed() else f'not installed ({p.install})'}" for p in PEERS]
    allocator = [f"{name}={value}" for name, value in sorted(os.environ.items()) if name.startswith("MALLOC_")]
    return {
        "extent": extent,
        "processor": f"{machine['processor']}, vectors of {machine['vector_bits']} bits",
        "threads": f"up to {ALL}, layer {machine['threading_layer']}",
        "measured peak": ", ".join(rates) or "-",
        "measured bandwidth": ", ".join(bandwidths) or "-",
        "versions": ", ".join([f"Python {machine['python']}", *versions]),
        "system": platform.system(),
        "memory": ", ".join(allocator) or "the C library's defaults",
        "timing": f"medians; {timing.rounds} rounds, {timing.seconds:g} s of each side in each",
        "date": datetime.date.today().isoformat(),
    }


def write(
    measurements: Sequence[Measurement],
    about: dict[str, str],
    out: Path,
    drawing: Callable[[Sequence[Measurement]], Figure] = picture,
    ending: str = "",
) -> list[str]:
    """The files' names: the processor's, `ending`, and .md, .csv and, if there is a layer among the results, .png."""
    out.mkdir(parents=True, exist_ok=True)
    name = re.sub(r"[^a-z0-9]+", "-", environment.processor().lower()).strip("-") + ending
    contents = {f"{name}.md": report(measurements, about).encode(), f"{name}.csv": to_csv(measurements).encode()}
    if any(m.what in WORKS for m in measurements):
        png = io.BytesIO()
        drawing(measurements).savefig(png, format="png", dpi=120)
        contents[f"{name}.png"] = png.getvalue()
    for file_name, content in contents.items():
        with atomic_write(out / file_name) as file:
            file.write(content)
    return list(contents)

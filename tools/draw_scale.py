"""Measures a step and its exchange, and draws from them docs/scale.png, how far data-parallel training pays.

python tools/draw_scale.py (two minutes): measures steps of three nets in one thread, and exchanges of their gradients
between two ranks of this machine, to benchmarks/results/scale.json; then computes and draws. With --draw it takes the
figures that are there. What is measured and what is arithmetic stands in docs/scale.md.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
MEASURED, PICTURE = ROOT / "benchmarks" / "results" / "scale.json", ROOT / "docs" / "scale.png"
CORES = 8  # of each machine, taken as eight times as fast as one thread
LINKS = {1: 50e-6, 10: 20e-6, 100: 3e-6}  # Gbit/s, and seconds that a message takes besides
MACHINES = 2 ** np.arange(1, 9)
BATCH = 32
NETS = {  # units, layers, window
    "small: 64 units": (64, 1, 30),
    "default: 2 x 256 units": (256, 2, 100),
    "large: 2 x 1024 units": (1024, 2, 100),
}


def measure_step(units: int, layers: int, window: int) -> dict[str, Any]:
    """Parameters, and the least seconds of one thread for a step, of `BATCH` streams and of an eighth of them."""
    import numba

    from nblstm.jobs import TextJob, TextSettings

    numba.set_num_threads(1)
    seconds = {}
    for rows in (BATCH, BATCH // 8):
        settings = TextSettings(hidden_size=units, num_layers=layers, window=window, batch_size=rows, dropout=0.0)
        job, found = TextJob(settings), []
        for _ in range(4 if units > 256 else 12):
            begun = time.thread_time()
            job.trainer.step()
            found.append(time.thread_time() - begun)
        seconds[rows] = min(found[1:])
    return {"parameters": job.model.num_parameters, "seconds": seconds}


def measure_exchange(sizes: list[int]) -> list[list[float]]:
    """Of each number of parameters the seconds of the ordered exchange, and of Allreduce: the least of fifteen."""
    from nblstm.distributed import world
    from nblstm.distributed.sharded import weighted_sum

    ranks, found = world(), []
    for size in sizes:
        rows, bounds = np.ones((1, size), "float32"), np.array([0, size // 2, size])
        times = []
        for _ in range(15):
            ranks.gather(None)
            begun = time.perf_counter()
            total = weighted_sum(ranks.exchange(rows, bounds, 2), [0.5, 0.5])
            rows[0, bounds[ranks.rank] : bounds[ranks.rank + 1]] = total
            ranks.complete(rows[0], bounds)
            middle = time.perf_counter()
            ranks.add(rows[0])
            times.append([middle - begun, time.perf_counter() - middle])
        found.append(np.min(times, axis=0).tolist())
    return found


def measure() -> None:
    """All figures, to the file."""
    found = {name: measure_step(*form) for name, form in NETS.items()}
    sizes = [each["parameters"] for each in found.values()]
    launcher = [
        str(Path(sys.prefix) / "bin" / "mpirun"),
        "-n",
        "2",
        sys.executable,
        __file__,
        "--worker",
        json.dumps(sizes),
    ]
    environment = os.environ | {"NUMBA_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(launcher, env=environment, capture_output=True, text=True, check=True)
    for each, (ordered, allreduce) in zip(found.values(), json.loads(done.stdout), strict=True):
        each |= {"ordered": ordered, "allreduce": allreduce}
    MEASURED.write_text(json.dumps(found, indent=2) + "\n")


def exchange_seconds(each: dict[str, Any], gigabits: int, machines: np.ndarray) -> np.ndarray:
    """Of one step with as many shards as machines: on the wire, in messages, and for copies and sums, as measured."""
    part = (machines - 1) / machines
    wire = 2 * part * 4 * each["parameters"] * 8 / (gigabits * 1e9)
    return wire + 2 * (machines - 1) * LINKS[gigabits] + 2 * part * each["ordered"]


def step_seconds(each: dict[str, Any], rows: np.ndarray) -> np.ndarray:
    """A straight line through the two that were measured, by `CORES` threads."""
    few, many = BATCH // 8, BATCH
    low, high = each["seconds"][str(few)], each["seconds"][str(many)]
    return (low + (high - low) * (rows - few) / (many - few)) / CORES


def efficiency(each: dict[str, Any], gigabits: int, *, whole: bool) -> np.ndarray:
    """Speed over that of as many machines without exchange; each has a whole batch, or a part of one."""
    rows = np.full(len(MACHINES), float(BATCH)) if whole else BATCH / MACHINES
    took = step_seconds(each, rows) + exchange_seconds(each, gigabits, MACHINES)
    return step_seconds(each, np.array(BATCH)) * rows / BATCH / took


def draw() -> None:
    """The picture, and the table of docs/scale.md on standard output."""
    from matplotlib.figure import Figure
    from PIL import Image

    from nblstm.plot import COLOURS

    found = json.loads(MEASURED.read_text())
    print("| net | parameters | gradient | step, one thread | of 4 rows | ordered exchange | allreduce |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, each in found.items():
        times = [*each["seconds"].values(), each["ordered"], each["allreduce"]]
        cells = " | ".join(f"{1000 * seconds:.3g} ms" for seconds in times)
        print(f"| {name} | {each['parameters']:,} | {4e-6 * each['parameters']:.3g} MB | {cells} |")
    figure = Figure(figsize=(11, 4), layout="constrained")
    for ax, (name, each) in zip(figure.subplots(1, 3, sharey=True), found.items(), strict=True):
        for colour, gigabits in zip("fgo", LINKS, strict=True):
            for whole, style in ((True, "-"), (False, "--")):
                values = efficiency(each, gigabits, whole=whole)
                shown = slice(None) if whole else MACHINES <= BATCH
                label = f"{gigabits} Gbit/s" if whole else None
                ax.plot(MACHINES[shown], values[shown], style, color=COLOURS[colour], label=label)
                print(f"{name}, {gigabits} Gbit/s, {'whole' if whole else 'shared'}: {np.round(values[shown], 2)}")
        ax.axhline(0.5, color="#BBBBBB", linewidth=0.8)
        ax.set(title=f"{name}, {4e-6 * each['parameters']:.3g} MB", xscale="log", xlabel="machines", ylim=(0, 1.02))
        ax.set_xticks(MACHINES, [str(count) for count in MACHINES])
        ax.minorticks_off()
        ax.grid(alpha=0.3)
    first = figure.axes[0]
    first.set_ylabel("efficiency")
    first.plot([], [], "k-", label="each a batch of 32")
    first.plot([], [], "k--", label="one batch of 32 for all")
    figure.axes[0].legend(*first.get_legend_handles_labels(), loc="upper right", fontsize=8)
    drawn = BytesIO()
    figure.savefig(drawn, dpi=100)
    Image.open(drawn).convert("RGB").quantize(32).save(PICTURE, optimize=True)


def main() -> None:
    """Measure unless --draw says not to, and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draw", action="store_true")
    parser.add_argument("--worker", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker is not None:
        found = measure_exchange(options.worker)
        if os.environ.get("PMI_RANK", "0") == "0":
            print(json.dumps(found))
        return
    if not options.draw:
        measure()
    draw()


if __name__ == "__main__":
    main()

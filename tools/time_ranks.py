"""Times training steps by ranks of MPI: python tools/time_ranks.py (some minutes, on a machine that does nothing else).

The default text, by one process with two threads and by two ranks of one thread each, with the ordered exchange and
with Allreduce, in turns. Of each round the median step counts, of the rounds the best.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SIDES = {  # ranks, threads of each, shards, exchange
    "one process, 2 threads, not cut into shards": (1, 2, 1, "ordered"),
    "one process, 2 threads": (1, 2, None, "ordered"),
    "two ranks, 1 thread each, ordered": (2, 1, None, "ordered"),
    "two ranks, 1 thread each, allreduce": (2, 1, None, "allreduce"),
}


def time_steps(shards: int, exchange: str, steps: int) -> tuple[float, float]:
    """Milliseconds of the median step of this training, and those of it that this rank spends in exchanges."""
    from nblstm.jobs import TextJob, TextSettings

    job = TextJob(TextSettings(shards=shards, exchange=exchange))
    took, waited = [], []
    for _ in range(steps + 2):
        before = job.ranks.waited
        begun = time.perf_counter()
        job.trainer.step()
        took.append(time.perf_counter() - begun)
        waited.append(job.ranks.waited - before)
    return 1000 * statistics.median(took[2:]), 1000 * statistics.median(waited[2:])


def side(ranks: int, threads: int, shards: int, exchange: str, steps: int) -> tuple[float, float]:
    """`time_steps` in processes of their own; what the first rank finds."""
    launcher = [str(Path(sys.prefix) / "bin" / "mpirun"), "-n", str(ranks)] if ranks > 1 else []
    worker = [sys.executable, __file__, "--worker", json.dumps([shards, exchange, steps])]
    environment = os.environ | {"NUMBA_NUM_THREADS": str(threads), "PYTHONPATH": str(ROOT)}
    done = subprocess.run([*launcher, *worker], env=environment, capture_output=True, text=True, check=True)
    took, waited = json.loads(done.stdout)
    return took, waited


def main() -> None:
    """Time the sides, round after round, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--shards", type=int, default=4)
    parser.add_argument("--worker", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker is not None:
        found = time_steps(*options.worker)
        if os.environ.get("PMI_RANK", "0") == "0":
            print(json.dumps(found))
        return
    best: dict[str, tuple[float, float]] = {}
    for _ in range(options.rounds):
        for name, (ranks, threads, shards, exchange) in SIDES.items():
            found = side(ranks, threads, shards or options.shards, exchange, options.steps)
            best[name] = min(best.get(name, found), found)
    reference = best["one process, 2 threads"][0]
    print(f"{options.shards} shards, {options.steps} steps, the best of {options.rounds} rounds\n")
    print("| | ms a step | of these in exchanges | speed |\n| --- | --- | --- | --- |")
    for name, (took, waited) in best.items():
        print(f"| {name} | {took:.1f} | {waited:.1f} | {reference / took:.2f} |")


if __name__ == "__main__":
    main()

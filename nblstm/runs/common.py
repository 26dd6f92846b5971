"""What the ranks of one run must have in common, so that they train one model and every one gets the same bits."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path
from typing import Any

from nblstm import environment
from nblstm.cells.recorded import as_cell
from nblstm.jobs import Job


@functools.cache
def source() -> str:
    """A digest of the package's own files, which differ between versions that have one number."""
    digest, package = hashlib.sha256(), Path(__file__).parents[1]
    for path in sorted(package.rglob("*.py")):
        digest.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def check(job: Job, **more: str) -> None:
    """Refuse a job of which the ranks have different versions, data or settings, or `more`."""
    if job.ranks.size > 1:
        job.ranks.same(facts(job) | more)


def facts(job: Job) -> dict[str, Any]:
    """By name; sums are added in another order where vector registers have another width."""
    found, settings = environment.describe(), job.settings.record()
    names, weights = ("numpy", "numba", "llvmlite"), hashlib.sha256()
    for tensor in job.model.state_dict().values():  # which may be another model's
        weights.update(tensor.tobytes())
    return {
        "version of nblstm": f"{found['nblstm']}, source {source()[:12]}",
        **{f"version of {name}": found[name] for name in names},
        "width of vector registers": f"{found['vector_bits']} bits",
        "data": f"SHA-256 {job.digest}",
        **{f"setting {name}": value for name, value in settings.items() if name not in job.settings.LOCATION},
        "initial weights": f"SHA-256 {weights.hexdigest()}",
        "equations of the cell": as_cell(job.settings.cell).key,
    }

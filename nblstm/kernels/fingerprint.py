"""A digest of all kernel sources: Numba's cache on disk sees edits in the compiled function's own file only."""

import hashlib
from pathlib import Path

_SOURCES = sorted(Path(__file__).parent.glob("*.py"))

FINGERPRINT = int.from_bytes(hashlib.sha256(b"".join(path.read_bytes() for path in _SOURCES)).digest()[:7], "little")
"""Stands in the signature of whatever is cached, so that stale machine code never matches."""

"""Free memory of the host."""

from __future__ import annotations

from pathlib import Path

#: What a run may take where the system does not tell how much memory is free, in bytes.
UNKNOWN = 32 << 30

#: Where Linux says how much memory is free.
MEMINFO = Path("/proc/meminfo")


def available() -> int:
    """Return how many bytes of memory are free, or :data:`UNKNOWN`."""
    try:
        lines = MEMINFO.read_text(encoding="ascii").splitlines()
        sizes = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
        return int(sizes[0]) * 1024
    except (OSError, ValueError, IndexError):
        return UNKNOWN

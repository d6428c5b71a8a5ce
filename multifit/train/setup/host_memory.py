"""Free memory of the host."""

from __future__ import annotations

from pathlib import Path

#: Limit for a run if the free memory is unknown, in bytes.
UNKNOWN = 32 << 30

#: Linux's file with the free memory.
MEMINFO = Path("/proc/meminfo")


def available() -> int:
    """Return the free memory in bytes, or :data:`UNKNOWN`."""
    try:
        lines = MEMINFO.read_text(encoding="ascii").splitlines()
        sizes = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
        return int(sizes[0]) * 1024
    except (OSError, ValueError, IndexError):
        return UNKNOWN

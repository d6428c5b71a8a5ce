"""Search for running processes of this machine."""

from __future__ import annotations

import os
from pathlib import Path


def is_running(process: int, born: int | None = None) -> bool:
    """Return True if a process with this id runs, or cannot be ruled out.

    Parameters
    ----------
    born
        Its start, as from :func:`started`, if known: ids are used again.
    """
    if os.name != "posix" or process <= 0:  # there, signal 0 would be a real one
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # someone else's process
        pass
    found = _stat(process)
    if found is None:
        return True
    state, start = found
    return state not in ("Z", "X") and (born is None or born == start)


def started(process: int) -> int | None:
    """Return the start of a process in clock ticks since the boot; None if unknown."""
    found = _stat(process)
    return None if found is None else found[1]


def _stat(process: int) -> tuple[str, int] | None:
    """Return the state and the start of a process, where there is /proc."""
    try:
        text = Path(f"/proc/{process}/stat").read_text(errors="replace")
        words = text.rpartition(")")[2].split()  # the name before it may hold anything
        return words[0], int(words[19])
    except (OSError, ValueError, IndexError):
        return None

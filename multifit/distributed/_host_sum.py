"""Sums of arrays over the processes of one host, in memory that they share.

On CPUs the engines of the frameworks send arrays through sockets, which takes longer.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..backend import Backend, Place
from ..errors import TrainingError

Array = Any

#: The variable that, if it is 0, leaves sums to the framework.
SHARED = "MULTIFIT_SHARED_MEMORY"

#: File system in memory; without it, or without room there, the folder of temporary files.
IN_MEMORY = "/dev/shm"


class HostSum:
    """Sums of arrays of processes that share memory.

    Each process copies its array into a row, then adds up a part of all rows, in the order of the
    processes, then takes the parts of all.
    """

    def __init__(self, place: Place, backend: Backend) -> None:
        self._place, self._backend = place, backend
        self._memory: mmap.mmap | None = None

    def all_reduce_sum(self, x: Array, /) -> Array:
        """Return the sum of the arrays (n,) of all processes."""
        mine, place = self._backend.to_numpy(x), self._place
        rows, number = self._rows(mine), mine.shape[0]
        rows[place.rank] = mine
        place.gather(None)  # all rows are there
        first, end = (number * k // place.size for k in (place.rank, place.rank + 1))
        part = rows[:, first:end]
        np.add(part[0], part[1], out=part[-1])
        for other in part[2:-1]:
            part[-1] += other
        place.gather(None)  # all parts are there
        return self._backend.as_input(rows[-1].copy())

    def _rows(self, like: np.ndarray) -> np.ndarray:
        """Return a row (n,) for each process, and one for the sum.

        Rows stay where they are while the memory does: the one of the sum may be read until all
        have written theirs of the next sum.
        """
        number = self._place.size + 1
        if self._memory is None or len(self._memory) < number * like.nbytes:
            self._memory = _shared_memory(self._place, number * like.nbytes)
        if self._memory is None:
            raise TrainingError(
                f"no room for {number * like.nbytes / 2**20:.0f} MiB that the processes share: "
                f"free some in {' or '.join(_folders())}, or set {SHARED}=0 to leave sums to the "
                "framework"
            )
        whole = np.frombuffer(self._memory, np.uint8).reshape(number, -1)
        rows: np.ndarray = whole[:, : like.nbytes].view(like.dtype)
        return rows


def host_sum(place: Place, mates: int, backend: Backend) -> HostSum | None:
    """Return sums in shared memory; None if that of all processes is not the same.

    Parameters
    ----------
    mates
        Number of processes on this host.
    """
    able = mates == place.size and backend.on_cpu and os.environ.get(SHARED) != "0"
    if not all(place.gather(able)) or _shared_memory(place, mmap.PAGESIZE) is None:
        return None
    return HostSum(place, backend)


def _shared_memory(place: Place, size: int) -> mmap.mmap | None:
    """Return memory of all processes; None if there is no room, or they do not share any.

    The file behind it has no name any more on return, so that nothing is left whatever happens.
    """
    path, file = _made(size) if place.rank == 0 else ("", -1)
    identity = [path, os.fstat(file).st_ino] if path else None
    path, number = place.gather(identity)[0] or ("", 0)
    if place.rank and path:
        file = _opened(path, number)
    found = mmap.mmap(file, size) if file >= 0 else None
    if file >= 0:
        os.close(file)
    all_have = all(place.gather(found is not None))
    if place.rank == 0 and path:
        Path(path).unlink()
    return found if all_have else None


def _folders() -> list[str]:
    return [each for each in (IN_MEMORY, tempfile.gettempdir()) if os.path.isdir(each)]


def _made(size: int) -> tuple[str, int]:
    """Return path and descriptor of a new file; ("", -1) if there is no room."""
    # Without it, a write for which there is no room kills the process. Not on every system.
    allocate: Callable[[int, int, int], None] | None = getattr(os, "posix_fallocate", None)
    if allocate is None:
        return "", -1
    for folder in _folders():
        try:
            file, path = tempfile.mkstemp(prefix="multifit-", dir=folder)
        except OSError:
            continue
        try:
            allocate(file, 0, size)
        except OSError:
            os.close(file)
            Path(path).unlink()
            continue
        return path, file
    return "", -1


def _opened(path: str, number: int) -> int:
    """Return the descriptor of the file of process 0; -1 if another one, or none, is found."""
    try:
        file = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return -1
    if os.fstat(file).st_ino != number:
        os.close(file)
        return -1
    return file

"""Processes of a run as threads of this process, which is quicker than to start some."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

#: Seconds for the slowest thread: on a busy machine others may have the cores for long.
PATIENCE = 300


class Meeting:
    """What the threads of a run have in common.

    Parameters
    ----------
    size
        Number of threads.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.barrier = threading.Barrier(size)
        self.given: list[Any] = [None] * size

    def exchange(self, rank: int, value: Any) -> list[Any]:
        """Return the values of all threads."""
        self.given[rank] = value
        self.barrier.wait(PATIENCE)
        found = list(self.given)
        self.barrier.wait(PATIENCE)
        return found


class Thread:
    """One of them, with the methods of :class:`multifit.distributed.Group`."""

    def __init__(self, meeting: Meeting, rank: int) -> None:
        self.meeting, self.rank, self.size = meeting, rank, meeting.size
        self.mates = meeting.size
        self.remedy = ""
        self.sums = 0

    def gather(self, value: Any) -> list[Any]:
        return [json.loads(text) for text in self.meeting.exchange(self.rank, json.dumps(value))]

    def share(self, value: Any) -> Any:
        return self.gather(value)[0]

    def share_arrays(self, flat: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        found: dict[str, np.ndarray] = self.meeting.exchange(self.rank, dict(flat))[0]
        return {name: x.copy() for name, x in found.items()}

    def sum(self, x: Any) -> Any:
        self.sums += 1
        first, *others = self.meeting.exchange(self.rank, x)
        for other in others:
            first = first + other
        return first

    def remember(self, remedy: str) -> None:
        self.remedy = remedy


def together(size: int, run: Callable[[Any], Any]) -> list[Any]:
    """Return what ``run`` returns or raises in each of the threads; all end if one fails."""
    meeting, found = Meeting(size), [None] * size

    def work(rank: int) -> None:
        try:
            found[rank] = run(Thread(meeting, rank))
        except Exception as exc:
            found[rank] = exc
            meeting.barrier.abort()

    threads = [threading.Thread(target=work, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(2 * PATIENCE)
    return found

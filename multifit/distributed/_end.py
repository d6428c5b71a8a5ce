"""The end of another process: noted at once, told once, and never waited for."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator

from ..errors import TrainingError

#: Seconds after which this process ends by force if another has: its framework may wait for ever.
FORCE = 30.0

#: Seconds in which this process may save its work after the end of another.
WORK = 600.0

#: Seconds in which this process may fail by itself before the reason of another is told.
PATIENCE = 1.0


class PeerError(TrainingError):
    """Another process of the run has ended."""


class End:
    """Record of the end of other processes; several threads may use it.

    Parameters
    ----------
    rank, size
        Of this process.
    """

    def __init__(self, rank: int, size: int) -> None:
        self.rank, self.size = rank, size
        self.expected = False  #: True once all processes have done their work
        self.remedy = ""
        self._ended: dict[int, str] = {}
        self._left: set[int] = set()
        self._told = False
        self._lock, self._news = threading.Lock(), threading.Event()
        self._first_is_gone = threading.Event()
        self._work = threading.Lock()

    def note(self, rank: int, text: str) -> bool:
        """Note that a process has ended, and why if it said so; return False if it is known."""
        with self._lock:
            if rank in self._ended or self.expected:
                return False
            first = not self._ended
            self._ended[rank] = text
        self._news.set()
        if first:
            self._watch()
        return True

    def is_known(self, rank: int) -> bool:
        """Return True if it is known that a process has ended, or ends as it should."""
        return rank in self._ended or rank in self._left

    def said_goodbye(self, rank: int) -> None:
        """Note that a process ends as it should."""
        self._left.add(rank)

    def closed(self, rank: int) -> None:
        """Note that the connection to a process is closed."""
        if rank == 0:
            self._first_is_gone.set()

    def wait_for_first(self) -> None:
        """Wait until process 0 has ended, but not for ever; if this is another."""
        if self.rank:
            self._first_is_gone.wait(FORCE)

    def require_none(self, patience: float = 0.0) -> None:
        """Raise PeerError if a process has ended, or does within these seconds."""
        if self._news.wait(patience) if patience else self._news.is_set():
            raise PeerError(self._sentence())

    def take_over(self) -> bool:
        """Return True if this process is the first to say why the run ends."""
        with self._lock:
            first, self._told = not self._told, True
            return first

    @property
    def _mine(self) -> bool:
        """True if this process tells the user: process 0, or any if that one is gone."""
        return self.rank == 0 or self._ended.get(0) == ""

    def _sentence(self) -> str:
        rank, text = next(iter(self._ended.items()))
        if text:
            return f"process {rank} of {self.size}: {text}{self.remedy}"
        return (
            f"process {rank} of {self.size} has ended without a word: it was killed, ran out of "
            f"memory or lost its host, which its own log or the queue system tells{self.remedy}"
        )

    def _watch(self) -> None:
        """Tell the user, and end this process if it does not end by itself."""
        rank, text = next(iter(self._ended.items()))
        if not text and rank == 0:  # nothing is left to do, and JAX would soon abort with a trace
            self.tell()
            self._force()
        for seconds, act in ((PATIENCE, self.tell), (FORCE, self._force)):
            timer = threading.Timer(seconds, self._after_work, (act,))
            timer.daemon = True
            timer.start()

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Within this context, nothing is told and this process is not ended."""
        with self._work:
            yield

    def _after_work(self, act: Callable[[], None]) -> None:
        if self._work.acquire(timeout=WORK):
            self._work.release()
        act()

    def tell(self) -> None:
        """Print why the run ends, unless it has been said."""
        if not self._mine:
            return
        with self._lock:  # until it is written: another thread may then end the process
            if self._told:
                return
            self._told = True
            who = f"process {self.rank}: " if self.rank else ""
            # Past Python's streams: the thread that holds them may wait for the framework.
            os.write(2, f"multifit: {who}error: {self._sentence()}\n".encode())

    def _force(self) -> None:
        os._exit(2)

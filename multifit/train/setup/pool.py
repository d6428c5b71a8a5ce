"""Entries of all caches of a run, within one limit on their memory."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from enum import IntEnum
from threading import Lock
from typing import Any, NamedTuple


class Worth(IntEnum):
    """How much time an entry saves for its memory.

    For 192 atoms of water, the neighbours of a frame take 3 ms and 0.6 MB; a batch takes 9 ms and
    9 MB.
    """

    BATCH = 0
    FRAME = 1


class _Entry(NamedTuple):
    value: Any
    nbytes: int
    worth: Worth


@dataclass
class Pool:
    """Entries of all caches of a run; threads may share it.

    Frames recur once an epoch, in another order each time. An entry therefore stays until entries
    of a higher worth need its place: dropping the oldest for the newest would lose many just before
    they recur.

    Parameters
    ----------
    limit
        Bytes that all entries may have together; none by default.
    """

    limit: int | None = None
    used: int = 0  #: bytes
    _entries: dict[Hashable, _Entry] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock, repr=False, compare=False)

    def get(self, key: Hashable) -> Any | None:
        """Return an entry's value, None if it is not kept."""
        found = self._entries.get(key)
        return None if found is None else found.value

    def keep(
        self,
        key: Hashable,
        value: Any,
        nbytes: int,
        worth: Worth,
        instead: Hashable = None,
    ) -> bool:
        """Keep a value, if it fits, instead of an earlier one; return whether it is kept.

        Parameters
        ----------
        instead
            Another entry that is not needed any more once the value is kept.
        """
        with self._lock:
            self._drop(key)
            old = self._entries.get(instead)
            if not self._make_room(nbytes - (0 if old is None else old.nbytes), worth):
                return False
            self._drop(instead)
            self._entries[key] = _Entry(value, nbytes, worth)
            self.used += nbytes
            return True

    def _drop(self, key: Hashable) -> None:
        found = self._entries.pop(key, None)
        self.used -= 0 if found is None else found.nbytes

    def _make_room(self, nbytes: int, worth: Worth) -> bool:
        """Drop entries of a lower worth, the newest first, if a new entry then fits."""
        if self.limit is None:
            return True
        over = self.used + nbytes - self.limit
        if over <= 0:
            return True
        lower = [key for key, entry in self._entries.items() if entry.worth < worth]
        if over > sum(self._entries[key].nbytes for key in lower):
            return False
        while over > 0:
            key = lower.pop()
            over -= self._entries[key].nbytes
            self._drop(key)
        return True

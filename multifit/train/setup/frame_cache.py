"""The frames of a source kept between steps, and the limit on their memory."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from ...neighbors.frame import Frame

#: Memory in bytes for frames with neighbours; the oldest are dropped first.
TABLES = 1 << 30

Key = tuple[int, int]  #: system, frame


@dataclass
class FrameCache:
    """Frames, each either with its tables of neighbours or as a batch of one.

    A batch of one frame recurs in the next epoch, and its tables are then not needed.
    Threads may share the object.
    """

    tables_used: int = 0  #: bytes
    batches_used: int = 0
    _tables: OrderedDict[Key, Frame] = field(default_factory=OrderedDict)
    _batches: dict[Key, tuple[Any, int]] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def frame(self, key: Key) -> Frame | None:
        """Return a frame with its tables if it is in the cache."""
        with self._lock:
            known = self._tables.get(key)
            if known is not None:
                self._tables.move_to_end(key)
            return known

    def keep_frame(self, key: Key, frame: Frame) -> None:
        """Keep a frame with its tables."""
        with self._lock:
            self._tables[key] = frame
            self.tables_used += frame.nbytes
            while self.tables_used > TABLES and len(self._tables) > 1:
                self.tables_used -= self._tables.popitem(last=False)[1].nbytes

    def batch(self, key: Key) -> Any | None:
        """Return the batch of a frame if it is kept."""
        known = self._batches.get(key)
        return None if known is None else known[0]

    def keep_batch(self, key: Key, batch: Any, nbytes: int, limit: int) -> None:
        """Keep a batch instead of the frame's older batch or tables, if all batches fit."""
        with self._lock:
            self.batches_used -= self._batches.pop(key, (None, 0))[1]
            if self.batches_used + nbytes > limit:
                return
            self.batches_used += nbytes
            self._batches[key] = batch, nbytes
            frame = self._tables.pop(key, None)
            self.tables_used -= 0 if frame is None else frame.nbytes

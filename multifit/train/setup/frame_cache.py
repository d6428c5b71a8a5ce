"""The frames of a source kept between steps."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ...neighbors.frame import Frame
from .pool import Pool, Worth

Key = tuple[int, int]  #: system, frame


@dataclass(frozen=True)
class FrameCache:
    """Frames, each either with its tables of neighbours or as a batch of one.

    A batch of one frame recurs in the next epoch, and its tables are then not needed.
    Threads may share the object.

    Parameters
    ----------
    pool
        Memory that caches share.
    """

    pool: Pool = field(default_factory=Pool)
    _own: object = field(default_factory=object)  #: tells the entries of this cache from others

    def frame(self, key: Key) -> Frame | None:
        """Return a frame with its tables if it is in the cache."""
        found: Frame | None = self.pool.get((self._own, Worth.FRAME, key))
        return found

    def keep_frame(self, key: Key, frame: Frame) -> None:
        """Keep a frame with its tables if it fits."""
        self.pool.keep((self._own, Worth.FRAME, key), frame, frame.nbytes, Worth.FRAME)

    def batch(self, key: Key) -> Any | None:
        """Return the batch of a frame if it is kept."""
        return self.pool.get((self._own, Worth.BATCH, key))

    def keep_batch(self, key: Key, batch: Any, nbytes: int) -> None:
        """Keep a batch, if it fits, instead of the frame's older batch or tables."""
        tables = (self._own, Worth.FRAME, key)
        self.pool.keep((self._own, Worth.BATCH, key), batch, nbytes, Worth.BATCH, instead=tables)

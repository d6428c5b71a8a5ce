"""The part of the frames that each process of a run reads before its first step."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from ...distributed import Processes

#: A system and some of its frames.
Piece = tuple[int, np.ndarray]


def own_part(pieces: Iterable[Piece], processes: Processes) -> Iterator[Piece]:
    """Yield the pieces of this process: its share of all frames, which follow one another."""
    pieces = list(pieces)
    total, before = sum(frames.size for _, frames in pieces), 0
    first, last = (total * k // processes.size for k in (processes.rank, processes.rank + 1))
    for k, frames in pieces:
        mine = frames[max(first - before, 0) : max(last - before, 0)]
        before += frames.size
        if mine.size:
            yield k, mine

"""The shapes of batches: few of them, for backends that compile for each one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from threading import Lock

import numpy as np

#: Average excess of the batches over their atoms that justifies compiling for one more shape;
#: and the maximum number of planned shapes.
WASTE, MOST = 1.25, 4

#: Different needs considered when planning shapes; beyond that, needs are merged first.
FINEST = 256


@dataclass(frozen=True)
class Shape:
    """The numbers of frames and atoms that a batch has room for."""

    nframes: int
    counts: tuple[int, ...]  #: atoms of each type

    @property
    def natoms(self) -> int:
        """Atoms of all types, to which the time of a step is proportional."""
        return sum(self.counts)

    def holds(self, other: Shape) -> bool:
        """Return True if anything that fits in the other shape fits in this one."""
        enough = all(mine >= its for mine, its in zip(self.counts, other.counts, strict=True))
        return enough and self.nframes >= other.nframes


def union(shapes: Iterable[Shape]) -> Shape:
    """Return the smallest shape that holds all the given ones."""
    found = list(shapes)
    counts = tuple(max(each) for each in zip(*(shape.counts for shape in found), strict=True))
    return Shape(max(shape.nframes for shape in found), counts)


def bucket(n: int) -> int:
    """Return n rounded up to one of a few sizes, at most an eighth more (or 7)."""
    step = max(8, 1 << max(0, n.bit_length() - 4))
    return -(-n // step) * step


@dataclass
class Shapes:
    """The shapes of batches: planned ones, and others added on demand.

    Without ``static`` each batch gets the shape that it needs. Threads may share the object.
    """

    static: bool
    known: list[Shape] = field(default_factory=list)
    _lock: Lock = field(default_factory=Lock, repr=False, compare=False)

    def plan(self, needs: Sequence[Shape], weights: Sequence[float], most: int = MOST) -> None:
        """Choose at most ``most`` shapes for batches that are drawn with these weights."""
        if self.static:
            self.known = planned(needs, weights, most)

    def fit(self, need: Shape) -> Shape:
        """Return the shape for a batch that needs one."""
        if not self.static:
            return need
        with self._lock:
            room = [shape for shape in self.known if shape.holds(need)]
            if not room:
                room = [Shape(need.nframes, tuple(bucket(n) if n else 0 for n in need.counts))]
                self.known += room
        return min(room, key=lambda shape: (shape.natoms, shape.nframes))


def planned(needs: Sequence[Shape], weights: Sequence[float], most: int = MOST) -> list[Shape]:
    """Return the fewest shapes that hold all needs without much waste, at most ``most``.

    Needs are sorted by size and cut into at most that many runs, which minimize the expected number
    of atoms (dynamic programming).
    """
    items = _merged(needs, weights)
    if not items:
        return []
    ideal = sum(weight * shape.natoms for shape, weight in items)
    n = len(items)
    # cost[i][j]: of one shape for items i … j−1.
    shapes = [[items[i][0]] for i in range(n)]
    for i in range(n):
        for j in range(i + 1, n):
            shapes[i].append(union([shapes[i][-1], items[j][0]]))
    total = np.concatenate([[0.0], np.cumsum([weight for _, weight in items])])
    cost = np.full((n + 1, n + 1), np.inf)
    for i in range(n):
        for j in range(i + 1, n + 1):
            cost[i, j] = (total[j] - total[i]) * shapes[i][j - i - 1].natoms
    best, cuts = [cost[0]], []
    while best[-1][n] > WASTE * ideal and len(best) < min(most, n):
        table = best[-1][:, None] + cost
        cuts.append(np.argmin(table, axis=0))
        best.append(np.min(table, axis=0))
    found, end = [], n
    for cut in reversed(cuts):
        start = int(cut[end])
        found.append(shapes[start][end - start - 1])
        end = start
    return [shapes[0][end - 1], *reversed(found)]


def _merged(needs: Sequence[Shape], weights: Sequence[float]) -> list[tuple[Shape, float]]:
    """Return distinct needs with the sums of their weights, from small to large, not too many.

    A need without weight still fits in some shape.
    """
    sums: dict[Shape, float] = {}
    for need, weight in zip(needs, weights, strict=True):
        if need.natoms:
            sums[need] = sums.get(need, 0.0) + weight
    items = sorted(sums.items(), key=lambda item: (item[0].natoms, item[0].counts))
    if len(items) <= FINEST:
        return items
    groups = np.array_split(np.arange(len(items)), FINEST)
    return [
        (union(items[k][0] for k in group), sum(items[k][1] for k in group)) for group in groups
    ]

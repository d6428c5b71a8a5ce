"""Neighbours found once for several models that need the same."""

from __future__ import annotations

from ..neighbors.frame import Frame
from .domain import Domain
from .neighbor_lists import Neighbors, Numbered
from .structure import Structure


class SharedNeighbors:
    """Frames of a source, kept for the other models of an ensemble.

    Structures with the same array of positions are the same, and so are domains with the same list
    of pairs. Everything is kept as long as this object, which therefore serves for a few
    structures only.
    """

    def __init__(self, source: Neighbors) -> None:
        self._source = source
        #: The keys are identities of objects, which the values keep alive.
        self._frames: dict[int, tuple[object, Frame]] = {}
        self._numbered: dict[tuple[int, int], tuple[object, Numbered]] = {}

    def frame(self, s: Structure, skin: float = 0.0) -> Frame:
        """Return a structure with its neighbours; ``skin`` in Å."""
        key = id(s.coord)
        if key not in self._frames:
            self._frames[key] = (s.coord, self._source.frame(s, skin))
        return self._frames[key][1]

    def ordered(self, s: Structure, size: int, skin: float = 0.0) -> Numbered:
        """Return a large structure in the order of its parts; ``size`` in atoms."""
        key = (id(s.coord), size)
        if key not in self._numbered:
            self._numbered[key] = (s.coord, self._source.ordered(s, size, skin))
        return self._numbered[key][1]

    def of_domain(self, d: Domain, size: int) -> Numbered:
        """Return a domain in the order of its parts; ``size`` in atoms."""
        key = (id(d.pairs), size)
        if key not in self._numbered:
            self._numbered[key] = (d.pairs, self._source.of_domain(d, size))
        return self._numbered[key][1]

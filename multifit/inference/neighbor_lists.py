"""Neighbours of structures, searched anew or reused along a trajectory, and those of domains."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import numpy as np

from ..batching import partition
from ..batching.batch import Batcher
from ..errors import DataError
from ..neighbors.frame import Frame, first_type, frame_of_pairs
from ..neighbors.pairs import ordered
from ..neighbors.verlet import VerletList
from .domain import Domain
from .structure import Structure

#: Searches after which the atoms of a large frame are reordered: parts become less compact.
ORDER_LASTS = 20


class Numbered(NamedTuple):
    """A frame in the order of its parts."""

    frame: Frame  #: of real atoms
    edges: np.ndarray  #: part k has the atoms edges[k] … edges[k + 1] − 1 of the frame
    numbers: np.ndarray  #: indices of the frame's atoms and ghosts in the structure or domain


class Neighbors(Protocol):
    """A source of frames: structures and domains with the neighbours of their atoms."""

    def frame(self, s: Structure, skin: float = 0.0) -> Frame:
        """Return a structure with its neighbours; ``skin`` in Å."""
        ...

    def ordered(self, s: Structure, size: int, skin: float = 0.0) -> Numbered:
        """Return a large structure in the order of its parts; ``size`` in atoms."""
        ...

    def of_domain(self, d: Domain, size: int) -> Numbered:
        """Return a domain in the order of its parts; ``size`` in atoms."""
        ...


@dataclass
class _Kept:
    """The list of a trajectory, and the order of its atoms."""

    neighbours: VerletList
    atype: np.ndarray  #: as in the structure, (natoms,)
    size: int  #: of parts, in atoms; 0 for a frame that is not divided
    order: partition.Order | None

    def serves(self, s: Structure, size: int, skin: float) -> bool:
        """Return True if the list is of these atoms, and its order is still good enough."""
        same = self.size == size and self.neighbours.skin == skin
        fresh = self.order is None or self.neighbours.searches < ORDER_LASTS
        return same and fresh and np.array_equal(self.atype, s.atype)


class _Own(threading.local):
    """The list of one thread: two threads follow two trajectories."""

    kept: _Kept | None = None


class NeighborLists:
    """Frames of structures; with a skin, the last neighbour list is reused.

    Each thread has a list of its own.
    """

    def __init__(self, batcher: Batcher) -> None:
        self._batcher = batcher
        self._own = _Own()

    def frame(self, s: Structure, skin: float = 0.0) -> Frame:
        """Return a structure with its neighbours; ``skin`` in Å."""
        if not skin:
            return self._batcher.frame(s.coord, s.cell, s.pbc, s.atype, s.where)
        kept = self._list(s, 0, skin)
        return kept.neighbours.frame(s.coord, s.cell, s.pbc, s.atype, s.where)

    def ordered(self, s: Structure, size: int, skin: float = 0.0) -> Numbered:
        """Return a large structure with its neighbours, in the order of its parts.

        Parameters
        ----------
        size
            Of parts, in atoms.
        """
        find, order = self._batcher.frame, None
        if skin:
            kept = self._list(s, size, skin)
            find, order = kept.neighbours.frame, kept.order
        if order is None:
            order = partition.spatial_order(s.coord, s.cell, s.pbc, s.atype, size)
        atoms = order.atoms
        try:
            found = find(s.coord[atoms], s.cell, s.pbc, s.atype[atoms], s.where)
        except DataError:
            # The same, in the caller's order of atoms.
            self._batcher.frame(s.coord, s.cell, s.pbc, s.atype, s.where)
            raise
        return Numbered(replace(found, first=first_type(s.atype)), order.edges, atoms)

    def of_domain(self, d: Domain, size: int) -> Numbered:
        """Return a domain with its pairs, in the order of its parts.

        Parameters
        ----------
        size
            Of parts, in atoms.
        """
        order = partition.index_order(d.atype[: d.nlocal], size)
        ghosts = d.nlocal + np.flatnonzero(d.atype[d.nlocal :] >= 0)
        numbers = np.concatenate([order.atoms, ghosts])
        b, natoms = self._batcher, len(order.atoms)
        pairs = ordered(d.pairs, numbers, natoms, len(d.atype))
        if b.needs.hops > 1:  # ghosts have neighbours and features, too
            natoms, order = len(numbers), partition.Order(numbers, np.array([0, len(numbers)]))
            pairs = ordered(d.pairs, numbers, natoms, len(d.atype))
        first = first_type(d.atype[: d.nlocal])
        limits = b.rcut, b.sel, b.pair_exclude_types
        found = frame_of_pairs(pairs, d.atype[numbers], *limits, natoms, b.total, first)
        return Numbered(found, order.edges, numbers)

    def _list(self, s: Structure, size: int, skin: float) -> _Kept:
        """Return the kept list, or a new one if it does not apply."""
        kept = self._own.kept
        if kept is None or not kept.serves(s, size, skin):
            b = self._batcher
            self._own.kept = None  # two lists of a large frame may not fit
            order = partition.spatial_order(s.coord, s.cell, s.pbc, s.atype, size) if size else None
            made = VerletList(b.rcut, b.sel, b.pair_exclude_types, skin, b.total)
            kept = self._own.kept = _Kept(made, s.atype.copy(), size, order)
        return kept

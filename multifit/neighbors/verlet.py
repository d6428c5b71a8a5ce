"""Neighbours along a trajectory: a list is reused until atoms have moved by half a skin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from .frame import Frame, frame_of_pairs, real_atoms, real_pairs
from .search import Candidates, Positions, search

#: Largest change of the shift between two atoms when both cross a face of the cell, in cells.
CROSSINGS = 2


@dataclass(frozen=True)
class _Search:
    """The result of a search, and the positions it was made for."""

    reach: float  #: range of the search, Å
    atype: np.ndarray
    atoms: Positions
    found: Candidates

    def again(self, atype: np.ndarray, atoms: Positions, rcut: float) -> Candidates | None:
        """Return the pairs that may be close now, or None if the list may be incomplete."""
        before = self.atoms
        if not np.array_equal(atype, self.atype):
            return None
        if not np.array_equal(atoms.periodic, before.periodic):
            return None
        start, stretch = before.coord, 1.0
        if not np.array_equal(atoms.cell, before.cell):
            deformed = np.linalg.solve(before.cell, atoms.cell)
            start = start @ deformed
            stretch = float(np.linalg.norm(np.linalg.inv(deformed), 2))
        moved = atoms.coord - start
        crossed = np.rint(moved @ np.linalg.inv(atoms.cell)) * atoms.periodic
        if crossed.any():
            moved = moved - crossed @ atoms.cell
        farthest = float(np.sqrt((moved * moved).sum(axis=1).max(initial=0.0)))
        largest = max(np.abs(x).max(initial=0.0) for x in (atoms.coord, atoms.cell, start))
        rounding = 1e-9 * rcut + 64 * float(np.spacing(largest))
        if stretch * (rcut + 2.0 * farthest) + rounding >= self.reach:
            return None
        if not crossed.any():
            return self.found
        # An atom that crossed a face is now the image beyond the opposite one.
        step = (crossed.astype(np.int64) @ self.found.strides).astype(np.int32)
        code = self.found.code + np.take(step, self.found.i)
        code -= np.take(step, self.found.j)
        return replace(self.found, code=code)


def _with_room(found: Candidates, atoms: Positions) -> Candidates:
    """Return the same pairs, with codes that allow for shifts of atoms that leave the cell."""
    wider = replace(found, reach=found.reach + CROSSINGS * atoms.periodic)
    every = found.shift(np.arange(np.prod(2 * found.reach + 1)))
    code = ((every + wider.reach) @ wider.strides).astype(np.int32)
    return replace(wider, code=np.take(code, found.code))


@dataclass
class VerletList:
    """The frames of a trajectory, equal to those of :func:`multifit.neighbors.frame.frame`.

    Pairs are searched up to ``rcut + skin``, and the list is reused as long as no pair outside it
    can be closer than ``rcut``: types, periodicity and the number of atoms are unchanged,
    and, with u the largest displacement of an atom relative to the cell and F the deformation
    of the cell since the search, ‖F⁻¹‖ (rcut + 2 u) < rcut + skin. In a fixed cell this is
    u < skin/2. Atoms may leave the cell, and the caller may or may not move them back.

    Parameters
    ----------
    rcut
        Cutoff in Å.
    sel
        Maximum number of neighbours of each type; the nearest are kept.
    exclude_pairs
        Pairs of types that do not interact.
    skin
        Distance added to the cutoff in the search, in Å.
    total
        Maximum number of neighbours of all types; the nearest are kept.

    Examples
    --------
    >>> neighbours = VerletList(6.0, sel=(46, 92), skin=1.0)
    >>> one = neighbours.frame([[0, 0, 0], [0, 0, 1]], None, [False] * 3, [0, 1])
    >>> two = neighbours.frame([[0, 0, 0], [0, 0, 1.1]], None, [False] * 3, [0, 1])
    >>> neighbours.searches, neighbours.reuses
    (1, 1)
    """

    rcut: float
    sel: Sequence[int]
    exclude_pairs: Sequence[tuple[int, int]] = ()
    skin: float = 1.0
    total: int | None = None
    searches: int = field(default=0, init=False)  #: frames for which pairs were searched
    reuses: int = field(default=0, init=False)  #: frames for which the list was reused
    _last: _Search | None = field(default=None, init=False, repr=False)

    def frame(
        self,
        coord: np.ndarray,
        cell: np.ndarray | None,
        pbc: Sequence[bool],
        atype: np.ndarray,
        where: str = "",
    ) -> Frame:
        """Return a frame with its neighbours, as :func:`multifit.neighbors.frame.frame` does.

        Raises
        ------
        DataError
            As :func:`multifit.neighbors.search.find_pairs` does.
        """
        atype, real, atoms = real_atoms(coord, cell, pbc, atype, where)
        pairs = self._last.again(atype, atoms, self.rcut) if self._last else None
        if pairs is None:
            self._last = None  # nothing is kept of an invalid frame
            found = _with_room(search(atoms, self.rcut + self.skin, where), atoms)
            self._last = _Search(self.rcut + self.skin, atype.copy(), atoms, found)
            self.searches += 1
            pairs = found
        else:
            self.reuses += 1
        vectors = real_pairs(atoms, pairs, real, where)
        return frame_of_pairs(
            vectors, atype, self.rcut, self.sel, self.exclude_pairs, total=self.total
        )

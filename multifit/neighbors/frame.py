"""One frame and its neighbours, cut at ``sel``: the unit that batches consist of.

Pairs come from the package's own search (:func:`frame`, :mod:`multifit.neighbors.verlet`) or from a
simulation engine (:mod:`multifit.neighbors.pairs`); :func:`frame_of_pairs` accepts both.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from .cut import Part, columns, counts_of, joined, rows, within, within_total
from .requirements import Requirements
from .search import Candidates, Measured, Positions, measured, positions, search


class Columns(NamedTuple):
    """Columns of the pairs of a table: near and other pairs have separate columns."""

    near: np.ndarray  #: True for near pairs, (npairs,)
    col: np.ndarray  #: column of the pair among the near, or other, pairs of its centre, (npairs,)
    widths: tuple[int, int]  #: numbers of columns for near pairs, and for the others


class PairTable(NamedTuple):
    """The pairs that end at atoms of one type, sorted by (i, j, shift): not by distance."""

    i: np.ndarray  #: the centre, (npairs,)
    col: np.ndarray  #: position of j among the neighbours of i, (npairs,)
    j: np.ndarray  #: the neighbour, (npairs,)
    rij: np.ndarray  #: Å, (npairs, 3); its transpose is contiguous

    def columns(self, inner: float) -> Columns:
        """Return the columns of pairs nearer than ``inner`` (Å) and of the others."""
        x, y, z = self.rij.T
        near = x * x + y * y + z * z < inner * inner
        if not near.any():
            return Columns(near, self.col, (0, int(self.col.max(initial=-1)) + 1))
        first = np.flatnonzero(self.col == 0)
        before = np.cumsum(near, dtype=self.col.dtype) - near
        count, number = counts_of(first, near.size), np.add.reduceat(near, first, dtype=np.int64)
        rank = before - np.repeat(before[first], count)
        widths = (int(number.max()), int((count - number).max()))
        return Columns(near, np.where(near, rank, self.col - rank), widths)


@dataclass(frozen=True)
class Frame:
    """One frame, ready to be added to a batch.

    Pairs start at its own atoms. They end at these or, in a part of a larger system, at ghosts,
    whose numbers follow those of the atoms.
    """

    atype: np.ndarray  #: (natoms,); −1 is a virtual atom
    tables: dict[int, PairTable]  #: by the type of the neighbours, if present
    nearest: np.ndarray  #: smallest distance between two types in Å, ∞ for none, (ntypes, ntypes)
    dropped: int = 0  #: pairs left out because of ``sel``
    fullest: tuple[int, ...] = ()  #: the most neighbours of each type around one atom, uncut
    nghost: int = 0  #: ghosts at which pairs may end
    together: int = 0  #: the most neighbours around one atom, uncut, if there is a limit of them
    first: int | None = None  #: type of the first atom of the whole, of which this is a part

    @property
    def nbytes(self) -> int:
        """Size of the tables in memory, for caches."""
        return sum(array.nbytes for table in self.tables.values() for array in table)

    def most_within(self, radius: float) -> int:
        """Return the most neighbours nearer than a radius in Å around one atom."""
        number = np.zeros(len(self.atype), dtype=np.int64)
        for table in self.tables.values():
            x, y, z = table.rij.T
            near = x * x + y * y + z * z < radius * radius
            number += np.bincount(table.i[near], minlength=len(number))
        return int(number.max(initial=0))

    @property
    def first_type(self) -> int:
        """Type of the first atom of the whole frame that is not virtual."""
        if self.first is not None:
            return self.first
        return first_type(self.atype)


def first_type(atype: np.ndarray) -> int:
    """Return the type of the first atom that is not virtual."""
    real = atype[atype >= 0]
    return int(real[0]) if real.size else 0


def frame(
    coord: np.ndarray,
    cell: np.ndarray | None,
    pbc: Sequence[bool],
    atype: np.ndarray,
    rcut: float,
    sel: Sequence[int],
    exclude_pairs: Sequence[tuple[int, int]] = (),
    where: str = "",
    total: int | None = None,
) -> Frame:
    """Return a frame with its neighbours.

    Parameters
    ----------
    coord
        (natoms, 3) in Å.
    cell
        (3, 3) in Å, or None.
    atype
        (natoms,); −1 is a virtual atom, which has no pairs.
    rcut
        Cutoff in Å.
    sel
        Maximum number of neighbours of each type; the nearest are kept.
    exclude_pairs
        Pairs of types that do not interact.
    where
        Name of the frame in error messages.
    total
        Maximum number of neighbours of all types; the nearest are kept.

    Raises
    ------
    DataError
        As :func:`multifit.neighbors.search.find_pairs` does.
    """
    atype, real, atoms = real_atoms(coord, cell, pbc, atype, where)
    pairs = real_pairs(atoms, search(atoms, rcut, where), real, where)
    return frame_of_pairs(pairs, atype, rcut, sel, exclude_pairs, total=total)


def real_atoms(
    coord: np.ndarray,
    cell: np.ndarray | None,
    pbc: Sequence[bool],
    atype: np.ndarray,
    where: str = "",
) -> tuple[np.ndarray, np.ndarray, Positions]:
    """Return the types, a mask of the real atoms, and their indices."""
    atype = np.asarray(atype, dtype=np.int64)
    real = np.flatnonzero(atype >= 0)
    if real.size < atype.size:
        coord = np.asarray(coord)[real]
    return atype, real, positions(coord, cell, pbc, where)


def real_pairs(
    atoms: Positions, candidates: Candidates, real: np.ndarray, where: str = ""
) -> Iterator[Measured]:
    """Return the vectors of candidates, with the indices of real atoms among all atoms.

    Parameters
    ----------
    atoms, candidates, where
        As for :func:`multifit.neighbors.search.measured`.
    real
        Indices of the real atoms, (nreal,), ascending.
    """
    found = measured(atoms, candidates, where)
    if not real.size or real[-1] == real.size - 1:
        return found
    return (part._replace(i=np.take(real, part.i), j=np.take(real, part.j)) for part in found)


def frame_of_pairs(
    pairs: Iterable[Measured],
    atype: np.ndarray,
    rcut: float,
    sel: Sequence[int],
    exclude_pairs: Sequence[tuple[int, int]] = (),
    natoms: int | None = None,
    total: int | None = None,
    first: int | None = None,
) -> Frame:
    """Return the frame of given pairs: those within the cutoff, of which ``sel`` are kept.

    Parameters
    ----------
    pairs
        Part by part, sorted by centre, so that two parts share at most the centre at their
        boundary. Pairs beyond the cutoff are allowed, those of virtual atoms are not.
    atype
        Of the frame's atoms and then of its ghosts, (natoms + nghost,).
    rcut
        Cutoff in Å.
    sel
        Maximum number of neighbours of each type; the nearest are kept, and of two at equal
        distance, the first.
    exclude_pairs
        Pairs of types that do not interact.
    natoms
        Number of atoms that are not ghosts; all by default.
    total
        Maximum number of neighbours of all types; the nearest are kept.
    first
        Type of the first atom of the whole, if this is a part of it.
    """
    natoms = len(atype) if natoms is None else natoms
    kinds = atype.astype(np.int16)
    found = _by_type(pairs, kinds, rcut, len(sel), exclude_pairs)
    nearest = np.full((len(sel), len(sel)), np.inf)
    fullest, counts = [0] * len(sel), {}
    before = sum(one[0].size for one in found.values())
    for b, one in found.items():
        begin, counts[b] = rows(one[0])
        np.minimum.at(nearest[:, b], kinds[one[0][begin]], np.minimum.reduceat(one[3], begin))
        fullest[b] = int(counts[b].max())
    tables, together = _cut(found, counts, natoms, sel, total)
    dropped = before - sum(table.i.size for table in tables.values())
    nghost = len(atype) - natoms
    return Frame(atype[:natoms], tables, nearest, dropped, tuple(fullest), nghost, together, first)


def for_part(frame: Frame, whole: Requirements, part: Requirements) -> Frame:
    """Return a frame with the neighbours that a part of a descriptor needs.

    Parameters
    ----------
    frame
        As the whole descriptor needs it.

    Notes
    -----
    ``dropped`` and ``fullest`` of a part with a smaller cutoff do not count what the whole has left
    out; then a part with the largest cutoff counts it.
    """
    if part.same_pairs(whole):
        return frame
    found: dict[int, Part] = {}
    counts, fullest = {}, [0] * len(part.sel)
    for b, table in frame.tables.items():
        x, y, z = rij = table.rij.T
        distance = np.sqrt(x * x + y * y + z * z)
        here = np.flatnonzero(distance < part.rcut)
        if here.size:
            found[b] = (
                *(np.take(table.i, here), np.take(table.j, here)),
                *(np.take(rij, here, axis=1), np.take(distance, here)),
            )
            counts[b] = rows(found[b][0])[1]
            fullest[b] = int(counts[b].max())
    before = sum(one[0].size for one in found.values())
    tables, together = _cut(found, counts, len(frame.atype), part.sel, part.total)
    dropped = before - sum(table.i.size for table in tables.values())
    if part.rcut == whole.rcut:  # what the whole has left out counts, too
        fullest, dropped = list(frame.fullest), dropped + frame.dropped
        together = max(together, *fullest) if part.total is not None else 0
    return replace(
        frame,
        tables=tables,
        nearest=np.where(frame.nearest < part.rcut, frame.nearest, np.inf),
        dropped=dropped,
        fullest=tuple(fullest),
        together=together,
    )


def for_parts(
    frames: Sequence[Frame], whole: Requirements, parts: Sequence[Requirements]
) -> Iterator[Sequence[Frame]]:
    """Yield frames with the neighbours that each part needs: as :func:`for_part`, of each once."""
    known: list[tuple[Requirements, Sequence[Frame]]] = []
    for part in parts:
        own = next((made for other, made in known if other.same_pairs(part)), None)
        if own is None:
            own = [for_part(frame, whole, part) for frame in frames]
            known.append((part, own))
        yield own


def _cut(
    found: dict[int, Part],
    counts: dict[int, np.ndarray],
    natoms: int,
    sel: Sequence[int],
    total: int | None,
) -> tuple[dict[int, PairTable], int]:
    """Return the tables of the pairs that count, and the most of all types around one atom.

    Parameters
    ----------
    counts
        The number of pairs of each centre that has some, by the type of the neighbour.
    """
    together = 0
    if total is not None:
        found, together = within_total(found, natoms, total)
        found = {b: one for b, one in found.items() if one[0].size}
        counts = {b: rows(one[0])[1] for b, one in found.items()}
    tables = {}
    for b, one in found.items():
        i, j, rij, _ = within(one, counts[b], sel[b])
        if i.size:
            tables[b] = PairTable(i, columns(np.minimum(counts[b], sel[b])), j, rij.T)
    return tables, together


def _by_type(
    pairs: Iterable[Measured],
    kinds: np.ndarray,
    rcut: float,
    ntypes: int,
    exclude_pairs: Sequence[tuple[int, int]],
) -> dict[int, Part]:
    """Return the pairs within the cutoff that interact, by the type of the neighbour."""
    seen = np.ones((ntypes, ntypes), dtype=bool)
    for a, b in exclude_pairs:
        seen[a, b] = seen[b, a] = False
    parts: list[list[Part]] = [[] for _ in range(ntypes)]
    for i, j, rij, distance in pairs:
        tj = np.take(kinds, j)
        near = distance < rcut
        if not seen.all():
            near &= seen[np.take(kinds, i), tj]
        for b in range(ntypes):
            here = np.flatnonzero(near & (tj == b))
            if here.size:
                ci, cj = (np.take(x, here).astype(np.int32) for x in (i, j))
                parts[b].append((ci, cj, np.take(rij, here, axis=1), np.take(distance, here)))
    found = {}
    for b in range(ntypes):
        if parts[b]:
            found[b], parts[b] = joined(parts[b]), []
    return found

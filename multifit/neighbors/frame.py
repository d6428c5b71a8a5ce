"""One frame and its neighbours, cut at ``sel``: the unit that batches consist of.

Pairs come from the package's own search (:func:`frame`, :mod:`multifit.neighbors.verlet`) or from a
simulation engine (:mod:`multifit.neighbors.pairs`); :func:`frame_of_pairs` accepts both.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np

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
        count, number = _counts(first, near.size), np.add.reduceat(near, first, dtype=np.int64)
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
    fullest, together = [0] * len(sel), 0
    counts, before = {}, sum(one[0].size for one in found.values())
    for b, one in found.items():
        begin, counts[b] = _rows(one[0])
        np.minimum.at(nearest[:, b], kinds[one[0][begin]], np.minimum.reduceat(one[3], begin))
        fullest[b] = int(counts[b].max())
    if total is not None:
        found, together = _within_total(found, natoms, total)
        counts = {b: _rows(one[0])[1] for b, one in found.items()}
    tables = {}
    for b, one in found.items():
        i, j, rij, _ = _within(one, counts[b], sel[b])
        if i.size:
            tables[b] = PairTable(i, _columns(np.minimum(counts[b], sel[b])), j, rij.T)
    dropped = before - sum(table.i.size for table in tables.values())
    nghost = len(atype) - natoms
    return Frame(atype[:natoms], tables, nearest, dropped, tuple(fullest), nghost, together, first)


def _by_type(
    pairs: Iterable[Measured],
    kinds: np.ndarray,
    rcut: float,
    ntypes: int,
    exclude_pairs: Sequence[tuple[int, int]],
) -> dict[int, _Part]:
    """Return the pairs within the cutoff that interact, by the type of the neighbour."""
    seen = np.ones((ntypes, ntypes), dtype=bool)
    for a, b in exclude_pairs:
        seen[a, b] = seen[b, a] = False
    parts: list[list[_Part]] = [[] for _ in range(ntypes)]
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
            found[b], parts[b] = _joined(parts[b]), []
    return found


#: i, j, rij (3, n), distance of pairs sorted by i.
_Part: TypeAlias = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def _joined(parts: list[_Part]) -> _Part:
    """Return the parts as one."""
    if len(parts) == 1:
        return parts[0]
    i, j, rij, distance = (np.concatenate(part, axis=-1) for part in zip(*parts, strict=True))
    return i, j, rij, distance


def _rows(i: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the first pair of each centre, and the number of its pairs."""
    new = np.ones(i.size, dtype=bool)
    np.not_equal(i[1:], i[:-1], out=new[1:])
    first = np.flatnonzero(new)
    return first, _counts(first, i.size)


def _counts(first: np.ndarray, total: int) -> np.ndarray:
    """Return the number of elements from each of the first ones to the next, or to the end."""
    count = np.empty_like(first)
    np.subtract(first[1:], first[:-1], out=count[:-1])
    count[-1] = total - first[-1]
    return count


def _within(pairs: _Part, count: np.ndarray, sel: int) -> _Part:
    """Return the pairs without those of a centre that are farther than its ``sel`` nearest ones.

    Of two at equal distance, the first is kept.
    """
    full = count > sel
    if not full.any():
        return pairs
    crowded = np.flatnonzero(np.repeat(full, count))
    # Already sorted by centre: the places of a centre's pairs remain its own.
    order = np.lexsort((pairs[3][crowded], np.repeat(np.arange(count.size), count)[crowded]))
    rank = _columns(count[full])
    keep = np.ones(pairs[0].size, dtype=bool)
    keep[crowded[order[rank >= sel]]] = False
    kept = np.flatnonzero(keep)
    i, j, rij, distance = (np.take(x, kept, axis=-1) for x in pairs)
    return i, j, rij, distance


def _within_total(found: dict[int, _Part], natoms: int, total: int) -> tuple[dict[int, _Part], int]:
    """Return the pairs of each type that are among the ``total`` nearest of their centre.

    The second result is the most neighbours that a centre has, before this cut.
    """
    number = np.zeros(natoms, dtype=np.int64)
    for one in found.values():
        number += np.bincount(one[0], minlength=natoms)
    full = number > total
    if full.any():
        crowded = {b: np.flatnonzero(full[one[0]]) for b, one in found.items()}
        centre = np.concatenate([found[b][0][here] for b, here in crowded.items()])
        distance = np.concatenate([found[b][3][here] for b, here in crowded.items()])
        order = np.lexsort((distance, centre))
        beyond = np.zeros(len(order), dtype=bool)
        beyond[order] = _columns(number[full]) >= total
        ends = np.cumsum([len(here) for here in crowded.values()])[:-1]
        for (b, here), lost in zip(crowded.items(), np.split(beyond, ends), strict=True):
            keep = np.ones(found[b][0].size, dtype=bool)
            keep[here[lost]] = False
            i, j, rij, far = (np.compress(keep, x, axis=-1) for x in found[b])
            found[b] = (i, j, rij, far)
    return found, int(number.max(initial=0))


def _columns(count: np.ndarray) -> np.ndarray:
    """Return 0, 1, … (count[0] of them), 0, 1, … (count[1]), … in one array, int32."""
    start = (np.cumsum(count) - count).astype(np.int32)
    columns: np.ndarray = np.arange(count.sum(), dtype=np.int32) - np.repeat(start, count)
    return columns

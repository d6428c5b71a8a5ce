"""Pairs given by simulation engines: checked and sorted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from ..errors import DataError
from . import search
from .arguments import numbers
from .cells import ranges
from .search import TOO_CLOSE, Measured


class PairList(NamedTuple):
    """Pairs of atoms of a domain, in any order."""

    rij: np.ndarray  #: from centre to neighbour, Å, float64, (npairs, 3)
    i: np.ndarray  #: centre, integers, (npairs,)
    j: np.ndarray  #: neighbour, integers, (npairs,)


def pair_list(rij: Any, i: Any, j: Any, nlocal: int, nall: int, hops: int = 1) -> PairList:
    """Return the pairs as arrays of known type and shape, checked.

    Parameters
    ----------
    rij, i, j
        As in :class:`PairList`, of any precision.
    nlocal, nall
        Number of local atoms, and of local atoms and ghosts together.
    hops
        Rounds of message passing of a model. With more than one, ghosts have relevant
        neighbours, and are centres, too.

    Raises
    ------
    DataError
        If shapes do not fit, an index is not an integer or out of range, or a vector is not finite
        (which pair).
    """
    vectors = numbers("rij", rij)
    if vectors.ndim != 2 or vectors.shape[1] != 3:
        raise DataError(f"rij has the shape {vectors.shape}, but must have (npairs, 3)")
    ncentres, who = (nlocal, "local atoms") if hops == 1 else (nall, "local atoms and ghosts")
    found = PairList(
        vectors,
        _indices("i", i, len(vectors), ncentres, f"centres are the {ncentres} {who}"),
        _indices("j", j, len(vectors), nall, f"there are {nall} local atoms and ghosts"),
    )
    if not np.isfinite(vectors).all():
        k = int(np.flatnonzero(~np.isfinite(vectors).all(axis=1))[0])
        vector = vectors[k].tolist()
        raise DataError(f"{_pair(found, k)} has the vector {vector}, which is not finite")
    return found


def _indices(name: str, given: Any, npairs: int, n: int, why: str) -> np.ndarray:
    """Return integers that NumPy can index with, (npairs,), each at least 0 and below n."""
    try:
        index = np.asarray(given)
    except ValueError as exc:
        raise DataError(f"{name} must be integers, one for each pair") from exc
    if index.size == 0 and index.dtype.kind == "f":  # an empty list
        index = index.astype(np.int64)
    if index.dtype.kind not in "iu":
        raise DataError(f"{name} must be integers, but its dtype is {index.dtype}")
    if index.shape != (npairs,):
        raise DataError(f"{name} has the shape {index.shape}, but rij has {npairs} pairs")
    if npairs and not (index.min() >= 0 and index.max() < n):
        k = int(np.flatnonzero((index < 0) | (index >= n))[0])
        raise DataError(f"pair {k} has {name} = {index[k]}, but {why}; count from 0")
    return index.astype(np.int64) if index.dtype == np.uint64 else index


def ordered(pairs: PairList, atoms: np.ndarray, natoms: int, nall: int) -> Iterator[Measured]:
    """Return the pairs of some atoms, part by part, sorted by centre in the order of these atoms.

    Parameters
    ----------
    pairs
        From :func:`pair_list`.
    atoms
        The atoms and then the ghosts of a frame, as indices of the pairs, (n,); pairs with any
        other are left out.
    natoms
        Number of centres among them.
    nall
        Number of atoms that the pairs refer to.

    Returns
    -------
    iterator
        For :func:`multifit.neighbors.frame.frame_of_pairs`: i and j index ``atoms``. The order of
        the pairs of a centre is kept.

    Raises
    ------
    DataError
        If two atoms of a pair are at the same place.
    """
    place = np.full(nall, -1)
    place[atoms] = np.arange(len(atoms))
    i = pairs.i
    by_centre = None if (i[1:] >= i[:-1]).all() else np.argsort(i, kind="stable")
    counts = np.bincount(i, minlength=nall)
    start = (np.cumsum(counts) - counts)[atoms[:natoms]]
    counts = counts[atoms[:natoms]]
    for first, last in _spans(counts):
        count = counts[first:last]
        rows = ranges(start[first:last], count)
        if by_centre is not None:
            rows = by_centre[rows]
        centre, end = np.repeat(np.arange(first, last), count), place[pairs.j[rows]]
        if end.min(initial=0) < 0:
            known = np.flatnonzero(end >= 0)
            rows, centre, end = rows[known], centre[known], end[known]
        rij = np.ascontiguousarray(np.take(pairs.rij, rows, axis=0).T)
        with np.errstate(over="ignore"):  # infinite distances are beyond the cutoff
            distance = np.sqrt(rij[0] * rij[0] + rij[1] * rij[1] + rij[2] * rij[2])
        if distance.min(initial=np.inf) < TOO_CLOSE:
            k = int(rows[distance.argmin()])
            raise DataError(
                f"{_pair(pairs, k)} has the length {distance.min():.1e} Å: two atoms are at the "
                "same place, or an atom is its own neighbour; remove it"
            )
        yield Measured(centre, end, rij, distance)


def _spans(counts: np.ndarray) -> Iterator[tuple[int, int]]:
    """Return the first and last + 1 of centres, for a bounded number of pairs at once."""
    bound = np.cumsum(counts)
    first = 0
    while first < len(counts):
        before = int(bound[first - 1]) if first else 0
        last = int(np.searchsorted(bound, before + search.CHUNK, side="right"))
        last = max(last, first + 1)
        yield first, last
        first = last


def _pair(pairs: PairList, k: int) -> str:
    return f"pair {k}, from atom {pairs.i[k]} to atom {pairs.j[k]},"

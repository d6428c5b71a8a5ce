"""Large frames in parts: atoms evaluated together, and their ghosts.

All parts have the same numbers of atoms of each type, even in an inhomogeneous frame: the atoms of
each type are ordered so that those near each other in space are near each other in the list, and
part k takes the k-th part of every type. A part is a subdomain: its atoms, and as ghosts those
outside at which its pairs end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..neighbors.frame import Frame, PairTable
from ..neighbors.lattice import complete_cell

#: Percentiles that bound the parts: outliers beyond them do not stretch the cells.
INNER = (5.0, 95.0)


class Order(NamedTuple):
    """The real atoms of a frame, part by part, and by type within a part."""

    atoms: np.ndarray  #: indices in the frame, (n,)
    edges: np.ndarray  #: part k has the atoms edges[k] … edges[k + 1] − 1 of the order


class Subdomain(NamedTuple):
    """A part of a frame."""

    frame: Frame  #: its atoms, and the pairs that start at them
    ghosts: np.ndarray  #: indices in the whole frame of the atoms outside at which pairs end


def spatial_order(
    coord: np.ndarray, cell: np.ndarray | None, pbc: Sequence[bool], atype: np.ndarray, size: int
) -> Order:
    """Return the order for evaluating a large frame, at most about ``size`` atoms at once.

    Parameters
    ----------
    coord
        (natoms, 3) in Å, inside the cell or not.
    cell
        (3, 3) in Å, or None.
    atype
        (natoms,); −1 is a virtual atom, which belongs to no part.
    """
    real = np.flatnonzero(atype >= 0)
    number = _number(len(real), size)
    points = _points(np.asarray(coord, dtype=np.float64)[real], cell, np.asarray(pbc, dtype=bool))
    cuts = _cuts(points, number)
    kinds = [np.flatnonzero(atype[real] == a) for a in np.unique(atype[real])]
    return _in_parts([real[mine[_tiled(points[mine], cuts)]] for mine in kinds], number)


def index_order(atype: np.ndarray, size: int) -> Order:
    """Return the order for atoms of unknown positions, close in space if their indices are close.

    Simulation engines number them so. Otherwise parts have more ghosts, at little cost.

    Parameters
    ----------
    atype
        (natoms,); −1 is a virtual atom, which belongs to no part.
    """
    kinds = [np.flatnonzero(atype == a) for a in np.unique(atype[atype >= 0])]
    return _in_parts(kinds, _number(sum(map(len, kinds)), size))


def _number(natoms: int, size: int) -> int:
    """Return the number of parts."""
    return max(1, -(-natoms // size))


def _in_parts(kinds: Sequence[np.ndarray], number: int) -> Order:
    """Return the order of parts that each take their share of the atoms of each type."""
    if not kinds:
        return Order(np.zeros(0, dtype=np.int64), np.zeros(number + 1, dtype=np.int64))
    part = np.concatenate([np.arange(len(mine)) * number // len(mine) for mine in kinds])
    edges = np.concatenate([[0], np.cumsum(np.bincount(part, minlength=number))])
    return Order(np.concatenate(kinds)[np.argsort(part, kind="stable")], edges)


def _points(coord: np.ndarray, cell: np.ndarray | None, periodic: np.ndarray) -> np.ndarray:
    """Return coordinates along the lattice vectors in Å, of atoms moved into the cell.

    Non-finite or singular values are reported by the neighbour search.
    """
    box = complete_cell(np.eye(3) if cell is None else np.asarray(cell, dtype=float), periodic)
    if not np.isfinite(coord).all() or not abs(np.linalg.det(box)) > 0:
        return np.zeros_like(coord)
    parts = coord @ np.linalg.inv(box)
    parts[:, periodic] -= np.floor(parts[:, periodic])
    return np.asarray(parts * np.linalg.norm(box, axis=1))


def _cuts(points: np.ndarray, number: int) -> list[tuple[int, int]]:
    """Return the axes from the longest to the shortest, and the number of cuts along each."""
    if not len(points):
        return []
    length = np.maximum(np.subtract(*np.percentile(points, INNER[::-1], axis=0)), 1e-3)
    edge = (length.prod() / number) ** (1 / 3)
    parts = np.clip(np.rint(length / edge), 1, number).astype(np.int64)
    return [(int(axis), int(parts[axis])) for axis in np.argsort(-length, kind="stable")]


def _tiled(points: np.ndarray, cuts: Sequence[tuple[int, int]]) -> np.ndarray:
    """Return an order of points (n, 3) in which every run of some length is a compact region.

    They are sorted along one axis and cut into slabs of equal number, each of which is sorted along
    the next axis and cut into columns, each of which is sorted along the last.
    """
    order, group = np.arange(len(points)), np.zeros(len(points), dtype=np.int64)
    for axis, parts in cuts:
        order = np.lexsort((points[:, axis], group))
        sizes = np.bincount(group)
        own = group[order]
        rank = np.arange(len(points)) - (np.cumsum(sizes) - sizes)[own]
        group[order] = own * parts + rank * parts // sizes[own]
    return order


def subdomain(frame: Frame, start: int, stop: int) -> Subdomain:
    """Return the atoms start … stop − 1 of a frame; of the tables only ``j`` is copied."""
    spans = {b: slice(*np.searchsorted(t.i, (start, stop))) for b, t in frame.tables.items()}
    outside = np.zeros(len(frame.atype) + frame.nghost, dtype=bool)
    for b, span in spans.items():
        outside[frame.tables[b].j[span]] = True
    outside[start:stop] = False
    ghosts = np.flatnonzero(outside)
    place = np.zeros(len(outside), dtype=np.int64)
    place[start:stop] = np.arange(stop - start)
    place[ghosts] = stop - start + np.arange(len(ghosts))
    tables = {}
    for b, span in spans.items():
        t = frame.tables[b]
        tables[b] = PairTable(t.i[span] - start, t.col[span], place[t.j[span]], t.rij[span])
    own, first = frame.atype[start:stop], frame.first_type
    part = Frame(own, tables, frame.nearest, nghost=len(ghosts), first=first)
    return Subdomain(part, ghosts)

"""Large frames in pieces: which atoms go through the networks together, and what they need.

All pieces have the same numbers of atoms of each type, whether the frame is the same everywhere or
not: the atoms of each type are put into an order in which those that are near each other in space
are near each other in the list, and piece k takes the k-th part of every type.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..neighbors.cells import complete_cell
from ..neighbors.frame import Frame, PairTable

#: Parts of the atoms, in percent, beyond which those that flew away are: they do not stretch cells.
INNER = (5.0, 95.0)


class Order(NamedTuple):
    """The real atoms of a frame, piece by piece, and by type within a piece."""

    atoms: np.ndarray  #: their numbers in the frame, (n,)
    edges: np.ndarray  #: piece k has the atoms edges[k] … edges[k + 1] − 1 of the order
    natoms: int  #: atoms of the frame, virtual ones too

    def gather(self, values: np.ndarray) -> np.ndarray:
        """Return (natoms, …) as in the frame from (n, …) in this order; virtual atoms are zero."""
        found = np.zeros((self.natoms, *values.shape[1:]), dtype=values.dtype)
        found[self.atoms] = values
        return found


class Subdomain(NamedTuple):
    """A part of a frame, with neighbours that may be outside."""

    frame: Frame  #: j ≥ number of its atoms: others[j − number]
    others: np.ndarray  #: atoms outside at which pairs end, ascending


def spatial_order(
    coord: np.ndarray, cell: np.ndarray | None, pbc: Sequence[bool], atype: np.ndarray, size: int
) -> Order:
    """Return the order in which a frame of many atoms is evaluated, at most about ``size`` at once.

    Parameters
    ----------
    coord
        (natoms, 3) in Å, inside the cell or not.
    cell
        (3, 3) in Å, or None.
    atype
        (natoms,); −1 is a virtual atom, which is in no piece.
    """
    real = np.flatnonzero(atype >= 0)
    number = max(1, -(-len(real) // size))
    points = _points(np.asarray(coord, dtype=np.float64)[real], cell, np.asarray(pbc, dtype=bool))
    cuts = _cuts(points, number)
    atoms, piece = [], []
    for a in np.unique(atype[real]):
        mine = np.flatnonzero(atype[real] == a)
        atoms.append(real[mine[_tiled(points[mine], cuts)]])
        piece.append(np.arange(len(mine)) * number // len(mine))
    if not atoms:
        return Order(real, np.zeros(2, dtype=np.int64), len(atype))
    pieces = np.concatenate(piece)
    edges = np.concatenate([[0], np.cumsum(np.bincount(pieces, minlength=number))])
    order = np.argsort(pieces, kind="stable")
    return Order(np.concatenate(atoms)[order], edges, len(atype))


def _points(coord: np.ndarray, cell: np.ndarray | None, periodic: np.ndarray) -> np.ndarray:
    """Return coordinates along the lattice vectors in Å, of atoms moved into the cell.

    What is not finite or singular is left to the search for neighbours, which says so.
    """
    box = complete_cell(np.eye(3) if cell is None else np.asarray(cell, dtype=float), periodic)
    if not np.isfinite(coord).all() or not abs(np.linalg.det(box)) > 0:
        return np.zeros_like(coord)
    parts = coord @ np.linalg.inv(box)
    parts[:, periodic] -= np.floor(parts[:, periodic])
    return np.asarray(parts * np.linalg.norm(box, axis=1))


def _cuts(points: np.ndarray, number: int) -> list[tuple[int, int]]:
    """Return the axes from the longest to the shortest, and into how many parts each is cut."""
    if not len(points):
        return []
    length = np.maximum(np.subtract(*np.percentile(points, INNER[::-1], axis=0)), 1e-3)
    edge = (length.prod() / number) ** (1 / 3)
    parts = np.clip(np.rint(length / edge), 1, number).astype(np.int64)
    return [(int(axis), int(parts[axis])) for axis in np.argsort(-length, kind="stable")]


def _tiled(points: np.ndarray, cuts: Sequence[tuple[int, int]]) -> np.ndarray:
    """Return an order of points (n, 3) in which any stretch of some length is a compact region.

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


def cut(frame: Frame, start: int, stop: int) -> Subdomain:
    """Return the atoms start … stop − 1 of a frame; nothing of the tables is copied but ``j``."""
    spans = {b: slice(*np.searchsorted(t.i, (start, stop))) for b, t in frame.tables.items()}
    there = np.zeros(len(frame.atype), dtype=bool)
    for b, span in spans.items():
        there[frame.tables[b].j[span]] = True
    there[start:stop] = False
    others = np.flatnonzero(there)
    place = np.zeros(len(frame.atype), dtype=np.int64)
    place[start:stop] = np.arange(stop - start)
    place[others] = stop - start + np.arange(len(others))
    tables = {}
    for b, span in spans.items():
        t = frame.tables[b]
        tables[b] = PairTable(t.i[span] - start, t.col[span], place[t.j[span]], t.rij[span])
    return Subdomain(Frame(frame.atype[start:stop], tables, frame.nearest), others)

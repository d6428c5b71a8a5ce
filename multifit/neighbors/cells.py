"""Images of atoms in (partly) periodic cells, and pairs within a cutoff for any distribution.

The search replicates the atoms that lie within the cutoff of the cell, sorts atoms and replicas by
the grid cell they fall into, and compares each atom with the replicas of the cells around its own.
Only cells that hold an atom are stored, so memory grows with atoms and pairs, never with volume: a
dissociated molecule costs as little as an intact one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .lattice import Lattice

#: Grid cells per cutoff. Two instead of one: 125 smaller cells fit the sphere better than 27.
REACH = 2

#: Candidate pairs compared at once (about 100 bytes each).
CHUNK = 500_000


@dataclass(frozen=True)
class Images:
    """Atoms in a cell and their periodic images around it, sorted by atom and shift.

    Components come first, because sums over rows of three are slow.
    """

    atom: np.ndarray  #: atom of each image, int64, (nimages,)
    shift: np.ndarray  #: cells from the atom, int64, (3, nimages)
    place: np.ndarray  #: Å, (3, nimages)
    home: np.ndarray  #: the image that is the atom itself, (natoms,)


def occupied_layers(points: np.ndarray, width: float, reach: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the grid cell of each point, and the size of the grid.

    Empty layers wider than ``reach`` cells are removed, so that the numbers stay small however far
    apart the points are; cells at most ``reach`` apart remain exactly as far apart. As many empty
    layers surround the points.

    Returns
    -------
    grid, size
        int64, (npoints, 3) and (3,).
    """
    grid = np.floor((points - points.min(axis=0)) / width).astype(np.int64)
    for axis, extent in enumerate(grid.max(axis=0)):
        if extent < 4 * len(points):
            layers = np.flatnonzero(np.bincount(grid[:, axis]))
            number = np.empty(extent + 1, dtype=np.int64)
            number[layers] = np.arange(layers.size)
            layer = number[grid[:, axis]]
        else:
            layers, layer = np.unique(grid[:, axis], return_inverse=True)
        gap = np.minimum(np.diff(layers, prepend=layers[0]), reach + 1)
        grid[:, axis] = (np.cumsum(gap) + reach)[layer]
    return grid, grid.max(axis=0) + reach + 1


def occupied_grid(points: np.ndarray, width: float, reach: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the grid cell of each point as one number, and the strides of that number.

    Returns
    -------
    key, stride
        int64, (npoints,) and (3,): the cell displaced by (a, b, c), each at most ``reach``,
        has the number key + (a, b, c) · stride.
    """
    grid, size = occupied_layers(points, width, reach)
    stride = np.array([size[1] * size[2], size[2], 1], dtype=np.int64)
    return grid @ stride, stride


def replicate(wrapped: np.ndarray, lattice: Lattice, rcut: float) -> Images:
    """Return all images of the atoms that lie in the cell or within the cutoff of its faces.

    Parameters
    ----------
    wrapped
        Positions inside the cell, Å, (natoms, 3).
    lattice
        The cell.
    rcut
        Cutoff, Å.
    """
    place = np.ascontiguousarray(wrapped.T)
    every = np.arange(len(wrapped), dtype=np.int64)
    if not lattice.periodic.any():
        return Images(every, np.zeros_like(place, dtype=np.int64), place, every)
    at, margin = lattice.inverse.T @ place, (rcut / lattice.heights + 1e-9)[:, None]
    first = np.ceil(-margin - at).astype(np.int64)
    count = np.floor(1.0 + margin - at).astype(np.int64) - first + 1
    first[~lattice.periodic], count[~lattice.periodic] = 0, 1
    number = count[0] * count[1] * count[2]
    # The shifts of an atom are counted in order, the last direction fastest.
    atom, rest = np.repeat(every, number), ranges(np.zeros_like(number), number)
    shift, count = np.take(first, atom, axis=1), np.take(count, atom, axis=1)
    for axis in (2, 1):
        rest, digit = np.divmod(rest, count[axis])
        shift[axis] += digit
    shift[0] += rest
    place = np.take(place, atom, axis=1)
    place += lattice.cell.T @ shift.astype(np.float64)
    home = np.flatnonzero((shift[0] | shift[1] | shift[2]) == 0)
    return Images(atom, shift, place, home)


def cell_pairs(images: Images, rcut: float) -> tuple[np.ndarray, np.ndarray]:
    """Return all pairs of an atom and an image closer than the cutoff.

    Returns
    -------
    i, k
        Atom and image, int32, (npairs,), sorted by (i, k).
    """
    key, stride = occupied_grid(images.place.T, max(rcut / REACH, 1e-5), REACH)
    order = np.argsort(key, kind="stable")
    place, wrapped = images.place.T[order], images.place.T[images.home]

    # Cells of one column, along the last axis, have consecutive numbers: one range per column.
    around = np.arange(-REACH, REACH + 1, dtype=np.int64)
    column = np.add.outer(around * stride[0], around * stride[1]).ravel()
    middle = key[images.home][:, None] + column
    start = np.searchsorted(key[order], middle - REACH, side="left")
    count = np.searchsorted(key[order], middle + REACH, side="right") - start

    found: list[tuple[np.ndarray, np.ndarray]] = []
    bound = np.cumsum(count.sum(axis=1))
    chunks = np.searchsorted(bound, np.arange(CHUNK, bound[-1] + CHUNK, CHUNK), side="left") + 1
    first = 0
    for last in np.unique(np.minimum(chunks, len(wrapped))):
        k = ranges(start[first:last].ravel(), count[first:last].ravel())
        i = np.repeat(np.arange(first, last, dtype=np.int64), count[first:last].sum(axis=1))
        r = np.take(place, k, axis=0) - np.take(wrapped, i, axis=0)
        near = np.flatnonzero(np.einsum("ij,ij->i", r, r) < rcut * rcut)
        i, k = i[near], order[k[near]]
        other = k != images.home[i]  # an atom is not its own neighbour
        i, k = i[other], k[other]
        sort = np.argsort(i * images.atom.size + k)
        found.append((i[sort].astype(np.int32), k[sort].astype(np.int32)))
        first = last
    i, k = (np.concatenate(part) for part in zip(*found, strict=True))
    return i, k


def ranges(start: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Return start[0], start[0] + 1, … (count[0] of them), start[1], … in one array."""
    end = np.cumsum(count)
    total = int(end[-1]) if end.size else 0
    found: np.ndarray = np.arange(total, dtype=np.int64) + np.repeat(start - end + count, count)
    return found

"""Pairs within a cutoff where atoms are dense: matrix products of blocks of atoms and images.

Squared distances of a block of atoms from all images around it are one product in float32, which
is a hundred times cheaper per number than anything else, so that testing fifteen times too many
pays off. A margin covers its rounding: some pairs beyond the cutoff are found, and none is missed.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .cells import Images, occupied_layers, ranges

#: Distances computed in one product; more do not fit in the processor's cache.
PRODUCT = 400_000

#: Distances in one product that OpenBLAS computes in the calling thread: its other threads, which
#: spin, would take cores from a training step that runs at the same time.
ALONE = 40_000

#: Rounding of a squared distance in float32, in units of the largest squared length.
ROUNDING = 4e-6

#: With fewer atoms per block than this, on average, the other search is faster.
FEW = 12


def is_one_block(images: Images, rcut: float) -> bool:
    """Return True if one product of all atoms and all images is small and accurate enough."""
    if images.home.size * images.atom.size > PRODUCT:
        return False
    return float(np.ptp(images.place, axis=1).max()) < 25.0 * rcut  # else float32 is too coarse


def one_block(images: Images, rcut: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the result of :func:`block_pairs`, where :func:`is_one_block`."""
    home = images.home
    count, found = _near(np.take(images.place, home, axis=1), images.place, home, rcut)
    i = np.repeat(np.arange(home.size, dtype=np.int32), count)
    return i, found.astype(np.int32)


def block_pairs(images: Images, rcut: float) -> tuple[np.ndarray, np.ndarray] | None:
    """Return all pairs of an atom and an image closer than the cutoff, and some slightly farther.

    Parameters
    ----------
    images
        Of all atoms, sorted by atom and shift.
    rcut
        Cutoff, Å.

    Returns
    -------
    i, k
        Atom and image, int32, (npairs,), sorted by (i, k); or None where the density of atoms
        is too low.
    """
    grid, size = occupied_layers(images.place.T, rcut * (1 + 1e-6), 2)
    blocks = grid[images.home] >> 1
    strides = np.array([size[1] * size[2], size[2], 1])
    key = blocks @ strides
    rows = np.argsort(key, kind="stable")
    first = np.flatnonzero(np.diff(key[rows], prepend=-1))
    if rows.size < FEW * first.size:
        return None
    counts, found, order = [], [], []
    around = _candidates(grid @ strides, blocks[rows[first]] * 2, strides)
    for here, near in zip(np.split(rows, first[1:]), around, strict=True):
        inside = np.ones(near.size, dtype=bool)
        for place in images.place:
            x, y = np.take(place, images.home[here]), np.take(place, near)
            inside &= (y >= x.min() - rcut) & (y <= x.max() + rcut)
        near = np.sort(near[inside])
        step = max(1, PRODUCT // near.size)
        for start in range(0, here.size, step):
            part = here[start : start + step]
            home = images.home[part]
            x, y = (np.take(images.place, some, axis=1) for some in (home, near))
            count, column = _near(x, y, np.searchsorted(near, home), rcut)
            order.append(part)
            counts.append(count)
            found.append(near[column].astype(np.int32, copy=False))
    return _in_order(np.concatenate(order), np.concatenate(counts), np.concatenate(found))


def _candidates(key: np.ndarray, corner: np.ndarray, strides: np.ndarray) -> Iterator[np.ndarray]:
    """Return for each block of 2³ grid cells the images in and around it.

    Parameters
    ----------
    key
        Grid cell of each image, (nimages,).
    corner
        First grid cell of each block, (nblocks, 3).
    strides
        From the place in the grid to the key, (3,).
    """
    order = np.argsort(key, kind="stable").astype(np.int32)
    key = key[order]
    # Cells of one column, along the last axis, have consecutive numbers: one range per column.
    around = np.arange(-1, 3)
    column = np.add.outer(around * strides[0], around * strides[1]).ravel()
    middle = (corner @ strides)[:, None] + column
    start = np.searchsorted(key, middle - 1, side="left")
    count = np.searchsorted(key, middle + 2, side="right") - start
    return (order[ranges(s, n)] for s, n in zip(start, count, strict=True))


def _near(
    x: np.ndarray, y: np.ndarray, own: np.ndarray, rcut: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the number of places y (3, ny) close to each of x (3, nx), and their indices.

    Parameters
    ----------
    own
        Indices of x among y, (nx,): a place is not close to itself.
    """
    nx, ny = x.shape[1], y.shape[1]
    middle = 0.5 * (x.min(axis=1) + x.max(axis=1))[:, None]
    x, y = x - middle, y - middle
    # |y − x|² = |y|² − 2 x·y + |x|²; the last is on the other side of the inequality.
    left = np.empty((4, nx), dtype=np.float32)
    left[:3], left[3] = -2.0 * x, 1.0
    right = np.empty((4, ny), dtype=np.float32)
    right[:3], right[3] = y, y[0] * y[0] + y[1] * y[1] + y[2] * y[2]
    margin = ROUNDING * float(right[3].max(initial=0.0))
    bound = rcut * rcut + margin - (x[0] * x[0] + x[1] * x[1] + x[2] * x[2])
    limit, close = bound.astype(np.float32)[:, None], np.empty((nx, ny), dtype=bool)
    step = max(1, ALONE // ny)
    for start in range(0, nx, step):
        some = slice(start, start + step)
        np.less(left[:, some].T @ right, limit[some], out=close[some])
    first = np.arange(0, nx * ny, ny)
    flat_close = close.reshape(-1)
    flat_close[first + own] = False
    flat = np.flatnonzero(flat_close)
    count = np.searchsorted(flat, first + ny)
    count[1:] -= count[:-1].copy()
    return count, flat - np.repeat(first, count)


def _in_order(
    order: np.ndarray, count: np.ndarray, found: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return pairs sorted by atom from ``count`` images for each atom of ``order`` in turn."""
    start = np.cumsum(count) - count
    back = np.empty_like(order)
    back[order] = np.arange(order.size)
    count = count[back]
    i = np.repeat(np.arange(order.size, dtype=np.int32), count)
    return i, found[ranges(start[back], count)]

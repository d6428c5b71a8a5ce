"""Pairs of a simulation engine's domain: from local atoms to local atoms and ghosts."""

from __future__ import annotations

import numpy as np

from .blocks import block_pairs, is_one_block, one_block
from .cells import Images, cell_pairs
from .limits import check_density


def domain_pairs(coord: np.ndarray, nlocal: int, reach: float) -> tuple[np.ndarray, np.ndarray]:
    """Return all pairs that start at a local atom and are shorter than ``reach``.

    Ghosts stand for periodic images, so that no cell is needed. A few pairs that are slightly
    longer may be among those returned.

    Parameters
    ----------
    coord
        Positions of the local atoms and then of the ghosts, Å, (nall, 3), finite.
    nlocal
        Number of local atoms.
    reach
        Å.

    Returns
    -------
    i, k
        Centre below ``nlocal`` and neighbour below nall, int32, (npairs,), sorted by (i, k).

    Raises
    ------
    DataError
        If atoms are so dense that the pairs would not fit into memory.
    """
    if nlocal == 0:
        none = np.zeros(0, dtype=np.int32)
        return none, none
    check_density(coord, reach)
    number = np.arange(len(coord))
    place = np.ascontiguousarray(coord.T)
    images = Images(number, np.zeros((3, len(coord)), dtype=np.int64), place, number[:nlocal])
    # The searches round differently; the caller decides by the exact distance.
    reach += 1e-9 * reach + 16 * float(np.spacing(np.abs(place).max()))
    if is_one_block(images, reach):
        return one_block(images, reach)
    return block_pairs(images, reach) or cell_pairs(images, reach)

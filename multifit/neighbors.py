"""Pairs of atoms within a cutoff: vesin, guarded against what kills it, or plain NumPy.

Every pair is listed both ways, periodic images included, in an order that depends on nothing but
the geometry, so that a run can be repeated bit for bit.
"""

from __future__ import annotations

import functools
import importlib
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ._cells import cell_pairs, complete_cell, heights, occupied_grid, wrap
from .errors import DataError

#: Two atoms nearer than this are at the same place, Å.
TOO_CLOSE = 1e-6

#: Atoms farther from the origin than this no longer have a position to 1e-6 Å in float64, Å.
TOO_FAR = 1e10

#: Neighbours per atom, or periodic images in reach, beyond which the unit of the cell is wrong.
TOO_MANY = 50_000, 1_000_000

#: Atoms in a cube half a cutoff wide beyond which the unit of the coordinates is wrong.
TOO_DENSE = 2000


@dataclass(frozen=True)
class Pairs:
    """All pairs within a cutoff, both ways, sorted by (i, distance, j, shift).

    Attributes
    ----------
    i, j
        Centre and neighbour, int64, (npairs,). j == i is an atom and its own periodic image.
    shift
        Cells between them, int64, (npairs, 3): rij = coord[j] + shift @ cell − coord[i].
    rij
        From centre to neighbour, Å, float64, (npairs, 3); the two ways are exact negatives.
    distance
        Å, float64, (npairs,).
    """

    i: np.ndarray
    j: np.ndarray
    shift: np.ndarray
    rij: np.ndarray
    distance: np.ndarray


def find_pairs(
    coord: npt.ArrayLike,
    cell: npt.ArrayLike | None,
    pbc: npt.ArrayLike,
    rcut: float,
    *,
    where: str = "",
) -> Pairs:
    """Return all pairs of atoms, and of atoms and periodic images, closer than the cutoff.

    Parameters
    ----------
    coord
        Positions, Å, (natoms, 3), inside the cell or not.
    cell
        Lattice vectors as rows, Å, (3, 3), of any shape and handedness, or None. Rows of open
        directions are not read.
    pbc
        Whether the cell repeats, one bool or three.
    rcut
        Cutoff, Å; may exceed half the cell. Distances are strictly smaller.
    where
        What the atoms are, for messages: ``"system data/a, frame 3"``.

    Raises
    ------
    DataError
        If a number is not finite, the cell is missing or singular, two atoms are at the same place,
        or atoms are so dense that a unit must be wrong.

    Examples
    --------
    >>> pairs = find_pairs([[0, 0, 0], [0, 0, 2.9]], 3 * np.eye(3), [False, False, True], 1.0)
    >>> pairs.j, pairs.shift[:, 2], pairs.distance.round(6)
    (array([1, 0]), array([-1,  1]), array([0.1, 0.1]))
    """
    at = f"{where}: " if where else ""
    rcut = _checked_cutoff(rcut, at)
    x = _checked_coord(coord, at)
    periodic = _checked_pbc(pbc, at)
    box = complete_cell(_checked_cell(cell, periodic, at), periodic)
    if len(x) == 0:
        return _sorted_pairs(x, box, periodic, rcut, *_no_pairs())
    _check_size(len(x), box, periodic, rcut, at)
    wrapped, lag = wrap(x, box, periodic)
    _check_density(wrapped, rcut, at)
    # Both searches round in their own way: search a little farther, and let one formula decide.
    slack = 1e-9 * rcut + 16 * float(np.spacing(max(np.abs(x).max(), np.abs(box).max())))
    search = _vesin_pairs if _vesin_is_safe(wrapped, box, periodic, rcut) else cell_pairs
    i, j, shift = search(wrapped, box, periodic, rcut + slack)
    if lag.any():
        shift = shift + np.take(lag, i, axis=0) - np.take(lag, j, axis=0)
    pairs = _sorted_pairs(x, box, periodic, rcut, i, j, shift)
    _check_closest(pairs, at)
    return pairs


# ------------------------------------------------------------------------------- what was given


def _checked_cutoff(rcut: float, at: str) -> float:
    """Return the cutoff as a float, finite and positive."""
    try:
        value = float(rcut)
    except (TypeError, ValueError):
        value = np.nan
    if not 0.0 < value < np.inf:
        raise DataError(f"{at}the cutoff must be a finite positive number of Å, not {rcut!r}")
    return value


def _floats(value: npt.ArrayLike, name: str, shape: str, at: str) -> np.ndarray:
    """Return the values as float64, or say that they are no table of numbers."""
    try:
        return np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError) as exc:
        raise DataError(f"{at}{name} must be numbers of shape {shape}: {exc}") from exc


def _checked_coord(coord: npt.ArrayLike, at: str) -> np.ndarray:
    """Return the coordinates as float64, (natoms, 3), finite and not absurdly far out."""
    x = _floats(coord, "the coordinates", "(natoms, 3)", at)
    if x.ndim != 2 or x.shape[1] != 3:
        raise DataError(f"{at}the coordinates must have shape (natoms, 3), not {x.shape}")
    bad = np.flatnonzero(~(np.abs(x) <= TOO_FAR).all(axis=1))
    if bad.size:
        atom = x[bad[0]]
        problem = (
            f"lie more than {TOO_FAR:g} Å from the origin"
            if np.isfinite(atom).all()
            else "are not finite"
        )
        raise DataError(
            f"{at}the coordinates {atom.tolist()} of atom {bad[0]} (counting from 0) {problem}; "
            "remove or repair this frame"
        )
    return x


def _checked_pbc(pbc: npt.ArrayLike, at: str) -> np.ndarray:
    """Return three bools from one or three."""
    flags = np.asarray(pbc)
    if flags.shape not in {(), (3,)} or flags.dtype.kind not in "biu":
        raise DataError(f"{at}pbc must be one or three of true and false, not {pbc!r}")
    return np.broadcast_to(flags.astype(bool), (3,))


def _checked_cell(cell: npt.ArrayLike | None, periodic: np.ndarray, at: str) -> np.ndarray:
    """Return the cell as float64, (3, 3), whose periodic rows are finite and independent."""
    box = np.zeros((3, 3)) if cell is None else _floats(cell, "the cell", "(3, 3)", at)
    if box.shape != (3, 3):
        raise DataError(
            f"{at}the cell must have shape (3, 3), one lattice vector per row, not {box.shape}"
        )
    rows = box[periodic]
    if not np.isfinite(rows).all() or (np.abs(rows) > TOO_FAR).any():
        raise DataError(f"{at}the cell {box.tolist()} is not finite or absurdly large")
    length = np.linalg.norm(rows, axis=1)
    if len(rows) and (cell is None or not length.any()):
        raise DataError(
            f"{at}the system is periodic but its cell is left out or zero; "
            "give the cell, or mark the system as not periodic"
        )
    if (length < TOO_CLOSE).any() or (
        np.linalg.svd(rows / length[:, None], compute_uv=False) < 1e-8
    ).any():
        raise DataError(
            f"{at}the cell {box.tolist()} is singular: its periodic lattice vectors must be "
            "independent and not zero"
        )
    return box


def _check_size(natoms: int, box: np.ndarray, periodic: np.ndarray, rcut: float, at: str) -> None:
    """Refuse a cell so small or flat that the list of pairs would not fit into memory."""
    images = float(np.prod(1.0 + 2.0 * rcut / heights(box)[periodic]))
    volume = abs(float(np.linalg.det(box)))
    neighbours = natoms * 4.19 * rcut**3 / volume if periodic.all() else 0.0
    if neighbours > TOO_MANY[0] or images > TOO_MANY[1]:
        raise DataError(
            f"{at}the cutoff rcut = {rcut:g} Å is too large for the cell {box.tolist()} of "
            f"{natoms} atoms, or the cell too small or too flat; check rcut, and that the cell is "
            "in Å"
        )


def _check_density(wrapped: np.ndarray, rcut: float, at: str) -> None:
    """Refuse atoms so dense that the list of pairs would not fit into memory."""
    if len(wrapped) <= TOO_DENSE:
        return
    key, _ = occupied_grid(wrapped, max(0.5 * rcut, TOO_CLOSE), 0)
    _, first, count = np.unique(key, return_index=True, return_counts=True)
    if count.max() > TOO_DENSE:
        raise DataError(
            f"{at}{count.max()} atoms lie within rcut = {rcut:g} Å of atom "
            f"{first[count.argmax()]} (counting from 0); check rcut, and that the coordinates are "
            "in Å, and not fractional or all zero"
        )


def _check_closest(pairs: Pairs, at: str) -> None:
    """Refuse two atoms at the same place, where forces have no direction."""
    if len(pairs.i) == 0 or pairs.distance[k := int(np.argmin(pairs.distance))] >= TOO_CLOSE:
        return
    through = ", one of them through a periodic image" if pairs.shift[k].any() else ""
    raise DataError(
        f"{at}atoms {pairs.i[k]} and {pairs.j[k]} (counting from 0) are at the same place "
        f"({pairs.distance[k]:.1e} Å apart{through}); remove one of them"
    )


# -------------------------------------------------------------------------------------- searching


@functools.cache
def _vesin() -> Any | None:
    """Return the vesin package, or None where it can not be imported.

    vesin imports torch and CuPy if it finds them, a second and 200 MB that we have no use for: they
    are hidden while our copy loads, and anyone else who imports vesin gets a copy that has them.
    """
    if "vesin" in sys.modules:
        return sys.modules["vesin"]
    hidden = [name for name in ("torch", "cupy") if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None: "not there"
    try:
        return importlib.import_module("vesin")
    except (ImportError, OSError):
        return None
    finally:
        for name in hidden:
            del sys.modules[name]
        if hidden:
            for name in [m for m in sys.modules if m == "vesin" or m.startswith("vesin.")]:
                del sys.modules[name]


def _vesin_is_safe(wrapped: np.ndarray, box: np.ndarray, periodic: np.ndarray, rcut: float) -> bool:
    """Return whether vesin is there and will neither crash on these atoms nor be slow.

    vesin 0.6.2 holds at most 1e5 grid cells. With more it coarsens the grid in proportion, and a
    thin direction gets zero cells: the process dies by SIGFPE (an atom that flew away, a large
    sheet). Every such case had less than one cell left in the thinnest direction; 1.5 is a margin.
    A coarse grid is also quadratic in a dense cluster, hence the demand for an atom per cell.
    """
    if _vesin() is None or rcut < 1e-3:
        return False
    extent = heights(box)
    open_ = ~periodic
    extent[open_] = np.ptp(wrapped @ np.linalg.inv(box), axis=0)[open_]  # their rows have length 1
    cells = np.maximum(1.0, np.floor(extent / rcut))
    total = float(cells.prod())
    thinnest = float(cells.min()) * (1e5 / total) ** (1 / 3)
    return total <= 1e5 or (thinnest >= 1.5 and len(wrapped) >= total)


def _vesin_pairs(
    wrapped: np.ndarray, box: np.ndarray, periodic: np.ndarray, rcut: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return what :func:`multifit._cells.cell_pairs` does, by vesin."""
    vesin: Any = _vesin()
    search = vesin.NeighborList(cutoff=rcut, full_list=True)
    # Copies: without them the arrays would die with the search object.
    i, j, shift = search.compute(wrapped, box, periodic, "ijS", copy=True)
    return i.astype(np.int64), j.astype(np.int64), shift.astype(np.int64)


def _no_pairs() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    none = np.zeros(0, dtype=np.int64)
    return none, none, none.reshape(0, 3)


# ---------------------------------------------------------------------------------------- ordering


def _sorted_pairs(
    x: np.ndarray,
    box: np.ndarray,
    periodic: np.ndarray,
    rcut: float,
    i: np.ndarray,
    j: np.ndarray,
    shift: np.ndarray,
) -> Pairs:
    """Return the given pairs that are closer than the cutoff, in order, with their vectors."""
    rij = np.take(x, j, axis=0) - np.take(x, i, axis=0)
    for k in np.flatnonzero(periodic):  # not a matrix product, whose rounding may differ by row
        across = np.flatnonzero(shift[:, k])
        rij[across] += np.multiply.outer(shift[across, k], box[k])
    distance = np.sqrt(np.einsum("ij,ij->i", rij, rij))
    order = _order(i, j, shift, distance, len(x), rcut)
    order = order[np.take(distance, order) < rcut]
    return Pairs(*(np.take(a, order, axis=0) for a in (i, j, shift, rij, distance)))


def _order(
    i: np.ndarray, j: np.ndarray, shift: np.ndarray, distance: np.ndarray, natoms: int, rcut: float
) -> np.ndarray:
    """Return the permutation that sorts by (i, distance, j, shift).

    One integer holds i and as many digits of the distance as fit. It is sorted first, and only runs
    that are equal in it are sorted by all keys: 5 times as fast as ``np.lexsort`` in a liquid, and
    the same in a crystal.
    """
    scale = 1 << (62 - natoms.bit_length())
    digits = np.minimum(distance * (scale / rcut), scale - 1).astype(np.int64)
    key = i * scale + digits
    order = np.argsort(key, kind="stable")
    same = np.diff(np.take(key, order)) == 0
    if same.any():
        tied = np.flatnonzero(np.append(same, False) | np.append(False, same))
        t = order[tied]
        order[tied] = t[np.lexsort((*shift[t].T[::-1], j[t], distance[t], key[t]))]
    return order

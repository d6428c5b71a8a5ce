"""Fermi level, band edges and number of electrons of a density of states."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ._grid import Grid
from ._integral import Integral

Array = np.ndarray[Any, Any]


class Levels(NamedTuple):
    """Quantities derived from the density of states of each frame, all (nframes,).

    NaN where the grid ends before the value is reached.
    """

    fermi_level: Array  #: in eV
    gap: Array  #: cbm − vbm in eV, 0 for metals
    vbm: Array  #: highest energy of the occupied states in eV; the Fermi level for metals
    cbm: Array  #: lowest energy of the empty states in eV; the Fermi level for metals
    electrons: Array  #: below the Fermi level, or below 0 on a grid that is aligned to it


def levels(
    grid: Grid | Array, dos: Array, electrons: Array, *, delta: float = 1.0, threshold: float = 0.2
) -> Levels:
    """Return the levels of densities of states filled with given numbers of electrons.

    With n(ε) = ∫ D dε from the first energy of the grid:

    - vbm is where n = N − δ, and cbm where n = N + δ. They are the edges of a gap if somewhere
      between n = N − δ/2 and n = N + δ/2, D dips below ``threshold`` times its mean between them,
      2δ / (cbm − vbm); else it is a metal, gap = 0.
    - The Fermi level is the middle of the gap; in a metal n(E_F) = N (N. W. Ashcroft
      and N. D. Mermin, Solid State Physics, 1976, chapters 2 and 28).

    The edges are often defined as the points where D itself falls below a tolerance, as in pymatgen
    (S. P. Ong et al., Comput. Mater. Sci. 68, 314, 2013; ``Dos.get_cbm_vbm``). Broadening shifts
    them by the tails of every level. Counting half of the electrons of a level finds its centre
    for any width: δ = 1 suits levels of two electrons, those of molecules and of
    large cells at Γ. And a fit whose integral is wrong by less than δ/2 electrons up to the gap
    still has that gap, where n(E_F) = N alone would be inside a band. Levels at k-points hold less,
    and need a smaller δ; so do bands: 0.4·D_0·σ for those that begin with D_0.

    Error for Gaussians of width σ, as measured by the tests:

    - two levels of 2 electrons each, Δ apart: by less than 10⁻⁵·σ if Δ ≥ 5σ, while gap = 0 if
      Δ ≤ 4.8σ: a gap closed by broadening cannot be seen. The tolerance of 10⁻⁴ of the mean
      DOS: by −10σ, and gap = 0 up to there;
    - two levels of 4 electrons each: by −1.35σ if Δ ≥ 5.5σ, as δ is then a quarter of a level;
      of 6 electrons each, by −1.93σ;
    - bands that begin with D_0 states/eV: by 0.004·σ with δ = 0.4·D_0·σ; by 2δ / D_0 with a δ
      that is much larger.

    Parameters
    ----------
    grid
        The energies, or (n,) numbers in eV.
    dos
        In states/eV, where a state holds one electron (nframes, n). Piecewise linear between the
        energies; a fit's values below zero count as zero.
    electrons
        N of each frame (nframes,), counted from the states at the grid's first energy on.
    delta
        δ in electrons; never more than N/2.
    threshold
        Depth of the dip of the DOS in a gap, relative to its mean between the edges.

    Returns
    -------
    levels
        All NaN for frames whose N is not reached in the grid; if N + δ is not, there are no edges,
        and the Fermi level is where n = N.
    """
    grid = _grid(grid)
    below = Integral(grid.array, _rows(grid, dos))
    count = np.broadcast_to(np.asarray(electrons, dtype=np.float64), (len(below.dos),))
    margin = np.minimum(delta, count / 2)
    exact = below.energy(count)
    low, high = below.energy(count - margin), below.energy(count + margin)
    # Half of the margin: at its ends, next to a level that is half filled, are gaps as well.
    least = below.least(below.energy(count - margin / 2), below.energy(count + margin / 2))
    with np.errstate(invalid="ignore"):
        dips = least * (high - low) < threshold * 2 * margin
    known = np.isfinite(low) & np.isfinite(high)
    vbm, cbm = (np.where(known, np.where(dips, edge, exact), np.nan) for edge in (low, high))
    fermi_level = np.where(known & dips, (low + high) / 2, exact)
    at = np.where(np.isfinite(exact), 0.0, np.nan) if grid.fermi_aligned else fermi_level
    return Levels(fermi_level, cbm - vbm, vbm, cbm, below.count(at))


def electron_count(grid: Grid | Array, dos: Array, energy: Array | float) -> Array:
    """Return the number of electrons (nframes,) in the states up to an energy.

    Parameters
    ----------
    grid
        The energies, or (n,) numbers in eV.
    dos
        In states/eV (nframes, n); values below zero count as zero.
    energy
        In eV, one or (nframes,).

    Returns
    -------
    electrons
        The integral from the first energy of the grid; NaN for energies outside the grid.
    """
    grid = _grid(grid)
    below = Integral(grid.array, _rows(grid, dos))
    wanted = np.asarray(energy, dtype=np.float64)
    return below.count(np.broadcast_to(wanted, (len(below.dos),)))


def electrons_of(grid: Grid, atype: Array) -> Array:
    """Return the number of electrons (nframes,) of the atoms of frames.

    Parameters
    ----------
    grid
        A grid with ``electrons``.
    atype
        Types of the atoms (nframes, natoms), −1 for virtual ones.

    Raises
    ------
    ValueError
        If the grid does not have the number of electrons of an atom, or of a type.
    """
    if grid.electrons is None:
        raise ValueError("this grid does not say how many electrons an atom of each type has")
    atype = np.asarray(atype)
    if atype.size and int(atype.max()) >= len(grid.electrons):
        raise ValueError(
            f"there are atoms of type {int(atype.max())}, but the grid knows the electrons of only "
            f"{len(grid.electrons)} types"
        )
    # Virtual atoms have type −1, the last of the table.
    return np.asarray(np.array([*grid.electrons, 0.0])[atype].sum(axis=-1))


def _grid(given: Grid | Array) -> Grid:
    return given if isinstance(given, Grid) else Grid(tuple(np.asarray(given).tolist()))


def _rows(grid: Grid, dos: Array) -> Array:
    rows = np.asarray(dos, dtype=np.float64)
    if rows.ndim != 2 or rows.shape[1] != len(grid):
        raise ValueError(f"dos has shape {rows.shape}, expected (nframes, {len(grid)})")
    return rows

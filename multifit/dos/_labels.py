"""Labels of densities of states at the energies of a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..data import DOS_LABELS, System
from ._checks import check_covered, check_inside, check_size, having, require_efermi
from ._grid import Grid
from ._interpolation import interpolate, same_energies

Array = np.ndarray[Any, Any]


def keys(grid: Grid | None) -> tuple[str, ...]:
    """Return the labels that :func:`labels_on_grid` needs beside those of the DOS."""
    return ("efermi",) if grid is not None and grid.fermi_aligned else ()


def common_energies(systems: Sequence[System]) -> Array | None:
    """Return the energies (m,) in eV common to all systems with a DOS, None if they differ.

    They are the default grid of a model; with a system whose labels have unknown energies,
    the model has no grid.
    """
    grids = [system.energies for system in systems if having(system)]
    first = grids[0] if grids else None
    if first is None or any(x is None or not same_energies(first, x) for x in grids):
        return None
    return first


def load_labels(
    numb_dos: int, grid: Grid | None, system: System, frames: Array, wanted: Sequence[str]
) -> dict[str, Array]:
    """Return arrays of some frames as :meth:`multifit.data.System.load`, on the model's grid.

    Parameters
    ----------
    numb_dos, grid, system, frames
        As for :func:`labels_on_grid`.
    Keys of the arrays; those missing from the system are left out.
        Keys of the arrays; those that the system lacks are left out.

    Raises
    ------
    DataError
        As :func:`labels_on_grid`, or if something cannot be read.
    """
    arrays = system.load(frames, (*wanted, *keys(grid)))
    return labels_on_grid(numb_dos, grid, system, frames, arrays)


def labels_on_grid(
    numb_dos: int,
    grid: Grid | None,
    system: System,
    frames: Array,
    arrays: Mapping[str, Array],
) -> dict[str, Array]:
    """Return arrays of some frames with ``dos`` and ``atom_dos`` at the model's energies.

    The label at ε_k is D(ε_k), or D(ε_k + E_F) if the grid is aligned to the Fermi level E_F of
    each frame, where D is linear between the energies of the system's labels.

    Parameters
    ----------
    numb_dos
        Number of outputs of the model for an atom.
    grid
        The model's energies, if it has any.
    system
        System of the frames.
    frames
        Indices of the frames (n,).
    arrays
        Result of :meth:`multifit.data.System.load` for them with, besides others, :func:`keys`.

    Returns
    -------
    arrays
        ``dos`` (n, numb_dos), ``atom_dos`` (n, natoms, numb_dos), and all others unchanged; so are
        these two if they are already at the model's energies.

    Raises
    ------
    DataError
        As :func:`check_labels`, for these frames.
    """
    found = [key for key in DOS_LABELS if key in arrays]
    if not found:
        return dict(arrays)
    check_size(numb_dos, grid, system)
    if grid is None:
        return dict(arrays)
    energies, own = grid.array, system.energies
    if grid.fermi_aligned:
        require_efermi(system)
        efermi = arrays["efermi"]
        check_covered(grid, system, frames, efermi)
        if efermi.any():
            energies = energies + efermi.reshape(-1, 1)
    if energies.ndim == 1 and (own is None or same_energies(own, energies)):
        return dict(arrays)
    check_inside(grid, system)
    source = grid.array if own is None else own
    return {**arrays, **{key: interpolate(source, arrays[key], energies) for key in found}}

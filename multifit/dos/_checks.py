"""Checks that the labels of data fit the energies of a model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..data import DOS_LABELS, System, where
from ..errors import ConfigError, DataError
from ..outputs import DOS
from ._grid import Grid
from ._interpolation import overhang, same_energies

Array = np.ndarray[Any, Any]


def check_labels(numb_dos: int, grid: Grid | None, systems: Sequence[System]) -> None:
    """Raise unless the labels of all systems can be compared with the output of a model.

    Systems without ``dos`` and ``atom_dos`` pass.

    Parameters
    ----------
    numb_dos
        Number of outputs of the model for an atom.
    grid
        The model's energies, if it has any.
    systems
        With labels at their own energies if known, else at those of the model.

    Raises
    ------
    DataError
        If a label has another size; the model's energies, shifted by the Fermi level if they are
        aligned to it, go beyond the labels'; or Fermi levels are missing.
    ConfigError
        If the grid has another number of energies.
    """
    if grid is not None and len(grid) != numb_dos:
        raise ConfigError(
            f"the grid has {len(grid)} energies, but numb_dos is {numb_dos}; change numb_dos "
            f"(model.fitting_net.numb_dos) to {len(grid)} or the energies"
        )
    labelled = [system for system in systems if having(system)]
    for system in labelled:
        check_size(numb_dos, grid, system)
        if grid is None:
            _check_same(labelled[0], system)
        elif grid.fermi_aligned:
            require_efermi(system)
            everything = np.arange(system.nframes)
            check_covered(grid, system, everything, system.label(everything, "efermi"))
        else:
            check_inside(grid, system)


def having(system: System) -> list[str]:
    """Return the labels of a DOS in a system."""
    return [key for key in DOS_LABELS if key in system.labels]


def _file(system: System, key: str) -> str:
    """Return the first file that holds a label."""
    return next(each.arrays[key].where for each in system.sets if each.nframes)


def check_size(numb_dos: int, grid: Grid | None, system: System) -> None:
    """Raise if labels that are not interpolated have another size than the model's output."""
    if grid is not None and system.energies is not None:
        return  # interpolated; the labels are as many as these energies
    for key in having(system):
        n = system.ndof[key]
        if n == numb_dos:
            continue
        file = _file(system, key)
        owner = "frame" if key == DOS.label else "atom"
        what = file if file.endswith(".npy") else f"{key} of {file}"
        advice = f"change numb_dos (model.fitting_net.numb_dos) to {n} or use other data"
        if system.energies is not None:
            advice += "; or give the model energies (emin and emax), to which labels with their "
            advice += "own energies are interpolated"
        raise DataError(
            f"{what} holds {n} numbers for each {owner}, but numb_dos is {numb_dos}; {advice}"
        )


def _check_same(first: System, system: System) -> None:
    """Raise if two systems have labels at different energies."""
    one, other = first.energies, system.energies
    if one is not None and other is not None and not same_energies(one, other):
        raise DataError(
            f"the labels of {first.name} and {system.name} are at different energies "
            f"({_range(one)} and {_range(other)}), but the model has none; give it emin and emax, "
            "to which all labels are interpolated"
        )


def check_inside(grid: Grid, system: System) -> None:
    """Raise if the model's energies go beyond those of a system's labels."""
    own, energies = system.energies, grid.array
    if own is None or grid.fermi_aligned:
        return
    slack = overhang(own)
    if energies[0] < own[0] - slack or energies[-1] > own[-1] + slack:
        raise DataError(
            f"the model's energies, {_range(energies)}, go beyond those of the labels of "
            f"{system.name}, {_range(own)}; change emin and emax of the model to lie within, or "
            "leave the system out"
        )


def require_efermi(system: System) -> None:
    """Raise if a system lacks Fermi levels."""
    if "efermi" not in system.labels:
        raise DataError(
            f"{system.name} has no efermi, which a model with fermi_aligned needs; put efermi.npy "
            "with the Fermi level of each frame in eV into each of its sets, or set fermi_aligned "
            "to false"
        )


def check_covered(grid: Grid, system: System, frames: Array, efermi: Array) -> None:
    """Raise if the model's energies, shifted to a frame's Fermi level, go beyond the labels'."""
    energies = grid.array
    own = energies if system.energies is None else system.energies
    slack = overhang(own)
    low, high = energies[0] + efermi < own[0] - slack, energies[-1] + efermi > own[-1] + slack
    beyond = np.flatnonzero(low | high)
    if not beyond.size:
        return
    row = int(beyond[0])
    place = where(system, int(frames[row]), "efermi")
    needed = _range(energies + efermi[row])
    if system.energies is None:
        raise DataError(
            f"{place}: the Fermi level of {efermi[row]:g} eV moves the model's energies to "
            f"{needed}, but {system.name} does not say at which energies its labels are, so that "
            f"they count as {_range(energies)}; put these energies into energies.npy beside its "
            "type.raw"
        )
    levels = system.label(np.arange(system.nframes), "efermi")
    emin = math.ceil((own[0] - levels.min()) * 1e4) / 1e4
    emax = math.floor((own[-1] - levels.max()) * 1e4) / 1e4
    advice = (
        f"all frames of the system have labels from emin {emin:.10g} to emax {emax:.10g} eV, so "
        "choose within"
        if emin < emax
        else "no energy from the Fermi level has labels in all frames of the system, so leave some "
        "out"
    )
    raise DataError(
        f"{place}: the labels cover {_range(own)}, but the model's energies from its Fermi level "
        f"of {efermi[row]:g} eV are {needed}; {advice}"
    )


def _range(energies: Array) -> str:
    return f"{energies[0]:.6g} to {energies[-1]:.6g} eV"

"""Energies of the densities of states of a system: ``energies.npy``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ..errors import DataError
from ..outputs import DOS
from ._contents import FrameSet
from ._folder import Folder
from ._stored import Array, Stored, open_npy

#: Labels with one number for each of these energies.
DOS_LABELS = (DOS.label, DOS.atomic.label)

#: Names in a system, the first that exists is read; HDF5 files have either.
FILES = ("energies.npy", "energies")


def own_energies(folder: Folder, ndof: Mapping[str, int], sets: Sequence[FrameSet]) -> Array | None:
    """Return the energies (m,) in eV of a system's labels ``dos`` and ``atom_dos``.

    None if the system has no such file, or no such label.

    Parameters
    ----------
    folder
        The system.
    ndof
        Number of values of each label for a frame or an atom.
    sets
        Location of the labels, for messages.

    Raises
    ------
    DataError
        If they are not finite and increasing, or their number is not that of the labels' values.
    """
    labels = [key for key in DOS_LABELS if key in ndof]
    file = next((file for file in FILES if file in folder.names()), None)
    if not labels or file is None:
        return None
    stored = folder.array("", file)
    values = _increasing(stored)
    for key in labels:
        if ndof[key] != len(values):
            label = next(each.arrays[key].where for each in sets if each.nframes)
            owner = "frame" if key == DOS.label else "atom"
            raise DataError(
                f"{stored.where} holds {len(values)} energies, but {label} holds {ndof[key]} "
                f"numbers for each {owner}; they must be as many"
            )
    return values


def read_energies(path: Path, where: str | None = None) -> Array:
    """Return the energies (m,) in eV that an ``.npy`` file holds, finite and increasing.

    Parameters
    ----------
    path
        The file.
    where
        The same for messages.

    Raises
    ------
    DataError
        If the file is missing, unreadable, or holds something else.
    """
    return _increasing(open_npy(path, where or str(path)))


def _increasing(stored: Stored) -> Array:
    where = stored.where
    if len(stored.shape) != 1:
        raise DataError(
            f"{where} has shape {stored.shape}, but energies are one row of numbers (m,); "
            "save it so with numpy.save"
        )
    values = stored.read(...).astype(np.float64)
    wrong = np.flatnonzero(~np.isfinite(values))
    if wrong.size:
        raise DataError(
            f"{where}: energy {wrong[0]} (counted from 0) is {values[wrong[0]]}; "
            "all must be finite numbers in eV"
        )
    wrong = np.flatnonzero(np.diff(values) <= 0)
    if wrong.size:
        after = int(wrong[0]) + 1
        raise DataError(
            f"{where}: energy {after} (counted from 0) is {values[after]:.10g} eV and not above "
            f"the one before it, {values[after - 1]:.10g} eV; energies must increase"
        )
    return values

"""Errors of single frames and atoms, and what the densities of states of frames amount to."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .. import dos
from ..data import System
from ..models import Model
from .metrics import QUANTITIES, Errors
from .predictions import Chunk

Array = np.ndarray

#: ``var_name`` of a model → what is said of each frame.
OF_FRAMES = {
    "energy": ("energy_per_atom", "force", "virial_per_atom"),
    "dos": ("dos_per_atom", "cdf_per_atom"),
}

#: ``var_name`` of a model → what is said of each atom.
OF_ATOMS = {"energy": ("force", "atom_ener"), "dos": ("atom_dos", "atom_cdf")}


class Filling(NamedTuple):
    """Where the densities of states of frames end to be occupied, all (n,), NaN if unknown."""

    label_fermi: Array  #: in eV
    fermi: Array  #: of the prediction, in eV
    label_gap: Array  #: in eV
    gap: Array  #: of the prediction, in eV


def frame_errors(chunk: Chunk) -> list[Errors]:
    """Return the errors of each frame."""
    found = []
    for k in range(len(chunk.frames)):
        errors, row = Errors(), slice(k, k + 1)
        output = {key: value[row] for key, value in chunk.output.items()}
        label = {key: value[row] for key, value in chunk.label.items()}
        errors.add(output, label, chunk.real[row])
        found.append(errors)
    return found


def atom_errors(kind: str, chunk: Chunk) -> dict[str, Array]:
    """Return the root-mean-square error (n, natoms) of each atom, by quantity.

    Parameters
    ----------
    kind
        The model's ``var_name``.
    """
    found = {}
    for key in OF_ATOMS[kind]:
        quantity = QUANTITIES[key]
        if quantity.label not in chunk.label:
            continue
        diff = quantity.difference(chunk.output, chunk.label)
        found[key] = np.sqrt(np.mean(diff.reshape(*chunk.atype.shape, -1) ** 2, axis=-1))
    return found


def fills(model: Model, system: System) -> bool:
    """Return whether Fermi levels of predictions and labels can be told apart for a system."""
    return model.grid is not None and model.grid.electrons is not None and "dos" in system.labels


def filling(model: Model, chunk: Chunk) -> Filling:
    """Return Fermi levels and gaps of frames, of predictions and of labels alike.

    Those of the labels are found from their densities of states too, so that what a grid or a
    broadening does to them is done to both.
    """
    assert model.grid is not None
    electrons = dos.electrons_of(model.grid, chunk.atype)
    label, output = (
        dos.levels(model.grid, each["dos"], electrons) for each in (chunk.label, chunk.output)
    )
    return Filling(label.fermi_level, output.fermi_level, label.gap, output.gap)

"""Errors of single frames and atoms, and the Fermi levels of their densities of states."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .. import dos
from ..data import System
from ..models import Model
from ..outputs import OUTPUTS, quantities
from .metrics import Errors, difference
from .predictions import Chunk

Array = np.ndarray


class Filling(NamedTuple):
    """Fermi levels and gaps of frames, all (n,), NaN if unknown."""

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


def atom_errors(output: str, chunk: Chunk) -> dict[str, Array]:
    """Return the root-mean-square error (n, natoms) of each atom, by quantity.

    Parameters
    ----------
    output
        Name of the model's output.
    """
    found = {}
    for key in OUTPUTS[output].of_atoms:
        quantity = quantities()[key]
        if quantity.label not in chunk.label:
            continue
        diff = difference(quantity, chunk.output, chunk.label)
        found[key] = np.sqrt(np.mean(diff.reshape(*chunk.atype.shape, -1) ** 2, axis=-1))
    return found


def fills(model: Model, system: System) -> bool:
    """Return True if Fermi levels of predictions and labels can be computed for a system."""
    grid = model.grid
    return grid is not None and grid.electrons is not None and model.output.label in system.labels


def filling(model: Model, chunk: Chunk) -> Filling:
    """Return Fermi levels and gaps of frames, from predictions and labels.

    Those of the labels are computed from their densities of states too, so that the effects of
    a grid or a broadening are the same for both.
    """
    assert model.grid is not None
    electrons = dos.electrons_of(model.grid, chunk.atype)
    spectra = (chunk.label[model.output.label], chunk.output[model.output.name])
    label, output = (dos.levels(model.grid, each, electrons) for each in spectra)
    return Filling(label.fermi_level, output.fermi_level, label.gap, output.gap)

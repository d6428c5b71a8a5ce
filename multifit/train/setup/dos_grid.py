"""The energies of densities of states in a run, and the notes on them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ... import dos
from ... import models as mdl
from ...config import Config
from ...console.words import few
from ...data import DOS_LABELS, System, where
from ...errors import ConfigError, DataError
from ...outputs import OUTPUTS

#: Frames of each system whose number of electrons is checked.
FRAMES = 8

#: Largest value of a density of states at its start, relative to its maximum.
BEGINNING = 0.01


def build_grid(config: Config, systems: Sequence[System], base: Path) -> dos.Grid | None:
    """Return the energies of a density of states: of the input, else of the data, else None.

    Parameters
    ----------
    systems
        The training data.
    base
        The folder of the input file, against which its paths are resolved.

    Raises
    ------
    ConfigError
        If the file of energies is missing or does not fit the input, or the number of
        electrons is given without energies.
    """
    section = config.model.fitting_net
    if not OUTPUTS[section.var_name].has_grid:
        return None
    assert section.type == "dos"
    energies: Sequence[float] | None = None
    if section.energies is not None:
        try:
            energies = dos.read_energies(base / section.energies, section.numb_dos)
        except DataError as exc:
            raise ConfigError(f"model.fitting_net.energies: {exc}") from exc
    elif section.emin is not None and section.emax is not None:
        energies = dos.even_grid(section.emin, section.emax, section.numb_dos)
    else:
        common = dos.common_energies(systems)
        if common is not None and len(common) != section.numb_dos:
            return None  # the number of labels equals that of energies, which is checked later
        energies = None if common is None else tuple(common.tolist())
    if energies is not None:
        return dos.Grid(tuple(energies), section.fermi_aligned, section.electrons)
    if section.electrons is not None and any(s.labels.intersection(DOS_LABELS) for s in systems):
        raise ConfigError(
            "model.fitting_net.electrons is given, but nothing tells the energies of the density "
            "of states: give emin and emax, or energies, or put one energies.npy, the same "
            "everywhere, beside type.raw of all systems"
        )
    return None


def about_grid(config: Config, model: mdl.Model, systems: Sequence[System]) -> list[str]:
    """Return a sentence about the energies of the model's densities of states, or nothing."""
    grid, section = model.grid, config.model.fitting_net
    if not model.output.has_grid:
        return []
    assert section.type == "dos"
    if grid is None:
        labelled = [system for system in systems if system.labels.intersection(DOS_LABELS)]
        without = [system.name for system in labelled if system.energies is None]
        if len(without) == len(labelled):
            return []
        return [
            f"no energies.npy in {few(without)}: the model will not know the energies of its "
            "densities of states"
        ]
    origin = "" if section.has_grid else ", from energies.npy of the data"
    zero = " from the Fermi level of each frame" if grid.fermi_aligned else ""
    first, last = grid.energies[0], grid.energies[-1]
    notes = [f"densities of states at {len(grid)} energies, {first:g} to {last:g} eV{zero}{origin}"]
    if grid.electrons is not None:
        each = zip(model.type_map, grid.electrons, strict=True)
        listed = ", ".join(f"{name} {count:g}" for name, count in each)
        notes.append(f"electrons of an atom for Fermi levels and gaps: {listed}")
        notes += _doubts(model, systems)
    return notes


def _doubts(model: mdl.Model, systems: Sequence[System]) -> list[str]:
    """Return a sentence if the labels contradict the number of electrons, or nothing.

    The first frames of each system are checked.
    """
    grid, label = model.grid, model.output.label
    assert grid is not None
    for system in systems:
        if label not in system.labels:
            continue
        frames = np.arange(min(system.nframes, FRAMES))
        arrays = {key: system.label(frames, key) for key in (label, *dos.keys(grid))}
        spectra = dos.labels_on_grid(len(grid), grid, system, frames, arrays)[label]
        wanted = dos.electrons_of(grid, system.atype(frames))
        held = dos.electron_count(grid, spectra, grid.energies[-1])
        if (held < wanted).any():
            row = int(np.argmax(wanted - held))
            return [
                f"warning: {where(system, row, label)} holds {held[row]:.6g} electrons in the "
                f"range of the grid, but model.fitting_net.electrons gives {wanted[row]:g}: "
                "such frames have no Fermi level; are these the electrons of the DOS, and eV?"
            ]
        if (spectra[:, 0] > BEGINNING * spectra.max(axis=1)).any():
            return [
                f"warning: the densities of states of {system.name} do not begin at 0 at "
                f"{grid.energies[0]:g} eV: states below are not counted, so that Fermi levels and "
                "gaps are wrong; begin the grid lower, or let electrons be those within it"
            ]
    return []


def lost_energies(model: mdl.Model, theirs: mdl.Model) -> list[str]:
    """Return notes on energies and electrons of the old model that the new one does not have."""
    mine, before = model.grid, theirs.grid
    if before is None:
        return []
    if mine is None:
        return [
            f"the old model's energies, {before.energies[0]:g} to {before.energies[-1]:g} eV, are "
            "given up: give model.fitting_net.emin and emax, or energies, to keep them"
        ]
    if before.electrons is not None and mine.electrons is None:
        return [
            "the old model's numbers of electrons are given up: give model.fitting_net.electrons "
            "to keep them"
        ]
    return []

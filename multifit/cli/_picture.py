"""The figure of ``multifit test --plot``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .. import plots
from ..errors import ConfigError, DataError
from ..evaluation.predictions import Chunk, predictions

if TYPE_CHECKING:
    from ..data import System
    from ..inference.potential import Potential
    from ..models import Model


@dataclass(frozen=True)
class Picture:
    """A figure that is going to be drawn from what is :attr:`found`."""

    path: Path
    atoms: bool
    found: plots.Parity | plots.Spectra

    def draw(self, potential: Potential, systems: Sequence[System]) -> None:
        """Write the figure.

        Raises
        ------
        DataError
            If that is not possible.
        """
        if isinstance(self.found, plots.Parity):
            plots.save(plots.parity_figure(self.found), self.path)
            return
        chosen = self.found.chosen()
        atoms = _atoms(potential, systems, self.found) if self.atoms else None
        plots.save(plots.dos_figure(potential.model, chosen, atoms), self.path)


def begin(args: argparse.Namespace, model: Model, systems: Sequence[System]) -> Picture | None:
    """Return the figure that the arguments ask for, without predictions yet.

    Raises
    ------
    ConfigError
        If it is to show what such a model does not predict.
    DataError
        If it can not be written, or no data have labels for it.
    """
    if args.plot is None:
        if args.plot_atoms:
            raise ConfigError("--plot-atoms adds to a figure; name that with --plot FILE")
        return None
    plots.check_path(args.plot)
    if model.has_forces:
        if args.plot_atoms:
            raise ConfigError(
                "--plot-atoms shows the densities of states of atoms, but the model predicts "
                "energies; leave it out"
            )
        return Picture(args.plot, False, plots.Parity())
    wanted = ("dos", "atom_dos") if args.plot_atoms else ("dos",)
    if not any(system.labels.issuperset(wanted) for system in systems):
        option = "--plot-atoms" if args.plot_atoms else "--plot"
        raise DataError(
            f"no data system has {' and '.join(wanted)} to plot; leave out {option}, or use data "
            "that have"
        )
    return Picture(args.plot, args.plot_atoms, plots.Spectra(model))


def _atoms(
    potential: Potential, systems: Sequence[System], found: plots.Spectra
) -> tuple[str, Chunk]:
    """Return the name and the content of the median frame of those with labels of atoms.

    It is predicted once more: to keep the atoms of all frames would take much memory.
    """
    having = {system.name: system for system in systems if "atom_dos" in system.labels}
    some = [each for each in found.frames if each.system in having]
    median = plots.Spectra(found.model, some).median()
    assert median is not None
    chunk = next(predictions(potential, having[median.system], np.array([median.frame])))
    return f"the median frame: {plots.names_of([median])[0]}", chunk

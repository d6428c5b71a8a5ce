"""The figure of ``multifit test --plot``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .. import plots
from ..errors import ConfigError, DataError
from ._output import check_output

if TYPE_CHECKING:
    from ..data import System
    from ..inference.potential import Potential
    from ..models import Model


@dataclass(frozen=True)
class Picture:
    """A figure to be drawn from :attr:`found`."""

    path: Path
    atoms: bool
    found: plots.Plot

    def draw(self, potential: Potential, systems: Sequence[System]) -> None:
        """Write the figure.

        Raises
        ------
        DataError
            If that fails.
        """
        again = (potential, systems) if self.atoms else None
        plots.save(self.found.figure(again), self.path)


def begin(args: argparse.Namespace, model: Model, systems: Sequence[System]) -> Picture | None:
    """Return the figure requested by the arguments, without predictions yet.

    Raises
    ------
    ConfigError
        If the model does not predict its quantities.
    DataError
        If it cannot be written, or no data have labels for it.
    """
    if args.plot is None:
        if args.plot_atoms:
            raise ConfigError("--plot-atoms adds to a figure; name that with --plot FILE")
        return None
    plots.check_path(args.plot)
    check_output(args.plot, "--plot")
    found: plots.Plot = model.output.plot(model)
    if args.plot_atoms and not found.shows_atoms:
        raise ConfigError(
            "--plot-atoms shows the densities of states of atoms, but the model predicts "
            f"{model.output.plural}; leave it out"
        )
    wanted = found.required(args.plot_atoms)
    if not any(system.labels.issuperset(wanted) for system in systems):
        option = "--plot-atoms" if args.plot_atoms else "--plot"
        raise DataError(
            f"no data system has {' and '.join(wanted)} to plot; leave out {option}, or use data "
            "that have"
        )
    return Picture(args.plot, args.plot_atoms, found)

"""Predicted energies and forces against labels."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..data import System
from ..evaluation.predictions import Chunk
from ._figure import new_figure, write_error

#: How many intervals the axes of labels and predictions have at most.
TICKS = 4

#: Inches of a panel.
SIDE = 4.2


@dataclass
class Parity:
    """Labels and predictions of energies per atom (eV) and force components (eV/Å)."""

    energy: list[np.ndarray] = field(default_factory=list)
    force: list[np.ndarray] = field(default_factory=list)

    def add(self, system: System, chunk: Chunk) -> None:
        """Add some frames of a system."""
        label, output, real = chunk.label, chunk.output, chunk.real
        if "energy" in label:
            natoms = real.sum(axis=1)
            pair = np.stack([label["energy"] / natoms, output["energy"] / natoms])
            self.energy.append(pair)
        if "force" in label:
            pair = np.stack([label["force"][real].ravel(), output["force"][real].ravel()])
            self.force.append(pair)

    def draw(self, middle: Any, right: Any) -> None:
        """Draw energies and forces into two panels."""
        draw_parity(middle, self.energy, "energy per atom", "eV")
        draw_parity(right, self.force, "force components", "eV/Å")


def draw_parity(axes: Any, pairs: list[np.ndarray], title: str, unit: str) -> None:
    """Draw labels and predictions (2, n) as points beside the line that they should be on."""
    axes.set(xlabel=f"label, {unit}", ylabel=f"prediction, {unit}", title=title)
    if not pairs:
        axes.text(0.5, 0.5, "no labels", transform=axes.transAxes, ha="center")
        return
    label, prediction = np.concatenate(pairs, axis=1)
    low, high = float(min(label.min(), prediction.min())), float(max(label.max(), prediction.max()))
    axes.plot([low, high], [low, high], color="0.6", linewidth=1)
    axes.plot(label, prediction, ".", markersize=2, rasterized=True)
    rmse = float(np.sqrt(np.mean((label - prediction) ** 2)))
    write_error(axes, rmse, unit)
    axes.ticklabel_format(useOffset=False)
    # Energies per atom have many digits: more ticks would run into each other.
    axes.locator_params(nbins=TICKS)


def parity_figure(parity: Parity) -> Any:
    """Return a figure with energies and forces."""
    figure = new_figure(2.1 * SIDE, SIDE)
    parity.draw(*figure.subplots(1, 2))
    return figure

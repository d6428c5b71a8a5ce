"""Predictions against labels, as points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from ..data import System
from ..evaluation.metrics import of_real_atoms
from ..evaluation.predictions import Chunk
from ..inference.potential import Potential
from ..models import Model
from ..outputs import quantities
from ._figure import new_figure, write_error

#: Maximum number of intervals on the axes of labels and predictions.
TICKS = 4

#: Inches of a panel.
SIDE = 4.2


class Parity:
    """Labels and predictions of the ``panels`` of an output, such as energies per atom and forces.

    Parameters
    ----------
    model
        The model.
    """

    shows_atoms: ClassVar[bool] = False

    def __init__(self, model: Model) -> None:
        self.panels = model.output.panels
        self._pairs: dict[str, list[np.ndarray]] = {key: [] for key, _ in self.panels}

    def required(self, atoms: bool) -> tuple[str, ...]:
        """Return the labels of which at least one is required: a panel may be empty."""
        del atoms
        return ()

    def add(self, system: System, chunk: Chunk) -> None:
        """Add some frames of a system."""
        del system
        natoms = chunk.real.sum(axis=1)
        for key, pairs in self._pairs.items():
            quantity = quantities()[key]
            if quantity.label not in chunk.label:
                continue
            both = (chunk.label[quantity.label], chunk.output[quantity.variable.key])
            if quantity.per_atom:
                both = tuple(x / natoms.reshape(-1, *[1] * (x.ndim - 1)) for x in both)
            real = (of_real_atoms(quantity.variable, x, chunk.real) for x in both)
            pairs.append(np.stack([x.ravel() for x in real]))

    def draw(self, middle: Any, right: Any) -> None:
        """Draw a panel of each quantity."""
        for axes, (key, title) in zip((middle, right), self.panels, strict=True):
            draw_parity(axes, self._pairs[key], title, quantities()[key].unit)

    def figure(self, again: tuple[Potential, Sequence[System]] | None = None) -> Any:
        """Return a figure of all panels."""
        del again
        figure = new_figure(2.1 * SIDE, SIDE)
        self.draw(*figure.subplots(1, 2))
        return figure


def draw_parity(axes: Any, pairs: list[np.ndarray], title: str, unit: str) -> None:
    """Draw labels and predictions (2, n) as points beside the diagonal."""
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
    # Energies per atom have many digits: more ticks would overlap.
    axes.locator_params(nbins=TICKS)

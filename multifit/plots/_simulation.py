"""Thermodynamic quantities along a simulation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ._figure import new_figure

#: Inches of the figure, and the height of a panel.
WIDTH, HEIGHT = 7.0, 1.7

#: Column of the log → label of its panel.
PANELS = {
    "temperature_K": "temperature, K",
    "energy": "energy, meV/atom",
    "pressure_bar": "pressure, kbar",
    "density_g_cm3": "density, g/cm³",
}

#: Units of the log in those of the panels.
SCALE = {"pressure_bar": 1e-3}


def simulation_figure(
    rows: Mapping[str, np.ndarray], natoms: int, targets: Mapping[str, float]
) -> Any:
    """Return a figure with a panel for each quantity over the time.

    Parameters
    ----------
    rows
        Columns of the log.
    natoms
        Number of atoms.
    targets
        Values of thermostat and barostat, drawn as lines, by column.
    """
    shown = [key for key in PANELS if _is_shown(key, rows)]
    figure = new_figure(WIDTH, 0.4 + HEIGHT * len(shown))
    panels = figure.subplots(len(shown), 1, sharex=True, squeeze=False)[:, 0]
    time = rows["time_fs"] / 1000
    marker = "o" if len(time) == 1 else None  # a line through one point shows nothing
    for axes, key in zip(panels, shown, strict=True):
        axes.set_ylabel(PANELS[key], fontsize="small")
        axes.ticklabel_format(axis="y", useOffset=False)
        axes.margins(x=0.01)
        if key == "energy":
            _draw_energies(axes, time, rows, natoms, marker)
            continue
        scale = SCALE.get(key, 1.0)
        axes.plot(time, rows[key] * scale, color="C0", linewidth=1, marker=marker)
        if key in targets:
            axes.axhline(targets[key] * scale, color="0.5", linewidth=1, linestyle="--")
    panels[-1].set_xlabel("time, ps")
    return figure


def _is_shown(key: str, rows: Mapping[str, np.ndarray]) -> bool:
    """Return True if there is something to see: a density may be constant."""
    if key == "energy":
        return True
    return key in rows and (key != "density_g_cm3" or float(np.ptp(rows[key])) > 0)


def _draw_energies(
    axes: Any,
    time: np.ndarray,
    rows: Mapping[str, np.ndarray],
    natoms: int,
    marker: str | None,
) -> None:
    """Draw the changes of potential and total energy."""
    for key, colour in (("potential_eV", "C1"), ("total_eV", "C2")):
        change = (rows[key] - rows[key][0]) * 1000 / natoms
        label = key.removesuffix("_eV")
        axes.plot(time, change, color=colour, linewidth=1, marker=marker, label=label)
    axes.legend(fontsize="small", ncols=2, frameon=False, loc="best")

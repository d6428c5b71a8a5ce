"""Averages over a run, as sentences."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

#: Column of the log → name, unit and format.
SHOWN = {
    "temperature_K": ("temperature", "K", ".1f"),
    "pressure_bar": ("pressure", "bar", ".0f"),
    "density_g_cm3": ("density", "g/cm³", ".4f"),
}


def averages(rows: Mapping[str, np.ndarray], natoms: int, conserved: bool) -> list[str]:
    """Return means and deviations of the second half of a run, and the change of the total energy.

    Parameters
    ----------
    rows
        Columns of the log.
    natoms
        Number of atoms.
    conserved
        True if the ensemble conserves the energy.
    """
    half = len(rows["step"]) // 2
    lines = []
    for key, (name, unit, form) in SHOWN.items():
        x = rows[key][half:] if key in rows else np.zeros(1)
        if np.ptp(x) > 0:
            lines.append(f"{name}: {x.mean():{form}} ± {x.std():{form}} {unit} (second half)")
    if not conserved:
        return lines
    change = 1000 * (rows["total_eV"][-1] - rows["total_eV"][0]) / natoms
    time = (rows["time_fs"][-1] - rows["time_fs"][0]) / 1000
    lines.append(f"change of the total energy: {change:.3f} meV/atom in {time:.4g} ps")
    return lines

"""The columns of the log: thermodynamic quantities of a step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from ase import units

#: Column of the log → width and digits after the point.
COLUMNS = {
    "step": (9, 0),
    "time_fs": (13, 2),
    "temperature_K": (14, 3),
    "potential_eV": (18, 8),
    "kinetic_eV": (16, 8),
    "total_eV": (18, 8),
    "pressure_bar": (14, 2),
    "density_g_cm3": (14, 6),
}

#: g/cm³ of one atomic mass unit in one Å³.
DENSITY = 1e24 / units.mol


def temperature(kinetic: float, free: int) -> float:
    """Return the temperature in K of a kinetic energy in eV of ``free`` degrees of freedom."""
    return float(2 * kinetic / (free * units.kB))


def observables(atoms: Any, step: int, time: float, free: int) -> dict[str, float]:
    """Return a row of the log.

    Parameters
    ----------
    atoms
        With a calculator that knows energies, forces and stresses.
    time
        fs.
    free
        Degrees of freedom.
    """
    kinetic, potential = float(atoms.get_kinetic_energy()), float(atoms.get_potential_energy())
    row = {
        "step": step,
        "time_fs": time,
        "temperature_K": temperature(kinetic, free),
        "potential_eV": potential,
        "kinetic_eV": kinetic,
        "total_eV": potential + kinetic,
    }
    if atoms.pbc.all():
        stress = atoms.get_stress(include_ideal_gas=True)
        row["pressure_bar"] = -float(np.mean(stress[:3])) / units.bar
        row["density_g_cm3"] = float(atoms.get_masses().sum() / atoms.get_volume()) * DENSITY
    return row


def header(row: Mapping[str, float]) -> str:
    """Return the first line of a log with the columns of this row."""
    names = [f"{key:>{COLUMNS[key][0]}}" for key in row]
    return "#" + " ".join(names)[1:] + "\n"


def line(row: Mapping[str, float]) -> str:
    """Return a row as a line of the log."""
    cells = [f"{value:{COLUMNS[key][0]}.{COLUMNS[key][1]}f}" for key, value in row.items()]
    return " ".join(cells) + "\n"


def read_log(text: str) -> dict[str, np.ndarray]:
    """Return the columns of a log by name."""
    first, *rest = text.splitlines()
    names = first.lstrip("#").split()
    rows = np.array([[float(cell) for cell in each.split()] for each in rest])
    return dict(zip(names, rows.reshape(-1, len(names)).T, strict=True))

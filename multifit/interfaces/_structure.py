"""Structure files for engines: read by ASE, checked, and with the model as calculator."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ConfigError, DataError
from ..inference.potential import Potential
from ..neighbors.search import find_pairs
from .ase import MultifitCalculator

#: Å; closer atoms are a mistake: the shortest bond, of H2, has 0.74.
CLOSEST = 0.5


def load_structure(
    potential: Potential,
    path: Path,
    *,
    skin: float = 1.0,
    fparam: Sequence[float] | None = None,
    aparam: np.ndarray | None = None,
) -> Any:
    """Return the last structure of a file as ``ase.Atoms`` with the model as calculator.

    Parameters
    ----------
    potential
        An energy model.
    path
        A file in any format of ASE.
    skin, fparam, aparam
        As for :class:`multifit.interfaces.ase.MultifitCalculator`.

    Raises
    ------
    DataError, ConfigError
        If the file, the structure or the parameters do not fit the model.
    """
    _check_model(potential, fparam, aparam)
    atoms = _read(path)
    try:
        potential.type_indices(atoms.get_chemical_symbols())
    except DataError as exc:
        raise DataError(f"{path}: {exc}") from exc
    _check_positions(atoms, path)
    atoms.calc = MultifitCalculator(potential, skin=skin, fparam=fparam, aparam=aparam)
    return atoms


def _check_model(
    potential: Potential, fparam: Sequence[float] | None, aparam: np.ndarray | None
) -> None:
    """Raise if the model has no forces, or lacks parameters."""
    model = potential.model
    if "force" not in model.output.variables:
        raise ConfigError(
            f"the model predicts {model.output.plural}, but dynamics needs forces; use "
            "an energy model"
        )
    fitting = model.fitting
    needs = {
        "fparam": (fparam, 0 if fitting.default_fparam is not None else fitting.numb_fparam),
        "aparam": (aparam, fitting.numb_aparam),
    }
    for name, (given, number) in needs.items():
        if given is None and number:
            raise ConfigError(f"the model needs {name} ({number} numbers); give --{name}")


def _read(path: Path) -> Any:
    """Return the last structure of a file, without a calculator."""
    from ase.io import read

    if not path.is_file():
        raise DataError(f"{path} does not exist; check the name of the structure file")
    try:
        atoms = read(path, index=-1)
    except Exception as exc:  # readers of a hundred formats raise anything
        raise DataError(
            f"{path} cannot be read by ASE ({type(exc).__name__}: {exc}); give a structure such as "
            "an xyz, cif or POSCAR file"
        ) from exc
    if not len(atoms):
        raise DataError(f"{path} has no atoms; give a structure")
    atoms.calc = None
    return atoms


def _check_positions(atoms: Any, path: Path) -> None:
    """Raise for positions that are not finite, and for atoms at the same place."""
    bad = np.flatnonzero(~np.isfinite(atoms.positions).all(axis=1))
    if bad.size:
        raise DataError(f"{path}: the position of atom {bad[0]} is not finite; correct the file")
    cell = atoms.cell.array if atoms.pbc.any() else None
    pairs = find_pairs(atoms.positions, cell, atoms.pbc, CLOSEST, where=str(path))
    if len(pairs.i):
        k = int(np.argmin(pairs.distance))
        raise DataError(
            f"{path}: atoms {pairs.i[k]} and {pairs.j[k]} are only {pairs.distance[k]:.3f} Å "
            "apart; move them apart, or check the cell"
        )

"""Models and data on disk, for the tests of the command line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from _cases import System, build, crystal, draw

from multifit import files
from multifit import models as mdl
from multifit.dos import Grid
from multifit.inference.potential import Potential
from multifit.tree import Tree

NAMES = ("O", "H")


def write_model(
    path: Path, model: mdl.Model | None = None, params: Tree | None = None, **more: object
) -> Potential:
    """Write a small model with random parameters or these, and return it on NumPy."""
    model = model or build()
    params = params or draw(model)
    content = {"software": "multifit", "version": "0.1.0", **mdl.to_content(model, params)}
    files.write(path, {**content, **more})
    return Potential(model, params)


def dos_model(numb_dos: int = 5, grid: Grid | None = None) -> mdl.Model:
    """Return a small model of densities of states."""
    model = build()
    fitting = replace(model.fitting, var_name="dos", dim_out=numb_dos)
    return replace(model, fitting=fitting, grid=grid)


def frames(number: int, shape: System | None = None) -> tuple[np.ndarray, System]:
    """Return coordinates (number, natoms, 3) near a crystal's or molecule's, and that one."""
    system = shape or crystal()
    rng = np.random.default_rng(11)
    return system.coord + rng.normal(scale=0.05, size=(number, *system.coord.shape)), system


def write_system(
    folder: Path, coord: np.ndarray, system: System, **arrays: np.ndarray | None
) -> None:
    """Write a DeePMD system with the given labels."""
    inner = folder / "set.000"
    inner.mkdir(parents=True)
    (folder / "type.raw").write_text("\n".join(map(str, system.atype)))
    (folder / "type_map.raw").write_text("\n".join(NAMES))
    n = len(coord)
    np.save(inner / "coord.npy", coord.reshape(n, -1))
    if system.cell is None:
        (folder / "nopbc").touch()
    else:
        np.save(inner / "box.npy", np.tile(system.cell.ravel(), (n, 1)))
    for name, value in arrays.items():
        if value is not None:
            np.save(inner / f"{name}.npy", value.reshape(n, -1))


def write_labelled(
    folder: Path,
    potential: Potential,
    number: int = 5,
    *,
    energy: float = 0.0,
    force: float = 0.0,
    virial: float | None = 0.0,
    shape: System | None = None,
) -> dict[str, np.ndarray]:
    """Write a system whose labels are predictions minus these errors, and return these."""
    coord, system = frames(number, shape)
    found = potential.predict(coord, system.atype, system.cell)
    write_system(
        folder,
        coord,
        system,
        energy=found["energy"] - energy,
        force=found["force"] - force,
        virial=None if virial is None else found["virial"] - virial,
    )
    return found


def write_dos(
    folder: Path,
    potential: Potential,
    number: int = 5,
    *,
    shift: float | np.ndarray = 0.0,
    keys: tuple[str, ...] = ("dos", "atom_dos"),
    shape: System | None = None,
) -> dict[str, np.ndarray]:
    """Write a system whose atomic labels are predictions minus ``shift``, and return predictions.

    Parameters
    ----------
    shift
        In states/eV, for all frames or (number,).
    """
    coord, system = frames(number, shape)
    found = potential.predict(coord, system.atype, system.cell)
    each = np.broadcast_to(shift, (number,))
    labels = {
        "dos": found["dos"] - each[:, None] * len(system.atype),
        "atom_dos": found["atom_dos"] - each[:, None, None],
    }
    write_system(folder, coord, system, **{key: labels[key] for key in keys})
    return found

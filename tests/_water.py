"""Tiny training data and inputs: noisy frames whose labels come from a pair potential."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from _cli_files import NAMES
from _cli_files import frames as near
from rich.console import Console

from multifit import config
from multifit.backend import Backend, get_backend
from multifit.neighbors.search import find_pairs
from multifit.train import Start, train

#: eV that each type has on its own.
ATOMIC = np.array([-3.0, -1.0])
RCUT = 3.6
#: Of densities of states, in eV.
ENERGIES = np.linspace(-5.0, 5.0, 11)


@dataclass(frozen=True)
class Frames:
    """Labelled frames of one composition: what a folder of data holds."""

    coord: np.ndarray
    atype: np.ndarray
    cell: np.ndarray | None
    energy: np.ndarray
    force: np.ndarray
    virial: np.ndarray


def labelled(number: int = 6, cell: bool = True) -> Frames:
    """Return frames near a crystal's, with energies and forces of a smooth pair repulsion."""
    coord, system = near(number)
    box = system.cell if cell else None
    energy = np.full(number, ATOMIC[system.atype].sum())
    force, virial = np.zeros_like(coord), np.zeros((number, 3, 3))
    for f in range(number):
        pairs = find_pairs(coord[f], box, [cell] * 3, RCUT)
        r = pairs.distance
        # u(r) = (1 − r/rcut)³ for each of i-j and j-i, so that both ends feel half of it.
        energy[f] += 0.5 * ((1 - r / RCUT) ** 3).sum()
        slope = -3 / RCUT * (1 - r / RCUT) ** 2
        pull = (slope / r)[:, None] * pairs.rij
        np.add.at(force[f], pairs.i, pull)
        virial[f] = -0.5 * pairs.rij.T @ pull
    return Frames(coord, system.atype, box, energy, force, virial)


def write(folder: Path, frames: Frames, without: Sequence[str] = (), **more: np.ndarray) -> Path:
    """Write a DeePMD system with one set; ``more`` are further files of it, or replace others."""
    inner = folder / "set.000"
    inner.mkdir(parents=True, exist_ok=True)
    (folder / "type.raw").write_text("\n".join(map(str, frames.atype)))
    (folder / "type_map.raw").write_text("\n".join(NAMES))
    n = len(frames.coord)
    arrays = {name: getattr(frames, name) for name in ("coord", "energy", "force", "virial")}
    if frames.cell is None:
        (folder / "nopbc").touch()
    else:
        arrays["box"] = np.tile(frames.cell.ravel(), (n, 1))
    for name, value in (arrays | more).items():
        if name not in without:
            np.save(inner / f"{name}.npy", value.reshape(n, -1) if value.ndim > 1 else value)
    return folder


def write_xyz(path: Path, frames: Frames, names: Sequence[str] = NAMES, **info: np.ndarray) -> Path:
    """Write an extended xyz file; ``info`` are further numbers of frames, or replace the energy."""
    cell = "" if frames.cell is None else f'Lattice="{" ".join(map(str, frames.cell.ravel()))}" '
    numbers = {"energy": frames.energy} | info
    lines = []
    for f, (coord, force) in enumerate(zip(frames.coord, frames.force, strict=True)):
        about = " ".join(f"{key}={float(x[f])!r}" for key, x in numbers.items())
        lines += [str(len(coord)), f"{cell}Properties=species:S:1:pos:R:3:forces:R:3 {about}"]
        for a, row in zip(frames.atype, np.hstack([coord, force]).tolist(), strict=True):
            lines.append(" ".join([names[a], *map(repr, row)]))
    path.write_text("\n".join([*lines, ""]))
    return path


def spectra(frames: Frames, energies: np.ndarray = ENERGIES) -> dict[str, np.ndarray]:
    """Return ``dos`` and ``atom_dos``: a bell for each atom, which close neighbours push up."""
    nframes = len(frames.coord)
    centre = np.tile(np.where(frames.atype == 0, -2.0, 1.0), (nframes, 1))
    for f in range(nframes):
        pairs = find_pairs(frames.coord[f], frames.cell, [frames.cell is not None] * 3, RCUT)
        np.add.at(centre[f], pairs.i, 0.5 * (1 - pairs.distance / RCUT) ** 3)
    each = np.exp(-0.5 * (energies - centre[..., None]) ** 2)
    return {"dos": each.sum(axis=1), "atom_dos": each}


def write_spectra(
    folder: Path,
    frames: Frames,
    without: Sequence[str] = (),
    energies: np.ndarray | None = None,
    **more: np.ndarray,
) -> Path:
    """Write a DeePMD system with densities of states, and the energies they are at if given."""
    found = spectra(frames, ENERGIES if energies is None else energies) | more
    labels = {key: value for key, value in found.items() if key not in without}
    write(folder, frames, ("energy", "force", "virial"), **labels)
    if energies is not None:
        np.save(folder / "energies.npy", energies)
    return folder


def put(data: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the nested dict with the values at dotted paths replaced; None takes one away."""
    data = copy.deepcopy(data)
    for path, value in changes.items():
        *sections, key = path.split(".")
        place = data
        for section in sections:
            place = place.setdefault(section, {})
        if value is None:
            place.pop(key, None)
        else:
            place[key] = copy.deepcopy(value)
    return data


def recipe(systems: Any = "data", steps: int = 10, **changes: Any) -> dict[str, Any]:
    """Return an input for a tiny model; ``changes`` have dots for their double underscores."""
    base: dict[str, Any] = {
        "model": {
            "type_map": ["O", "H"],
            "descriptor": {
                "type": "se_e2_a",
                "sel": [12, 20],
                "rcut": RCUT,
                "rcut_smth": 1.5,
                "neuron": [4, 8],
                "axis_neuron": 2,
                "seed": 1,
            },
            "fitting_net": {"neuron": [8, 8], "seed": 2},
        },
        "learning_rate": {"type": "exp", "start_lr": 0.005, "stop_lr": 1e-4, "decay_steps": 5},
        "loss": {"start_pref_e": 0.1, "start_pref_f": 100, "limit_pref_f": 1},
        "training": {
            "training_data": {"systems": systems, "batch_size": 2},
            "numb_steps": steps,
            "seed": 3,
            "disp_freq": 1,
            "save_freq": 1000,
        },
    }
    return put(base, {path.replace("__", "."): value for path, value in changes.items()})


def dos_recipe(systems: Any = "data", steps: int = 10, **changes: Any) -> dict[str, Any]:
    """Return an input for a tiny model of densities of states, as :func:`recipe` does."""
    base = recipe(systems, steps)
    base["model"]["fitting_net"] |= {"type": "dos", "numb_dos": len(ENERGIES)}
    base["loss"] = {"type": "dos", "start_pref_dos": 0.5, "limit_pref_dos": 2.0}
    return put(base, {path.replace("__", "."): value for path, value in changes.items()})


def fit(
    folder: Path,
    given: dict[str, Any],
    *,
    output: Path | None = None,
    backend: str | Backend = "torch",
    console: Console | None = None,
    **start: Path,
) -> Path:
    """Train in this process, in silence unless there is a console; return the output folder."""
    (folder / "input.json").write_text(json.dumps(given))
    to = folder / "out" if output is None else output
    code = train(
        config.load(folder / "input.json"),
        get_backend(backend),
        base=folder,
        output=to,
        start=Start(**start),
        console=console,
        quiet=console is None,
    )
    assert code == 0
    return to


def curve(folder: Path, file: str = "lcurve.out") -> tuple[list[str], np.ndarray]:
    """Return the names of the columns and the rows of the learning curve."""
    path = folder / file
    names = path.read_text().splitlines()[0].lstrip("# ").split()
    return names, np.loadtxt(path, ndmin=2)


def column(folder: Path, name: str) -> np.ndarray:
    """Return one column of ``lcurve.out``."""
    names, rows = curve(folder)
    return rows[:, names.index(name)]

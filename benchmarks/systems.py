"""Inputs of all programs: data, ``input.json``, and frames of any size."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"

#: DeePMD-kit's water example.
ENERGY_MODEL: dict[str, Any] = {
    "type_map": ["O", "H"],
    "descriptor": {
        "type": "se_e2_a",
        "sel": [46, 92],
        "rcut_smth": 0.5,
        "rcut": 6.0,
        "neuron": [25, 50, 100],
        "axis_neuron": 16,
        "type_one_side": True,
        "seed": 1,
    },
    "fitting_net": {"neuron": [240, 240, 240], "resnet_dt": True, "seed": 1},
}
ENERGY_LOSS: dict[str, Any] = {"type": "ener", "start_pref_e": 0.02, "limit_pref_e": 1}
ENERGY_LOSS |= {"start_pref_f": 1000, "limit_pref_f": 1, "start_pref_v": 0, "limit_pref_v": 0}

#: Slots for neighbours in DeePMD-kit's example of bulk silicon.
BULK = 90

#: Å between a cluster and its periodic images.
SPACE = 15.0

#: Frames that are predicted in turn, so that no program can remember one.
FRAMES = 4


@dataclass(frozen=True)
class Products:
    """The sizes of a fitting net's products of matrices.

    Attributes
    ----------
    atoms
        Centres of each type in a batch.
    layers
        (inputs, outputs) of each layer.
    repeats
        How often each of x·W, g·Wᵀ, xᵀ·g is there: twice if forces are fitted.
    """

    atoms: tuple[int, ...]
    layers: tuple[tuple[int, int], ...]
    repeats: int


def enlarged(folder: Path, frames: int) -> Path:
    """Return a system of 192 atoms made of our own cells, 2 × 2 × 1, with that many frames."""
    source = EXAMPLES / "water" / "data" / "liquid_300K"
    atype = np.loadtxt(source / "type.raw", dtype=int)
    read = {name: np.load(source / "set.000" / f"{name}.npy") for name in ("coord", "box", "force")}
    coord, force = (read[name].reshape(-1, len(atype), 3) for name in ("coord", "force"))
    box = read["box"].reshape(-1, 3, 3)
    images = [(i, j, 0) for i in range(2) for j in range(2)]
    shifted = [coord + (np.asarray(image) @ box)[:, None, :] for image in images]
    target = folder / "water"
    (target / "set.000").mkdir(parents=True)
    (target / "type.raw").write_text("\n".join(map(str, np.tile(atype, 4))))
    (target / "type_map.raw").write_text("O\nH\n")
    n = len(coord)
    arrays = {
        "coord": np.concatenate(shifted, axis=1).reshape(n, -1),
        "box": (box * np.array([2.0, 2.0, 1.0])[:, None]).reshape(n, 9),
        "force": np.tile(force, (1, 4, 1)).reshape(n, -1),
        "energy": np.load(source / "set.000" / "energy.npy").reshape(-1) * 4,
    }
    rows = np.arange(max(n, frames)) % n
    for name, values in arrays.items():
        np.save(target / "set.000" / f"{name}.npy", values[rows].astype(np.float64))
    return target


def largest_silicon() -> Path:
    """Return the largest of our own clusters with a density of states."""
    found = [path.parent for path in (EXAMPLES / "dos" / "data").glob("*/type.raw")]
    return max(found, key=lambda path: len(types(path)))


def types(system: Path) -> np.ndarray:
    """Return the types of a system's atoms, (natoms,)."""
    return np.loadtxt(system / "type.raw", dtype=np.int64, ndmin=1)


def model(task: str, precision: str, system: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the sections ``model`` and ``loss`` of the input."""
    made, loss = _dos(system) if task == "dos" else (ENERGY_MODEL, ENERGY_LOSS)
    kind = {"precision": precision}
    nets = {key: {**made[key], **kind} for key in ("descriptor", "fitting_net")}
    return {**made, **nets}, loss


def _dos(system: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the sections of DeePMD-kit's example of densities of states, for these types."""
    names = (system / "type_map.raw").read_text().split()
    columns = np.load(system / "set.000" / "atom_dos.npy", mmap_mode="r").shape[1]
    descriptor = {**ENERGY_MODEL["descriptor"], "axis_neuron": 8, "rcut_smth": 1.8}
    descriptor["sel"] = [BULK] if len(names) == 1 else "auto"
    fitting = {"type": "dos", "numb_dos": columns // len(types(system)), "seed": 1}
    terms = {"dos": 0.0, "cdf": 0.0, "ados": 1.0, "acdf": 0.0}
    loss = {f"{when}_pref_{name}": x for name, x in terms.items() for when in ("start", "limit")}
    fitting["neuron"] = [120, 120, 120]
    made = {"type_map": names, "descriptor": descriptor, "fitting_net": fitting}
    return made, {"type": "dos", **loss}


def write_input(
    path: Path,
    sections: tuple[dict[str, Any], dict[str, Any]],
    systems: Sequence[Path],
    **training: int,
) -> None:
    """Write the input that all programs get; `training` are keys of its section of that name."""
    made, loss = sections
    content = {
        "model": made,
        "learning_rate": {"type": "exp", "decay_steps": 5000, "start_lr": 0.001}
        | {"stop_lr": 3.51e-8},
        "loss": loss,
        "training": {
            "training_data": {
                "systems": [str(system) for system in systems],
                "batch_size": training.pop("batch_size"),
            },
            "seed": 10,
            **training,
        },
    }
    path.write_text(json.dumps(content, indent=1))


def products(made: dict[str, Any], task: str, system: Path, batch: int) -> Products:
    """Return the products of matrices of a model's fitting net for one batch."""
    descriptor, fitting = made["descriptor"], made["fitting_net"]
    widths = [descriptor["neuron"][-1] * descriptor["axis_neuron"], *fitting["neuron"]]
    widths.append(fitting.get("numb_dos", 1))
    counts = np.bincount(types(system), minlength=len(made["type_map"])) * batch
    layers = tuple(itertools.pairwise(widths))
    present = tuple(int(n) for n in counts if n)
    return Products(present, layers, 1 if task == "dos" else 2)


def images(atoms: int, unit: int) -> tuple[int, int, int]:
    """Return how often a cell of `unit` atoms is repeated along each vector for about `atoms`.

    The numbers differ by two at most, so that the box stays about as cubic as the cell.
    """
    count = atoms / unit
    middle = round(count ** (1 / 3))
    near = range(max(1, middle - 1), middle + 2)
    options = [(i, j, k) for i in near for j in near for k in near if i >= j >= k]
    return min(options, key=lambda each: (abs(math.prod(each) - count), each))


def write_frames(system: Path, atoms: int, path: Path) -> int:
    """Write frames of about `atoms` atoms as ``coord``, ``cell``, ``types``; return how many atoms.

    The system's cell is repeated. Each image gets small shifts of its own, so that no two
    neighbourhoods are equal. For half of its atoms or fewer, a cluster is cut out of it.
    """
    atype = types(system)
    folder = sorted(system.glob("set.*"))[0]
    coord = np.load(folder / "coord.npy").astype(np.float64).reshape(-1, len(atype), 3)[:FRAMES]
    cell = np.load(folder / "box.npy").astype(np.float64).reshape(-1, 3, 3)[:FRAMES]
    if 2 * atoms <= len(atype):
        return _write_clusters(coord, cell, atype, atoms, path)
    times = images(atoms, len(atype))
    shifts = np.stack(np.meshgrid(*map(np.arange, times), indexing="ij"), axis=-1).reshape(-1, 3)
    tiled = coord[:, None] + (shifts @ cell)[:, :, None, :]
    tiled = tiled.reshape(len(coord), -1, 3)
    tiled += np.random.default_rng(0).normal(scale=0.01, size=tiled.shape)
    np.savez(
        path,
        coord=tiled,
        cell=cell * np.array(times)[:, None],
        types=np.tile(atype, len(shifts)),
    )
    return int(tiled.shape[1])


def _write_clusters(
    coord: np.ndarray, cell: np.ndarray, atype: np.ndarray, atoms: int, path: Path
) -> int:
    """Write the atoms nearest to the first, as many of each type as in the system, in a large cell.

    Distances are to the nearest images, and at least `SPACE` remains to those of the cluster.
    """
    share = np.bincount(atype) * atoms / len(atype)
    numbers = np.maximum(np.round(share).astype(int), share > 0)
    kinds = np.repeat(np.arange(len(numbers)), numbers)
    clusters = []
    for x, box in zip(coord, cell, strict=True):
        apart = (x - x[0]) @ np.linalg.inv(box)
        apart = (apart - np.round(apart)) @ box
        order = np.argsort(np.linalg.norm(apart, axis=1), kind="stable")
        chosen = [order[atype[order] == a][:n] for a, n in enumerate(numbers)]
        clusters.append(apart[np.concatenate(chosen)])
    made = np.array(clusters)
    edge = float(np.ptp(made, axis=1).max()) + SPACE
    cells = np.tile(edge * np.eye(3), (len(made), 1, 1))
    np.savez(path, coord=made, cell=cells, types=kinds)
    return len(kinds)

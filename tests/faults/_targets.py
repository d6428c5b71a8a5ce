"""Kinds of files that are mutated, and what is done with them afterwards."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import _mutations as mutate
import h5py
import numpy as np
from _cases import build, crystal, draw
from _cli_files import write_model
from _water import fit, labelled, recipe, write

import multifit
from multifit import cli, config, files
from multifit.backend import get_backend
from multifit.train.setup.setup import set_up
from multifit.train.start import checkpoint
from multifit.train.start.begin import Start, begin

Change = Callable[[bytes, random.Random], bytes]


@dataclass(frozen=True)
class Target:
    """A kind of file.

    Attributes
    ----------
    path
        The file below the folder of a case.
    change
        Its mutation.
    use
        Reads it as a user would, from the folder; raises if a result is wrong.
    """

    path: str
    change: Change
    use: Callable[[Path], None]


def make_seeds(folder: Path) -> None:
    """Write the unchanged files: models, a checkpoint, an input, and data in three formats."""
    folder.mkdir(parents=True, exist_ok=True)
    model = build(numb_fparam=0, atom_ener=None)
    script = {"model_def_script": {"type_map": ["O", "H"], "descriptor": {"type": "se_e2_a"}}}
    for ending in ("dp", "json", "yaml"):
        write_model(folder / f"model.{ending}", model, draw(model), **script)
    frames = labelled(4)
    write(folder / "data", frames)
    given = recipe(steps=2, training__save_freq=1, training__enable_ema=True)
    given["training"]["validation_data"] = {"systems": "data", "numb_btch": 1}
    fit(folder, given)
    (folder / "out" / "model.ckpt-2.dp").rename(folder / "checkpoint.dp")
    _write_hdf5(folder)
    _write_xyz(folder)


def _write_hdf5(folder: Path) -> None:
    with h5py.File(folder / "data.hdf5", "w") as file:
        file["type.raw"] = np.loadtxt(folder / "data/type.raw", dtype=np.int64)
        file["type_map.raw"] = np.array([b"O", b"H"])
        for path in sorted((folder / "data/set.000").glob("*.npy")):
            packed = {"compression": "gzip"} if path.stem == "coord" else {}
            file.create_dataset(f"set.000/{path.stem}.npy", data=np.load(path), **packed)


def _write_xyz(folder: Path) -> None:
    frames = labelled(2)
    assert frames.cell is not None
    lattice = " ".join(map(str, frames.cell.ravel()))
    lines = []
    for coord, energy, force in zip(frames.coord, frames.energy, frames.force, strict=True):
        what = f'Lattice="{lattice}" Properties=species:S:1:pos:R:3:forces:R:3 energy={energy}'
        lines += [str(len(coord)), f'{what} pbc="T T T"']
        for a, x, f in zip(frames.atype, coord, force, strict=True):
            lines.append(" ".join(["OH"[a], *(f"{v:.8f}" for v in (*x, *f))]))
    (folder / "data.xyz").write_text("\n".join(lines) + "\n")


def _model(ending: str) -> Callable[[Path], None]:
    """Return what is done with a model: show, convert and predict."""

    def use(folder: Path) -> None:
        path = str(folder / f"model.{ending}")
        cli.run(["show", path])
        cli.run(["convert", path, str(folder / "copy.dp")])
        potential = multifit.load(path)
        system, fitting = crystal(), potential.model.fitting
        natoms = len(system.atype)
        given = {
            "fparam": np.zeros(fitting.numb_fparam) if fitting.numb_fparam else None,
            "aparam": np.ones((natoms, fitting.numb_aparam)) if fitting.numb_aparam else None,
        }
        found = potential.predict(system.coord, system.atype, system.cell, **given)
        for name, value in found.items():
            if not np.isfinite(value).all():
                raise AssertionError(f"{name} is not finite")

    return use


def _checkpoint(folder: Path) -> None:
    """Show a checkpoint, and continue its run."""
    cli.run(["show", str(folder / "checkpoint.dp")])
    checkpoint.read(folder / "checkpoint.dp")
    _begin(folder, Start(restart=folder / "checkpoint.dp"))


def _state(folder: Path) -> None:
    """Continue a run for two steps, in the kernels of a framework, which check no sizes."""
    given = json.loads((folder / "input.json").read_text())
    given["training"]["numb_steps"] = 4
    fit(folder, given, restart=folder / "checkpoint.dp")


def _begin(folder: Path, start: Start) -> None:
    """Start a training up to its first step."""
    backend = get_backend("numpy")
    setup = set_up(config.load(folder / "input.json"), backend, folder)
    begin(setup, start, folder)


def _test(name: str) -> Callable[[Path], None]:
    """Return what is done with data: a comparison with a model, and the start of a training."""

    def use(folder: Path) -> None:
        cli.run(["test", "-m", str(folder / "model.dp"), "-s", str(folder / name)])
        given = json.loads((folder / "input.json").read_text())
        given["training"]["training_data"]["systems"] = name
        given["training"].pop("validation_data", None)
        (folder / "input.json").write_text(json.dumps(given))
        _begin(folder, Start())

    return use


#: One row for each kind of file, with its share of the cases.
TARGETS: dict[str, tuple[int, Target]] = {
    "model.dp": (15, Target("model.dp", mutate.mutate_dp, _model("dp"))),
    "model.json": (15, Target("model.json", mutate.mutate_json, _model("json"))),
    "model.yaml": (8, Target("model.yaml", mutate.mutate_yaml, _model("yaml"))),
    "checkpoint": (5, Target("checkpoint.dp", mutate.mutate_dp, _checkpoint)),
    "state": (10, Target("checkpoint.dp", mutate.mutate_state, _state)),
    "input.json": (
        15,
        Target("input.json", mutate.mutate_json, lambda folder: _begin(folder, Start())),
    ),
    "coord.npy": (5, Target("data/set.000/coord.npy", mutate.mutate_npy, _test("data"))),
    "box.npy": (5, Target("data/set.000/box.npy", mutate.mutate_npy, _test("data"))),
    "energy.npy": (3, Target("data/set.000/energy.npy", mutate.mutate_npy, _test("data"))),
    "force.npy": (3, Target("data/set.000/force.npy", mutate.mutate_npy, _test("data"))),
    "type.raw": (3, Target("data/type.raw", mutate.mutate_bytes, _test("data"))),
    "type_map.raw": (2, Target("data/type_map.raw", mutate.mutate_bytes, _test("data"))),
    "data.hdf5": (6, Target("data.hdf5", mutate.mutate_hdf5, _test("data.hdf5"))),
    "data.xyz": (5, Target("data.xyz", mutate.mutate_bytes, _test("data.xyz"))),
}


def warm_up(folder: Path) -> None:
    """Use all unchanged files once, so that children import nothing.

    A framework is loaded, but computes nothing: it could not in the forked children.
    """
    get_backend("torch")
    for _, target in TARGETS.values():
        if target.use is not _state:
            target.use(folder)
        (folder / "copy.dp").unlink(missing_ok=True)
    assert files.read(folder / "model.dp")

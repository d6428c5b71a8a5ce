"""What users get wrong: one sentence on stderr, exit code 2, and nothing half-written."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _water import Frames, labelled, put, recipe, write

from multifit import files
from multifit.backend import _discovery as backends
from multifit.cli import main

GIVEN = recipe(steps=2)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the current folder, with an input and data that would work."""
    monkeypatch.delenv("MULTIFIT_BACKEND", raising=False)
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "data", labelled(4))
    (tmp_path / "input.json").write_text(json.dumps(GIVEN))
    return tmp_path


def train(*arguments: str) -> int:
    return main(["train", "input.json", "-b", "torch", "-o", "out", *arguments])


def complaint(captured: pytest.CaptureFixture[str]) -> str:
    """Return the sentence on stderr, after checking that it is one."""
    said = captured.readouterr()
    assert said.err.count("\n") == 1, said.err
    assert said.err.startswith("multifit: error: ")
    assert "Traceback" not in said.err + said.out
    return said.err.removeprefix("multifit: error: ").strip()


def check(place: Path, capsys: pytest.CaptureFixture[str], words: str, *arguments: str) -> None:
    """Train, and look for a regular expression in the complaint."""
    before = {path for path in place.rglob("*") if path.name not in ("out", "lcurve.out")}
    assert train(*arguments) == 2
    found = complaint(capsys)
    assert re.search(words, found), found
    after = {path for path in place.rglob("*") if path.name not in ("out", "lcurve.out")}
    assert after == before


# The input file


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, r"the input file input\.json does not exist"),
        ("", r"input\.json is not JSON: line 1, column 1.*the file is empty"),
        ('{"model": {', r"input\.json is not JSON: line 1, column"),
        ('{"model": {},}', "JSON has no comma after the last entry"),
        ("model: {}", r"input\.json is not JSON"),
        ("[1, 2]", r"input\.json"),
        ("{}", "model.*missing|missing.*model"),
    ],
    ids=["missing", "empty", "truncated", "comma", "yaml", "list", "no sections"],
)
def test_input_files(
    place: Path, capsys: pytest.CaptureFixture[str], text: str | None, words: str
) -> None:
    if text is None:
        (place / "input.json").unlink()
    else:
        (place / "input.json").write_text(text)
    check(place, capsys, words)


def test_an_input_file_that_is_a_folder(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "input.json").unlink()
    (place / "input.json").mkdir()
    check(place, capsys, r"input\.json is a folder, but must be an input file")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read anything")
def test_an_input_file_that_may_not_be_read(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "input.json").chmod(0)
    check(place, capsys, r"input\.json cannot be read: Permission denied")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"model.descriptor.neurons": [1], "model.descriptor.neuron": None},
            r"descriptor\.neurons in input\.json is not a known key \(did you mean 'neuron'\?\)",
        ),
        (
            {"trainin": {}},
            r"trainin in input\.json is not a known key \(did you mean 'training'\?\)",
        ),
        ({"model.descriptor.rcut": "6"}, r'rcut in input\.json is "6", but must be a number > 0'),
        ({"model.descriptor.rcut": -6}, r"rcut in input\.json is -6, but must be a number > 0"),
        (
            {"model.descriptor.rcut_smth": 9},
            r"rcut_smth in input\.json is 9\.0, but must be < rcut, 3\.6",
        ),
        ({"training.numb_steps": 0}, r"training\.numb_steps in input\.json is 0, but must be"),
        ({"training.numb_steps": None}, r"numb_steps in input\.json is missing"),
        (
            {"model.descriptor.sel": [12]},
            r"sel in input\.json has length 1, but must have length 2",
        ),
        (
            {"model.descriptor.sel": [12, 20, 3]},
            r"sel in input\.json has length 3, but must have length 2",
        ),
        (
            {"model.descriptor.type": "dpa4"},
            r'descriptor\.type in input\.json is "dpa4".*does not have',
        ),
        ({"optimizer": {"type": "LKF"}}, r'optimizer\.type in input\.json is "LKF".*does not have'),
        ({"model.fitting_net.atom_ener": [1.0, 2.0]}, "unless descriptor.set_davg_zero is true"),
        ({"training.training_data.systems": "date"}, r"date does not exist; it was looked for as"),
        ({"training.training_data.systems": []}, r"systems in input\.json is \[\], but must be"),
        ({"training.training_data.batch_size": [1, 2]}, r"batch_size has 2 entries, but .* 1 sys"),
        ({"training.training_data.batch_size": "atuo"}, r"batch_size"),
        ({"training.training_data.sys_probs": [0.5, 0.5]}, r"sys_probs has 2 entries"),
        (
            {"backend": "torhc"},
            r"^backend in input\.json: unknown backend 'torhc' \(did you mean 'torch'\?\)",
        ),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_settings(
    place: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, Any], words: str
) -> None:
    (place / "input.json").write_text(json.dumps(put(GIVEN, changes)))
    if "backend" in changes:
        assert main(["train", "input.json", "-o", "out"]) == 2
        assert re.search(words, complaint(capsys))
    else:
        check(place, capsys, words)


# Data


def save(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    """Return what replaces an array of the set by a changed one."""

    def apply(folder: Path) -> None:
        path = folder / "set.000" / f"{name}.npy"
        np.save(path, change(np.load(path)))

    return apply


def spoil(name: str, frame: int, column: int, value: float) -> Callable[[Path], None]:
    def change(x: np.ndarray) -> np.ndarray:
        x.reshape(len(x), -1)[frame, column] = value
        return x

    return save(name, change)


def text(name: str, content: str) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        (folder / name).write_text(content)

    return apply


def remove(*names: str) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        for name in names:
            (folder / name).unlink()

    return apply


def truncate(name: str, size: int) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        path = folder / "set.000" / name
        path.write_bytes(path.read_bytes()[:size])

    return apply


def collide(folder: Path) -> None:
    """Put the atoms 2 and 5 of frame 1 at the same place."""
    path = folder / "set.000" / "coord.npy"
    coord = np.load(path).reshape(4, 6, 3)
    coord[1, 5] = coord[1, 2]
    np.save(path, coord.reshape(4, 18))


def flat(x: np.ndarray) -> np.ndarray:
    x[2, 6:] = 2 * x[2, 3:6]
    return x


WRONG: dict[str, tuple[Callable[[Path], None], str]] = {
    "coord of other atoms": (
        save("coord", lambda x: x[:, :15]),
        r"data/set\.000/coord\.npy has shape \(4, 15\), expected \(4, 18\) .* lists 6 atoms",
    ),
    "force of other atoms": (
        save("force", lambda x: x[:, :15]),
        r"data/set\.000/force\.npy has shape \(4, 15\), expected \(4, 18\)",
    ),
    "energies of other frames": (
        save("energy", lambda x: x[:3]),
        r"data/set\.000/energy\.npy holds 3 frames, but coord\.npy of the same set holds 4",
    ),
    "virial without a shape": (
        save("virial", lambda x: x[:, :6]),
        r"data/set\.000/virial\.npy has shape \(4, 6\), expected \(4, 9\)",
    ),
    "nan in coord": (
        spoil("coord", 2, 4, np.nan),
        r"data/set\.000/coord\.npy: coord of frame 2, atom 1 is nan",
    ),
    "inf in energy": (
        spoil("energy", 3, 0, np.inf),
        r"data/set\.000/energy\.npy: energy of frame 3 is inf",
    ),
    "a type outside the map": (
        text("type.raw", "0 1 1 0 1 2"),
        r"data/type\.raw, atom 5 has type 2, but data/type_map\.raw names only 2 types \(O, H\)",
    ),
    "an element that the model lacks": (
        text("type_map.raw", "O\nHe"),
        r"atom 1 is of element 'He' .* which the model's type_map \[O, H\] lacks",
    ),
    "a type that is no number": (text("type.raw", "0 H H 0 1 1"), r"data/type\.raw says 'H'"),
    "no types": (text("type.raw", ""), r"data/type\.raw is empty"),
    "no system": (remove("type.raw"), r"no system found in data"),
    "a singular cell": (
        save("box", flat),
        r"data/set\.000/box\.npy: the cell of frame 2 is singular",
    ),
    "a cell that was left out": (
        remove("set.000/box.npy"),
        r"data/set\.000 has no box\.npy; .* put an empty file named nopbc into data",
    ),
    "no coordinates": (remove("set.000/coord.npy"), r"data/set\.000 has no coord\.npy"),
    "no frames": (
        lambda folder: [save(name, lambda x: x[:0])(folder) for name in ALL] and None,
        r"data has no frames: coord\.npy is empty in set\.000",
    ),
    "atoms at the same place": (
        collide,
        r"data/set\.000, frame 1.* atoms 2 and 5 \(counting from 0\) are at the same place",
    ),
    "a file that is cut off": (
        truncate("force.npy", 300),
        r"data/set\.000/force\.npy is truncated",
    ),
    "a file that is no array": (
        text("set.000/energy.npy", "-10.0\n-10.1\n"),
        r"data/set\.000/energy\.npy is not a complete \.npy file",
    ),
    "pickled objects": (
        save("energy", lambda x: np.array([{"a": 1}] * 4, dtype=object)),
        r"data/set\.000/energy\.npy holds pickled Python objects, which are never loaded",
    ),
    "text": (
        save("energy", lambda x: np.array(["low"] * 4)),
        r"data/set\.000/energy\.npy holds values of type <U3, but real numbers are expected",
    ),
}

ALL = ("coord", "box", "energy", "force", "virial")


@pytest.mark.parametrize("name", WRONG)
def test_data(place: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    change, words = WRONG[name]
    change(place / "data")
    check(place, capsys, words)


def test_absurd_cells_and_coordinates(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spoil("coord", 0, 3, 1e30)(place / "data")
    check(place, capsys, r"data/set\.000, frame 0.* of atom 1 .* from the origin")


def test_validation_data_are_named_too(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(place / "valid", labelled(3))
    spoil("force", 1, 5, np.nan)(place / "valid")
    changes = {"training.validation_data": {"systems": "valid"}}
    (place / "input.json").write_text(json.dumps(put(GIVEN, changes)))
    check(place, capsys, r"valid/set\.000/force\.npy: force of frame 1, atom 1 is nan")


# Backends


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("troch", r"unknown backend 'troch' \(did you mean 'torch'\?\)"),
        (
            "numpy",
            "the numpy backend does not support training, fine-tuning and restart; use jax",
        ),
    ],
)
def test_backends(place: Path, capsys: pytest.CaptureFixture[str], name: str, words: str) -> None:
    check(place, capsys, words, "-b", name)


def test_a_backend_from_the_environment(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MULTIFIT_BACKEND", "tocrh")
    assert main(["train", "input.json", "-o", "out"]) == 2
    assert complaint(capsys).startswith("$MULTIFIT_BACKEND: unknown backend 'tocrh' (did you")


@pytest.mark.parametrize("name", ["paddle", "tensorflow"])
def test_a_framework_that_is_not_installed(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def absent() -> object:
        raise ModuleNotFoundError(f"No module named '{name}'")

    class Absent(importlib.metadata.EntryPoint):
        def load(self) -> object:
            return absent

    point = Absent(name, f"multifit_{name}:backend", backends.ENTRY_POINTS)
    backends._load.cache_clear()
    monkeypatch.setattr(backends, "_entry_points", lambda: {name: point})
    words = rf"backend '{name}' cannot be imported .*with: pip install \"multifit\[{name}\]\"$"
    try:
        check(place, capsys, words, "-b", name)
    finally:
        backends._load.cache_clear()


# Models and checkpoints


def hdf5_without_json(path: Path) -> None:
    import h5py

    with h5py.File(path, "w") as file:
        file["x"] = np.arange(3)


FOREIGN: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (
        lambda path: None,
        r"start\.dp does not exist|no checkpoint start\.dp; give a file such as",
    ),
    "empty": (lambda path: path.write_bytes(b""), "empty|truncated"),
    "random bytes": (lambda path: path.write_bytes(os.urandom(500)), "not|damaged"),
    "a PNG": (lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(200)), "not|damaged"),
    "HDF5 of something else": (hdf5_without_json, "json|model"),
    "a pickle": (lambda path: path.write_bytes(b"\x80\x05]\x94."), "not|damaged"),
    "a model without a model": (lambda path: files.write(path, {"software": "x"}), "no model"),
}


@pytest.mark.parametrize("option", ["--restart", "--init-model", "--finetune"])
@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_files(
    place: Path, capsys: pytest.CaptureFixture[str], name: str, option: str
) -> None:
    make, words = FOREIGN[name]
    make(place / "start.dp")
    check(place, capsys, words, option, "start.dp")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    from _water import fit

    folder = tmp_path_factory.mktemp("model")
    write(folder / "data", labelled(4))
    return (fit(folder, GIVEN) / "model.ckpt-2.dp").read_bytes()


@pytest.mark.parametrize("part", [0.1, 0.5, 0.999])
def test_truncated_checkpoints(
    place: Path, capsys: pytest.CaptureFixture[str], model: bytes, part: float
) -> None:
    (place / "start.dp").write_bytes(model[: int(part * len(model))])
    check(place, capsys, r"start\.dp .*(damaged|truncated)", "--restart", "start.dp")


def test_a_flipped_bit(place: Path, capsys: pytest.CaptureFixture[str], model: bytes) -> None:
    spoilt = bytearray(model)
    spoilt[len(model) // 2] ^= 1
    (place / "start.dp").write_bytes(spoilt)
    check(place, capsys, r"start\.dp .*damaged", "--restart", "start.dp")


def test_another_kind_of_file(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "start.pt").write_bytes(b"PK")
    check(
        place,
        capsys,
        r"start\.pt is a frozen DeePMD-kit model, .*convert-backend",
        "--finetune",
        "start.pt",
    )


# The output folder


def test_an_output_folder_that_is_a_file(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "taken").write_text("mine")
    check(place, capsys, "output folder taken cannot be made", "-o", "taken")
    assert (place / "taken").read_text() == "mine"


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_an_output_folder_that_may_not_be_written(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "closed").mkdir(mode=0o500)
    check(place, capsys, "closed.*Permission denied", "-o", "closed")
    check(place, capsys, "closed/in cannot be made", "-o", "closed/in")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "out").mkdir()
    (place / "out/lcurve.out").symlink_to("/dev/full")
    check(
        place,
        capsys,
        r"^training\.disp_file out/lcurve\.out cannot be written \(No space left on device\)",
    )


def test_a_checkpoint_in_the_output_folder(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train("-q") == 0
    words = r"no checkpoint model\.ckpt, nor any .* \(did you mean out/model\.ckpt\?\)"
    check(place, capsys, words, "--restart", "model.ckpt")


def test_earlier_results_survive_an_error(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = place / "out"
    assert train("-q") == 0
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    spoil("coord", 1, 0, np.nan)(place / "data")
    assert train("-q") == 2
    complaint(capsys)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_a_system_needs_atoms_that_are_labelled(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    remove("set.000/energy.npy", "set.000/force.npy")(place / "data")
    check(place, capsys, r"no training system has any of the labels .* \(energy, force\)")


def test_mixed_types_need_names(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frames: Frames = labelled(4)
    write(place / "data", frames, real_atom_types=np.tile(frames.atype, (4, 1)))
    (place / "data/type_map.raw").unlink()
    check(place, capsys, r"data has no type_map\.raw, which a mixed_type system")


# What is written


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"training.disp_file": "model.dp"},
            r"^training\.disp_file is 'model\.dp', which is also the name of the model; choose",
        ),
        (
            {"training.disp_file": "x/../training.png"},
            r"training\.disp_file is 'training\.png', which is also the name of the plot",
        ),
        (
            {"training.disp_file": "model.ckpt-2.dp"},
            r"training\.disp_file is 'model\.ckpt-2\.dp', which may also be .* a checkpoint",
        ),
        (
            {"training.disp_file": "log", "training.tensorboard": True},
            r"training\.tensorboard_log_dir is 'log', which is also .* of training\.disp_file",
        ),
        (
            {"validating.full_val_file": "lcurve.out"},
            r"full_val_file is 'lcurve\.out', which is also the name of training\.disp_file",
        ),
        (
            {"training.save_ckpt": "best.ckpt"},
            r"save_ckpt is 'best\.ckpt', which is also the name of the best models",
        ),
    ],
    ids=["model", "plot", "checkpoint", "folder", "twice", "best"],
)
def test_names_that_collide(
    place: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, Any], words: str
) -> None:
    held_out = {"systems": "data"}
    if set(changes) & {"validating.full_val_file", "training.save_ckpt"}:
        changes = changes | {"validating.full_validation": True}
    given = put(GIVEN, {"training.validation_data": held_out, **changes})
    (place / "input.json").write_text(json.dumps(given))
    check(place, capsys, words)
    assert not (place / "out").exists()


@pytest.mark.parametrize(
    ("changes", "taken", "words"),
    [
        (
            {"training.tensorboard": True},
            "log",
            r"training\.tensorboard_log_dir needs the folder out/log, but out/log is a file",
        ),
        (
            {"training.stat_file": "stat/of/data"},
            "stat",
            r"training\.stat_file needs the folder out/stat/of/data, but out/stat is a file",
        ),
        (
            {"validating.save_best_dir": "best"},
            "best",
            r"validating\.save_best_dir needs the folder out/best, but out/best is a file",
        ),
        (
            {},
            "val.log/",
            r"validating\.full_val_file cannot be written to out/val\.log, as this is a folder",
        ),
        ({}, "model.dp/", r"the model cannot be written to out/model\.dp, as this is a folder"),
    ],
    ids=["events", "statistics", "best", "validation", "model"],
)
def test_what_is_in_the_way(
    place: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, Any],
    taken: str,
    words: str,
) -> None:
    from multifit.train.loop import train

    def too_late(*arguments: object) -> None:
        raise AssertionError("the data are opened first")

    monkeypatch.setattr(train, "set_up", too_late)
    path = place / "out" / taken
    path.mkdir(parents=True) if taken.endswith("/") else path.parent.mkdir()
    if not path.is_dir():
        path.write_text("mine")
    held_out = {"training.validation_data": {"systems": "data"}}
    given = put(GIVEN, {**held_out, "validating.full_validation": True, **changes})
    (place / "input.json").write_text(json.dumps(given))
    check(place, capsys, words)

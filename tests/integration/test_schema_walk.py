"""No key of ``input.json`` is ignored: each changes the run, or is refused, or the run says so.

The whole schema is walked. A key is proven by two runs that differ in nothing else; what a run
merely repeats of its input (``model_def_script``, the input in a checkpoint) does not count.
PyTorch runs them: what reads the input is shared by all backends, and ``tests/consistency``
compares these.
"""

from __future__ import annotations

import functools
import io
import json
import re
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from _backends import INSTALLED
from _schema_rows import AGAIN, ROWS, Key
from _water import (
    ENERGIES,
    curve,
    labelled,
    put,
    recipe,
    write,
    write_spectra,
    write_xyz,
)
from rich.console import Console

from multifit import cli, config
from multifit.backend import get_backend
from multifit.config._config import sections
from multifit.config._unsupported import INERT
from multifit.errors import MultifitError
from multifit.inference.model_file import read_model
from multifit.sections import Section
from multifit.train import train
from multifit.tree import flatten

STEPS = 6

needs_torch = pytest.mark.skipif("torch" not in INSTALLED, reason="PyTorch is not installed")


def schema_keys() -> set[str]:
    """Return the dotted paths of all keys that are no sections."""
    found = set()
    for path, classes in sections().items():
        for cls in classes:
            for name in cls.model_fields:
                key = f"{path}.{name}".lstrip(".")
                if key not in sections():
                    found.add(key)
    return found


def test_every_key_is_in_a_row() -> None:
    assert set(ROWS) == schema_keys()


def test_the_walk_sees_all_sections() -> None:
    """A section that :func:`sections` forgot would be walked around."""

    def nested(cls: type[Section]) -> set[str]:
        schema = cls.model_json_schema()
        return {name for part in schema.get("$defs", {}).values() for name in part["properties"]}

    walked = {
        name for classes in sections().values() for cls in classes for name in cls.model_fields
    }
    assert nested(config.Config) <= walked


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with data: one system with every label, and others."""
    folder, frames, rng = tmp_path_factory.mktemp("schema"), labelled(), np.random.default_rng(2)
    nframes, natoms, _ = frames.coord.shape
    labels = {
        "atom_ener": rng.normal(size=(nframes, natoms)),
        "atom_pref": rng.uniform(0.5, 2.0, size=(nframes, natoms)),
        "atom_ener_coeff": rng.uniform(0.5, 2.0, size=(nframes, natoms)),
        "drdq": rng.normal(size=(nframes, natoms * 3 * 2)),
        "hessian": rng.normal(size=(nframes, (3 * natoms) ** 2)),
        "fparam": rng.normal(size=(nframes, 2)),
        # As numbers for the nets, and as marks of atoms that are there.
        "aparam": np.where(np.arange(nframes * natoms).reshape(nframes, natoms) % 7 == 0, 0, 1.5),
    }
    write(folder / "data", frames, **labels)
    more = labelled(12)
    order = slice(None, None, -1)
    write(folder / "more", more, coord=more.coord[order], energy=more.energy[order] + 0.1)
    write(folder / "plain", frames)
    write(folder / "group" / "a", frames)
    write(folder / "group" / "b", more)
    write_xyz(folder / "atoms.xyz", frames, other=frames.energy + rng.normal(size=nframes))
    fewer = replace(
        frames, coord=frames.coord[:, 1:], atype=frames.atype[1:], force=frames.force[:, 1:]
    )
    write(folder / "smaller", fewer)
    more = {key: labels[key] for key in ("fparam", "aparam")}
    efermi = rng.uniform(-0.5, 0.5, size=nframes)
    write_spectra(folder / "dos", frames, energies=ENERGIES, efermi=efermi, **more)
    write_spectra(folder / "bare_dos", frames)
    write_spectra(folder / "total", frames, ["atom_dos"])
    write_spectra(folder / "fewer", fewer, ["atom_dos"])
    np.save(folder / "grid.npy", np.linspace(-3.0, 3.0, len(ENERGIES)))
    return folder


def behaviour(folder: Path, given: dict[str, Any]) -> dict[str, Any]:
    """Return what can be seen of a run with this input.

    ``error``, or what it wrote and said: ``files`` (names), ``curve`` (columns of the learning
    curve but the learning rate), ``params`` and ``average`` (of the model and the averaged one),
    ``grid`` (the energies that the model knows),
    ``whole`` (errors on all validation data), ``events`` (bytes for TensorBoard), ``said`` (lines
    without numbers), ``timings`` (whether there are any) and ``note`` (what it calls ineffective).
    """
    return _behaviour(folder, json.dumps(given))


@functools.cache
def _behaviour(folder: Path, text: str) -> dict[str, Any]:
    given = json.loads(text)
    out = Path(tempfile.mkdtemp(dir=folder))
    screen = io.StringIO()
    try:
        # Drawing takes longer than training, and no key is about it.
        with mock.patch("multifit.train.report.summary.save_training_plot"):
            settings, torch = config.parse(given), get_backend("torch")
            train(settings, torch, base=folder, output=out, console=Console(file=screen, width=200))
    except MultifitError as error:
        return {"error": str(error)}
    return _said(screen.getvalue()) | _written(out, settings)


def _said(text: str) -> dict[str, Any]:
    lines = [line for line in text.splitlines() if "no effect" not in line]
    plain = [re.sub(r"\s+[\d.]+ ms/step.*", "", line) for line in lines]
    return {
        "note": sorted(set(text.splitlines()) - set(lines)),
        "timings": lines != plain,
        "said": [re.sub(r"[\d.e+-]+|\S*/\S*", "#", line) for line in plain],
    }


def _written(out: Path, settings: config.Config) -> dict[str, Any]:
    training, validating = settings.training, settings.validating
    names, rows = curve(out, training.disp_file)
    columns = {name: rows[:, k].tolist() for k, name in enumerate(names) if name != "lr"}
    paths = {path for path in out.rglob("*") if path.is_file()}
    events = [path for path in paths if path.name.startswith("events")]
    whole = out / validating.full_val_file
    return {
        "error": None,
        "files": sorted({str((p.parent if p in events else p).relative_to(out)) for p in paths}),
        "curve": repr(columns),
        "params": _params(out / "model.dp"),
        "average": _params(out / "model_ema.dp"),
        "grid": read_model(out / "model.dp")[0].grid,
        "whole": whole.read_text() if whole.exists() else None,
        "events": sum(path.stat().st_size for path in events),
    }


def _params(path: Path) -> dict[str, bytes] | None:
    if not path.exists():
        return None
    return {name: np.asarray(x).tobytes() for name, x in flatten(read_model(path)[1]).items()}


def _inputs(path: str, key: Key) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the input without the key and with it."""
    base = put(recipe("data", STEPS), key.beside)
    absent = dict.fromkeys(key.instead)
    return put(base, key.instead), put(base, absent | {path: key.value})


@needs_torch
@pytest.mark.parametrize("path", [path for path, key in ROWS.items() if key.shows != "command"])
def test_the_key_makes_a_difference(data: Path, path: str) -> None:
    _differs(data, path, ROWS[path])


@needs_torch
@pytest.mark.parametrize(("path", "key"), AGAIN, ids=[path for path, _ in AGAIN])
def test_the_key_makes_a_difference_to_densities_of_states(data: Path, path: str, key: Key) -> None:
    _differs(data, path, key)


def _differs(data: Path, path: str, key: Key) -> None:
    without, with_it = (behaviour(data, given) for given in _inputs(path, key))
    if key.shows != "error":
        assert without["error"] is None, without["error"]
        assert with_it["error"] is None, with_it["error"]
    assert without[key.shows] != with_it[key.shows]


@needs_torch
def test_the_same_input_gives_the_same_run(data: Path) -> None:
    """Else everything would seem to make a difference."""
    given = recipe("data", STEPS)
    one, other = (_behaviour.__wrapped__(data, json.dumps(given)) for _ in range(2))
    assert one == other


@needs_torch
def test_the_key_backend_chooses_the_backend(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = {}
    for name in ("numpy", "torch"):
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(recipe("nowhere", backend=name)))
        assert cli.main(["train", str(path), "--output", str(tmp_path)]) == cli.USER_ERROR
        said[name] = capsys.readouterr().err
    assert "numpy backend does not support" in said["numpy"]
    assert "nowhere" in said["torch"]


@pytest.mark.parametrize("path", sorted(INERT))
def test_what_has_no_effect_whatever_its_value_is_named(path: str) -> None:
    given = put(recipe(), {path: True})
    if path.startswith("training.validation_data"):
        given = put(given, {"training.validation_data.systems": "data"})
    notes = config.notes(config.parse(given))
    assert any(path in note and "no effect" in note for note in notes)

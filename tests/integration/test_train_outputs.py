"""Outputs that cannot be written are found before the first step, and old ones are kept."""

from __future__ import annotations

import io
import json
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from _water import fit, labelled, put, recipe, write
from rich.console import Console

import multifit
from multifit.cli import main
from multifit.train.loop import train as whole
from multifit.train.start.run import Run
from multifit.tree import flatten

FULL = {"validating.full_validation": True, "training.validation_data": {"systems": "data"}}
LONG = "x" * 300


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the current folder, with data."""
    monkeypatch.delenv("MULTIFIT_BACKEND", raising=False)
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "data", labelled(4))
    return tmp_path


def train(given: dict[str, Any], *arguments: str) -> int:
    Path("input.json").write_text(json.dumps(given))
    return main(["train", "input.json", "-b", "torch", "-o", "out", *arguments])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"training.save_ckpt": "ckpt/"}, "save_ckpt is 'ckpt/', a folder; add the beginning"),
        ({"training.save_ckpt": ".."}, "training.save_ckpt is '..', a folder"),
        ({"training.save_ckpt": LONG}, "training.save_ckpt: "),
        # With the ending of a temporary file, it is too long.
        ({"training.save_ckpt": "x" * 245}, "training.save_ckpt: "),
        ({"training.save_ckpt": "taken/m"}, "taken"),
        ({"training.disp_file": LONG}, "training.disp_file: "),
        ({"training.disp_file": "log/"}, "training.disp_file is 'log/', a folder"),
        ({"training.disp_file": "../input.json"}, "input.json, which is the input file"),
        ({"training.disp_file": "../data/type.raw"}, "type.raw, which belongs to a data system"),
        ({"training.disp_file": "../data/set.000/energy.npy"}, "which belongs to a data system"),
        ({"training.disp_file": "../old.dp"}, "old.dp, which is the initial model of this run"),
        ({"training.stat_file": "taken/s.h5"}, "training.stat_file needs the folder"),
        (FULL | {"validating.full_val_file": LONG}, "validating.full_val_file: "),
        (FULL | {"validating.save_best_dir": LONG}, "validating.save_best_dir: "),
    ],
    ids=str,
)
def test_an_output_that_cannot_be_written_is_found_at_once(
    place: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, Any],
    message: str,
) -> None:
    def begin(*_: object) -> None:
        raise AssertionError("the run has begun")

    monkeypatch.setattr(whole, "begin", begin)
    (place / "out").mkdir()
    (place / "out/taken").write_text("mine")
    (place / "old.dp").write_text("mine")
    before = sorted(place.rglob("*"))
    assert train(put(recipe(steps=4), changes), "-i", "old.dp") == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    left = {path for path in place.rglob("*") if path not in before}
    assert left <= {place / "input.json"}
    assert (place / "data/type.raw").read_text() != ""


def test_tensorboard_that_is_not_installed_is_found_at_once(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    monkeypatch.setattr(whole, "set_up", None)
    assert train(recipe(steps=4, training__tensorboard=True)) == 2
    assert "training.tensorboard needs tensorboardX" in capsys.readouterr().err


def test_trying_leaves_nothing_and_changes_no_number(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    tried = Run.try_save

    def watched(self: Run) -> str:
        before = sorted(place.rglob("*"))
        note = tried(self)
        seen.append(note)
        assert sorted(place.rglob("*")) == before
        return note

    given = recipe(steps=5, training__save_freq=2)
    monkeypatch.setattr(Run, "try_save", lambda self: "")
    monkeypatch.setattr(whole, "try_outputs", lambda *_, **__: None)
    without = fit(place, given, output=place / "without")
    monkeypatch.undo()
    monkeypatch.setattr(Run, "try_save", watched)
    out = fit(place, given, output=place / "with")
    assert seen == [""]
    assert (out / "lcurve.out").read_bytes() == (without / "lcurve.out").read_bytes()
    got, want = (flatten(multifit.load(folder / "model.dp").params) for folder in (out, without))
    for key, value in want.items():
        np.testing.assert_array_equal(got[key], value, err_msg=key)


def test_little_room_is_said(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=50_000))
    text = io.StringIO()
    fit(place, recipe(steps=1), console=Console(file=text, width=200))
    assert "warning: the disk of " in text.getvalue()
    assert "has 0 MB left, and a checkpoint takes 0.1 MB: make room" in text.getvalue()


def test_what_an_earlier_run_left_is_kept(place: Path) -> None:
    given = put(recipe(steps=2, training__save_freq=1), FULL | {"validating.full_val_start": 0})
    out = fit(place, given)
    names = ("lcurve.out", "val.log", "model.dp", "model.ckpt-2.dp", "model_best.dp")
    before = {name: (out / name).read_bytes() for name in names}
    text = io.StringIO()
    fit(place, put(given, {"training.seed": 5}), console=Console(file=text, width=300))
    for name, content in before.items():
        assert (out / f"{name}.old").read_bytes() == content, name
        assert (out / name).read_bytes() != content, name
    said = text.getvalue()
    assert "an earlier run left lcurve.out, model_best.dp, val.log and 3 checkpoints in" in said
    assert f"the model of an earlier run is kept as {out}/model.dp.old" in said
    text = io.StringIO()
    fit(place, put(given, {"training.seed": 6}), console=Console(file=text, width=300))
    for name, content in before.items():  # the older copies stay
        assert (out / f"{name}.old").read_bytes() == content, name
        assert (out / f"{name}.old2").exists(), name
    assert "names, or a number after it where older files have that name" in text.getvalue()


def test_a_curve_with_other_columns_is_said(place: Path) -> None:
    out = fit(place, recipe(steps=2))
    text = io.StringIO()
    given = put(recipe(steps=3), {"training.validation_data": {"systems": "data"}})
    restart = out / "model.ckpt"
    fit(place, given, console=Console(file=text, width=300), restart=restart)
    assert "lcurve.out has other columns than this run, and is kept as lcurve.out.old" in (
        text.getvalue()
    )


def test_a_bias_that_no_data_tell_is_said(place: Path) -> None:
    write(place / "forces", labelled(4), without=["energy"])
    text = io.StringIO()
    changes = {"training.change_bias_after_training": True, "loss.start_pref_e": 0}
    given = put(recipe("forces", steps=1), changes | {"loss.limit_pref_e": 0})
    out = fit(place, given, console=Console(file=text, width=300))
    assert (
        "warning: change_bias_after_training has no effect, because no training system has "
        "energy.npy"
    ) in text.getvalue()
    text = io.StringIO()
    base = shutil.copy(out / "model.dp", place / "base.dp")
    fit(place, given, console=Console(file=text, width=300), finetune=Path(base))
    assert "types keep their bias, because no training system has energy.npy" in text.getvalue()


def test_exclusions_at_a_fine_tuning_are_said(place: Path) -> None:
    out = fit(place, recipe(steps=1))
    base = shutil.copy(out / "model.dp", place / "base.dp")
    text = io.StringIO()
    changes = {"model.pair_exclude_types": [[0, 1]], "model.atom_exclude_types": [1]}
    given = put(recipe(steps=1), changes)
    fit(place, given, console=Console(file=text, width=300), finetune=Path(base))
    said = text.getvalue()
    assert "model.pair_exclude_types leaves out H–O in the input and nothing in the file" in said
    assert "model.atom_exclude_types leaves out H in the input and nothing in the file" in said

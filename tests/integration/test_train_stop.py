"""Runs that are stopped: by a signal, by numbers that are not finite."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _water import column, curve, fit, labelled, recipe, write

import multifit
from multifit import files
from multifit.cli import main
from multifit.errors import DataError, TrainingError
from multifit.tree import flatten

#: Trains, and gets a signal in the middle of a step.
PROGRAM = """
import os, sys
from multifit.train.loop import run

advance = run._advance

def disturbed(loop, number):
    if number == 6:
        os.kill(os.getpid(), int(sys.argv[1]))
    return advance(loop, number)

run._advance = disturbed
from multifit.cli import main
sys.exit(main(["train", "input.json", "-b", "torch", "-o", "out"]))
"""


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stop")
    write(folder / "data", labelled(5))
    write(folder / "valid", labelled(3))
    return folder


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 75)])
def test_a_signal_writes_a_checkpoint_from_which_the_run_goes_on(
    data: Path, tmp_path: Path, name: str, code: int
) -> None:
    options = {"training__validation_data": {"systems": str(data / "valid"), "batch_size": 1}}
    given = recipe(str(data / "data"), steps=9, training__save_freq=4, **options)
    (tmp_path / "input.json").write_text(json.dumps(given))
    number = str(int(getattr(signal, name)))
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, number], cwd=tmp_path, capture_output=True, text=True
    )
    assert run.returncode == code, run.stdout + run.stderr
    assert run.stderr == "stopping after this step, with a checkpoint; once more to end at once\n"
    assert "interrupted at step 6; continue with --restart out/model.ckpt-6.dp" in run.stdout
    assert not (tmp_path / "out/model.dp").exists()
    whole = fit(data, given, output=tmp_path / "whole")
    out = fit(data, given, output=tmp_path / "out", restart=tmp_path / "out/model.ckpt-6.dp")
    assert (out / "lcurve.out").read_bytes() == (whole / "lcurve.out").read_bytes()
    got, want = (flatten(multifit.load(folder / "model.dp").params) for folder in (out, whole))
    for key, value in want.items():
        np.testing.assert_array_equal(got[key], value, err_msg=key)


def spoiled(folder: Path, **values: tuple[int, float]) -> Path:
    """Write data in which one frame of a label has another value."""
    frames = labelled(5)
    changed = {}
    for name, (frame, value) in values.items():
        changed[name] = getattr(frames, name).copy()
        changed[name][frame] = value
    write(folder / "data", frames, **changed)
    return folder


def test_a_loss_that_overflows_names_its_frame(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoiled(tmp_path, force=(3, 1e200))
    given = recipe("data", steps=20, training__training_data__batch_size=1, training__save_freq=1)
    (tmp_path / "input.json").write_text(json.dumps(given))
    out = tmp_path / "out"
    code = main(["train", str(tmp_path / "input.json"), "-q", "-b", "torch", "-o", str(out)])
    said = capsys.readouterr()
    assert code == 2
    assert "the loss is not finite at step 5, in data/set.000, frame 3" in said.err
    assert f"the state before it is in {out}/model.ckpt-4.dp" in said.err
    assert said.err.count("\n") == 1
    assert column(out, "step").tolist() == [1, 2, 3, 4]
    multifit.load(out / "model.ckpt-4.dp")
    assert not (out / "model.dp").exists()


def test_several_frames_are_counted(tmp_path: Path) -> None:
    frames = labelled(5)
    force = frames.force.copy()
    force[[1, 2, 4]] = 1e200
    write(tmp_path / "data", frames, force=force)
    given = recipe(steps=3, training__training_data__batch_size=5)
    with pytest.raises(TrainingError, match=r"step 1, in .*, frame \d and 2 more frames: check"):
        fit(tmp_path, given)


def test_an_energy_that_is_absurd_names_its_frame(tmp_path: Path) -> None:
    # Statistics see the first frame only: a bias fitted to this energy would spoil all others.
    spoiled(tmp_path, energy=(2, 1e200))
    given = recipe(steps=8, training__training_data__batch_size=1, model__data_stat_nbatch=1)
    with pytest.raises(
        TrainingError, match=r"not finite at step \d, in .*set\.000, frame 2: check"
    ):
        fit(tmp_path, given)


def poison(run: Any) -> None:
    """Make all parameters of a run not a number."""
    run.trainable = {name: x * float("nan") for name, x in run.trainable.items()}


def test_parameters_that_overflow_do_not_replace_a_good_checkpoint(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from multifit.train.loop import run

    def poisoned(loop, number):
        found = advance(loop, number)
        if number == 4:
            poison(loop.run)
        return found

    advance = run._advance
    monkeypatch.setattr(run, "_advance", poisoned)
    given = recipe(steps=8, training__save_freq=2, training__max_ckpt_keep=1)
    with pytest.raises(TrainingError) as caught:
        fit(data, given, output=tmp_path)
    assert "the parameters are not finite after step 4" in str(caught.value)
    assert f"the last good checkpoint is {tmp_path}/model.ckpt-2.dp" in str(caught.value)
    assert [path.name for path in tmp_path.glob("*.dp")] == ["model.ckpt-2.dp"]


def test_the_loss_after_parameters_overflow_blames_them(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from multifit.train.loop import run

    def poisoned(loop, number):
        if number == 4:
            poison(loop.run)
        return advance(loop, number)

    advance = run._advance
    monkeypatch.setattr(run, "_advance", poisoned)
    with pytest.raises(TrainingError, match="parameters are not finite after step 3"):
        fit(data, recipe(steps=8), output=tmp_path)
    assert not list(tmp_path.glob("*.dp"))


def test_a_nan_that_the_first_frames_do_not_show_stops_the_run(tmp_path: Path) -> None:
    # Statistics look at one frame only; the others are met on the way.
    spoiled(tmp_path, force=(3, float("nan")))
    given = recipe(
        steps=20,
        training__training_data__batch_size=1,
        model__data_stat_nbatch=1,
        training__save_freq=1,
    )
    with pytest.raises(
        DataError, match=r"data/set\.000/force\.npy: force of frame 3, atom 0 is nan"
    ):
        fit(tmp_path, given)
    steps = curve(tmp_path / "out")[1][:, 0]
    last = files.read(tmp_path / f"out/model.ckpt-{int(steps[-1])}.dp")["training"]["step"]
    assert last == steps[-1]


def test_a_validation_error_that_is_unknown_is_never_the_best(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = iter([float("nan"), 2.0, float("nan"), 1.0])
    monkeypatch.setattr(
        "multifit.train.validation.validate.Validator.score", lambda *_: next(scores)
    )
    held_out = {"training__validation_data": {"systems": "data", "batch_size": 1}}
    fit(data, recipe(steps=4, training__save_freq=1, **held_out), output=tmp_path)
    states = [files.read(tmp_path / f"model.ckpt-{k}.dp")["training"] for k in range(1, 5)]
    assert [state["best"] for state in states] == [None, 2.0, 2.0, 1.0]
    assert [state["stale"] for state in states] == [1, 0, 1, 0]

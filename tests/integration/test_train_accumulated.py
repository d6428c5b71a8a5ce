"""Gradients accumulated over steps, and runs that end in time for a queue."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from _backends import TRAINABLE
from _water import fit, labelled, recipe, write

import multifit
from multifit.cli import main
from multifit.host.durations import as_seconds, in_words
from multifit.train.loop import deadline
from multifit.train.loop.deadline import Deadline
from multifit.tree import flatten


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("accumulated") / "data", labelled(8))


def same_models(got: Path, want: Path, atol: float) -> None:
    mine, theirs = (flatten(multifit.load(path / "model.dp").params) for path in (got, want))
    for name, value in theirs.items():
        np.testing.assert_allclose(mine[name], value, rtol=0, atol=atol, err_msg=name)


# Without TensorFlow, which compiles the same functions for half a minute.
@pytest.mark.parametrize("backend", [name for name in TRAINABLE if name != "tensorflow"])
def test_two_batches_make_the_update_of_both_together(
    data: Path, tmp_path: Path, backend: str
) -> None:
    more = {"training__gradient_max_norm": 1.0, "training__enable_ema": True}
    size, decay = "training__training_data__batch_size", "learning_rate__decay_steps"
    parts = recipe(str(data), 8, training__acc_freq=2, **more, **{size: 2, decay: 4})
    whole = recipe(str(data), 4, **more, **{size: 4, decay: 2})
    got = fit(tmp_path, parts, output=tmp_path / "parts", backend=backend)
    want = fit(tmp_path, whole, output=tmp_path / "whole", backend=backend)
    same_models(got, want, 1e-10)


def test_a_run_resumed_between_updates_is_the_same(data: Path, tmp_path: Path) -> None:
    given = recipe(str(data), 9, training__acc_freq=3, training__save_freq=4)
    whole = fit(tmp_path, given, output=tmp_path / "whole")
    out = fit(tmp_path, given, output=tmp_path / "out", restart=whole / "model.ckpt-4.dp")
    same_models(out, whole, 0)


def test_a_run_stops_before_its_limit_and_goes_on_as_if_it_had_not(
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = recipe(str(data), 9)
    whole = fit(tmp_path, given, output=tmp_path / "whole")
    steps: list[float] = []
    monkeypatch.setattr(Deadline, "step_took", lambda self, seconds: steps.append(seconds))
    near = Deadline.is_near

    def is_near(self: Deadline, within_step: bool = False) -> bool:
        self.reached = len(steps) >= 5
        return near(self, within_step)

    monkeypatch.setattr(Deadline, "is_near", is_near)
    out, path = tmp_path / "out", str(tmp_path / "input.json")
    command = ["train", path, "-b", "torch", "-o", str(out), "--time-limit", "1-00:00:00"]
    assert main(command) == 75
    said = " ".join(capsys.readouterr().out.split())
    assert "the time limit of 24 h is near" in said
    assert "at step 5; continue with --restart" in said
    assert not (out / "model.dp").exists()
    monkeypatch.undo()
    fit(tmp_path, given, output=out, restart=out / "model.ckpt-5.dp")
    assert (out / "lcurve.out").read_bytes() == (whole / "lcurve.out").read_bytes()
    same_models(out, whole, 0)


def test_a_limit_that_is_too_short_for_a_step_is_an_error(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "input.json").write_text(json.dumps(recipe(str(data), 9)))
    out = tmp_path / "out"
    command = ["train", str(tmp_path / "input.json"), "-q", "-b", "torch", "-o", str(out)]
    assert main([*command, "--time-limit", "0.5"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("multifit: error: the time limit of 0.5 s is too short: no step")
    assert not list(out.glob("*.dp"))


def test_the_longest_step_and_checkpoint_count(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(deadline.time, "monotonic", lambda: now[0])
    limit = Deadline(100.0, 0.0, saving=lambda: 4.0)
    for seconds in (30.0, 10.0, 6.0):  # the first one compiles
        limit.step_took(seconds)
    now[0] = 100 - (1.5 * 10 + 2 * 4 + 2) - 0.1
    assert not limit.is_near()
    now[0] += 0.2
    assert limit.is_near()
    assert not Deadline(None, 0.0).is_near()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("3h50m", 13800),
        ("45m", 2700),
        ("45min", 2700),
        ("90s", 90),
        ("90", 90),
        ("1-02:00:00", 93600),
        ("1-02", 93600),
        ("02:00:00", 7200),
        ("30:00", 1800),
        ("1d 2h", 93600),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert as_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "soon", "-5", "1:2:3:4", "nan", "h", "1e9h"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration > 0"):
        as_seconds(text)


def test_durations_in_words() -> None:
    assert [in_words(x) for x in (0.5, 5, 90, 13800)] == [
        "0.5 s",
        "5 s",
        "1 min 30 s",
        "3 h 50 min",
    ]

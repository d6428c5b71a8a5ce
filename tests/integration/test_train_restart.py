"""A run that is continued is the run that was never stopped."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _backends import TRAINABLE
from _water import column, curve, fit, labelled, put, recipe, write
from rich.console import Console

from multifit import files
from multifit.errors import DataError, FileFormatError, TrainingError

OPTIONS: dict[str, Any] = {
    "training__save_freq": 5,
    "training__enable_ema": True,
    "training__ema_decay": 0.5,
    "training__disp_freq": 3,
    "training__validation_data": {"systems": "valid", "batch_size": 1},
    "loss__start_pref_v": 1.0,
    "loss__limit_pref_v": 1.0,
}
STEPS = 20


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with data and an uninterrupted run in ``out``."""
    folder = tmp_path_factory.mktemp("restart")
    write(folder / "data", labelled(5))
    write(folder / "valid", labelled(4))
    fit(folder, recipe(steps=STEPS, **OPTIONS))
    return folder


def killed(whole: Path, to: Path, step: int = 10) -> Path:
    """Return the folder of a run that was killed some steps after a checkpoint."""
    to.mkdir(parents=True, exist_ok=True)
    shutil.copy(whole / "out" / f"model.ckpt-{step}.dp", to)
    lines = (whole / "out/lcurve.out").read_text().splitlines(keepends=True)
    (to / "lcurve.out").write_text("".join(lines[:-2]) + lines[-2][:30])
    return to


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (path, leaf) of nested dicts and lists."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, f"{path}.{key}")
    elif isinstance(value, list):
        for k, inner in enumerate(value):
            yield from leaves(inner, f"{path}.{k}")
    else:
        yield path, value


def agree(got: Path, want: Path, rtol: float = 0.0) -> None:
    """Assert that two checkpoints or models hold the same state and parameters."""
    first, second = (
        {key: dict(leaves(files.read(path).get(key, {}))) for key in ("model", "training")}
        for path in (got, want)
    )
    for key, numbers in second.items():
        assert first[key].keys() == numbers.keys()
        for name, value in numbers.items():
            if isinstance(value, np.ndarray | float):
                slack = rtol * np.abs(value).max(initial=1e-3)
                np.testing.assert_allclose(
                    first[key][name], value, rtol=rtol, atol=slack, err_msg=name
                )
            else:
                assert first[key][name] == value, name


@pytest.mark.parametrize("step", [5, 10, 15])
def test_a_restart_repeats_every_number(whole: Path, tmp_path: Path, step: int) -> None:
    out = killed(whole, tmp_path / "out", step)
    fit(whole, recipe(steps=STEPS, **OPTIONS), output=out, restart=out / f"model.ckpt-{step}.dp")
    assert (out / "lcurve.out").read_text() == (whole / "out/lcurve.out").read_text()
    for name in (f"model.ckpt-{STEPS}.dp", "model.dp", "model_ema.dp"):
        agree(out / name, whole / "out" / name)


def test_the_checkpoint_holds_all_state(whole: Path) -> None:
    training = files.read(whole / "out/model.ckpt-15.dp")["training"]
    assert training["step"] == 15
    assert set(training["optimizer"]) == {"m", "v", "ema"}
    assert training["best"] > 0
    assert training["series"]["count"] > 0


@pytest.mark.parametrize("name", TRAINABLE)
def test_a_run_goes_on_on_another_backend(whole: Path, tmp_path: Path, name: str) -> None:
    # Without the columns of validation, which would only cost time to compile.
    given = recipe(steps=STEPS, **OPTIONS | {"training__validation_data": None})
    start = whole / "out/model.ckpt-10.dp"
    out = fit(whole, given, output=tmp_path, backend=name, restart=start)
    for metric in ("rmse_trn", "rmse_v_trn"):
        np.testing.assert_allclose(
            column(out, metric), column(whole / "out", metric)[4:], rtol=1e-9
        )
    agree(out / "model.dp", whole / "out/model.dp", 1e-9)


def test_a_prefix_means_the_newest_checkpoint(whole: Path, tmp_path: Path) -> None:
    out = killed(whole, tmp_path / "out", 5)
    killed(whole, out, 15)
    fit(whole, recipe(steps=STEPS, **OPTIONS), output=out, restart=out / "model.ckpt")
    steps = curve(out)[1][:, 0]
    assert steps.tolist() == [1, 3, 6, 9, 12, 15, 18, 20]
    agree(out / "model.dp", whole / "out/model.dp")


def test_a_restart_from_further_back_leaves_no_step_twice(whole: Path, tmp_path: Path) -> None:
    out = killed(whole, tmp_path / "out", 15)
    killed(whole, out, 5)
    given = recipe(steps=STEPS, **OPTIONS)
    fit(whole, given, output=out, restart=out / "model.ckpt-5.dp")
    assert (out / "lcurve.out").read_text() == (whole / "out/lcurve.out").read_text()
    assert (out / "model.ckpt-15.dp.old").exists()


def test_a_longer_run_goes_on_where_the_shorter_one_ended(whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(whole / "out", out)
    fit(whole, recipe(steps=25, **OPTIONS), output=out, restart=out / "model.ckpt")
    steps = curve(out)[1][:, 0]
    assert steps.tolist() == [1, 3, 6, 9, 12, 15, 18, 20, 21, 24, 25]
    assert files.read(out / "model.ckpt-25.dp")["training"]["step"] == 25


def test_a_finished_run_has_nothing_left(whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(whole / "out", out)
    given = recipe(steps=STEPS, **OPTIONS)
    fit(whole, given, output=out, restart=out / "model.ckpt")
    assert (out / "lcurve.out").read_text() == (whole / "out/lcurve.out").read_text()
    agree(out / "model.dp", whole / "out/model.dp")
    # Even where there is no curve to plot.
    text = io.StringIO()
    new = tmp_path / "new"
    console = Console(file=text, width=200)
    fit(whole, given, output=new, restart=out / "model.ckpt", console=console)
    assert "nothing is left to train: the run has 20 steps" in text.getvalue()
    assert (new / "training.png").exists()


def test_stale_validations_survive(whole: Path, tmp_path: Path) -> None:
    # A rate that is far too high: the errors go up and down.
    worse = {"learning_rate__start_lr": 0.5, "learning_rate__stop_lr": 0.5}
    given = recipe(steps=STEPS, **OPTIONS | {"training__save_freq": 2}, **worse)
    whole_run = fit(whole, given, output=tmp_path / "whole")
    step = next(
        step
        for step in (12, 14, 16, 18)
        if files.read(whole_run / f"model.ckpt-{step}.dp")["training"]["stale"] > 0
    )
    (tmp_path / "out").mkdir()
    path = shutil.copy(whole_run / f"model.ckpt-{step}.dp", tmp_path / "out")
    out = fit(whole, given, output=tmp_path / "out", restart=Path(path))
    agree(out / "model.ckpt-20.dp", whole_run / "model.ckpt-20.dp")


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("model.descriptor.neuron", [4, 6], "descriptor.neuron is (4, 6) in the input and (4, 8)"),
        ("model.descriptor.rcut", 3.5, "descriptor.rcut is 3.5 in the input and 3.6"),
        ("model.type_map", ["H", "O"], "type_map is ('H', 'O') in the input and ('O', 'H')"),
        ("model.fitting_net.numb_fparam", 1, "fitting.numb_fparam is 1 in the input and 0"),
    ],
)
def test_a_changed_model_is_refused(
    whole: Path, tmp_path: Path, path: str, value: object, words: str
) -> None:
    given = put(recipe(steps=STEPS), {path: value})
    if "fparam" in path:
        given = put(given, {"model.fitting_net.default_fparam": [0.5]})
    with pytest.raises(TrainingError) as caught:
        fit(whole, given, output=tmp_path, restart=whole / "out/model.ckpt-10.dp")
    assert words in str(caught.value)
    assert "model.ckpt-10.dp" in str(caught.value)
    # Fine-tuning may have other types, but not other nets.
    assert str(caught.value).endswith("use --finetune") == (path == "model.type_map")


def test_other_data_are_refused(whole: Path, tmp_path: Path) -> None:
    given = recipe("valid", steps=STEPS)
    with pytest.raises(DataError, match=r"written for 1 system with \[5\] frames"):
        fit(whole, given, output=tmp_path, restart=whole / "out/model.ckpt-10.dp")


def test_other_validation_data_are_fine(whole: Path, tmp_path: Path) -> None:
    given = recipe(steps=STEPS, **OPTIONS, training__validation_data__systems="data")
    out = killed(whole, tmp_path / "out")
    fit(whole, given, output=out, restart=out / "model.ckpt")
    np.testing.assert_array_equal(curve(out)[1][:4], curve(whole / "out")[1][:4])


def test_a_model_is_no_checkpoint(whole: Path, tmp_path: Path) -> None:
    given = recipe(steps=STEPS, **OPTIONS)
    with pytest.raises(TrainingError, match="use --init-model or --finetune"):
        fit(whole, given, output=tmp_path, restart=whole / "out/model.dp")


def test_a_prefix_without_checkpoints_is_refused(whole: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"no checkpoint .*nothing, nor any nothing-STEP\.dp"):
        fit(whole, recipe(steps=STEPS), output=tmp_path, restart=whole / "out/nothing")


@pytest.mark.parametrize("key", ["step", "optimizer", "sampler", "series"])
def test_an_incomplete_state_is_refused(whole: Path, tmp_path: Path, key: str) -> None:
    content = files.read(whole / "out/model.ckpt-10.dp")
    del content["training"][key]
    files.write(tmp_path / "half.dp", content)
    with pytest.raises(FileFormatError, match=rf"half\.dp holds a training .*{key}"):
        fit(whole, recipe(steps=STEPS), output=tmp_path, restart=tmp_path / "half.dp")


def test_a_curve_with_other_columns_is_kept_apart(whole: Path, tmp_path: Path) -> None:
    out = killed(whole, tmp_path / "out")
    before = (out / "lcurve.out").read_text()
    without = OPTIONS | {"training__validation_data": None}
    fit(whole, recipe(steps=STEPS, **without), output=out, restart=out / "model.ckpt")
    assert (out / "lcurve.out.old").read_text() == before
    assert curve(out)[1][0, 0] == 12

"""A run that is continued is the run that was never stopped."""

from __future__ import annotations

import errno
import functools
import io
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _backends import TRAINABLE
from _water import column, curve, fit, labelled, put, recipe, write
from rich.console import Console

from multifit import files
from multifit.errors import FileFormatError, TrainingError

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
    assert min(training["series"]["counts"].values()) > 0


@pytest.fixture(scope="session")
def middle(whole: Path) -> Callable[[str], Path]:
    """Return what trains on a backend, once, and returns the checkpoint in the middle."""

    @functools.cache
    def train(name: str) -> Path:
        if name == "torch":
            return whole / "out/model.ckpt-10.dp"
        return fit(whole, ALONE, output=whole / name, backend=name) / "model.ckpt-10.dp"

    return train


# Without the columns of validation, which would only cost time to compile.
ALONE = recipe(steps=STEPS, **OPTIONS | {"training__validation_data": None})


@pytest.mark.parametrize("name", TRAINABLE)
def test_every_backend_writes_the_same_checkpoint(
    whole: Path, middle: Callable[[str], Path], name: str
) -> None:
    # So that what torch and another backend make of each other's, any two do.
    got, want = (files.read(path) for path in (middle(name), whole / "out/model.ckpt-10.dp"))
    first, second = (
        dict(leaves([x["model"], x["training"]["optimizer"], x["training"]["sampler"]]))
        for x in (got, want)
    )
    assert first.keys() == second.keys()
    for key, value in second.items():
        if isinstance(value, np.ndarray):
            assert first[key].dtype == value.dtype, key
            slack = 1e-7 * np.abs(value).max(initial=0)
            np.testing.assert_allclose(first[key], value, rtol=1e-7, atol=slack, err_msg=key)
        else:
            assert first[key] == value, key


@pytest.mark.parametrize(
    ("first", "then"),
    [pair for name in TRAINABLE if name != "torch" for pair in ((name, "torch"), ("torch", name))],
)
def test_a_run_goes_on_on_another_backend(
    whole: Path, middle: Callable[[str], Path], tmp_path: Path, first: str, then: str
) -> None:
    out = fit(whole, ALONE, output=tmp_path, backend=then, restart=middle(first))
    for metric in ("rmse_trn", "rmse_e_trn", "rmse_f_trn", "rmse_v_trn", "lr"):
        np.testing.assert_allclose(
            column(out, metric), column(whole / "out", metric)[4:], rtol=1e-7, err_msg=metric
        )
    agree(out / "model.dp", whole / "out/model.dp", 1e-7)


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
    before, text = (out / "lcurve.out").read_text(), io.StringIO()
    console = Console(file=text, width=300)
    fit(whole, given, output=out, restart=out / "model.ckpt-5.dp", console=console)
    assert (out / "lcurve.out").read_text() == (whole / "out/lcurve.out").read_text()
    assert (out / "model.ckpt-15.dp.old").exists()
    assert "1 later checkpoint (step 15) will be kept with .old added to the name" in (
        text.getvalue()
    )
    assert _rows(out / "lcurve.out.old") == _whole_rows_after(before, 5)
    assert f"{out}/lcurve.out after step 5: kept in lcurve.out.old" in text.getvalue()


def _whole_rows_after(text: str, step: int) -> list[str]:
    """Return the rows after a step of the file of a killed run, whose last one is torn."""
    rows = [line for line in text.splitlines()[:-1] if not line.startswith("#")]
    return [row for row in rows if int(row.split()[0]) > step]


def _rows(path: Path) -> list[str]:
    return [line for line in path.read_text().splitlines() if not line.startswith("#")]


def test_dropped_rows_never_replace_an_older_copy(whole: Path, tmp_path: Path) -> None:
    given = recipe(steps=STEPS, **OPTIONS)
    out = killed(whole, tmp_path / "out", 15)
    (out / "lcurve.out.old").write_text("of another run\n")
    later: list[str] = []
    for _ in range(2):
        killed(whole, out, 5)
        later += _whole_rows_after((out / "lcurve.out").read_text(), 5)
        fit(whole, given, output=out, restart=out / "model.ckpt-5.dp")
    assert (out / "lcurve.out.old").read_text() == "of another run\n"
    assert _rows(out / "lcurve.out.old2") == later
    assert sorted(path.name for path in out.glob("model.ckpt-15.dp.old*")) == [
        "model.ckpt-15.dp.old",
        "model.ckpt-15.dp.old2",
    ]


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
        ("model.descriptor.neuron", [4, 6], ".descriptor.neuron is [4, 6] in the input and [4, 8]"),
        ("model.descriptor.rcut", 3.5, "model.descriptor.rcut is 3.5 in the input and 3.6"),
        ("model.type_map", ["H", "O"], 'type_map is ["H", "O"] in the input and ["O", "H"]'),
        ("model.fitting_net.numb_fparam", 1, ".fitting_net.numb_fparam is 1 in the input and 0"),
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


def said(
    whole: Path, given: dict[str, Any], to: Path, start: Path | None = None
) -> tuple[str, Path]:
    """Return what a restart says, and its folder."""
    text = io.StringIO()
    out = fit(
        whole,
        given,
        output=to,
        restart=start or whole / "out/model.ckpt-10.dp",
        console=Console(file=text, width=200),
    )
    return text.getvalue(), out


def test_nothing_is_said_of_an_input_that_is_the_same(whole: Path, tmp_path: Path) -> None:
    # Where results are written to, and how often, is nobody's business.
    given = recipe(steps=STEPS, **OPTIONS | {"training__disp_freq": 1, "training__save_freq": 7})
    text, _ = said(whole, given, tmp_path)
    assert "changed since" not in text
    assert "warning" not in text
    assert "no effect" not in text


def test_what_changed_is_said(whole: Path, tmp_path: Path) -> None:
    given = put(
        recipe(steps=12, **OPTIONS),
        {
            "loss.start_pref_f": 50,
            "learning_rate.stop_lr": 1e-5,
            "training.seed": 77,
            "model.fitting_net.seed": 78,
            "training.enable_ema": False,
            "training.validation_data": None,
            "optimizer": {"type": "AdamW", "weight_decay": 0.01},
        },
    )
    text, out = said(whole, given, tmp_path)
    assert (
        "changed since the checkpoint: learning_rate.stop_lr 0.0001 → 1e-05, "
        'loss.start_pref_f 100 → 50, optimizer.type "Adam" → "AdamW", '
        "optimizer.weight_decay 0 → 0.01, training.validation_data {…} → null, "
        "training.numb_steps 20 → 12, training.enable_ema true → false\n"
    ) in text
    assert "model.fitting_net.seed and training.seed have no effect on a restart: param" in text
    assert "warning: AdamW goes on with the moments that the checkpoint has from Adam\n" in text
    assert "the moving average is given up" in text
    # The input of the restart is what the next one is compared with.
    again, _ = said(whole, given, tmp_path / "again", out / "model.ckpt-12.dp")
    assert "nothing is left to train: the run has 12 steps" in again
    assert "changed since" not in again


def test_an_average_that_is_new_begins_with_the_checkpoint(whole: Path, tmp_path: Path) -> None:
    without = recipe(steps=10, **OPTIONS | {"training__enable_ema": False})
    start = fit(whole, without, output=tmp_path / "a") / "model.ckpt-10.dp"
    decay = {"training__ema_decay": 0.0}
    text, out = said(whole, recipe(steps=12, **OPTIONS | decay), tmp_path / "b", start)
    assert "training.enable_ema false → true" in text
    assert "the moving average begins with the checkpoint's parameters\n" in text
    assert (out / "model_ema.dp").exists()


def test_a_seed_changes_nothing_in_a_restart(whole: Path, tmp_path: Path) -> None:
    given = recipe(steps=STEPS, **OPTIONS | {"training__seed": 77})
    out = killed(whole, tmp_path / "out")
    text, _ = said(whole, given, out)
    assert "training.seed has no effect on a restart" in text
    assert (out / "lcurve.out").read_text() == (whole / "out/lcurve.out").read_text()


def test_checkpoints_without_an_input_still_restart(whole: Path, tmp_path: Path) -> None:
    content = files.read(whole / "out/model.ckpt-10.dp")
    del content["training"]["input"]
    files.write(tmp_path / "old.dp", content)
    given = recipe(steps=STEPS, **OPTIONS | {"loss__start_pref_f": 50})
    text, out = said(whole, given, tmp_path / "out", tmp_path / "old.dp")
    assert "changed since" not in text
    assert files.read(out / "model.ckpt-20.dp")["training"]["input"]["loss"]["start_pref_f"] == 50


def test_more_training_data_are_another_run(whole: Path, tmp_path: Path) -> None:
    start = whole / "out/model.ckpt-10.dp"
    given = recipe(["data", "valid"], steps=STEPS, **OPTIONS)
    text, out = said(whole, given, tmp_path / "more", start)
    assert (
        "warning: the training data were 1 system with 5 frames at the checkpoint, and are 2 "
        "systems with [5, 4] frames now: this is no longer the same run, and its epochs begin anew"
    ) in text
    assert 'training.training_data.systems "data" → ["data", "valid"]' in text
    assert text.count("warning") == 2  # and that they hold the validation data
    state = files.read(out / "model.ckpt-20.dp")["training"]["sampler"]["@variables"]
    assert (state["step"], state["seed"], state["given"].sum()) == (20, 3, 20)
    # It can be repeated, whatever the seed in the input says.
    other = put(given, {"training.seed": 99})
    _, twice = said(whole, other, tmp_path / "twice", start)
    agree(twice / "model.dp", out / "model.dp")


def test_data_of_another_name_may_be_others(whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole / "data", whole / "copy", dirs_exist_ok=True)
    out = killed(whole, tmp_path / "out")
    text, _ = said(whole, recipe("copy", steps=STEPS, **OPTIONS), out)
    assert "warning: training.training_data.systems is another; if these are not the same" in text
    assert (out / "lcurve.out").read_text() == (whole / "out/lcurve.out").read_text()


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


def _altered(name: str, value: Any, moment: str = "m") -> Callable[[Any], None]:
    """Return a change of one moment; the name ends with ``name``."""

    def change(training: Any) -> None:
        flat = training["optimizer"][moment]["@variables"]
        key = next(key for key in flat if key.endswith(name))
        flat[key] = value(flat[key])

    return change


def _set(*keys: str, value: Any) -> Callable[[Any], None]:
    def change(training: Any) -> None:
        for key in keys[:-1]:
            training = training[key]
        training[keys[-1]] = value

    return change


#: Changes of a checkpoint's training state, and what is said of them.
ALTERED: dict[str, tuple[Callable[[Any], None], str]] = {
    "short moment": (_altered("w", lambda x: x[:, :1]), r"optimizer\.m\.\S+ has the shape"),
    "empty moment": (_altered("w", lambda x: x[:0], "v"), r"optimizer\.v\.\S+ has the shape"),
    "scalar moment": (_altered("b", lambda x: x[0]), r"has the shape \(\)|of type float64"),
    "float32 moment": (_altered("b", lambda x: x.astype(np.float32)), "of type float32"),
    "infinite moment": (_altered("b", lambda x: x * np.inf + np.nan), "not finite"),
    "negative square": (_altered("b", lambda x: x - 1.0, "v"), "negative squares"),
    "foreign moment": (_set("optimizer", "w", value={"@variables": {}}), "none of m, v, ema"),
    "foreign parameter": (
        _set("optimizer", "m", "@variables", "nobody.w", value=np.zeros(3)),
        "belongs to no parameter",
    ),
    "negative step": (_set("step", value=-4), "whole number"),
    "fractional step": (_set("step", value=1.5), "whole number"),
    "huge step": (_set("step", value=2**60), "whole number"),
    "best": (_set("best", value="low"), "best is 'low', not a finite number"),
    "no seed": (
        lambda training: training["sampler"]["@variables"].pop("seed"),
        r"sampler\.seed is missing",
    ),
    "float counter": (
        _set("sampler", "@variables", "given", value=np.ones(1)),
        r"sampler\.given is not made of integers",
    ),
    "negative counter": (
        _set("sampler", "@variables", "given", value=np.array([-7])),
        r"sampler\.given is -7",
    ),
    "other axes": (_set("sampler", "@variables", "step", value=np.ones(3, np.int64)), "axes"),
    "other systems": (
        _set("sampler", "@variables", "given", value=np.ones(3, np.int64)),
        "another number of systems",
    ),
    "series of text": (
        _set("series", value={"nearest": "near"}),
        "whose series or tables are not those",
    ),
    "series of nothing": (
        _set("series", value={"counts": {}}),
        "whose series or tables are not those",
    ),
}


@pytest.mark.parametrize(("change", "says"), ALTERED.values(), ids=ALTERED)
def test_an_altered_state_is_refused(
    whole: Path, tmp_path: Path, change: Callable[[Any], None], says: str
) -> None:
    content = files.read(whole / "out/model.ckpt-10.dp")
    change(content["training"])
    files.write(tmp_path / "altered.dp", content)
    with pytest.raises(FileFormatError, match=says):
        fit(whole, recipe(steps=STEPS), output=tmp_path, restart=tmp_path / "altered.dp")


def test_a_curve_with_other_columns_is_kept_apart(whole: Path, tmp_path: Path) -> None:
    out = killed(whole, tmp_path / "out")
    before = (out / "lcurve.out").read_text()
    without = OPTIONS | {"training__validation_data": None}
    fit(whole, recipe(steps=STEPS, **without), output=out, restart=out / "model.ckpt")
    assert (out / "lcurve.out.old").read_text() == before
    assert curve(out)[1][0, 0] == 12


def full(*args: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_leaves_the_curve_of_the_run(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = killed(whole, tmp_path / "out")
    before = (out / "lcurve.out").read_text()
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(TrainingError, match=r"lcurve\.out cannot be written \(No space left"):
        fit(whole, recipe(steps=STEPS, **OPTIONS), output=out, restart=out / "model.ckpt")
    assert (out / "lcurve.out").read_text() == before

"""What a run writes: checkpoints, the best model, the average, tables, plots, events."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _water import column, curve, fit, labelled, put, recipe, write
from rich.console import Console

import multifit
from multifit import files
from multifit.backend import get_backend
from multifit.cli import main
from multifit.data import System
from multifit.errors import FileFormatError, TrainingError

HELD_OUT = {"training__validation_data": {"systems": "valid", "batch_size": 1}}


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    write(folder / "data", labelled(6))
    write(folder / "valid", labelled(4))
    return folder


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def energy(path: Path, backend: str = "numpy") -> float:
    frames = labelled(1)
    found = multifit.load(path, backend).predict(frames.coord, frames.atype, frames.cell)
    return float(found["energy"][0])


def test_checkpoints_come_every_save_freq_and_the_oldest_go(data: Path, tmp_path: Path) -> None:
    given = recipe(steps=11, training__save_freq=2, training__max_ckpt_keep=3)
    out = fit(data, given, output=tmp_path)
    kept = [f"model.ckpt-{step}.dp" for step in (10, 11, 8)]
    assert names(out) == ["lcurve.out", *kept, "model.dp"]


@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_a_checkpoint_is_a_model(data: Path, tmp_path: Path, backend: str) -> None:
    out = fit(data, recipe(steps=4, training__save_freq=2), output=tmp_path)
    assert energy(out / "model.ckpt-4.dp", backend) == energy(out / "model.dp", backend)
    assert energy(out / "model.ckpt-2.dp") != energy(out / "model.dp")


def test_the_model_file_tells_its_settings(data: Path, tmp_path: Path) -> None:
    given = recipe(steps=1, model__descriptor__sel="auto", model__type_map=None)
    content = files.read(fit(data, given, output=tmp_path) / "model.dp")
    assert content["model_def_script"]["type_map"] == ["O", "H"]
    sel = content["model_def_script"]["descriptor"]["sel"]
    assert all(n >= 4 and n % 4 == 0 for n in sel)
    assert content["software"] == "multifit"
    assert content["backend"] == "torch"
    assert "training" not in content


def test_the_best_model_has_the_lowest_validation_error(data: Path, tmp_path: Path) -> None:
    rate = {"learning_rate__start_lr": 0.5, "learning_rate__stop_lr": 0.5}
    text = io.StringIO()
    given = recipe(steps=16, training__save_freq=2, training__max_ckpt_keep=8, **HELD_OUT, **rate)
    out = fit(data, given, output=tmp_path, console=Console(file=text, width=200))
    said = re.findall(r"prefactors\) (\S+) at step (\d+)", text.getvalue())
    assert len(said) == 8
    step = min(said, key=lambda each: float(each[0]))[1]
    assert energy(out / "model_best.dp") == energy(out / f"model.ckpt-{step}.dp")
    assert files.read(out / "model.ckpt-16.dp")["training"]["best"] == pytest.approx(
        min(float(score) for score, _ in said), rel=1e-3
    )


def test_a_run_stops_early_when_nothing_gets_better(data: Path, tmp_path: Path) -> None:
    text = io.StringIO()
    given = recipe(
        steps=400,
        training__save_freq=1,
        training__early_stopping=2,
        learning_rate__start_lr=0.5,
        learning_rate__stop_lr=0.5,
        **HELD_OUT,
    )
    out = fit(data, given, output=tmp_path, console=Console(file=text, width=200))
    pattern = r"stopping early at step (\d+): no better validation error in 2 validations"
    said = re.search(pattern, text.getvalue())
    assert said
    last = int(said[1])
    assert last < 400
    assert column(out, "step")[-1] == last
    assert files.read(out / f"model.ckpt-{last}.dp")["training"]["stale"] == 2
    assert (out / "model.dp").exists()


def test_the_average_of_the_parameters_is_written(data: Path, tmp_path: Path) -> None:
    options = {"training__enable_ema": True, "training__ema_decay": 0.75}
    out = fit(data, recipe(steps=3, training__save_freq=1, **options), output=tmp_path)
    start = fit(data, recipe(steps=1, training__save_freq=1, **options), output=tmp_path / "one")
    steps = [files.read(out / f"model.ckpt-{k}.dp")["training"]["optimizer"] for k in (1, 2, 3)]
    params = [multifit.load(out / f"model.ckpt-{k}.dp").params for k in (1, 2, 3)]
    average = multifit.load(out / "model_ema.dp").params
    name = "fitting.nets.0.layers.0.w"
    ema = [step["ema"]["@variables"][name] for step in steps]
    weights = [p["fitting"]["nets"]["0"]["layers"]["0"]["w"] for p in params]
    for k in (1, 2):
        np.testing.assert_allclose(ema[k], 0.75 * ema[k - 1] + 0.25 * weights[k], rtol=1e-12)
    np.testing.assert_array_equal(average["fitting"]["nets"]["0"]["layers"]["0"]["w"], ema[-1])
    assert energy(start / "model_ema.dp") != energy(start / "model.dp")


def test_checkpoints_of_a_run_that_was_given_up_make_way(data: Path, tmp_path: Path) -> None:
    given = recipe(steps=6, training__save_freq=2, training__max_ckpt_keep=2)
    out = fit(data, given, output=tmp_path)
    for step in (100, 200, 300):
        shutil.copy(out / "model.ckpt-6.dp", out / f"model.ckpt-{step}.dp")
    fit(data, given, output=out)
    old = [f"model.ckpt-{step}.dp.old" for step in (100, 200, 300)]
    assert [n for n in names(out) if n.endswith(".old")] == [
        "lcurve.out.old",
        *old,
        "model.ckpt-4.dp.old",
        "model.ckpt-6.dp.old",
        "model.dp.old",
    ]
    assert [n for n in names(out) if n.endswith(".dp")] == [
        "model.ckpt-4.dp",
        "model.ckpt-6.dp",
        "model.dp",
    ]


def test_leftovers_of_a_killed_run_are_removed(data: Path, tmp_path: Path) -> None:
    for name in ("model.dp.tmp.4194304", "ckpt/m-5.dp.tmp.4194304"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"half")
    out = fit(data, recipe(steps=2, training__save_ckpt="ckpt/m"), output=tmp_path)
    assert names(out) == ["ckpt", "lcurve.out", "model.dp"]
    assert names(out / "ckpt") == ["m-2.dp"]


def test_folders_are_made(data: Path, tmp_path: Path) -> None:
    given = recipe(steps=1, training__save_ckpt="a/b/m", training__disp_file="c/d/curve.txt")
    out = fit(data, given, output=tmp_path / "new/folder")
    assert (out / "a/b/m-1.dp").exists()
    assert (out / "c/d/curve.txt").read_text().startswith("# step")


def test_an_output_folder_that_is_a_file_is_an_error(data: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("mine")
    with pytest.raises(TrainingError, match=r"output folder .*taken cannot be made"):
        fit(data, recipe(steps=1), output=tmp_path / "taken")
    assert (tmp_path / "taken").read_text() == "mine"


def test_a_run_that_is_not_quiet_draws_a_plot_and_prints_a_table(
    data: Path, tmp_path: Path
) -> None:
    text = io.StringIO()
    given = recipe(steps=4, training__disp_freq=2, **HELD_OUT)
    out = fit(data, given, output=tmp_path, console=Console(file=text, width=120))
    said = text.getvalue()
    assert "training on 6 frames in 1 system, 4 steps" in said
    assert len(re.findall(r"^step +\d+ +trn E .* val E .* lr ", said, re.M)) == 3
    assert "validation data" in said
    assert said.splitlines()[-1].split() == [
        *("wrote", f"{out}/model.dp,", f"{out}/model_best.dp,", f"{out}/training.png")
    ]
    assert (out / "training.png").read_bytes().startswith(b"\x89PNG")
    assert "\x1b" not in said


def test_the_parameters_are_those_that_are_trained(data: Path, tmp_path: Path) -> None:
    text = io.StringIO()
    given = recipe(steps=1, model__fitting_net__trainable=[True, False, True])
    out = fit(data, given, output=tmp_path, console=Console(file=text, width=120))
    state = files.read(out / "model.ckpt-1.dp")["training"]["optimizer"]["m"]["@variables"]
    count = sum(x.size for x in state.values())
    assert f": {count:,} trainable parameters, types O H" in text.getvalue()
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown):
        assert main(["show", str(out / "model.dp")]) == 0
    assert f"({count:,} trainable" in shown.getvalue()


def test_labels_that_validation_data_lack_are_named(data: Path, tmp_path: Path) -> None:
    write(tmp_path / "bare", labelled(2), without=["force"])
    text = io.StringIO()
    held_out = {"systems": [str(tmp_path / "bare"), "valid"], "batch_size": 1}
    given = recipe(steps=1, training__validation_data=held_out)
    fit(data, given, output=tmp_path, console=Console(file=text, width=200))
    said = f"no force.npy in the validation data {tmp_path}/bare: the term f of the loss (force) is"
    assert said in text.getvalue()
    assert text.getvalue().count("is off there") == 1


def test_the_first_numbers_of_the_table_are_those_of_the_model(data: Path, tmp_path: Path) -> None:
    text = io.StringIO()
    out = fit(data, recipe(steps=4), output=tmp_path, console=Console(file=text, width=120))
    frames = labelled(6)
    found = multifit.load(out / "model.dp").predict(frames.coord, frames.atype, frames.cell)
    rmse = np.sqrt(np.mean((found["force"] - frames.force) ** 2))
    assert f"{rmse:.3e}" in text.getvalue()


def test_tensorboard_gets_its_steps(data: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX")
    from tensorboardX.proto.event_pb2 import Event

    options: dict[str, Any] = {"training__disp_freq": 5, "training__tensorboard_freq": 2}
    given = recipe(steps=6, training__tensorboard=True, **options, **HELD_OUT)
    out = fit(data, given, output=tmp_path)
    (path,) = (out / "log").iterdir()
    raw, seen, place = path.read_bytes(), {}, 0
    while place < len(raw):
        size = int.from_bytes(raw[place : place + 8], "little")
        event = Event.FromString(raw[place + 12 : place + 12 + size])
        for value in event.summary.value:
            seen.setdefault(value.tag, []).append(event.step)
        place += 16 + size
    assert seen["train/rmse_f"] == [2, 4, 6]
    assert seen["lr"] == [2, 4, 6]
    assert seen["validation/rmse_f"] == [6]


def test_statistics_are_read_from_their_file(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from multifit.train.start import begin

    given = recipe(steps=3, training__stat_file="stat")
    first = fit(data, given, output=tmp_path)
    assert (tmp_path / "stat/multifit-stat.h5").exists()
    before = curve(first)[1]

    def again(*setup: object) -> None:
        raise AssertionError("statistics are computed again")

    monkeypatch.setattr(begin, "collect_statistics", again)
    text = io.StringIO()
    out = fit(data, given, output=tmp_path, console=Console(file=text, width=200))
    np.testing.assert_array_equal(curve(out)[1], before)
    assert f"statistics read from {tmp_path}/stat/multifit-stat.h5" in text.getvalue()


def test_data_are_read_once_to_know_them_again(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = System.load, []

    def load(self: System, frames: np.ndarray, keys: Iterable[str] = ()) -> dict[str, np.ndarray]:
        keys = tuple(keys)
        calls.append("efermi" in keys)  # of which an energy model has no use
        return real(self, frames, keys)

    monkeypatch.setattr(System, "load", load)
    given = recipe(steps=1, training__stat_file="stat.h5")
    fit(data, given, output=tmp_path)
    assert sum(calls) == 1
    fit(data, given, output=tmp_path)
    assert sum(calls) == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"model.descriptor.sel": [12, 16]},
        {"model.atom_exclude_types": [1]},
        {"model.data_stat_nbatch": 1},
        {"loss.start_pref_ae": 1, "loss.limit_pref_ae": 1},
        {"training.training_data.systems": "valid"},
        {"model.fitting_net.numb_fparam": 1, "model.fitting_net.default_fparam": [0.5]},
    ],
    ids=str,
)
def test_other_settings_have_other_statistics(
    data: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    given = recipe(steps=1, training__stat_file="stat.h5")
    fit(data, given, output=tmp_path)
    fit(data, put(given, changes), output=tmp_path)
    assert len(files.read(tmp_path / "stat.h5")["statistics"]) == 2


@pytest.mark.parametrize("name", ["energy", "coord", "box"])
def test_corrected_data_have_other_statistics(tmp_path: Path, name: str) -> None:
    write(tmp_path / "data", labelled(2))
    given = recipe(steps=1, training__stat_file="stat.h5")
    fit(tmp_path, given)
    path = tmp_path / f"data/set.000/{name}.npy"
    old = path.stat()
    np.save(path, np.load(path) * 1.01)
    os.utime(path, ns=(old.st_atime_ns, old.st_mtime_ns))
    fit(tmp_path, given)
    assert len(files.read(tmp_path / "out/stat.h5")["statistics"]) == 2


def test_data_that_were_moved_keep_their_statistics(data: Path, tmp_path: Path) -> None:
    given = recipe(steps=1, training__stat_file="stat.h5")
    out = fit(data, given, output=tmp_path)
    shutil.copytree(data / "data", tmp_path / "moved")
    fit(data, recipe(str(tmp_path / "moved"), steps=1, training__stat_file="stat.h5"), output=out)
    assert len(files.read(out / "stat.h5")["statistics"]) == 1


@pytest.mark.parametrize("kind", ["text", "model"])
def test_a_foreign_file_is_no_statistics_file(data: Path, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "stat.h5"
    if kind == "text":
        path.write_text("my thesis")
    else:
        fit(data, recipe(steps=1), output=tmp_path)
        shutil.copy(tmp_path / "model.dp", path)
    before = path.read_bytes()
    words = r"training\.stat_file .*stat\.h5 is no statistics file of multifit \(.*\); delete it or"
    with pytest.raises(FileFormatError, match=words):
        fit(data, recipe(steps=1, training__stat_file="stat.h5"), output=tmp_path)
    assert path.read_bytes() == before


def test_every_shape_is_announced_once_where_it_is_compiled(data: Path, tmp_path: Path) -> None:
    text = io.StringIO()
    torch = get_backend("torch")
    compiles = type("Compiling", (type(torch),), {"static_shapes": True})()
    options: dict[str, Any] = {"training__disp_freq": 2, "training__save_freq": 3}
    given = recipe(steps=6, **options, **HELD_OUT)
    console = Console(file=text, width=200)
    fit(data, given, output=tmp_path / "a", backend=compiles, console=console)
    said = re.findall(r"^compiling .*|^evaluating .*", text.getvalue(), re.M)
    assert said == [
        "compiling the training step for 12 atoms …",
        "compiling the validation for 6 atoms …",
        "evaluating the model on the validation data …",
    ]
    fit(data, given, output=tmp_path / "b", backend=torch, console=console)
    assert text.getvalue().count("compiling") == 2


def final_table(folder: Path, given: dict[str, Any], output: Path) -> str:
    text = io.StringIO()
    fit(folder, given, output=output, console=Console(file=text, width=100))
    return text.getvalue().partition("evaluating")[2]


def test_the_table_has_what_is_fitted_or_known(tmp_path: Path) -> None:
    frames = labelled(2)
    write(tmp_path / "data", frames, without=["virial"])
    shown = final_table(tmp_path, recipe(steps=1), tmp_path / "a")
    assert "force" in shown
    assert "virial" not in shown
    assert "—" not in shown
    # What has labels is shown, fitted or not.
    each = frames.energy[:, None] / 6 * np.ones(6)
    write(tmp_path / "more", frames, atom_ener=each)
    shown = final_table(tmp_path, recipe("more", steps=1), tmp_path / "b")
    assert "virial" in shown
    assert "atomic energy" in shown
    assert max(map(len, shown.splitlines()[1:-1])) <= 100
    # What is fitted is shown, even where only the training data have it.
    held_out = {"training__validation_data": {"systems": "data", "batch_size": 1}}
    virial = {"loss__start_pref_v": 1.0, "loss__limit_pref_v": 1.0}
    shown = final_table(tmp_path, recipe("more", steps=1, **held_out, **virial), tmp_path / "c")
    assert re.search(r"^ data .*—\s+—$", shown, re.M)


def test_the_table_has_hessians_only_if_they_were_fitted(tmp_path: Path) -> None:
    write(tmp_path / "data", labelled(2), hessian=np.full((2, 18 * 18), 0.5))
    assert "Hessian" not in final_table(tmp_path, recipe(steps=1), tmp_path / "a")
    given = recipe(steps=1, loss__start_pref_h=1.0, loss__limit_pref_h=1.0)
    shown = final_table(tmp_path, given, tmp_path / "b")
    assert "Hessians of at most 8 frames of each system" in shown
    found = multifit.load(tmp_path / "b/model.dp")
    frames = labelled(2)
    got = found.predict(frames.coord, frames.atype, frames.cell, hessian=True)["hessian"]
    assert f"{np.sqrt(np.mean((got - 0.5) ** 2)):.3e}" in shown


def test_a_restart_with_nothing_left_writes_the_model_alone(data: Path, tmp_path: Path) -> None:
    given = recipe(steps=3, training__disp_freq=1)
    first = fit(data, given, output=tmp_path / "first")
    text = io.StringIO()
    console = Console(file=text, width=200)
    new = fit(
        data, given, output=tmp_path / "new", restart=first / "model.ckpt-3.dp", console=console
    )
    assert names(new) == ["model.dp", "training.png"]
    assert energy(new / "model.dp") == energy(first / "model.dp")
    said = text.getvalue().splitlines()
    assert "the model of step 3 is written without further training" in said
    assert not [line for line in said if line.startswith(("trained", "step"))]
    # The curve of the run itself stays, and so does that of a shorter one.
    before = (first / "lcurve.out").read_bytes()
    given["training"]["numb_steps"] = 2
    fit(data, given, output=first, restart=first / "model.ckpt-3.dp")
    assert (first / "lcurve.out").read_bytes() == before

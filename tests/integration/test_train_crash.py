"""Runs to whose folder or data something happens."""

from __future__ import annotations

import errno
import io
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _water import curve, fit, labelled, recipe, write
from rich.console import Console

import multifit
from multifit import files
from multifit.errors import BusyError, DataError, FileFormatError, TrainingError
from multifit.train.loop import run as loop_module
from multifit.train.start import saver
from multifit.tree import flatten

OPTIONS: dict[str, Any] = {
    "training__save_freq": 2,
    "training__validation_data": {"systems": "valid", "batch_size": 1},
    "validating": {"full_validation": True, "validation_freq": 3, "full_val_start": 0},
}
STEPS = 12
TABLES = ("lcurve.out", "val.log")


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with data and an uninterrupted run in ``out``."""
    folder = tmp_path_factory.mktemp("crash")
    write(folder / "data", labelled(5))
    write(folder / "valid", labelled(3))
    fit(folder, recipe(steps=STEPS, **OPTIONS))
    return folder


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, Callable[[], object]], None]:
    """Return a function that lets something happen before a step."""
    advance, planned = loop_module._advance, {}

    def disturbed(loop: Any, number: int) -> Any:
        if number in planned:
            planned.pop(number)()
        return advance(loop, number)

    monkeypatch.setattr(loop_module, "_advance", disturbed)
    monkeypatch.setattr(saver, "RETRY", 0.0)
    monkeypatch.setattr(saver, "LAST_RETRY", 0.0)
    return planned.__setitem__


def spoken(whole: Path, output: Path, **options: Any) -> str:
    """Train, and return what is said."""
    text = io.StringIO()
    fit(
        whole,
        recipe(steps=STEPS, **OPTIONS),
        output=output,
        console=Console(file=text, width=300),
        **options,
    )
    return text.getvalue()


def same_run(output: Path, whole: Path) -> None:
    """Assert that a run has the tables and the model of another."""
    for name in TABLES:
        assert (output / name).read_text() == (whole / "out" / name).read_text(), name
    got, want = (flatten(multifit.load(f / "model.dp").params) for f in (output, whole / "out"))
    for key, value in want.items():
        np.testing.assert_array_equal(got[key], value, err_msg=key)


def full(*args: object, **kwargs: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_damaged_checkpoint_is_passed_over(whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(whole / "out", out)
    for name in ("model.dp", "model.ckpt-12.dp"):
        (out / name).unlink()
    newest = out / "model.ckpt-10.dp"
    newest.write_bytes(newest.read_bytes()[:-100])
    text = spoken(whole, out, restart=out / "model.ckpt")
    assert f"warning: {newest} is truncated or damaged (its checksum is missing)" in text
    assert f"continuing {out}/model.ckpt-8.dp from step 8" in text
    same_run(out, whole)
    for path in out.glob("model.ckpt-*.dp"):
        path.write_bytes(b"damaged")
    with pytest.raises(FileFormatError, match=r"model\.ckpt-12\.dp"):
        spoken(whole, out, restart=out / "model.ckpt")


def test_tables_that_are_deleted_are_written_again(whole: Path, tmp_path: Path, at: Any) -> None:
    at(5, lambda: [(tmp_path / name).unlink() for name in TABLES])
    text = spoken(whole, tmp_path)
    assert text.count("lcurve.out was deleted; it is written again, with") == 1
    assert text.count("val.log was deleted; it is written again, with") == 1
    same_run(tmp_path, whole)


def test_a_table_that_is_replaced_or_cut_has_no_zeros(whole: Path, tmp_path: Path, at: Any) -> None:
    def disturb() -> None:
        os.truncate(tmp_path / "lcurve.out", 0)
        (tmp_path / "new").write_text("edited\n")
        (tmp_path / "new").replace(tmp_path / "val.log")

    at(5, disturb)
    spoken(whole, tmp_path)
    assert curve(tmp_path)[1][:, 0].tolist() == list(range(5, STEPS + 1))
    assert (tmp_path / "val.log").read_text().splitlines()[0] == "edited"
    assert not any(b"\0" in (tmp_path / name).read_bytes() for name in TABLES)


def test_a_folder_that_vanishes_is_made_again(whole: Path, tmp_path: Path, at: Any) -> None:
    out = tmp_path / "out"
    at(6, lambda: shutil.rmtree(out))
    spoken(whole, out)
    same_run(out, whole)
    files.read(out / "model.ckpt-12.dp")


def test_a_full_disk_is_waited_for(
    whole: Path, tmp_path: Path, at: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.fsync, os.write

    def fill() -> None:
        monkeypatch.setattr(os, "fsync", full)
        monkeypatch.setattr(os, "write", full)

    def clear() -> None:
        monkeypatch.setattr(os, "fsync", real[0])
        monkeypatch.setattr(os, "write", real[1])

    at(5, fill)
    at(9, clear)
    text = spoken(whole, tmp_path)
    assert text.count(f"warning: files in {tmp_path} cannot be written (No space left on") == 1
    assert text.count(f"files in {tmp_path} can be written again") == 1
    assert text.count("lcurve.out cannot be written (No space left") == 1
    # The checkpoint of step 8 was tried again after step 9, before it was due.
    assert (tmp_path / "model.ckpt-9.dp").exists()
    assert not list(tmp_path.glob("*.tmp.*"))
    same_run(tmp_path, whole)


def test_what_cannot_be_written_is_rescued(
    whole: Path, tmp_path: Path, at: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, refuge = tmp_path / "out", tmp_path / "here"
    refuge.mkdir()
    monkeypatch.chdir(refuge)

    def vanish() -> None:
        shutil.rmtree(out)
        out.write_text("in the way")

    at(6, vanish)
    with pytest.raises(TrainingError) as caught:
        spoken(whole, out)
    folder = refuge / f"multifit-saved-{os.getpid()}"
    assert f"everything is in {folder} instead, with the checkpoint model.ckpt-12.dp" in str(
        caught.value
    )
    same_run(folder, whole)
    assert sorted(path.name for path in folder.iterdir() if path.name not in TABLES) == [
        "best.ckpt-12.dp",
        "model.ckpt-12.dp",
        "model.dp",
        "model_best.dp",
    ]


def test_data_that_change_under_a_run_cost_no_step(tmp_path: Path, at: Any) -> None:
    write(tmp_path / "data", labelled(5))
    given = recipe(steps=STEPS, training__save_freq=100)
    energy = tmp_path / "data/set.000/energy.npy"
    before = energy.read_bytes()
    at(8, lambda: energy.write_bytes(before[:-8]))
    with pytest.raises(DataError) as caught:
        fit(tmp_path, given)
    checkpoint = next((tmp_path / "out").glob("model.ckpt-*.dp"))
    assert "energy.npy changed while it was in use" in str(caught.value)
    assert str(caught.value).endswith(f"is saved: --restart {checkpoint})")
    energy.write_bytes(before)
    fit(tmp_path, given, restart=checkpoint)
    other = fit(tmp_path, given, output=tmp_path / "whole")
    assert (tmp_path / "out/lcurve.out").read_text() == (other / "lcurve.out").read_text()


def test_a_folder_has_one_run_at_a_time(whole: Path, tmp_path: Path, at: Any) -> None:
    seen: list[str] = []

    def second() -> None:
        with pytest.raises(BusyError) as caught:
            fit(whole, recipe(steps=2), output=tmp_path)
        seen.append(str(caught.value))

    at(5, second)
    spoken(whole, tmp_path)
    assert seen[0].startswith(f"{tmp_path} is in use by another run (process {os.getpid()} on ")
    assert "choose another folder with --output" in seen[0]
    same_run(tmp_path, whole)
    assert not (tmp_path / ".multifit.lock").exists()


def test_checkpoints_elsewhere_are_locked_too(whole: Path, tmp_path: Path, at: Any) -> None:
    given = recipe(steps=6, training__save_ckpt=str(tmp_path / "shared/model.ckpt"))
    (tmp_path / "shared").mkdir()

    def second() -> None:
        with pytest.raises(BusyError, match=r"change training\.save_ckpt"):
            fit(whole, given, output=tmp_path / "two")

    at(3, second)
    fit(whole, given, output=tmp_path / "one")
    assert [path.name for path in (tmp_path / "shared").iterdir()] == ["model.ckpt-6.dp"]

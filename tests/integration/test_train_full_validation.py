"""Validation on all validation data: its file, and the best models."""

from __future__ import annotations

import errno
import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _water import fit, labelled, put, recipe, write
from rich.console import Console

from multifit.errors import DataError, FileFormatError, TrainingError
from multifit.train.validation import full_validation
from multifit.train.validation.full_validation import COLUMNS

FRAMES = labelled(3)


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    write(folder / "data", FRAMES)
    write(folder / "valid", FRAMES)
    write(folder / "bare", FRAMES, without=["virial"])
    return folder


def given(steps: int = 6, valid: str = "valid", **changes: Any) -> dict[str, Any]:
    """Return an input with a validation at each second step from the beginning."""
    settings = {"full_validation": True, "validation_freq": 2, "full_val_start": 0, **changes}
    return recipe(
        steps=steps,
        training__save_freq=2,
        training__validation_data={"systems": valid, "batch_size": 1},
        validating=settings,
    )


def rows(out: Path) -> np.ndarray:
    return np.loadtxt(out / "val.log", ndmin=2)


def best(out: Path, end: str = ".dp") -> list[str]:
    return sorted(path.name for path in out.glob(f"best.ckpt-*{end}"))


def test_the_best_models_are_kept(data: Path, tmp_path: Path) -> None:
    out = fit(data, given(max_best_ckpt=2, validation_metric="F:RMSE"), output=tmp_path)
    found = rows(out)
    assert found.shape == (3, 1 + len(COLUMNS))
    errors = found[:, 1 + COLUMNS.index("F:RMSE")]
    steps = sorted(int(step) for step in found[np.argsort(errors)[:2], 0])
    assert best(out) == [f"best.ckpt-{step}.dp" for step in steps]


def test_the_last_step_is_validated(data: Path, tmp_path: Path) -> None:
    assert list(rows(fit(data, given(steps=5), output=tmp_path))[:, 0]) == [2, 4, 5]


@pytest.mark.parametrize("save", [True, False])
def test_models_of_an_earlier_run_make_way(data: Path, tmp_path: Path, save: bool) -> None:
    for step in (2, 300):
        (tmp_path / f"best.ckpt-{step}.dp").write_text("mine")
    out = fit(data, given(save_best=save), output=tmp_path)
    old = best(out, ".dp.old")
    assert old == (["best.ckpt-2.dp.old", "best.ckpt-300.dp.old"] if save else [])
    for name in old or best(out):
        assert (out / name).read_text() == "mine"
    assert len(best(out)) == (1 if save else 2)


def test_a_restart_leaves_out_damaged_lines_and_later_models(data: Path, tmp_path: Path) -> None:
    settings = {"max_best_ckpt": 9}
    out = fit(data, given(**settings), output=tmp_path)
    before = rows(out)
    with (out / "val.log").open("a", encoding="utf-8") as file:
        file.write("\nhalf a\n4 1.0 2.0\nx" + " 1.0" * len(COLUMNS) + "\n      2 1.0")
    fit(data, given(**settings), output=out, restart=out / "model.ckpt-4.dp")
    np.testing.assert_allclose(rows(out), before, rtol=1e-4)
    assert best(out) == [f"best.ckpt-{step}.dp" for step in (2, 4, 6)]
    assert best(out, ".dp.old") == ["best.ckpt-6.dp.old"]


def test_a_metric_without_labels_is_refused_before_the_first_step(
    data: Path, tmp_path: Path
) -> None:
    settings = given(valid="bare", validation_metric="V:MAE")
    words = r"validation_metric is 'V:MAE', but no validation system has virial \(bare\)"
    with pytest.raises(DataError, match=words):
        fit(data, put(settings, {"loss.start_pref_v": 1}), output=tmp_path)
    assert not (tmp_path / "lcurve.out").exists()
    assert not (tmp_path / "val.log").exists()


def test_a_validation_that_must_fail_does_so_before_the_first_step(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = []

    def fails(potential: Any, system: Any, frames: np.ndarray, **_: Any) -> Any:
        looked.append((system.name, len(frames)))
        raise DataError("valid/set.000/force.npy, frame 2: cannot be read")

    monkeypatch.setattr(full_validation, "compare", fails)
    with pytest.raises(DataError, match=r"force\.npy, frame 2"):
        fit(data, given(), output=tmp_path)
    assert looked == [("valid", 3)]
    lines = (tmp_path / "lcurve.out").read_text().splitlines()
    assert all(line.startswith("#") for line in lines)
    # A run without a full validation does not try one.
    fit(data, given(full_val_start=100, steps=2), output=tmp_path / "without")
    assert len(looked) == 1


def test_a_table_that_cannot_be_written_is_told_before_the_first_step(
    data: Path, tmp_path: Path
) -> None:
    (tmp_path / "val.log").mkdir()
    with pytest.raises(TrainingError, match=r"validating\.full_val_file.*val\.log"):
        fit(data, given(), output=tmp_path)
    assert not (tmp_path / "lcurve.out").exists()


def test_errors_without_labels_are_nan(data: Path, tmp_path: Path) -> None:
    out = fit(data, given(valid="bare"), output=tmp_path)
    virial = [column.startswith("V") for column in COLUMNS]
    np.testing.assert_array_equal(np.isnan(rows(out)[:, 1:]), np.tile(virial, (3, 1)))
    assert len(best(out)) == 1


def test_an_error_that_is_nan_is_never_the_best(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from multifit.train.validation import full_validation

    genuine = full_validation._numbers

    def spoiled(errors: Any) -> list[float]:
        spoiled.calls += 1  # type: ignore[attr-defined]
        nan = spoiled.calls == 1  # type: ignore[attr-defined]
        return [float("nan")] * len(COLUMNS) if nan else genuine(errors)

    spoiled.calls = 0  # type: ignore[attr-defined]
    monkeypatch.setattr(full_validation, "_numbers", spoiled)
    text = io.StringIO()
    console = Console(file=text, width=200)
    out = fit(data, given(steps=4), output=tmp_path, console=console)
    assert best(out) == ["best.ckpt-4.dp"]
    assert "at step 2: E:MAE nan\n" in text.getvalue()


def test_a_full_disk_leaves_the_errors_of_the_run(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = fit(data, given(), output=tmp_path)
    before = (out / "val.log").read_text()
    real = os.fsync

    def full(number: int) -> None:
        if (out / f"val.log.tmp.{os.getpid()}").exists():
            raise OSError(errno.ENOSPC, "No space left on device")
        real(number)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FileFormatError, match=r"val\.log could not .*No space .*unchanged"):
        fit(data, given(8), output=out, restart=out / "model.ckpt")
    assert (out / "val.log").read_text() == before

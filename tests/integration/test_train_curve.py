"""The learning curve: reproducible, the same on every backend, with DeePMD-kit's columns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _backends import TRAINABLE
from _water import column, curve, fit, labelled, put, recipe, write

HELD_OUT = {"training__validation_data": {"systems": "valid", "batch_size": 1, "numb_btch": 2}}
VIRIAL = {"loss__start_pref_v": 1.0, "loss__limit_pref_v": 1.0}


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("curve")
    write(folder / "data", labelled(6))
    write(folder / "valid", labelled(4))
    return folder


def test_a_seed_gives_the_same_curve_on_every_backend(data: Path, tmp_path: Path) -> None:
    given = recipe(steps=20, **VIRIAL)
    first = fit(data, given, output=tmp_path / "again")
    for name in TRAINABLE:
        got = fit(data, given, output=tmp_path / name, backend=name)
        lines = (got / "lcurve.out").read_text().splitlines()
        assert lines[0] == (first / "lcurve.out").read_text().splitlines()[0]
        np.testing.assert_allclose(curve(got)[1], curve(first)[1], rtol=1e-8)
        assert (column(got, "step") == np.arange(1, 21)).all()
    assert (first / "lcurve.out").read_bytes() == (tmp_path / "torch/lcurve.out").read_bytes()


def test_other_seeds_give_other_curves(data: Path, tmp_path: Path) -> None:
    seeds = ("training.seed", "model.descriptor.seed", "model.fitting_net.seed")
    curves = [
        column(fit(data, put(recipe(steps=3), {path: 9}), output=tmp_path / path), "rmse_trn")
        for path in seeds
    ]
    base = column(fit(data, recipe(steps=3), output=tmp_path / "base"), "rmse_trn")
    assert all(not np.allclose(other, base) for other in curves)


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({}, "rmse rmse_e rmse_f"),
        (VIRIAL, "rmse rmse_e rmse_f rmse_v"),
        ({"loss__start_pref_f": 0, "loss__limit_pref_f": 0}, "rmse rmse_e"),
        ({"loss__loss_func": "mae"}, "mae_e mae_e_all mae_f rmse"),
        ({"loss__use_huber": True}, "rmse rmse_e rmse_f"),
    ],
    ids=["default", "virial", "energy only", "mae", "huber"],
)
@pytest.mark.parametrize("held_out", [False, True], ids=["trn", "val and trn"])
def test_columns_are_those_of_deepmd(
    data: Path, tmp_path: Path, changes: dict[str, Any], wanted: str, held_out: bool
) -> None:
    got = fit(data, recipe(steps=1, **changes, **(HELD_OUT if held_out else {})), output=tmp_path)
    kinds = ("val", "trn") if held_out else ("trn",)
    columns = [f"{name}_{kind}" for name in wanted.split() for kind in kinds]
    names, rows = curve(got)
    assert names == ["step", *columns, "lr"]
    assert np.isfinite(rows).all()
    assert (got / "lcurve.out").read_text().startswith("# step ")


def test_lines_are_the_first_every_nth_and_the_last(data: Path, tmp_path: Path) -> None:
    got = fit(data, recipe(steps=11, training__disp_freq=4), output=tmp_path)
    assert column(got, "step").tolist() == [1, 4, 8, 11]


def test_errors_go_down(data: Path, tmp_path: Path) -> None:
    got = fit(data, recipe(steps=60, training__disp_freq=59), output=tmp_path)
    force = column(got, "rmse_f_trn")
    assert force[-1] < 0.8 * force[0]


def test_errors_are_those_of_the_first_batch_before_the_step(data: Path, tmp_path: Path) -> None:
    # All frames in one batch, and steps that do not move: every line says the same.
    still = {"learning_rate__start_lr": 1e-9, "learning_rate__stop_lr": 1e-9}
    given = recipe(steps=3, training__training_data__batch_size=6, **still)
    rows = curve(fit(data, given, output=tmp_path))[1]
    np.testing.assert_allclose(rows[1:, 1:], rows[:1, 1:].repeat(2, axis=0), rtol=1e-6)


def test_the_learning_rate_warms_up(data: Path, tmp_path: Path) -> None:
    given = recipe(steps=8, learning_rate__warmup_steps=4, learning_rate__decay_steps=2)
    rate = column(fit(data, given, output=tmp_path), "lr")
    np.testing.assert_allclose(rate[:4], 0.005 * np.arange(4) / 4, rtol=1e-4)
    assert (np.diff(rate[4:]) <= 0).all()
    assert rate[4] == 0.005

"""What a run says on the way: the line of each display, and how long it will still take."""

from __future__ import annotations

import io

import numpy as np
import pytest
from rich.console import Console

from multifit.train.report import progress
from multifit.train.report.progress import Display, brief, describe
from multifit.train.step.compilations import CompiledShapes

NAN = float("nan")


def display(text: io.StringIO, steps: int = 1000, **options: bool) -> Display:
    return Display(Console(file=text, width=80), steps, 0, **options)


def test_terms_stand_in_the_order_of_the_loss() -> None:
    metrics = {"rmse": 1.0, "rmse_v": 3.0, "rmse_e": 1.0, "rmse_ae": 4.0, "rmse_f": 2.0}
    wanted = "E 1.00e+00 F 2.00e+00 V 3.00e+00 AE 4.00e+00"
    assert describe(metrics) == describe(dict(sorted(metrics.items()))) == wanted


def test_every_term_is_shown_that_has_labels() -> None:
    metrics = {"rmse_gf": 1.0, "rmse_pf": 2.0, "rmse_h": 3.0, "rmse_f": NAN, "rmse": 9.0}
    assert describe(metrics) == "H 3.00e+00 PF 2.00e+00 GF 1.00e+00"
    assert describe({"mae_e": 1.0, "mae_e_all": 6.0, "rmse_gf": 2.0}) == "E 1.00e+00 GF 2.00e+00"


def test_the_bar_shows_forces_first_and_validation_beside_them() -> None:
    metrics = {"rmse_e": 0.25, "rmse_f": 0.5, "rmse_v": 1.0}
    assert brief(metrics, None) == "F 0.5 E 0.25"
    assert brief(metrics, {"rmse_f": 0.75}) == "F 0.5|0.75 E 0.25|nan"


@pytest.mark.parametrize("terms", ["ef", "efv"])
def test_few_terms_fit_into_eighty_columns(terms: str) -> None:
    text = io.StringIO()
    shown = display(text, timings=len(terms) == 2)
    shown.step(100, 0.0101)
    shown.show(100, {f"rmse_{term}": 0.5 for term in terms}, None, 1e-3)
    assert text.getvalue().count("\n") == 1
    assert len(text.getvalue().rstrip()) <= 80


def test_what_compiles_is_said_and_left_out_of_the_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress.time, "monotonic", lambda: 100.0)
    text = io.StringIO()
    shown = display(text)
    shown.compiling("the training step", 24)
    shown.step(1, 20.0)  # began at 80 s
    shown.compiling("the validation", 1, in_step=False)
    for step in range(2, 11):
        shown.step(step, 0.01)
    shown.show(10, {"rmse_f": 0.5}, None, 1e-3)
    assert text.getvalue().splitlines() == [
        "compiling the training step for 24 atoms …",
        "compiling the validation for 1 atom …",
        "step   10  trn F 5.00e-01  lr 1.0e-03  10.0 ms/step  9.9 s left",
    ]


def test_shapes_that_are_still_new_count_for_the_time_that_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(progress.time, "monotonic", lambda: 100.0)
    text = io.StringIO()
    shown = display(text)
    shown.compiling("the training step", 24)
    shown.step(1, 20.0)
    shown.step(2, 0.01)
    shown.compiling("the training step", 32)
    shown.step(3, 15.0)
    shown.step(4, 0.01)
    shown.show(4, {"rmse_f": 0.5}, None, 1e-3)
    # 20 s for 4 steps, and 996 steps more.
    assert text.getvalue().endswith("10.0 ms/step  1 h 23 min left\n")
    shown.step(5, 0.01)
    shown.show(5, {"rmse_f": 0.5}, None, 1e-3)
    assert text.getvalue().endswith("10.0 ms/step  10 s left\n")


def test_nothing_but_compiling_has_no_speed() -> None:
    text = io.StringIO()
    shown = display(text)
    shown.compiling("the training step", 24)
    shown.step(7, 20.0)
    shown.show(7, {"rmse_f": 0.5}, None, 1e-3)
    assert text.getvalue().endswith("lr 1.0e-03\n")


def test_shapes_are_new_once_in_whatever_order() -> None:
    shapes = CompiledShapes(True)
    batch = {"natoms": np.zeros(2), "centres": {"0": {"mask": np.zeros(8)}}}
    assert shapes.is_new(batch, {"energy": np.zeros(2)})
    turned = dict(reversed(batch.items()))
    assert not shapes.is_new(turned, {"energy": np.ones(2)})
    assert shapes.is_new(batch, {"energy": np.zeros(3)})
    assert not CompiledShapes(False).is_new(batch)

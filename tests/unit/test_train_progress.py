"""What a run says on the way: the line of each display, and how long it will still take."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from multifit.train._progress import Display, brief, describe

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

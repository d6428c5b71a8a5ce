"""Runs that diverge or learn nothing are told so once, and good runs never."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from multifit.train.loop.health import Health

Errors = Callable[[int], dict[str, float]]
RNG = np.random.default_rng(0)


def said(errors: Errors, steps: int, warmup: int = 0, untrained: bool = True) -> list[str]:
    """Return the warnings of a run whose forces have a root mean square of 1."""
    health = Health(0, steps, warmup, untrained, {"rmse_f": 1.0})
    all_of_them = (health.update(k, errors(k), 1e-3) for k in range(1, steps + 1))
    return [text for text in all_of_them if text]


def noisy(value: float) -> float:
    return float(value * np.exp(0.5 * RNG.normal()))


GOOD: dict[str, Errors] = {
    "falls": lambda k: {"rmse_e": noisy(1 / k), "rmse_f": noisy(1.5 / k**0.5)},
    # The bias is fitted: the energy begins well, and forces are learned at its cost.
    "energy rises": lambda k: {"rmse_e": noisy(min(1e-4 * k, 0.1)), "rmse_f": noisy(2 / k**0.3)},
    "slow": lambda k: {"rmse_e": noisy(1.0), "rmse_f": noisy(1.2 * 0.999**k)},
    "some labels": lambda k: {"rmse_e": noisy(1 / k), "rmse_f": float("nan")},
    "energy alone": lambda k: {"rmse_e": noisy(0.5 / k**0.5)},
    "exact": lambda k: {"rmse_e": 0.0, "rmse_f": 0.0},
    "no labels": lambda k: {},
}


@pytest.mark.parametrize("steps", [10, 150, 3000])
@pytest.mark.parametrize("name", GOOD)
def test_good_runs_hear_nothing(name: str, steps: int) -> None:
    assert not said(GOOD[name], steps)


BAD: dict[str, tuple[Errors, str]] = {
    "grows": (lambda k: {"rmse_e": 0.1 * k, "rmse_f": 1.0 * k}, "the run diverges"),
    "blows up at once": (
        lambda k: {"rmse_e": 0.1 if k == 1 else 1e9, "rmse_f": 1.5 if k == 1 else 1e9},
        "the run diverges: errors are up to 1.0e+10 times",
    ),
    "saturates": (
        lambda k: {"rmse_e": noisy(0.1 if k == 1 else 1e6), "rmse_f": 1.0},
        "the run diverges",
    ),
    "overflows": (
        lambda k: {"rmse_e": 0.1 if k == 1 else float("inf"), "rmse_f": 1.0},
        "the run diverges",
    ),
    "stays": (lambda k: {"rmse_e": 0.5, "rmse_f": 1.5}, "nothing was learned in 500 steps"),
    "no forces": (lambda k: {"rmse_e": 0.5 / k, "rmse_f": 1.0 + 1 / k}, "forces are not learned"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_runs_are_told_once(name: str) -> None:
    errors, words = BAD[name]
    found = said(errors, 2000)
    assert len(found) == 1
    assert words in found[0]


def test_a_run_that_goes_on_has_learned_before() -> None:
    errors, _ = BAD["stays"]
    assert not said(errors, 2000, untrained=False)


def test_a_warm_up_teaches_nothing_yet() -> None:
    def late(k: int) -> dict[str, float]:
        value = 1.5 if k < 700 else 0.1
        return {"rmse_e": value, "rmse_f": value}

    assert not said(late, 2000, warmup=700)
    assert said(late, 2000)


def test_a_short_run_is_judged_at_its_end() -> None:
    errors, _ = BAD["stays"]
    assert not said(errors, 150)
    (text,) = said(errors, 300)
    assert "nothing was learned in 300 steps" in text

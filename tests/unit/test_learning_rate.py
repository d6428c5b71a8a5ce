"""Learning-rate schedules: by hand, and against numbers of deepmd-kit 3.2.0."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multifit.errors import ConfigError
from multifit.optim.learning_rate import DEFAULT_STOP_LR, learning_rate

BASE = {"start_lr": 1e-3, "stop_lr": 1e-5}


def test_exp_goes_down_in_stairs() -> None:
    lr = learning_rate({**BASE, "type": "exp", "decay_steps": 25}, 100)
    assert [lr.at(s) for s in (0, 24)] == [1e-3, 1e-3]
    assert lr.at(25) == pytest.approx(1e-3 * 0.01**0.25)
    assert lr.at(50) == pytest.approx(1e-4)
    assert lr.at(100) == pytest.approx(1e-5)


def test_smooth_exp_decays_at_every_step() -> None:
    lr = learning_rate({**BASE, "type": "exp", "decay_steps": 25, "smooth": True}, 100)
    for step in (0, 1, 37, 100):
        assert lr.at(step) == pytest.approx(1e-3 * 0.01 ** (step / 100))


def test_given_decay_rate_stops_at_stop_lr() -> None:
    lr = learning_rate({**BASE, "type": "exp", "decay_steps": 10, "decay_rate": 0.5}, 100)
    assert lr.at(69) == pytest.approx(1e-3 / 64)
    assert lr.at(70) == 1e-5


def test_too_long_stairs_become_about_a_hundred() -> None:
    lr = learning_rate({**BASE, "type": "exp", "decay_steps": 5000}, 500)  # stairs of 6 steps
    assert lr.at(5) == 1e-3
    assert lr.at(6) == pytest.approx(1e-3 * 0.01 ** (6 / 500))


def test_a_tiny_start_never_grows() -> None:
    rate = learning_rate({"start_lr": 1e-12, "stop_lr": 0.0, "decay_steps": 10}, 100)
    assert [rate.at(step) for step in (0, 50, 100)] == [1e-12] * 3


def test_cosine_ends_and_middle() -> None:
    lr = learning_rate({**BASE, "type": "cosine"}, 100)
    assert lr.at(0) == 1e-3
    assert lr.at(50) == pytest.approx((1e-3 + 1e-5) / 2)
    assert lr.at(25) == pytest.approx(1e-5 + 0.99e-3 * (1 + math.sqrt(0.5)) / 2)
    assert lr.at(100) == lr.at(10_000) == 1e-5


@pytest.mark.parametrize(
    ("rule", "middle"),
    [
        ("inverse_linear", 2 / (1 / 1e-3 + 1 / 1e-5)),
        ("cosine", (1e-3 + 1e-5) / 2),
        ("linear", (1e-3 + 1e-5) / 2),
    ],
)
def test_wsd_is_constant_and_then_decays(rule: str, middle: float) -> None:
    lr = learning_rate({**BASE, "type": "wsd", "decay_phase_ratio": 0.2, "decay_type": rule}, 100)
    assert {lr.at(s) for s in range(80)} == {1e-3}
    assert lr.at(90) == pytest.approx(middle)
    assert lr.at(100) == lr.at(101) == 1e-5


@pytest.mark.parametrize("kind", ["exp", "cosine", "wsd"])
def test_warm_up_is_linear_and_shortens_the_decay(kind: str) -> None:
    lr = learning_rate(
        {**BASE, "type": kind, "warmup_steps": 20, "warmup_start_factor": 0.2, "decay_steps": 10},
        120,
    )
    assert lr.at(0) == pytest.approx(2e-4)
    assert lr.at(10) == pytest.approx(6e-4)
    assert lr.at(20) == lr.start_lr == 1e-3
    assert lr.at(120) == pytest.approx(lr.stop_lr)


def test_a_ratio_gives_the_warm_up_rounded_down() -> None:
    assert learning_rate({**BASE, "warmup_ratio": 0.17}, 40).warmup_steps == 6


def test_null_is_a_key_left_out() -> None:
    settings: dict[str, Any] = {**BASE, "stop_lr_ratio": None, "decay_rate": None, "type": None}
    assert learning_rate(settings, 100).at(3) == learning_rate(BASE, 100).at(3)


def test_stop_lr_has_a_default() -> None:
    assert learning_rate({"start_lr": 1e-3}, 100).stop_lr == DEFAULT_STOP_LR


# deepmd-kit 3.2.0: settings, number of steps, {step: learning rate}.
PEER: list[tuple[dict[str, Any], int, dict[int, float]]] = [
    (
        {"start_lr": 1e-3, "stop_lr": 3.5e-8, "decay_steps": 5000},
        1_000_000,
        {4999: 1e-3, 5000: 0.0009499928578367651, 500_000: 5.916079783099581e-06},
    ),
    (
        {"type": "exp", **BASE, "decay_steps": 5000},
        200,
        {2: 1e-3, 3: 0.000933254300796991, 100: 0.00010232929922807529, 200: 1.047128548050897e-05},
    ),
    (
        {"type": "exp", **BASE, "decay_steps": 5000},
        4000,
        {99: 1e-3, 100: 0.0008912509381337456, 2000: 1e-4, 4000: 1e-5},
    ),
    (
        {"start_lr": 2e-3, "stop_lr_ratio": 0.01, "decay_steps": 50, "smooth": True},
        400,
        {1: 0.0019771061893138777, 49: 0.001137705861687683, 200: 2e-4, 400: 2e-5},
    ),
    (
        {"start_lr": 1e-3, "stop_lr": 1e-4, "decay_steps": 20, "decay_rate": 0.5},
        200,
        {19: 1e-3, 20: 5e-4, 79: 1.25e-4, 80: 1e-4},
    ),
    (
        {"start_lr": 1e-3, "stop_lr": 0.0, "decay_steps": 10},
        100,
        {50: 3.162277660168381e-07, 100: 1e-10, 200: 1e-17},
    ),
    (
        {**BASE, "decay_steps": 10, "warmup_steps": 20},
        100,
        {0: 0.0, 5: 2.5e-4, 19: 9.5e-4, 20: 1e-3, 100: 1e-5},
    ),
    (
        {"type": "cosine", "start_lr": 1e-3, "stop_lr": 1e-6},
        300,
        {0: 1e-3, 100: 0.0007502499999999999, 299: 1.0273879019266845e-06, 300: 1e-6},
    ),
    (
        {
            "type": "cosine",
            "start_lr": 1e-3,
            "stop_lr_ratio": 0.05,
            "warmup_ratio": 0.1,
            "warmup_start_factor": 0.2,
        },
        300,
        {0: 2e-4, 15: 6e-4, 30: 1e-3, 165: 5.25e-4, 400: 5e-5},
    ),
    (
        {"type": "wsd", **BASE},
        200,
        {180: 1e-3, 181: 0.0001680672268907563, 190: 1.9801980198019806e-05, 200: 1e-5},
    ),
    (
        {
            "type": "wsd",
            **BASE,
            "decay_phase_ratio": 0.25,
            "decay_type": "cosine",
            "warmup_steps": 8,
        },
        200,
        {4: 5e-4, 149: 1e-3, 151: 0.0009990232305719944, 175: 5.05e-4, 199: 1.0976769428005579e-05},
    ),
    (
        {
            "type": "wsd",
            **BASE,
            "decay_phase_ratio": 1.0,
            "decay_type": "linear",
            "warmup_ratio": 0.5,
        },
        200,
        {50: 5e-4, 100: 1e-3, 101: 0.0009901, 150: 5.05e-4, 200: 1e-5},
    ),
    ({**BASE, "type": "exp"}, 0, {0: 1e-3, 4: 1e-3}),
    ({**BASE, "type": "cosine"}, 0, {0: 1e-3}),
    ({**BASE, "type": "wsd"}, 0, {0: 1e-5}),
]


@pytest.mark.parametrize(("settings", "numb_steps", "rates"), PEER)
def test_numbers_are_deepmd_kits(
    settings: dict[str, Any], numb_steps: int, rates: dict[int, float]
) -> None:
    lr = learning_rate(settings, numb_steps)
    for step, rate in rates.items():
        assert lr.at(step) == pytest.approx(rate, rel=1e-12, abs=1e-30), step


@given(
    kind=st.sampled_from(["exp", "cosine", "wsd"]),
    start=st.floats(1e-6, 1e-1),
    ratio=st.floats(1e-6, 1.0),
    numb_steps=st.integers(2, 5000),
    warmup=st.floats(0.0, 0.9),
)
def test_rates_rise_then_fall_within_their_ends(
    kind: str, start: float, ratio: float, numb_steps: int, warmup: float
) -> None:
    settings = {"type": kind, "start_lr": start, "stop_lr_ratio": ratio, "warmup_ratio": warmup}
    lr = learning_rate(settings, numb_steps)
    rates = [lr.at(s) for s in range(0, numb_steps + 1, max(1, numb_steps // 50))]
    slack = 1 + 1e-9
    assert max(rates) <= start * slack
    decay = [lr.at(s) for s in range(lr.warmup_steps, numb_steps + 1, max(1, numb_steps // 50))]
    assert min(decay) * slack >= lr.stop_lr
    assert all(b <= a * slack for a, b in pairwise(decay))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"type": "expo"}, r"unknown schedule 'expo' \(did you mean 'exp'\?\)"),
        ({"start_lr": None}, "start_lr is missing"),
        ({"start_lr": 0.0}, "start_lr is 0.0; it must be positive"),
        ({"start_lr": math.inf}, "start_lr is inf"),
        ({"stop_lr": -1.0}, "stop_lr is -1.0"),
        ({"stop_lr_ratio": 0.1}, "both stop_lr and stop_lr_ratio"),
        ({"decay_steps": 0}, "decay_steps is 0; it must be positive"),
        ({"decay_rate": 1.5}, "decay_rate is 1.5"),
        ({"warmup_steps": 100}, "warmup_steps is 100; .*/numb_steps = 100"),
        ({"warmup_steps": -1}, "warmup_steps is -1"),
        ({"warmup_ratio": 1.0}, "warmup_ratio is 1.0"),
        ({"warmup_ratio": math.nan}, "warmup_ratio is nan"),
        ({"warmup_steps": 5, "warmup_ratio": 0.1}, "both warmup_steps and warmup_ratio"),
        ({"warmup_start_factor": -0.5}, "warmup_start_factor is -0.5"),
        ({"type": "wsd", "stop_lr": 0.0}, "stop_lr is 0.0; it must be positive for .* 'wsd'"),
        ({"type": "wsd", "decay_phase_ratio": 0.0}, "decay_phase_ratio is 0.0"),
        ({"type": "wsd", "decay_type": "cosin"}, r"did you mean 'cosine'\?"),
    ],
)
def test_errors_name_the_key(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        learning_rate({**BASE, **settings}, 100)


def test_negative_number_of_steps() -> None:
    with pytest.raises(ConfigError, match="numb_steps is -5"):
        learning_rate(BASE, -5)

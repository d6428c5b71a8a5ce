"""Ranges and rules: what they accept, and that sections and settings have all of their options."""

from __future__ import annotations

import math
from dataclasses import fields
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from multifit.config._config import sections
from multifit.errors import ConfigError
from multifit.fitting import FITTING_RANGES, Fitting
from multifit.loss import DOS_RANGES, ENERGY_RANGES, DosLossConfig, EnergyLossConfig
from multifit.rules import (
    COUNT,
    FLAG,
    MAYBE_BELOW_ONE,
    NOT_NEGATIVE,
    POSITIVE,
    ListRange,
    Range,
    Rule,
    first_broken,
    require,
)

#: Options that are checked where their names are looked up, or by rules alone.
ELSEWHERE = {"var_name", "activation_function", "precision", "exclude_types", "layer_name"} | {
    "output_precision",
    "type_columns",
}


@pytest.mark.parametrize(
    ("allowed", "good", "bad"),
    [
        (FLAG, [True, np.bool_(False)], [1, 0, "true", None]),
        (COUNT, [0, 3, np.int32(2)], [-1, 1.0, True, "1", None]),
        (POSITIVE, [1, np.int64(7)], [0, -1, 2.5, True]),
        (NOT_NEGATIVE, [0, 0.0, np.float32(2), 3], [-1e-9, math.nan, math.inf, True, "1", None]),
        (MAYBE_BELOW_ONE, [None, 0, 0.5], [1, -0.1, "0"]),
        (Range(str, "one of a, b", choices=("a", "b")), ["a"], ["c", 1, None]),
    ],
    ids=lambda x: x.words if isinstance(x, Range) else "",
)
def test_a_range_refuses_other_values(allowed: Range, good: list[Any], bad: list[Any]) -> None:
    for value in good:
        allowed.require("option", value)
    for value in bad:
        with pytest.raises(ConfigError, match=r"^option must be .*, but is "):
            allowed.require("option", value)
    assert all(map(allowed.allows, good))
    assert not any(map(allowed.allows, bad))


def test_a_list_names_its_element_or_itself() -> None:
    ListRange(POSITIVE, "").require("neuron", None)
    with pytest.raises(ConfigError, match=r"^neuron\[1\] must be an integer ≥ 1, but is 0$"):
        ListRange(POSITIVE, "").require("neuron", [1, 0])
    with pytest.raises(ConfigError, match=r"^delta must be > 0, but is \[1, 0\]$"):
        ListRange(POSITIVE, "", python="> 0").require("delta", (1, 0))


def test_the_first_broken_rule_is_told() -> None:
    rules = (
        Rule("a", lambda o: o.a > 1, "is too large"),
        Rule("", lambda o: o.a > 0, lambda o: f"has a = {o.a}"),
    )
    for a, says in ((2, "a is too large"), (1, "the loss has a = 1")):
        with pytest.raises(ConfigError, match=f"^{says}$"):
            require(SimpleNamespace(a=a), {}, rules, "the loss")
    assert first_broken(SimpleNamespace(a=0), rules) is None
    require(SimpleNamespace(a=0), {"a": COUNT}, rules)


def test_every_option_of_the_settings_has_a_range() -> None:
    # Frame weights are those that the data have, and no option of an input.
    found = {"frame_weights"}
    assert {field.name for field in fields(EnergyLossConfig)} - found == set(ENERGY_RANGES)
    assert {field.name for field in fields(DosLossConfig)} - found == set(DOS_RANGES)
    assert {field.name for field in fields(Fitting)} - ELSEWHERE == set(FITTING_RANGES)


def test_sections_read_the_ranges_of_the_settings() -> None:
    for section, ranges in zip(sections()["loss"], (ENERGY_RANGES, DOS_RANGES), strict=True):
        known = set(section.model_fields) - {"type"}
        assert known <= set(ranges)
        for name in known:
            assert section.model_fields[name].metadata[0].text == ranges[name].words

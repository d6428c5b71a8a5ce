"""How equal results are found to be: what all comparisons of backends rest on."""

from __future__ import annotations

import numpy as np
import pytest
from _compare import deviation, same

WANT = {"a": np.array([1.0, -4.0]), "b": {"c": np.array(np.nan), "d": np.zeros(2)}}


def test_equal_results_have_no_deviation() -> None:
    assert deviation(WANT, WANT) == (0.0, "nowhere")
    same(WANT, WANT)


def test_a_difference_is_divided_by_the_largest_number_of_its_array() -> None:
    got = WANT | {"a": np.array([1.0 + 4e-3, -4.0])}
    worst, where = deviation(got, WANT)
    assert (round(worst, 9), where) == (1e-3, "a")
    with pytest.raises(AssertionError, match=r"a\[0\]"):
        same(got, WANT)


@pytest.mark.parametrize(
    "got",
    [
        WANT | {"a": np.array([1.0, np.nan])},
        WANT | {"b": {"c": np.array(0.0), "d": np.zeros(2)}},
        WANT | {"b": {"c": np.array(np.nan), "d": np.array([0.0, 1e-300])}},
    ],
    ids=["NaN", "no NaN", "not zero"],
)
def test_what_can_not_be_divided_is_infinitely_far(got: dict[str, object]) -> None:
    assert deviation(got, WANT)[0] == np.inf


def test_the_floor_is_a_part_of_the_largest_number_of_all() -> None:
    got = WANT | {"b": {"c": np.array(np.nan), "d": np.array([0.0, 4e-6])}}
    assert round(deviation(got, WANT, floor=0.1)[0], 12) == 1e-5


@pytest.mark.parametrize("got", [{"a": WANT["a"]}, WANT | {"a": np.zeros(3)}])
def test_another_structure_fails(got: dict[str, object]) -> None:
    with pytest.raises(AssertionError):
        deviation(got, WANT)

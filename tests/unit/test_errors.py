"""What an unknown word was probably meant to be."""

from __future__ import annotations

import pytest

from multifit.errors import did_you_mean
from multifit.loss import EnergyLossConfig

OPTIONS = tuple(EnergyLossConfig.__dataclass_fields__)


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("start_pref_fp", "start_pref_pf"),
        ("start_pref_fg", "start_pref_gf"),
        ("start_perf_fp", "start_pref_pf"),
        ("limit_pref_ea", "limit_pref_ae"),
        ("limt_pref_e", "limit_pref_e"),
        ("start_pref_hh", "start_pref_h"),
        ("huberdelta", "huber_delta"),
    ],
)
def test_turned_letters_come_before_missing_ones(word: str, meant: str) -> None:
    assert did_you_mean(word, OPTIONS) == f" (did you mean {meant!r}?)"


def test_what_is_like_nothing_has_no_hint() -> None:
    assert did_you_mean("xyz", OPTIONS) == ""
    assert did_you_mean("energy", ()) == ""

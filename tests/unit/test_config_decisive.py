"""Options of DeePMD-kit that are converted, and the problem that is told first."""

from __future__ import annotations

from typing import Any

import pytest
from _water import recipe

from multifit import config
from multifit.errors import ConfigError


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"model__model_dict": {"a": {}}, "loss_dict": {"a": {}}, "training__data_dict": {}},
            'model.model_dict in input is {"a": {}}, a DeePMD-kit option that multifit does not '
            "have (yet), part of multi-task training: leave it out",
        ),
        (
            {"model__type": "dpa4", "model__descriptor__lmax": 3, "model__spin": {"a": 1}},
            'model.spin in input is {"a": 1}, a DeePMD-kit option that',
        ),
        (
            {"model__type": "DPA4", "model__descriptor__type": "DPA4", "loss__type": "dens"},
            'model.type in input is "DPA4", a DeePMD-kit option that',
        ),
        (
            {"model__descriptor__type": "dpa4", "model__descriptor__lmax": 3},
            'model.descriptor.type in input is "dpa4", a DeePMD-kit option that',
        ),
        (
            {"loss__type": "tensor", "loss__pref": 1.0, "model__fitting_net__type": "dipole"},
            'model.fitting_net.type in input is "dipole", a DeePMD-kit option that',
        ),
        ({"nvnmd": {"version": 1}, "model": None}, 'nvnmd in input is {"version": 1}, a DeePMD'),
        ({"training__profiling": True}, "multifit train --profile tells where the time goes"),
    ],
)
def test_the_problem_that_others_follow_from_is_told(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError) as told:
        config.parse(recipe(**changes))
    assert says in str(told.value)
    assert "lmax" not in str(told.value)


def test_the_place_and_share_of_checkpoints_are_converted() -> None:
    given = {"training__save_dir": "ckpt/", "training__save_freq": 3}
    found = config.parse(recipe(steps=10, **given)).training
    assert (found.save_ckpt, found.max_ckpt_keep) == ("ckpt/model.ckpt", 5)
    given = {"training__save_dir": None, "training__ckpt_keep_ratio": 0.6, "training__save_freq": 3}
    found = config.parse(recipe(steps=10, **given)).training
    assert (found.save_ckpt, found.max_ckpt_keep) == ("model.ckpt", 3)


@pytest.mark.parametrize(
    "changes",
    [
        {"training__ckpt_keep_ratio": 1.5},
        {"training__ckpt_keep_ratio": 0.5, "training__numb_epoch": 2, "training__numb_steps": None},
        {"training__save_dir": 3},
    ],
)
def test_what_cannot_be_converted_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"must be null or left out"):
        config.parse(recipe(**changes))

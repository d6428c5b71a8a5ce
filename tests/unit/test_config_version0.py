"""Inputs of DeePMD-kit 0.x: the same settings as today's input with the same meaning."""

from __future__ import annotations

import json
from typing import Any

import pytest

from multifit import config
from multifit.errors import ConfigError

#: As the documentation of version 0 wrote them.
FLAT: dict[str, Any] = {
    "_comment": "model parameters",
    "use_smooth": True,
    "sel_a": [46, 92],
    "rcut_smth": 5.8,
    "rcut": 6.0,
    "filter_neuron": [25, 50, 100],
    "filter_resnet_dt": False,
    "n_axis_neuron": 16,
    "n_neuron": [240, 240, 240],
    "resnet_dt": True,
    "coord_norm": True,
    "type_fitting_net": False,
    "systems": ["data"],
    "set_prefix": "set",
    "stop_batch": 1000,
    "batch_size": [1],
    "start_lr": 0.001,
    "decay_steps": 500,
    "decay_rate": 0.95,
    "start_pref_e": 0.02,
    "limit_pref_e": 8,
    "start_pref_f": 1000,
    "limit_pref_f": 1,
    "start_pref_v": 0,
    "limit_pref_v": 0,
    "seed": 1,
    "disp_file": "lcurve.out",
    "disp_freq": 100,
    "numb_test": 10,
    "save_freq": 1000,
    "save_ckpt": "model.ckpt",
    "load_ckpt": "model.ckpt",
    "disp_training": True,
    "time_training": True,
    "profiling": False,
    "profiling_file": "timeline.json",
}

#: The same in the current style.
CURRENT: dict[str, Any] = {
    "model": {
        "descriptor": {
            **{"type": "se_e2_a", "sel": [46, 92], "rcut_smth": 5.8, "rcut": 6.0, "seed": 1},
            **{"neuron": [25, 50, 100], "axis_neuron": 16, "resnet_dt": False},
        },
        "fitting_net": {"neuron": [240, 240, 240], "resnet_dt": True, "seed": 1},
    },
    "learning_rate": {"start_lr": 0.001, "decay_steps": 500, "stop_lr": 0.001 * 0.95**2},
    "loss": {key: FLAT[key] for key in FLAT if "_pref_" in key},
    "training": {
        "training_data": {"systems": ["data"], "batch_size": [1]},
        **{"numb_steps": 1000, "seed": 1, "disp_freq": 100},
    },
}

#: Later names of version 0.
LATER = {key: FLAT[key] for key in FLAT if key not in ("n_neuron", "n_axis_neuron")} | {
    "fitting_neuron": [240, 240, 240],
    "axis_neuron": 16,
    "fitting_resnet_dt": False,
    "start_pref_ae": 1.0,
    "limit_pref_ae": 2.0,
}


def changed(**edits: Any) -> dict[str, Any]:
    found = FLAT | edits
    return {key: value for key, value in found.items() if value is not None}


def test_a_flat_input_is_converted_and_it_is_said() -> None:
    found, want = config.parse(FLAT), config.parse(CURRENT)
    assert found.model_dump() == want.model_dump()
    assert found.style == "0.x"
    assert config.notes(found) == [
        "the input is in the style of DeePMD-kit 0.x and was converted to the current one",
        "numb_test and profiling_file have no effect in multifit",
    ]
    assert config.parse(CURRENT).style == ""


def test_other_names_and_defaults() -> None:
    found = config.parse(LATER)
    assert found.model.fitting_net.resnet_dt is False
    assert found.model.fitting_net.neuron == (240, 240, 240)
    assert (found.loss.start_pref_ae, found.loss.limit_pref_ae) == (1.0, 2.0)
    found = config.parse(changed(seed=None, resnet_dt=None, disp_file=None))
    assert found.model.fitting_net.resnet_dt is True
    assert found.training.seed is None


@pytest.mark.parametrize(
    ("edits", "says"),
    [
        ({"use_smooth": False}, "use_smooth in in.json is false, but must be true: multifit does"),
        ({"use_smooth": None}, "use_smooth in in.json is missing, but must be true"),
        ({"type_fitting_net": True}, "type_fitting_net in in.json is not a known key"),
        ({"axis_neuron": 8}, "n_axis_neuron in in.json is given beside axis_neuron"),
        ({"sel_a": "many"}, 'sel_a in in.json is "many", but must be a list'),
        ({"decay_rate": 0}, "decay_rate in in.json is 0, but must be a number > 0"),
        # DeePMD-kit's default, with which the descriptor is not continuous.
        ({"rcut_smth": None}, "model.descriptor.rcut_smth in in.json is 6.0, but must be < rcut"),
        ({"systems": None}, "training.training_data in in.json is missing"),
    ],
)
def test_errors_name_the_key_of_the_file(edits: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError) as told:
        config.parse(json.loads(json.dumps(changed(**edits))), "in.json")
    assert says in str(told.value)


def test_an_input_without_a_model_is_not_taken_for_an_old_one() -> None:
    with pytest.raises(ConfigError, match=r"^model in in.json is missing, but must be an object"):
        config.parse({"training": CURRENT["training"]}, "in.json")


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"loss": {"start_pref_e": 1}}, "loss .* is a section of later versions beside keys"),
        ({"filter_neurn": [4, 8]}, "filter_neurn .* is not a known key .did you mean"),
    ],
)
def test_what_would_be_lost_is_refused(more: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        config.parse({**FLAT, **more})

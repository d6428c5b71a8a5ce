"""Inputs that are right: today's style, earlier styles, defaults."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from multifit import config
from multifit.config import AdamWSection, Config, CosineSection, WSDSection

#: The water example of DeePMD-kit.
WATER: dict[str, Any] = json.loads("""
{"_comment1": " model parameters",
 "model": {"type_map": ["O", "H"],
  "descriptor": {"type": "se_e2_a", "sel": [46, 92], "rcut_smth": 0.50, "rcut": 6.00,
   "neuron": [25, 50, 100], "resnet_dt": false, "axis_neuron": 16, "type_one_side": true,
   "precision": "float64", "seed": 1, "_comment2": " that's all"},
  "fitting_net": {"neuron": [240, 240, 240], "resnet_dt": true, "precision": "float64", "seed": 1,
   "_comment3": " that's all"},
  "_comment4": " that's all"},
 "learning_rate": {"type": "exp", "decay_steps": 5000, "start_lr": 0.001, "stop_lr": 3.51e-8,
  "_comment5": "that's all"},
 "loss": {"type": "ener", "start_pref_e": 0.02, "limit_pref_e": 1, "start_pref_f": 1000,
  "limit_pref_f": 1, "start_pref_v": 0, "limit_pref_v": 0, "_comment6": " that's all"},
 "training": {
  "training_data": {"systems": ["../data/data_0/", "../data/data_1/", "../data/data_2/"],
   "batch_size": "auto", "_comment7": "that's all"},
  "validation_data": {"systems": ["../data/data_3"], "batch_size": 1, "numb_btch": 3,
   "_comment8": "that's all"},
  "numb_steps": 1000000, "seed": 10, "disp_file": "lcurve.out", "disp_freq": 100,
  "save_freq": 1000, "_comment9": "that's all"},
 "_comment10": "that's all"}
""")

#: The least that an input can be.
MINIMAL: dict[str, Any] = {
    "model": {"descriptor": {"type": "se_e2_a"}, "fitting_net": {}},
    "learning_rate": {"start_lr": 0.001},
    "training": {"training_data": {"systems": "data"}, "numb_steps": 10},
}


def with_(base: dict[str, Any], *edits: tuple[str, Any]) -> dict[str, Any]:
    """Return a copy of an input with values set at dotted paths; ``...`` deletes."""
    data = copy.deepcopy(base)
    for path, value in edits:
        *sections, key = path.split(".")
        inner = data
        for section in sections:
            inner = inner.setdefault(section, {})
        if value is ...:
            del inner[key]
        else:
            inner[key] = value
    return data


def test_water_example() -> None:
    c = config.parse(WATER)
    assert c.model.type_map == ("O", "H")
    assert c.model.ntypes == 2
    assert c.model.descriptor.sel == (46, 92)
    assert c.model.descriptor.axis_neuron == 16
    assert c.model.fitting_net.type == "ener"
    assert c.learning_rate.type == "exp"
    assert c.learning_rate.stop_lr == 3.51e-8
    assert c.loss.start_pref_f == 1000.0
    assert isinstance(c.loss.start_pref_f, float)
    assert c.training.validation_data is not None
    assert c.training.validation_data.numb_btch == 3
    assert c.training.numb_steps == 1000000


def test_parse_leaves_its_input_alone() -> None:
    before = copy.deepcopy(WATER)
    config.parse(WATER)
    assert before == WATER


def test_settings_are_immutable() -> None:
    with pytest.raises(ValueError, match="frozen"):
        config.parse(WATER).training.numb_steps = 3  # type: ignore[misc]


def test_defaults_are_those_of_deepmd_kit() -> None:
    full = config.normalize(MINIMAL)
    assert full["model"]["descriptor"] == {
        "type": "se_e2_a",
        "sel": "auto",
        "rcut": 6.0,
        "rcut_smth": 0.5,
        "neuron": [10, 20, 40],
        "axis_neuron": 4,
        "activation_function": "tanh",
        "resnet_dt": False,
        "type_one_side": False,
        "precision": "default",
        "trainable": True,
        "seed": None,
        "exclude_types": [],
        "env_protection": 0.0,
        "set_davg_zero": False,
    }
    fitting = full["model"]["fitting_net"]
    assert fitting["neuron"] == [120, 120, 120]
    assert fitting["resnet_dt"] is True
    assert full["learning_rate"]["type"] == "exp"
    assert full["learning_rate"]["decay_steps"] == 5000
    assert full["learning_rate"]["stop_lr"] == 5e-8
    assert full["loss"]["start_pref_e"] == 0.02
    assert full["loss"]["huber_delta"] == 0.01
    assert full["optimizer"]["type"] == "Adam"
    assert full["optimizer"]["weight_decay"] == 0.0
    assert full["training"]["disp_freq"] == 1000
    assert full["training"]["training_data"]["batch_size"] == "auto"
    assert full["training"]["early_stopping"] == 0
    assert full["validating"]["validation_metric"] == "E:MAE"


@pytest.mark.parametrize("data", [WATER, MINIMAL], ids=["water", "minimal"])
def test_normal_form_is_json_and_reads_back_the_same(data: dict[str, Any]) -> None:
    full = config.normalize(data)
    assert json.loads(json.dumps(full)) == full
    assert config.normalize(full) == full
    assert config.parse(full) == config.parse(data)


def test_input_of_version_1() -> None:
    old = {
        "model": {
            "type_map": ["O", "H"],
            "descriptor": {"type": "se_a", "sel": [46, 92], "n_axis_neuron": 3},
            "fitting_net": {"n_neuron": [24, 24]},
        },
        "learning_rate": {"start_lr": 0.001, "decay_steps": 100, "decay_rate": 0.5},
        "training": {
            "systems": ["a", "b"],
            "set_prefix": "set",
            "batch_size": [1, 2],
            "auto_prob_style": "prob_uniform",
            "sys_weights": [0.5, 0.5],
            "stop_batch": 400,
            "numb_test": 10,
            "profiling": False,
            "profiling_file": "timeline.json",
        },
    }
    c = config.parse(old)
    assert c.model.descriptor.type == "se_e2_a"
    assert c.model.descriptor.axis_neuron == 3
    assert c.model.fitting_net.neuron == (24, 24)
    assert c.training.numb_steps == 400
    assert c.training.training_data.systems == ("a", "b")
    assert c.training.training_data.batch_size == (1, 2)
    assert c.training.training_data.auto_prob == "prob_uniform"
    assert c.training.training_data.sys_probs == (0.5, 0.5)
    assert c.learning_rate.type == "exp"
    assert c.learning_rate.decay_rate is None
    assert c.learning_rate.stop_lr == pytest.approx(0.001 * 0.5**4)


def test_optimizer_and_warmup_keys_in_training() -> None:
    c = config.parse(
        with_(
            MINIMAL,
            ("training.opt_type", "AdamW"),
            ("training.adam_beta1", 0.8),
            ("training.warmup_steps", 3),
        )
    )
    assert isinstance(c.optimizer, AdamWSection)
    assert c.optimizer.adam_beta1 == 0.8
    assert c.optimizer.weight_decay == 0.001
    assert c.learning_rate.warmup_steps == 3


@pytest.mark.parametrize("alias", ["stop_batch", "num_step", "num_steps", "numb_step"])
def test_other_names_of_numb_steps(alias: str) -> None:
    data = with_(MINIMAL, ("training.numb_steps", ...), (f"training.{alias}", 7))
    assert config.parse(data).training.numb_steps == 7


@pytest.mark.parametrize("alias", ["num_epoch", "num_epochs", "numb_epochs", "numb_epoch"])
def test_other_names_of_numb_epoch(alias: str) -> None:
    data = with_(MINIMAL, ("training.numb_steps", ...), (f"training.{alias}", 1.5))
    assert config.parse(data).training.numb_epoch == 1.5


def test_comments_are_dropped_everywhere() -> None:
    data = with_(
        MINIMAL,
        ("$schema", "multifit.json"),
        ("//", "note"),
        ("model._why", [1, {"a": None}]),
        ("loss._comment", 1),
    )
    assert config.parse(data) == config.parse(MINIMAL)


def test_schedules() -> None:
    cosine = config.parse(
        with_(MINIMAL, ("learning_rate", {"type": "cosine", "start_lr": 1, "stop_lr_ratio": 0.1}))
    )
    assert isinstance(cosine.learning_rate, CosineSection)
    assert cosine.learning_rate.stop_lr is None
    wsd = config.parse(with_(MINIMAL, ("learning_rate", {"type": "wsd", "start_lr": 1})))
    assert isinstance(wsd.learning_rate, WSDSection)
    assert wsd.learning_rate.decay_phase_ratio == 0.1


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("model.descriptor.sel", "auto:1.5"),
        ("model.descriptor.activation_function", "GELU"),
        ("model.descriptor.activation_function", "silut:10.0"),
        ("model.descriptor.exclude_types", [[0, 1]]),
        ("model.fitting_net.neuron", []),
        ("model.fitting_net.trainable", [True, True, True, False]),
        ("model.bridging_method", "None"),
        ("loss.loss_func", "mae"),
        ("training.training_data.batch_size", "filter:64"),
        ("training.training_data.auto_prob", "prob_sys_size;0:2:0.5;2:3:0.5"),
        ("training.training_data.sys_probs", [0.3, -1, -1]),
        ("training.validation_data", None),
        ("training.stat_file", None),
        ("training.time_training", True),
        ("training.profiling", False),
        ("training.enable_compile", True),
        ("training.gradient_max_norm", 5),
        ("nvnmd", {"enable": False}),
        ("backend", "torch"),
    ],
)
def test_accepted(path: str, value: object) -> None:
    assert isinstance(config.parse(with_(WATER, (path, value))), Config)


def test_huber_delta_of_each_label() -> None:
    data = with_(WATER, ("loss.use_huber", True), ("loss.huber_delta", [0.1, 1, 2]))
    assert config.parse(data).loss.huber_delta == (0.1, 1.0, 2.0)


def test_names_of_activations_and_precisions_ignore_case() -> None:
    data = with_(
        MINIMAL,
        ("model.descriptor.activation_function", "None"),
        ("model.fitting_net.precision", "Float32"),
    )
    model = config.parse(data).model
    assert (model.descriptor.activation_function, model.fitting_net.precision) == (
        "none",
        "float32",
    )


@pytest.mark.parametrize("given", [{"H": -1.0}, {"O": None, "H": -1}, [None, -1.0]])
def test_preset_bias_by_element_or_by_type(given: object) -> None:
    data = with_(WATER, ("model.preset_out_bias", {"energy": given}))
    assert config.parse(data).model.preset_out_bias == {"energy": (None, -1.0)}


def test_full_validation() -> None:
    data = with_(
        WATER,
        ("validating.full_validation", True),
        ("validating.validation_metric", "f:rmse"),
        ("training.early_stopping", 5),
    )
    c = config.parse(data)
    assert c.validating.validation_metric == "F:RMSE"
    assert c.training.early_stopping == 5

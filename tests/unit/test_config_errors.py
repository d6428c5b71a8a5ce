"""Inputs that are wrong: one sentence with the key, what it is and what it must be."""

from __future__ import annotations

from typing import Any

import pytest
from test_config_parse import MINIMAL, WATER, with_

from multifit import config
from multifit.errors import ConfigError

D, F, T = "model.descriptor", "model.fitting_net", "training"
LR, TD = "learning_rate", "training.training_data"


def error_of(data: Any) -> str:
    """Return the text of the error, which is one line."""
    with pytest.raises(ConfigError) as caught:
        config.parse(data, "in.json")
    text = str(caught.value)
    assert "\n" not in text
    return text


#: Energies of isolated atoms, as they have to be given.
ALONE: list[tuple[str, object]] = [
    (f"{F}.atom_ener", [-1.0, None]),
    (f"{D}.set_davg_zero", True),
]

WRONG: list[tuple[str, object, str]] = [
    # wrong type
    (f"{D}.rcut", "6", 'model.descriptor.rcut in in.json is "6", but must be a number > 0'),
    (f"{D}.rcut", True, "is true, but must be a number"),
    (f"{D}.axis_neuron", 4.0, "is 4.0, but must be an integer > 0"),
    (f"{D}.axis_neuron", True, "is true, but must be an integer > 0"),
    (f"{D}.neuron", "25", 'is "25", but must be a list of one or more integers > 0'),
    (f"{D}.neuron", [25, "x"], 'model.descriptor.neuron[1] in in.json is "x"'),
    (f"{D}.trainable", 1, "is 1, but must be true or false"),
    (f"{T}.disp_file", 3, "is 3, but must be a text"),
    (f"{T}.seed", 1.5, "is 1.5, but must be an integer ≥ 0, or null"),
    ("model", [], "model in in.json is [], but must be an object"),
    (LR, 3, "learning_rate in in.json is 3, but must be an object"),
    (f"{T}.validation_data", "x", "training.validation_data in in.json"),
    ("backend", 3, "backend in in.json is 3"),
    (f"{D}.rcut", {1, 2}, "is a value of type set, but must be one of the values that JSON has"),
    # out of range
    (f"{D}.rcut", -1, "is -1, but must be a number > 0"),
    (f"{D}.rcut", float("nan"), "is NaN, but must be a number > 0"),
    (f"{D}.rcut", 10**400, "is an integer of 401 digits, but must be"),
    (f"{D}.rcut_smth", -0.1, "is -0.1, but must be a number ≥ 0"),
    (f"{D}.rcut_smth", 6.0, "is 6.0, but must be < rcut, 6.0"),
    (f"{D}.neuron", [], "is [], but must be a list of one or more"),
    (f"{D}.neuron", [25, 0], "neuron[1] in in.json is 0"),
    (f"{D}.axis_neuron", 101, "is 101, but must be at most the last width of neuron, 100"),
    (f"{D}.sel", [46, -1], "is [46, -1], but must be a list of integers ≥ 0"),
    (f"{D}.sel", [0, 0], "not all 0"),
    (f"{D}.sel", "auto:0.5", 'is "auto:0.5", but must be'),
    (f"{D}.sel", "many", 'is "many", but must be'),
    (f"{D}.activation_function", "tanh:3", 'is "tanh:3", but must be one of tanh,'),
    (f"{D}.activation_function", "silut:-1", 'is "silut:-1", but must be'),
    (f"{D}.precision", "float31", "but must be one of default, float64"),
    (f"{T}.numb_steps", 0, "is 0, but must be an integer > 0"),
    (f"{T}.numb_steps", 2**63, "and less than 2⁶³"),
    (f"{T}.save_freq", -5, "is -5, but must be an integer > 0"),
    (f"{T}.ema_decay", 1, "is 1, but must be a number ≥ 0 and < 1"),
    (f"{TD}.batch_size", 0, "is 0, but must be an integer > 0, a list of them"),
    (f"{TD}.batch_size", [1, 0], "is [1, 0], but must be"),
    (f"{TD}.batch_size", "auto:0", 'is "auto:0", but must be'),
    (f"{TD}.auto_prob", "prob_sys_size;0:1", "but must be one of"),
    (f"{TD}.sys_probs", [0.5, 0.6, -1], "adds up to 1.1, but must add up to at most 1"),
    (f"{TD}.sys_probs", [0.5], "adds up to 0.5, but must add up to 1"),
    (f"{TD}.systems", [], "is [], but must be a path"),
    (f"{LR}.start_lr", 0, "is 0, but must be a number > 0"),
    (f"{LR}.stop_lr", 1, "is 1.0, but must be at most start_lr, 0.001"),
    (f"{LR}.decay_rate", 1.5, "is 1.5, but must be a number > 0 and ≤ 1"),
    (f"{LR}.warmup_steps", 10**6, "but must be less than training.numb_steps, 1000000"),
    ("loss.start_pref_e", -1, "is -1, but must be a number ≥ 0"),
    ("loss.loss_func", "rmse", 'is "rmse", but must be one of mse, mae'),
    ("loss.huber_delta", [1, 2], "is [1, 2], but must be a number > 0, or three of them"),
    ("validating.validation_metric", "G:MAE", "but must be one of E:MAE"),
    # unknown keys
    (f"{D}.rcutt", 1, "rcutt in in.json is not a known key (did you mean 'rcut'?)"),
    (f"{D}.n_axis_neurons", 1, "did you mean 'n_axis_neuron'?"),
    (f"{D}.zzz", 1, "is not a known key; known are activation_function, axis_neuron"),
    ("numb_steps", 1, "numb_steps in in.json is not a known key here: it belongs in training"),
    ("training.batch_size", 1, "belongs in training.training_data or training.validation_data"),
    ("training.numb_btch", 1, "is not a known key here: it belongs in training.validation_data"),
    ("training.batchsize", 1, "(did you mean 'batch_size' in training.training_data?)"),
    ("loss.start_lr", 1, "is not a known key here: it belongs in learning_rate"),
    ("training.validating", {}, "is not a known key here: it belongs at the top level"),
    ("model.loss", {}, "is not a known key here: it belongs at the top level"),
    ("training.optimiser", {}, "(did you mean 'optimizer' at the top level?)"),
    (f"{TD}.numb_test", 1, "known key here: DeePMD-kit has it in training; leave it out"),
    ("training.set_prefix", "a", "has it in training.training_data or training.validation_data;"),
    ("training.type", 1, "it belongs in model or model.descriptor or model.fitting_net or another"),
    ("a\nb", 1, r'"a\nb" in in.json is not a known key'),
    (f"{LR}.decay_type", "linear", 'belongs to the type "wsd" of learning_rate'),
    # unknown types
    (f"{D}.type", "se_e2", 'is "se_e2", but must be "dpa2"'),
    (f"{D}.type", "dpa4", "is a DeePMD-kit option that multifit does not have (yet)"),
    (f"{D}.type", 3, 'is 3, but must be "dpa2"'),
    (f"{F}.type", "dipole", "a DeePMD-kit option"),
    (f"{LR}.type", "cos", 'must be "exp" or "cosine" or "wsd" (did you mean \'cosine\'?)'),
    (f"{LR}.type", None, "learning_rate.type in in.json is null"),
    ("optimizer", {"type": "LKF"}, "a DeePMD-kit option that multifit does not have (yet): it mus"),
    ("loss.type", "ener_spin", "a DeePMD-kit option"),
    # lists with an entry for each type or layer
    (f"{D}.sel", [46], "has length 1, but must have length 2, one entry for each type of type_map"),
    (f"{D}.exclude_types", [[0, 2]], "names type 2, but must name types below 2"),
    (f"{D}.exclude_types", [[0]], "exclude_types[0] in in.json is [0], but must be a pair"),
    ("model.pair_exclude_types", [[1, 5]], "names type 5"),
    ("model.atom_exclude_types", [2], "names type 2"),
    ("model.type_map", ["H", "H"], 'names "H" twice'),
    ("model.preset_out_bias", {"energy": [1]}, "energy in in.json has length 1, but must have"),
    ("model.preset_out_bias", {"energy": {"X": 1}}, 'names the type "X", but must name types of'),
    ("model.preset_out_bias", {"dipole": [1]}, "but must be null or"),
    (f"{F}.trainable", [True], "has length 1, but must have length 4"),
    (f"{F}.layer_name", ["a"], "has length 1, but must have length 4"),
    (f"{F}.default_fparam", [1.0], "has length 1, but must have length 0, the value of numb_f"),
    # DeePMD-kit's options
    ("model.spin", {}, "a DeePMD-kit option that multifit does not have (yet): leave it out"),
    ("model.bridging_method", "ZBL", 'the key must be "None" or "none" or left out'),
    (f"{T}.acc_freq", 0, "is 0, but must be"),
    (f"{T}.acc_freq", True, "is true, but must be"),
    (f"{T}.profiling", True, "the key must be false or left out"),
    (f"{TD}.keys", {"forces": "f"}, "(did you mean 'force'?)"),
    (f"{TD}.keys", {"force": 3}, "but must be an object with a name or a list of names for each"),
    (f"{TD}.species", {"OW": ""}, "but must be an object with the name of an element for each of"),
    (f"{TD}.rglob_patterns", "w*", "but must be a list of one or more patterns of folders, or nu"),
    ("nvnmd", {"enable": True}, "a DeePMD-kit option"),
    ("validating.validation_metric", "S:MAE", "does not have (yet): it must be one of E:MAE"),
    # options that need others
    (f"{F}.atom_ener", [1.0, None], "left out unless descriptor.set_davg_zero is true"),
    (f"{F}.tot_ener_zero", True, "unless the loss has a term of atomic energies"),
    (f"{F}.use_aparam_as_mask", True, "numb_aparam in in.json is 0, but must be 1 with use_aparam"),
    (f"{F}.layer_name", ["a", "a", None, None], "both 'a', but they are 1600×240 tanh and 240×240"),
    # missing
    ("model", ..., "model in in.json is missing, but must be an object"),
    (f"{D}", ..., "model.descriptor in in.json is missing"),
    (f"{D}.type", ..., 'model.descriptor.type in in.json is missing, but must be "dpa2"'),
    (f"{LR}.start_lr", ..., "learning_rate.start_lr in in.json is missing, but must be a number"),
    (f"{TD}.systems", ..., "is missing, but must be a path, or a list"),
    (f"{T}.numb_steps", ..., "numb_steps in in.json is missing, and so is numb_epoch"),
    # keys that exclude each other
    (f"{T}.numb_epoch", 1, "numb_epoch in in.json is given beside numb_steps"),
    (f"{T}.stop_batch", 1, "stop_batch in in.json is given beside training.numb_steps"),
    (f"{D}.n_axis_neuron", 1, "n_axis_neuron in in.json is given beside model.descriptor.axis_n"),
    (f"{LR}.stop_lr_ratio", 0.1, "is given beside stop_lr"),
    (f"{T}.systems", ["x"], "training.systems in in.json is given beside training.training_data."),
]


@pytest.mark.parametrize(
    ("path", "value", "says"), WRONG, ids=[f"{p}={v!r:.20}" for p, v, _ in WRONG]
)
def test_one_sentence(path: str, value: object, says: str) -> None:
    text = error_of(with_(WATER, (path, value)))
    assert says.replace("is a DeePMD", "a DeePMD") in text
    assert path.split(".")[-1].split("\n")[0] in text


@pytest.mark.parametrize(
    ("edits", "says"),
    [
        ([("loss.use_huber", True), ("loss.loss_func", "mae")], 'be false with loss_func "mae"'),
        (
            [("loss.intensive_ener_virial", True), ("loss.loss_func", "mae")],
            "loss.intensive_ener_virial in in.json is true, which changes squared errors only",
        ),
        (
            [("loss.intensive_ener_virial", True), ("loss.use_huber", True)],
            "squared errors only, but must be false with use_huber",
        ),
        ([("loss.f_use_norm", True)], "be false unless use_huber is true or loss_func"),
        ([("loss.use_huber", True), ("loss.relative_f", 1)], "be false with relative_f"),
        (
            [("loss.use_huber", True), ("loss.limit_pref_pf", 1)],
            "(start_pref_pf and limit",
        ),
        (
            [*ALONE, ("model.preset_out_bias", {"energy": [-2.0, None]})],
            "fitting_net.atom_ener[0] in in.json is -1.0, but must be the same as preset_out_bias",
        ),
        ([*ALONE, ("model.atom_exclude_types", [0])], "is -1.0, but must be null: atom_exclude"),
        (
            [*ALONE, (f"{F}.tot_ener_zero", True), ("loss.start_pref_ae", 1)],
            "tot_ener_zero in in.json is true, but must be false with atom_ener",
        ),
        (
            [
                (f"{F}.layer_name", [None, "a", "a", None]),
                (f"{F}.trainable", [True, True, False, True]),
            ],
            "but trainable is True and False for them",
        ),
        ([("loss.start_pref_gf", 1)], "numb_generalized_coord in in.json is 0, but must be > 0"),
        (
            [(f"loss.{end}_pref_{label}", 0) for end in ("start", "limit") for label in "ef"],
            "loss in in.json has only prefactors 0",
        ),
        (
            [("validating.full_validation", True), (f"{T}.validation_data", ...)],
            "full_validation in in.json is true, but must be false without validation_data",
        ),
        (
            [("validating.full_validation", True), ("validating.validation_metric", "V:MAE")],
            "loss.start_pref_v and loss.limit_pref_v are 0",
        ),
        (
            [(f"{T}.early_stopping", 3), (f"{T}.validation_data", ...)],
            "is 3, but must be 0 without",
        ),
        (
            [(LR, {"start_lr": 1, "warmup_steps": 1, "warmup_ratio": 0.1})],
            "warmup_ratio in in.json is given beside warmup_steps",
        ),
        ([(LR, {"type": "wsd", "start_lr": 1, "stop_lr": 0})], "must be > 0 for the wsd schedule"),
        (
            [(f"{T}.warmup_steps", 1), (f"{LR}.warmup_steps", 1)],
            "training.warmup_steps in in.json is given beside learning_rate.warmup_steps",
        ),
        (
            [(f"{T}.opt_type", "Adam"), ("optimizer.type", "Adam")],
            "training.opt_type in in.json is given beside optimizer.type",
        ),
    ],
)
def test_what_does_not_go_together(edits: list[tuple[str, object]], says: str) -> None:
    assert says in error_of(with_(WATER, *edits))


def test_errors_use_the_name_in_the_file() -> None:
    data = with_(MINIMAL, (f"{T}.numb_steps", ...), (f"{T}.stop_batch", -3))
    assert error_of(data).startswith("training.stop_batch in in.json is -3")
    old = with_(MINIMAL, (TD, ...), (f"{T}.systems", ["a"]), (f"{T}.batch_size", "big"))
    assert error_of(old).startswith('training.batch_size in in.json is "big"')


def test_the_first_of_several_counts_the_others() -> None:
    data = with_(WATER, (f"{D}.rcut", -1), (f"{F}.zzz", 1), (f"{T}.numb_steps", "x"))
    assert error_of(data).endswith("is -1, but must be a number > 0 (and 2 more)")


def test_an_unknown_type_hides_what_follows_from_it() -> None:
    data = with_(WATER, (D, {"type": "dpa4", "repinit": {}, "tebd_dim": 8}))
    text = error_of(data)
    assert text.startswith('model.descriptor.type in in.json is "dpa4", a DeePMD-kit option')
    assert "more" not in text


@pytest.mark.parametrize("data", [None, [], 3, "text", [{"model": {}}]])
def test_an_input_is_an_object(data: object) -> None:
    assert "but must hold an object" in error_of(data)


def test_keys_are_texts() -> None:
    assert "model in in.json has the key 3" in error_of({"model": {3: 4}})


def test_nesting_is_limited() -> None:
    data: dict[str, Any] = {}
    for _ in range(5000):
        data = {"model": data}
    assert "nested more than" in error_of(data)


def test_size_is_limited() -> None:
    bomb: list[Any] = [0] * 100
    for _ in range(8):
        bomb = [bomb] * 100
    assert "holds more than" in error_of({"model": bomb})


def test_values_are_shortened_and_printable() -> None:
    text = error_of(with_(WATER, ("loss.loss_func", "\ud800" + "x" * 1000)))
    assert len(text) < 200
    text.encode("utf-8")
    error_of(with_(WATER, ("\ud800" * 500, 1))).encode("utf-8")


def test_integers_too_long_for_python_to_print() -> None:
    text = error_of(with_(WATER, (f"{T}.numb_steps", 10**5000)))
    assert "is an integer of 5001 digits, but must be" in text

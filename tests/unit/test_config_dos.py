"""Inputs that fit densities of states: what is read, filled in, spelled out and refused."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from test_config_errors import error_of
from test_config_parse import MINIMAL, WATER, with_

from multifit import config
from multifit.config import (
    DosFittingNetSection,
    DosLossSection,
    EnergyFittingNetSection,
    EnergyLossSection,
    _reference,
)
from multifit.errors import ConfigError

F, L, P = "model.fitting_net", "loss", "model.preset_out_bias"

#: An input with the keys of DeePMD-kit's example.
DOS: dict[str, Any] = json.loads("""
{"model": {"type_map": ["Si", "H"],
  "descriptor": {"type": "se_a", "sel": [90, 12], "rcut_smth": 1.8, "rcut": 6.0,
   "neuron": [25, 50, 100], "resnet_dt": false, "axis_neuron": 8, "seed": 1},
  "fitting_net": {"type": "dos", "numb_dos": 250, "neuron": [120, 120, 120], "resnet_dt": true,
   "numb_fparam": 0, "seed": 1, "_comment": "that's all"}},
 "loss": {"type": "dos", "start_pref_dos": 0.0, "limit_pref_dos": 0.0, "start_pref_cdf": 0.0,
  "limit_pref_cdf": 0.0, "start_pref_ados": 1.0, "limit_pref_ados": 1.0, "start_pref_acdf": 0.0,
  "limit_pref_acdf": 0.0},
 "learning_rate": {"type": "exp", "start_lr": 0.001, "decay_steps": 5000, "stop_lr": 1e-8},
 "training": {"stop_batch": 100000, "seed": 1, "disp_file": "lcurve.out", "disp_freq": 100,
  "save_freq": 1000, "save_ckpt": "model.ckpt", "disp_training": true, "time_training": true,
  "profiling": false, "profiling_file": "timeline.json",
  "training_data": {"systems": ["data/a"], "set_prefix": "set", "batch_size": 1},
  "validation_data": {"systems": ["data/b"], "batch_size": 1, "numb_btch": 3}}}
""")

#: The least that such an input can be.
LEAST = with_(MINIMAL, (F, {"type": "dos"}), (L, {"type": "dos"}))

GRID: list[tuple[str, object]] = [(f"{F}.emin", -10), (f"{F}.emax", 14.9)]
FILE: list[tuple[str, object]] = [(f"{F}.energies", "grid.npy")]


def with_three_points(*edits: tuple[str, Any]) -> dict[str, Any]:
    return with_(DOS, (f"{F}.numb_dos", 3), *edits)


def dos_net(data: dict[str, Any]) -> DosFittingNetSection:
    net = config.parse(data).model.fitting_net
    assert isinstance(net, DosFittingNetSection)
    return net


def test_the_example_of_deepmd_kit() -> None:
    before = copy.deepcopy(DOS)
    c = config.parse(DOS)
    assert before == DOS
    assert c.model.descriptor.type == "se_e2_a"
    net = dos_net(DOS)
    assert (net.type, net.numb_dos, net.neuron, net.seed) == ("dos", 250, (120, 120, 120), 1)
    assert isinstance(c.loss, DosLossSection)
    assert [term for term in ("dos", "cdf", "ados", "acdf") if c.loss.has(term)] == ["ados"]
    assert c.training.numb_steps == 100000
    assert config.notes(c) == ["training.profiling_file has no effect in multifit"]


def test_defaults_are_those_of_deepmd_kit_and_ours_are_off() -> None:
    full = config.normalize(LEAST)
    assert full["model"]["fitting_net"] == {
        "type": "dos",
        "numb_fparam": 0,
        "numb_aparam": 0,
        "default_fparam": None,
        "dim_case_embd": 0,
        "neuron": [120, 120, 120],
        "activation_function": "tanh",
        "precision": "default",
        "output_precision": None,
        "resnet_dt": True,
        "trainable": True,
        "rcond": None,
        "seed": None,
        "numb_dos": 300,
        "emin": None,
        "emax": None,
        "energies": None,
        "fermi_aligned": False,
        "electrons": None,
    }
    assert full["loss"] == {
        "type": "dos",
        **dict.fromkeys((f"{end}_pref_{t}" for t in ("dos", "cdf") for end in ENDS), 0.0),
        **dict.fromkeys((f"{end}_pref_ados" for end in ENDS), 1.0),
        **dict.fromkeys((f"{end}_pref_acdf" for end in ENDS), 0.0),
        "loss_func": "mse",
        "use_huber": False,
        "huber_delta": 0.01,
        "shift_agnostic": 0,
    }


ENDS = ("start", "limit")


def test_a_section_without_a_type_is_of_energies() -> None:
    c = config.parse(with_(WATER, ("loss.type", ...)))
    assert isinstance(c.model.fitting_net, EnergyFittingNetSection)
    assert isinstance(c.loss, EnergyLossSection)
    full = config.normalize(with_(WATER, ("loss", ...)))
    assert (full["loss"]["type"], full["model"]["fitting_net"]["type"]) == ("ener", "ener")


def test_both_kinds_say_what_they_give_and_answer_for_each_option() -> None:
    energy, dos = config.parse(WATER).model.fitting_net, dos_net(DOS)
    assert (energy.var_name, energy.dim_out) == ("energy", 1)
    assert (dos.var_name, dos.dim_out) == ("dos", 250)
    for name in ("atom_ener", "layer_name", "use_aparam_as_mask", "tot_ener_zero"):
        assert getattr(dos, name) == getattr(energy, name)
        assert name not in dos.model_dump()
    assert not config.parse(DOS).loss.use_default_pf


@pytest.mark.parametrize(
    "edits",
    [
        GRID,
        FILE,
        [*GRID, (f"{F}.fermi_aligned", True)],
        [*FILE, (f"{F}.fermi_aligned", True), (f"{F}.electrons", {"H": 1, "Si": 4})],
        [(f"{F}.electrons", [0, 1.5])],
        [(f"{F}.trainable", [True, True, True, False]), (f"{F}.numb_aparam", 2)],
        [(f"{L}.loss_func", "mae"), (f"{L}.shift_agnostic", 249)],
        [(f"{L}.use_huber", True), (f"{L}.huber_delta", 0.5), (f"{L}.start_pref_cdf", 3)],
        [(P, {"dos": {"H": [0.5] * 250}})],
        [(P, {})],
        [(f"{F}.n_neuron", [3]), (f"{F}.neuron", ...)],
        [("training.early_stopping", 4)],
    ],
)
def test_normal_form_is_json_and_reads_back_the_same(edits: list[tuple[str, object]]) -> None:
    data = with_(DOS, ("training.profiling_file", ...), *edits)
    full = config.normalize(data)
    assert json.loads(json.dumps(full)) == full
    assert config.normalize(full) == full
    assert config.parse(full) == config.parse(data)


def test_a_grid() -> None:
    even, read = dos_net(with_(DOS, *GRID)), dos_net(with_(DOS, *FILE))
    assert (even.emin, even.emax, even.energies, even.has_grid) == (-10.0, 14.9, None, True)
    assert isinstance(even.emin, float)
    assert (read.emin, read.emax, read.energies, read.has_grid) == (None, None, "grid.npy", True)
    assert not dos_net(DOS).has_grid


@pytest.mark.parametrize("given", [{"H": 1, "Si": 4}, {"Si": 4.0, "H": 1}, [4, 1]])
def test_electrons_by_element_or_by_type(given: object) -> None:
    assert dos_net(with_(DOS, (f"{F}.electrons", given))).electrons == (4.0, 1.0)


@pytest.mark.parametrize("given", [{"H": [1, 2, 3]}, [None, [1.0, 2, 3]]])
def test_preset_bias_by_element_or_by_type(given: object) -> None:
    model = config.parse(with_three_points((P, {"dos": given}))).model
    assert model.preset_out_bias == {"dos": (None, (1.0, 2.0, 3.0))}
    assert model.preset == (None, (1.0, 2.0, 3.0))
    assert config.parse(WATER).model.preset == ()


WRONG: list[tuple[str, list[tuple[str, object]], str]] = [
    # kinds and ranges
    ("numb", [(f"{F}.numb_dos", 0)], "numb_dos in in.json is 0, but must be an integer > 0"),
    ("numb", [(f"{F}.numb_dos", 2.0)], "numb_dos in in.json is 2.0, but must be an integer > 0"),
    ("emin", [(f"{F}.emin", "0")], 'emin in in.json is "0", but must be a number, or null'),
    ("energies", [(f"{F}.energies", [1, 2])], "is [1, 2], but must be a text that is not empty"),
    ("aligned", [*GRID, (f"{F}.fermi_aligned", 1)], "is 1, but must be true or false"),
    ("pref", [(f"{L}.start_pref_ados", -1)], "start_pref_ados in in.json is -1, but must be a nu"),
    ("func", [(f"{L}.loss_func", "rmse")], 'is "rmse", but must be one of mse, mae'),
    ("delta", [(f"{L}.huber_delta", 0)], "huber_delta in in.json is 0, but must be a number > 0"),
    ("delta", [(f"{L}.huber_delta", [1, 1, 1])], "is [1, 1, 1], but must be a number > 0"),
    ("shift", [(f"{L}.shift_agnostic", -1)], "is -1, but must be an integer ≥ 0"),
    # the grid
    ("emax", [(f"{F}.emin", 0)], f"{F}.emax in in.json is missing, but must be given beside emin"),
    ("emin", [(f"{F}.emax", 0)], f"{F}.emin in in.json is missing, but must be given beside emax"),
    (
        "order",
        [(f"{F}.emin", 3), (f"{F}.emax", 3)],
        "model.fitting_net.emin in in.json is 3.0, but must be < emax, 3.0",
    ),
    (
        "both",
        [*GRID, *FILE],
        "model.fitting_net.energies in in.json is given beside emin and emax, but both say which "
        "energies there are: keep one",
    ),
    (
        "one point",
        [*GRID, (f"{F}.numb_dos", 1)],
        "model.fitting_net.numb_dos in in.json is 1, but must be at least 2 with emin and emax",
    ),
    ("one point", [*FILE, (f"{F}.numb_dos", 1)], "is 1, but must be at least 2 with energies"),
    (
        "near",
        [(f"{F}.emin", 1e17), (f"{F}.emax", 1.000000000000001e17)],
        "but must be as far from emin, 1e+17, that 250 numbers between them differ",
    ),
    ("far", [(f"{F}.emin", -1e308), (f"{F}.emax", 1e308)], "no farther than the largest number"),
    (
        "no grid",
        [(f"{F}.fermi_aligned", True)],
        "model.fitting_net.fermi_aligned in in.json is true, but must be false without a grid of "
        "energies to shift to: give emin and emax, or energies",
    ),
    # lists with an entry for each type or point
    (
        "electrons",
        [(f"{F}.electrons", [4])],
        "model.fitting_net.electrons in in.json has length 1, but must have length 2, one entry "
        "for each type of type_map",
    ),
    ("electrons", [(f"{F}.electrons", [])], "is [], but must be a list with a number ≥ 0 for each"),
    ("electrons", [(f"{F}.electrons", [4, -1])], "electrons[1] in in.json is -1, but must be a n"),
    (
        "electrons",
        [(f"{F}.electrons", {"Si": 4})],
        'model.fitting_net.electrons in in.json lacks the type "H", but must name each type of ty',
    ),
    (
        "electrons",
        [(f"{F}.electrons", {"Si": 4, "H": 1, "O": 6})],
        'electrons in in.json names the type "O", but must name types of type_map',
    ),
    (
        "bias",
        [(P, {"energy": [None, 1.0]})],
        'model.preset_out_bias in in.json is of "energy", but must be of "dos" with '
        'fitting_net.type "dos"',
    ),
    (
        "bias",
        [(P, {"dos": [None, [1, 2]]})],
        "model.preset_out_bias.dos[1] in in.json has length 2, but must have length 250, the value "
        "of fitting_net.numb_dos",
    ),
    (
        "bias",
        [(P, {"dos": [None]})],
        "model.preset_out_bias.dos in in.json has length 1, but must have length 2",
    ),
    ("bias", [(P, {"dos": [None, 1.0]})], "model.preset_out_bias in in.json is {"),
    ("bias", [(P, {"dos": {"X": [1]}})], 'preset_out_bias.dos in in.json names the type "X", but'),
    ("layers", [(f"{F}.trainable", [True])], "trainable in in.json has length 1, but must have le"),
    ("fparam", [(f"{F}.default_fparam", [1.0])], "default_fparam in in.json has length 1, but mu"),
    # what only the other kind has
    (
        "ener",
        [(f"{F}.tot_ener_zero", False)],
        'model.fitting_net.tot_ener_zero in in.json belongs to the type "ener" of '
        "model.fitting_net, but must not be given with another",
    ),
    ("ener", [(f"{F}.atom_ener", [])], 'atom_ener in in.json belongs to the type "ener" of model'),
    (
        "ener",
        [(f"{L}.start_pref_e", 1)],
        'loss.start_pref_e in in.json belongs to the type "ener" of loss, but must not be given',
    ),
    ("dos", [(f"{F}.type", ...)], 'numb_dos in in.json belongs to the type "dos" of model.fitting'),
    (
        "dos",
        [(L, {"start_pref_dos": 1})],
        'start_pref_dos in in.json belongs to the type "dos" of loss',
    ),
    # keys of DeePMD-kit's manual that DeePMD-kit does not have either
    ("sel_type", [(f"{F}.sel_type", [0])], "model.fitting_net.sel_type in in.json is not a known"),
    ("fparam", [(f"{F}.fparam", 0)], "is not a known key (did you mean 'numb_fparam'?)"),
    # types
    ("type", [(f"{F}.type", "doss")], 'must be "ener" or "dos" (did you mean \'dos\'?)'),
    ("type", [(f"{F}.type", "polar")], "a DeePMD-kit option that multifit does not have (yet)"),
    ("type", [(f"{L}.type", "tensor")], 'does not have (yet): it must be "ener" or "dos"'),
    (
        "loss",
        [(L, ...)],
        'loss.type in in.json is missing, which means "ener", but must be "dos" with model.fitting',
    ),
    ("loss", [(L, {})], 'loss.type in in.json is "ener", but must be "dos" with model.fitting_net'),
    (
        "loss",
        [(F, {})],
        'loss.type in in.json is "dos", but must be "ener" with model.fitting_net.type "ener"',
    ),
    # the loss
    (
        "zero",
        [(f"{L}.start_pref_ados", 0), (f"{L}.limit_pref_ados", 0)],
        "loss in in.json has only prefactors 0, but must fit at least one label",
    ),
    (
        "huber",
        [(f"{L}.use_huber", True), (f"{L}.loss_func", "mae")],
        'loss.use_huber in in.json is true, but must be false with loss_func "mae"',
    ),
    (
        "shift",
        [(f"{L}.shift_agnostic", 250)],
        "loss.shift_agnostic in in.json is 250, but must be below model.fitting_net.numb_dos, 250",
    ),
    # validation
    (
        "full",
        [("validating.full_validation", True)],
        "validating.full_validation in in.json is true, but must be false with "
        'model.fitting_net.type "dos": its metrics are of energies, forces and virials; with '
        "validation_data, the best model by the validation loss is written anyway (model_best.dp)",
    ),
    (
        "full",
        [("validating.full_validation", True), ("validating.full_val_start", 1)],
        "validating.full_validation in in.json is true, but must be false with",
    ),
]


@pytest.mark.parametrize(
    ("edits", "says"), [case[1:] for case in WRONG], ids=[case[0] for case in WRONG]
)
def test_one_sentence(edits: list[tuple[str, object]], says: str) -> None:
    text = error_of(with_(DOS, *edits))
    assert says in text
    assert "(and" not in text


def test_energies_have_no_bias_of_densities() -> None:
    text = error_of(with_(WATER, (P, {"dos": [None, [1.0]]})))
    assert 'is of "dos", but must be of "energy" with fitting_net.type "ener"' in text


def test_types_that_only_the_data_tell() -> None:
    open_ = with_(DOS, ("model.type_map", ...), ("model.descriptor.sel", "auto"))
    c = config.parse(with_(open_, (f"{F}.electrons", [4, 1]), (P, {"dos": [None, [0.0] * 250]})))
    assert c.model.ntypes is None
    config.check_types(c, ["Si", "H"])
    with pytest.raises(ConfigError, match=r"electrons in the input .*Si, H, O.* has length 2, but"):
        config.check_types(c, ["Si", "H", "O"])
    with pytest.raises(ConfigError, match='names the type "Si", but must name types of type_map'):
        config.parse(with_(open_, (f"{F}.electrons", {"Si": 4})))


def test_schema_has_both_kinds() -> None:
    schema = config.json_schema()
    parts = schema["$defs"]
    for section, names in (
        (parts["ModelSection"]["properties"]["fitting_net"], "FittingNetSection"),
        (schema["properties"]["loss"], "LossSection"),
    ):
        kinds = [f"Energy{names}", f"Dos{names}"]
        assert section["anyOf"] == [{"$ref": f"#/$defs/{kind}"} for kind in kinds]
        assert "type" not in parts[kinds[0]].get("required", ())
        assert parts[kinds[1]]["required"] == ["type"]
        assert [parts[k]["properties"]["type"]["const"] for k in kinds] == ["ener", "dos"]
        assert next(iter(parts[kinds[1]]["properties"])) == "type"
    electrons = parts["DosFittingNetSection"]["properties"]["electrons"]["anyOf"]
    assert [form["type"] for form in electrons] == ["array", "object", "null"]


def test_reference_has_both_kinds() -> None:
    page = _reference.markdown()
    for section in (F, L):
        for kind in ("ener", "dos"):
            assert f'### `{section}` with `"type": "{kind}"`' in page
    assert page.index("| `numb_dos`") < page.index("| `emin`") < page.index("| `electrons`")
    assert page.count("| `dim_case_embd`") == 1

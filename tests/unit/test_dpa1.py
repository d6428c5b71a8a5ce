"""DPA-1 (se_atten, se_atten_v2): options, empty slots, types, files and inputs."""

from __future__ import annotations

import logging
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _cases import System, batcher, crystal, drawn, energy, evaluate, frame, model_of, molecule
from _compare import same
from _derivatives import by_differences

from multifit import descriptors
from multifit import models as mdl
from multifit.config import parse
from multifit.descriptors._electrons import configurations
from multifit.descriptors.dpa1 import SeAtten, SeAttenV2
from multifit.errors import ConfigError, FileFormatError, UnsupportedError
from multifit.inference.potential import Potential
from multifit.interfaces.export import export_model
from multifit.neighbors.frame import frame as find_frame

SHARP: dict[str, Any] = {"smooth_type_embedding": False}
SMOOTH: dict[str, Any] = {"smooth_type_embedding": True}
COUNTED: dict[str, Any] = {"set_davg_zero": False}

#: Options, and the energy that DeePMD-kit 3.2's NumPy core gives for the same seeds.
KNOWN: dict[str, tuple[dict[str, Any], float]] = {
    "sharp attention": ({**SHARP, "attn_layer": 2}, 7.631826185321719),
    "sharp, excluded, empty slots": (
        {**SHARP, **COUNTED, "exclude_types": ((0, 1),)},
        8.010287052892716,
    ),
    "smooth, excluded, empty slots": (
        {**SMOOTH, **COUNTED, "exclude_types": ((0, 1),)},
        8.041425031269121,
    ),
    "strip, sharp, empty slots": (
        {**SHARP, **COUNTED, "tebd_input_mode": "strip", "type_one_side": True},
        9.047716080962836,
    ),
    "electron configurations": (
        {**SMOOTH, "use_econf_tebd": True, "use_tebd_bias": True, "type_map": ("O", "H")},
        9.107844286504944,
    ),
    "neither angles nor lengths": (
        {**SMOOTH, "attn_dotr": False, "normalize": False, "scaling_factor": 3.0},
        7.9216800152157525,
    ),
    "temperature": (
        {**SMOOTH, "temperature": 0.5, "concat_output_tebd": False},
        4.704907190539649,
    ),
    "residual first layer": (
        {"neuron": (7, 14), "resnet_dt": True, "activation_function": "gelu", "attn_layer": 0},
        9.496129619334098,
    ),
    "cut at sel": ({**SMOOTH, "sel": (5, 6)}, 8.024308833329044),
    "version 2, empty slots": ({**COUNTED, "attn_layer": 2}, 9.121422565945364),
}


def small(**options: Any) -> SeAtten:
    """Return small settings for two types."""
    given: dict[str, Any] = {
        **{"rcut": 3.6, "rcut_smth": 1.5, "sel": (60,), "ntypes": 2, "neuron": (3, 6)},
        **{"axis_neuron": 2, "attn": 4, "attn_layer": 1, "tebd_dim": 3, "set_davg_zero": True},
    }
    return SeAtten(**{**given, **options})


@pytest.mark.parametrize("name", KNOWN)
def test_energies_and_initial_parameters_are_those_of_deepmd_kit(name: str) -> None:
    options, energy = KNOWN[name]
    descriptor = small(**options)
    if name.startswith("version 2"):
        descriptor = SeAttenV2(**{**vars(descriptor), "tebd_input_mode": "strip"})
    model = model_of(descriptor)
    same(evaluate(model, drawn(model), [crystal()])["energy"], [energy], rtol=1e-12)


@pytest.mark.parametrize("name", ["sharp attention", "strip, sharp, empty slots"])
def test_forces_are_derivatives_away_from_the_cutoff(name: str) -> None:
    """Sharp attention jumps where a pair enters, so it is not among the conformance tests."""
    model, system = model_of(small(**KNOWN[name][0])), molecule()
    params = drawn(model)
    slope = by_differences(
        lambda x: energy(model, params, system.moved(x)), system.coord, step=1e-4
    )
    same(evaluate(model, params, [system])["force"], -slope, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"type_one_side": True, "resnet_dt": True},
        {**SHARP, "tebd_input_mode": "strip"},
        {**SMOOTH, **COUNTED, "tebd_input_mode": "strip", "exclude_types": ((0, 1),)},
        {**SMOOTH, "tebd_input_mode": "strip", "precision": "float32"},
    ],
)
def test_without_attention_series_give_the_same(options: dict[str, Any]) -> None:
    model, system = model_of(small(attn_layer=0, **options)), crystal()
    params, args = drawn(model), (system.coord, system.atype, system.cell)
    want = Potential(model, params, embedding="direct").predict(*args)
    found = Potential(model, params, embedding="spectral")
    exact = options.get("precision") != "float32"
    same(found.predict(*args)["energy"], want["energy"], rtol=1e-10 if exact else 1e-6)
    same(found.predict(*args)["force"], want["force"], rtol=1e-8 if exact else 1e-4)


def test_types_of_the_input_that_do_not_occur_cost_nothing() -> None:
    """With many types there are no series, as each would have columns of its own."""
    names = tuple(f"X{k}" for k in range(14))
    model, few = (model_of(small(attn_layer=0, ntypes=n), names[:n]) for n in (14, 2))
    params, known = mdl.init(model, 1, 2), drawn(few)
    shared = [(3, 0), (9, 1)]
    params["descriptor"] = model.descriptor.remap_types(
        params["descriptor"], few.descriptor, known["descriptor"], shared
    )
    params["fitting"]["nets"] = known["fitting"]["nets"]
    system = crystal()
    args = (system.coord, np.where(system.atype == 0, 3, 9), system.cell)
    got = Potential(model, params, embedding="spectral").predict(*args)
    same(
        got["energy"],
        Potential(few, known).predict(system.coord, system.atype, system.cell)["energy"],
    )


# ---- neighbours of all types together


def test_the_nearest_neighbours_of_all_types_are_kept() -> None:
    system = crystal()
    cell = system.cell
    every = find_frame(system.coord, cell, [True] * 3, system.atype, 3.6, (99, 99), total=99)
    cut = find_frame(system.coord, cell, [True] * 3, system.atype, 3.6, (7, 7), total=7)
    assert every.dropped == 0
    assert cut.together == every.together > 7
    for atom in range(len(system.atype)):
        found, kept = (
            np.sort(
                np.concatenate(
                    [np.linalg.norm(t.rij[t.i == atom], axis=1) for t in f.tables.values()]
                )
            )
            for f in (every, cut)
        )
        same(kept, found[:7])
    number = sum(t.i.size for t in every.tables.values())
    assert cut.dropped == number - sum(t.i.size for t in cut.tables.values())


def test_a_list_of_sel_counts_by_its_sum_and_is_kept() -> None:
    one, two = small(), small(sel=(25, 35))
    params = drawn(model_of(one))
    got, want = (evaluate(model_of(d), params, [crystal()]) for d in (two, one))
    same(got, want)
    assert two.requires() == one.requires()
    assert mdl.to_content(model_of(two), params)["model"]["descriptor"]["sel"] == [25, 35]


def test_too_many_neighbours_are_said_in_one_number() -> None:
    needs = small(sel=(7,)).requires()
    assert needs.short((4, 5), 9, ["O", "H"]) == ["9 (sel 7)"]
    assert needs.short((4, 5), 7, ["O", "H"]) == []
    assert needs.slots == (7,)


# ---- empty slots


def test_empty_slots_may_depend_on_the_first_atom_as_in_deepmd_kit(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """In parts and in batches, too; reading such a model warns once."""
    model = model_of(small(**COUNTED, **SMOOTH))
    params, system = drawn(model), crystal()
    args = (system.coord, system.atype, system.cell)
    want = Potential(model, params).predict(*args)
    same(Potential(model, params, atoms_at_once=2).predict(*args)["force"], want["force"])
    order = np.array([1, 0, 2, 3, 4, 5])
    other = System(system.coord[order], system.atype[order], system.cell)
    moved = evaluate(model, params, [system, other])["energy"]
    same(moved[:1], want["energy"])
    assert abs(moved[1] - moved[0]) > 1e-3
    with caplog.at_level(logging.WARNING):
        back, _ = mdl.from_content(mdl.to_content(model, params))
    assert "depend on the order of the atoms" in caplog.text
    assert len(caplog.records) == 1
    assert back.descriptor == model.descriptor


def test_a_lonely_atom_has_nothing_but_empty_slots() -> None:
    alone = System(np.zeros((1, 3)), np.array([1]), None)
    for options in ({}, COUNTED, {**COUNTED, "tebd_input_mode": "strip"}):
        model = model_of(small(**options))
        params = drawn(model)
        out = evaluate(model, params, [alone])
        far = System(np.array([[0.0, 0, 0], [9.0, 0, 0]]), np.array([1, 1]), None)
        both = evaluate(model, params, [far])
        same(both["energy"], 2 * out["energy"])
        assert not both["force"].any()


# ---- types


def test_electron_configurations() -> None:
    oxygen, chromium = configurations(["O", "Cr"]) * math.sqrt(118)
    assert (oxygen > 0).sum() == 8
    assert oxygen[4:10].tolist() == [1, 1, -1, 1, -1, 1]  # 2p: a pair, two single electrons
    assert chromium[18:30].tolist() == [-1, 1] * 6  # 3d⁵ 4s¹
    every = configurations(["H", "Og"])
    same(np.linalg.norm(every, axis=1), [1.0, 1.0])
    assert (every[1] > 0).sum() == 118
    with pytest.raises(ConfigError, match="'Xx' is none"):
        configurations(["Xx"])


@pytest.mark.parametrize("tebd_dim", [2, 3, 4])
def test_a_new_type_leaves_the_others_as_they_were(tebd_dim: int) -> None:
    """Also if the layer of the type embedding adds its input with one number of types only."""
    old = model_of(small(tebd_dim=tebd_dim))
    new = model_of(small(tebd_dim=tebd_dim, ntypes=3), ("H", "C", "O"))
    known, fresh = drawn(old), mdl.init(new, 8, 9)
    found = new.descriptor.remap_types(
        fresh["descriptor"], old.descriptor, known["descriptor"], [(0, 1), (2, 0)]
    )
    params = {
        "descriptor": found,
        "fitting": {**known["fitting"], "bias_atom_e": np.zeros((3, 1))},
        "out_bias": np.zeros((3, 1)),
    }
    system = crystal()
    moved = System(system.coord, np.where(system.atype == 0, 2, 0), system.cell)
    same(evaluate(new, params, [moved])["energy"], evaluate(old, known, [system])["energy"])
    same(found["dstd"][1], fresh["descriptor"]["dstd"][1])


# ---- inputs and files


def section(**keys: Any) -> Any:
    """Return the section of an input with a descriptor."""
    data = {
        "model": {"type_map": ["O", "H", "C"], "descriptor": keys, "fitting_net": {}},
        "learning_rate": {"start_lr": 1e-3, "stop_lr": 1e-5},
        "training": {"training_data": {"systems": "data"}, "numb_steps": 1},
    }
    return parse(data).model.descriptor


def test_inputs_and_classes_have_the_defaults_of_deepmd_kit() -> None:
    given = descriptors.build(section(type="dpa1", sel=60), (60,), ["O", "H", "C"])
    assert isinstance(given, SeAtten)
    assert (given.neuron, given.axis_neuron) == ((10, 20, 40), 4)
    assert (given.smooth_type_embedding, given.set_davg_zero) == (False, True)
    by_class = SeAtten(6.0, 0.5, (60,), 3)
    assert (by_class.neuron, by_class.axis_neuron) == ((25, 50, 100), 8)
    assert (by_class.smooth_type_embedding, by_class.set_davg_zero) == (True, False)
    second = descriptors.build(section(type="se_atten_v2", sel=[20, 40]), (20, 40), ["O", "H", "C"])
    assert isinstance(second, SeAttenV2)
    assert (second.strips, second.is_smooth, second.set_davg_zero) == (True, True, False)
    assert (second.sel, second.ntypes) == ((20, 40), 3)


@pytest.mark.parametrize(
    ("keys", "mode"),
    [
        ({"stripped_type_embedding": True}, "strip"),
        ({"stripped_type_embedding": False, "tebd_input_mode": "strip"}, "concat"),
        ({"stripped_type_embedding": None, "tebd_input_mode": "strip"}, "strip"),
        ({"smooth_type_embdding": True, "lmax": 1}, "concat"),
    ],
)
def test_older_keys_are_read(keys: dict[str, Any], mode: str) -> None:
    assert section(type="se_atten", **keys).tebd_input_mode == mode


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"type": "se_atten", "sel": -3}, "sel in input is -3, but must be an integer > 0"),
        ({"type": "se_atten", "sel": True}, "sel in input is true, but must be an integer > 0"),
        ({"type": "se_atten", "attn_mask": True}, "attn_mask in input is true, but must be false"),
        ({"type": "se_atten", "lmax": 2}, "lmax in input is 2, a DeePMD-kit option"),
        ({"type": "se_atten_v2", "tebd_input_mode": "strip"}, "tebd_input_mode"),
        ({"type": "se_e2_a", "sel": 60}, "sel in input is 60, but must be a list"),
    ],
)
def test_a_wrong_input_is_refused(keys: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        section(**keys)
    assert says in str(caught.value)


def test_formats_of_exports_are_two(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    model = model_of(small())
    with pytest.raises(UnsupportedError, match="cannot be exported as torchscript yet; use pt2 or"):
        export_model(model, drawn(model), "torchscript", tmp_path / "model.pt")


def test_names_that_are_no_elements_have_no_electrons() -> None:
    with pytest.raises(ConfigError, match="'X' is none"):
        small(use_econf_tebd=True, type_map=("O", "X"))
    with pytest.raises(ConfigError, match="needs the names of all 2 elements"):
        small(use_econf_tebd=True)


def _node(**changes: Any) -> dict[str, Any]:
    model = model_of(small())
    return {**mdl.serialize(model, drawn(model))["descriptor"], **changes}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"@version": 4, "lmax": 2}, "has lmax 2"),
        ({"@version": 3, "compress": {}}, "compressed"),
        ({"attn_mask": True}, "attn_mask, which multifit lacks"),
        ({"spin": {}}, "uses spin"),
        ({"@version": 9}, "9"),
    ],
)
def test_files_with_other_features_are_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises((UnsupportedError, FileFormatError)) as caught:
        SeAtten.deserialize(_node(**changes))
    assert says in str(caught.value)


def test_files_of_version_1_have_a_bias_in_the_type_embedding() -> None:
    descriptor = small(use_tebd_bias=True)
    params = descriptor.init(1)
    node = descriptor.serialize(params, ["O", "H"])
    node["@version"] = 1
    del node["use_tebd_bias"]
    back, found = SeAtten.deserialize(node)
    assert back == descriptor
    same(found, params)


def test_a_mean_in_a_file_counts_whatever_its_settings_say() -> None:
    descriptor = small(tebd_input_mode="strip", **SMOOTH)
    params = {**descriptor.init(1), "davg": np.full((2, 4), [0.1, 0.0, 0.0, 0.0])}
    back, _ = SeAtten.deserialize(descriptor.serialize(params, ["O", "H"]))
    assert back == replace(descriptor, set_davg_zero=False)


def test_statistics_that_differ_between_slots_are_refused() -> None:
    node = _node()
    node["@variables"]["dstd"][0, 3, 0] += 0.1
    with pytest.raises(UnsupportedError, match="dstd differs between slots"):
        SeAtten.deserialize(node)


def test_statistics_count_all_slots() -> None:
    descriptor = small(set_davg_zero=False)
    frames = [frame(batcher(model_of(descriptor)), crystal())]
    found = descriptor.statistics(descriptor.sums(frames), 0.01)
    wider = small(set_davg_zero=False, sel=(120,))
    same(found["davg"], 2 * wider.statistics(wider.sums(frames), 0.01)["davg"])

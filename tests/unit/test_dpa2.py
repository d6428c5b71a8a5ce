"""DPA-2 and se_e3_tebd: options, files, inputs, types and neighbours of each block."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from _cases import batcher, crystal, drawn, energy, evaluate, frame, model_of, molecule
from _compare import same
from _derivatives import by_differences

from multifit import descriptors
from multifit import models as mdl
from multifit.batching.types import ORDERED, PARTS
from multifit.config import parse
from multifit.descriptors.dpa2 import Dpa2, Repformer, Repinit
from multifit.descriptors.se_e3_tebd import SeE3Tebd
from multifit.descriptors.se_e3_tebd._angles import angles
from multifit.errors import ConfigError, FileFormatError, UnsupportedError
from multifit.inference.potential import Potential
from multifit.neighbors.frame import for_part
from multifit.tree import flatten

FIRST: dict[str, Any] = {
    **{"rcut": 3.6, "rcut_smth": 1.5, "nsel": 60, "neuron": (3, 6), "axis_neuron": 2},
    "tebd_dim": 3,
}
SECOND: dict[str, Any] = {
    **{"rcut": 3.0, "rcut_smth": 1.0, "nsel": 40, "nlayers": 2, "g1_dim": 5, "g2_dim": 4},
    **{"axis_neuron": 2, "attn1_hidden": 3, "attn1_nhead": 2, "attn2_hidden": 3},
    "attn2_nhead": 2,
}
ANGLES = {"use_three_body": True, "three_body_rcut": 3.0, "three_body_rcut_smth": 1.0}

Options = dict[str, Any]

#: Options of the blocks and of the whole, and the energy that DeePMD-kit 3.2's NumPy core gives for
#: the same seeds.
KNOWN: dict[str, tuple[Options, Options, Options, float]] = {
    "three bodies, gate, vectors": (
        ANGLES,
        {
            **{"attn2_has_gate": True, "update_h2": True, "update_style": "res_residual"},
            "update_residual": 0.3,
        },
        {},
        11.935505422651381,
    ),
    "strip, sums in one map": (
        {**ANGLES, "tebd_input_mode": "strip", "type_one_side": True},
        {
            **{"g1_out_conv": False, "g1_out_mlp": False, "use_sqrt_nnei": False},
            "update_style": "res_incr",
        },
        {"concat_output_tebd": False, "add_tebd_to_repinit_out": True},
        13.472274679844405,
    ),
    "sharp, excluded": (
        {},
        {"update_h2": True, "attn2_has_gate": True},
        {"smooth": False, "exclude_types": ((0, 1),), "env_protection": 0.1},
        12.49289158998275,
    ),
    "sharp, numbers of neighbours": (
        {},
        {"use_sqrt_nnei": False, "g1_out_conv": False},
        {"smooth": False},
        13.35503724396819,
    ),
    "distances, electrons": (
        {},
        {"direct_dist": True, "activation_function": "silu"},
        {"use_econf_tebd": True, "use_tebd_bias": True, "type_map": ("O", "H")},
        12.390154413286938,
    ),
    "means": (
        {"set_davg_zero": False, "tebd_input_mode": "strip"},
        {"set_davg_zero": False},
        {},
        12.862489964466858,
    ),
    "few updates": (
        {},
        {
            **{"update_g1_has_attn": False, "update_g2_has_g1g1": False},
            **{"update_g2_has_attn": False, "update_g1_has_grrg": False},
            **{"update_style": "res_residual", "update_residual": 0.5},
            "update_residual_init": "const",
        },
        {},
        13.281108804912924,
    ),
    "equal widths, cut at nsel": (
        {"neuron": (3,), "nsel": 9},
        {"g1_dim": 6, "nsel": 5},
        {"exclude_types": ((1, 1),)},
        11.5793649636,
    ),
}

#: The same of se_e3_tebd.
KNOWN_ANGLES: dict[str, tuple[Options, float]] = {
    "concat": ({}, 12.317398182773342),
    "strip": ({"tebd_input_mode": "strip"}, 12.285868385138066),
    "strip, sharp": (
        {"tebd_input_mode": "strip", "smooth": False, "exclude_types": ((0, 1),)},
        12.189318773584287,
    ),
    "residual first layer": (
        {"neuron": (7, 14), "resnet_dt": True, "activation_function": "gelu"},
        11.659830281325682,
    ),
    "electrons, cut at sel": (
        {
            **{"sel": (5, 6), "use_econf_tebd": True, "use_tebd_bias": True},
            **{"concat_output_tebd": False, "type_map": ("O", "H")},
        },
        12.85363796743009,
    ),
}


def small(first: Options | None = None, second: Options | None = None, **options: Any) -> Dpa2:
    """Return small settings for two types."""
    given: Any = {"repinit": FIRST | (first or {}), "repformer": SECOND | (second or {})}
    return Dpa2(2, **given, **options)


def tebd(**options: Any) -> SeE3Tebd:
    """Return small settings of se_e3_tebd for two types."""
    given: Options = {"sel": (60,), "ntypes": 2, "neuron": (3, 6), "tebd_dim": 3}
    return SeE3Tebd(3.6, 1.5, **given | options)


@pytest.mark.parametrize("name", KNOWN)
def test_energies_and_initial_parameters_are_those_of_deepmd_kit(name: str) -> None:
    first, second, options, energy = KNOWN[name]
    model = model_of(small(first, second, **options))
    same(evaluate(model, drawn(model), [crystal()])["energy"], [energy], rtol=1e-12)


@pytest.mark.parametrize("name", KNOWN_ANGLES)
def test_those_of_angles_are_too(name: str) -> None:
    options, energy = KNOWN_ANGLES[name]
    model = model_of(tebd(**options))
    same(evaluate(model, drawn(model), [crystal()])["energy"], [energy], rtol=1e-12)


@pytest.mark.parametrize("name", ["sharp, excluded", "sharp, numbers of neighbours"])
def test_forces_are_derivatives_away_from_the_cutoff(name: str) -> None:
    """Energies that are not smooth jump at the cut-offs, so that these are no conformance tests."""
    first, second, options, _ = KNOWN[name]
    model, system = model_of(small(first, second, **options)), molecule()
    params = drawn(model)
    slope = by_differences(
        lambda x: energy(model, params, system.moved(x)), system.coord, step=1e-4
    )
    same(evaluate(model, params, [system])["force"], -slope, rtol=1e-6, atol=1e-8)


def test_an_atom_far_from_all_others_has_an_energy() -> None:
    for descriptor in (small(ANGLES), tebd()):
        model = model_of(descriptor)
        potential = Potential(model, drawn(model))
        alone = potential.predict(np.zeros((1, 3)), [0])
        assert not np.any(alone["force"])
        pair = potential.predict([[0, 0, 0], [9.0, 0, 0]], [0, 0])
        same(pair["energy"], 2 * alone["energy"])
        # A neighbour that only the first block sees, at the end of its switch.
        near = potential.predict([[0, 0, 0], [3.6 - 1e-6, 0, 0]], [0, 0])
        same(near["energy"], pair["energy"], rtol=1e-9)


def test_each_block_has_tables_of_its_own() -> None:
    descriptor = small(ANGLES | {"three_body_sel": 30})
    needs = descriptor.requires()
    assert [(part.block, part.rcut, part.total) for part in needs.parts] == [
        ("repinit", 3.6, 60),
        ("repformer", 3.0, 40),
        ("three_body", 3.0, 30),
    ]
    assert (needs.rcut, needs.hops) == (3.6, 3)
    quiet = dict.fromkeys(("update_g1_has_conv", "update_g1_has_drrd"), False)
    quiet |= {"update_g1_has_attn": False, "update_g2_has_g1g1": False}
    assert small({}, quiet).requires().hops == 1
    made = batcher(model_of(descriptor))
    one = frame(made, crystal())
    tables = made.assemble([one])[0]["tables"][PARTS]
    widths = [sum(x["mask"].shape[1] for x in tables[k].values()) for k in "012"]
    assert widths[0] > widths[1]
    (table,) = tables["1"].values()
    assert list(tables["1"]) == [ORDERED]
    r = np.where(table["mask"] > 0, np.sqrt((table["rij"] ** 2).sum(axis=1)), 9.0)
    assert (np.diff(r, axis=1) >= 0).all()
    assert widths[1] == for_part(one, needs, needs.parts[1]).together


def test_neighbours_of_one_type_are_evaluated_once() -> None:
    pairs = angles(((0, 2), (1, 1)), True)
    # 00, 01, 02, 11, 12, 22 of the columns, and 02 and 12 in the other order.
    assert len(pairs.upper) == 6
    assert pairs.turned.tolist() == [2, 4]
    assert pairs.weight.tolist() == [1, 2, 1, 1, 1, 1, 1, 1]
    assert pairs.types == ((0, 0), (0, 1), (1, 0), (1, 1))
    assert angles(((0, 2), (1, 1)), False).weight.sum() == 9


# ---- types


@pytest.mark.parametrize("descriptor", [small(ANGLES), tebd(tebd_input_mode="strip")])
def test_types_of_another_model_are_found_by_name(descriptor: Any) -> None:
    old = model_of(descriptor)
    known = drawn(old)
    changes: Options = {"ntypes": 3}
    new = model_of(replace(descriptor, **changes), ("H", "C", "O"))
    fresh = new.descriptor.init(9)
    found = new.descriptor.remap_types(fresh, descriptor, known["descriptor"], [(0, 1), (2, 0)])
    params = {**known, "descriptor": found, "out_bias": np.zeros((3, 1))}
    params["fitting"] = {**known["fitting"], "bias_atom_e": np.zeros((3, 1))}
    system = crystal()
    moved = replace(system, atype=np.where(system.atype == 0, 2, 0))
    same(evaluate(new, params, [moved])["energy"], evaluate(old, known, [system])["energy"])
    flat, drawn_here = flatten(found), flatten(fresh)
    for name in (key for key in flat if key.endswith("dstd")):
        same(flat[name][1], drawn_here[name][1])


# ---- inputs and files


def section(**keys: Any) -> Any:
    """Return the section of an input with a descriptor."""
    data = {
        "model": {"type_map": ["O", "H"], "descriptor": keys, "fitting_net": {}},
        "learning_rate": {"start_lr": 1e-3, "stop_lr": 1e-5},
        "training": {"training_data": {"systems": "data"}, "numb_steps": 1},
    }
    return parse(data).model.descriptor


SHORT = {"rcut": 6.0, "rcut_smth": 0.5, "nsel": 120}
NEAR = {"rcut": 4.0, "rcut_smth": 3.5, "nsel": 40}


def test_inputs_and_classes_have_the_defaults_of_deepmd_kit() -> None:
    given = section(type="dpa2", repinit=SHORT, repformer=NEAR)
    built = descriptors.build(given, given.numbers, ["O", "H"])
    assert built == Dpa2(2, Repinit(6.0, 0.5, 120), Repformer(4.0, 3.5, 40))
    assert built.blocks["repinit"].neuron == (25, 50, 100)  # type: ignore[attr-defined]
    angular = section(type="se_e3_tebd")
    built = descriptors.build(angular, (40,), ["O", "H"])
    assert isinstance(built, SeE3Tebd)
    assert (built.neuron, built.use_tebd_bias, built.set_davg_zero) == ((10, 20, 40), True, True)
    by_class = SeE3Tebd(6.0, 0.5, (40,), 2)
    assert (by_class.neuron, by_class.use_tebd_bias) == ((2, 4, 8), False)


def test_older_keys_are_read() -> None:
    keys: Options = {"repinit": SHORT, "repformer": NEAR, "repformer_add_type_ebd_to_seq": True}
    assert section(type="dpa2", **keys).add_tebd_to_repinit_out


@pytest.mark.parametrize(
    ("first", "second", "says"),
    [
        ({}, {"rcut": 6.0}, "repformer.rcut in input is 6.0, but must be < repinit.rcut, 6.0"),
        ({"nsel": 40}, {}, "repformer.nsel in input is 40, but must be < repinit.nsel, 40"),
        ({}, {"update_style": "res"}, 'update_style in input is "res", but must be one of'),
        ({}, {"g2_dim": 3, "axis_neuron": 4}, "axis_neuron in input is 4, but must be at most g2_"),
        ({"nsel": "auto:x"}, {}, 'repinit.nsel in input is "auto:x", but must be an integer > 0'),
        ({}, {"nsel": [40]}, "repformer.nsel in input is [40], but must be an integer > 0"),
        ({}, {"g1_out": True}, "repformer.g1_out in input is not a known key"),
        ({"rcut_smth": 7.0}, {}, "repinit.rcut_smth in input is 7.0, but must be < rcut, 6.0"),
        (
            {"use_three_body": True, "three_body_sel": 140},
            {},
            "three_body_sel in input is 140, but the numbers of neighbours must be in the same",
        ),
        (
            {},
            {"update_g1_has_grrg": False, "update_g1_has_drrd": False},
            "g1_out_mlp in input is true without update_g1_has_grrg",
        ),
    ],
)
def test_a_wrong_input_is_refused(first: Options, second: Options, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        section(type="dpa2", repinit=SHORT | first, repformer=NEAR | second)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: small({"rcut": -1.0}), r"repinit\.rcut must be a number > 0, but is -1\.0"),
        (lambda: small({}, {"nsel": 0}), r"repformer\.nsel must be an integer ≥ 1, but is 0"),
        (lambda: small({}, {"rcut": 4.0}), r"repformer\.rcut is 4\.0, but must be < repinit"),
        (lambda: small({"sel": 4}), "repinit has no option 'sel'"),
        (lambda: Dpa2(2, {}, SECOND), "repinit lacks rcut"),  # type: ignore[arg-type]
        (lambda: Dpa2(2, 4, SECOND), "repinit must be a dict or a Repinit"),  # type: ignore[arg-type]
        (lambda: small(exclude_types=((0, 2),)), "names type 2, but there are 2 types"),
        (lambda: small(use_econf_tebd=True), "needs the names of all 2 elements"),
        (lambda: tebd(tebd_input_mode="both"), "tebd_input_mode must be one of"),
        (lambda: small({**ANGLES, "three_body_rcut": 3.8}), "three_body_rcut is 3.8, but must be"),
    ],
)
def test_wrong_settings_are_refused(make: Any, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        make()


def _node(**changes: Any) -> dict[str, Any]:
    model = model_of(small(ANGLES))
    return {**mdl.serialize(model, drawn(model))["descriptor"], **changes}


def test_files_before_version_3_have_fewer_options() -> None:
    descriptor = small({}, {"use_sqrt_nnei": False, "g1_out_conv": False, "g1_out_mlp": False})
    params = descriptor.init(1)
    node = descriptor.serialize(params, ["O", "H"])
    node["@version"] = 2
    for key in ("use_sqrt_nnei", "g1_out_conv", "g1_out_mlp"):
        del node["repformer_args"][key]
    back, found = Dpa2.deserialize(node)
    assert back == descriptor
    same(found, params)


def test_means_in_a_file_count_whatever_its_settings_say() -> None:
    descriptor = small()
    params = descriptor.init(1)
    params["repformer"]["davg"] = np.full((2, 4), [0.1, 0.0, 0.0, 0.0])
    back, _ = Dpa2.deserialize(descriptor.serialize(params, ["O", "H"]))
    assert back == small({}, {"set_davg_zero": False})


def test_damaged_files_and_other_features_are_refused() -> None:
    with pytest.raises(UnsupportedError, match="compressed"):
        Dpa2.deserialize(_node(repinit_variable={"compress": {}}))
    with pytest.raises(FileFormatError, match="it needs a newer multifit"):
        Dpa2.deserialize(_node(**{"@version": 9}))
    with pytest.raises(FileFormatError, match="repinit lacks nsel"):
        Dpa2.deserialize(_node(repinit_args={"rcut": 4.0, "rcut_smth": 1.0}))
    node = _node()
    del node["repformers_variable"]["repformer_layers"][1]
    with pytest.raises(FileFormatError, match="holds 1 layers, but nlayers is 2"):
        Dpa2.deserialize(node)
    descriptor = small({}, {"update_style": "res_residual"})
    node = descriptor.serialize(descriptor.init(0))
    node["repformers_variable"]["repformer_layers"][0]["@variables"]["g1_residual"].pop()
    with pytest.raises(FileFormatError, match="g1_residual holds 3 vectors, but the layer has 4"):
        Dpa2.deserialize(node)


def test_what_is_not_trained() -> None:
    names = set(small({}, {"trainable_ln": False}).trainable_names())
    assert "repformer.layers.0.attn2g_map.mapqk.w" in names
    assert not any("attn2_lm" in name for name in names)
    assert not list(replace(small(), trainable=False).trainable_names())
    # As in DeePMD-kit, the weights of updates are 0 in a descriptor that is not trained.
    fixed = replace(small({}, {"update_style": "res_residual"}), trainable=False)
    assert not np.any(fixed.init(0)["repformer"]["layers"]["0"]["g1_residual"]["0"])


# ---- engines


def test_messages_begin_where_the_first_block_ends() -> None:
    model = model_of(small(ANGLES))
    assert model.descriptor.requires().reach == 3.6 + 2 * 3.0
    assert Potential(model, drawn(model)).halo == 9.6

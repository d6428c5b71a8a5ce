"""DPA-3: options, updates, numbers of neighbours, files and inputs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from _cases import (
    System,
    assemble,
    batcher,
    crystal,
    energy,
    evaluate,
    frame,
    model_of,
    molecule,
)
from _compare import same
from _derivatives import by_differences

from multifit import descriptors
from multifit import models as mdl
from multifit.batching.types import ORDERED
from multifit.config import parse
from multifit.descriptors.dpa3 import Dpa3
from multifit.errors import ConfigError, FileFormatError, UnsupportedError
from multifit.inference.potential import Potential
from multifit.tree import Tree, flatten

#: Options, and the energy with the descriptor of DeePMD-kit 3.2's NumPy core for the same seeds.
KNOWN: dict[str, tuple[dict[str, Any], float]] = {
    "not smooth": ({"smooth_edge_update": False}, 11.451994013272488),
    "compressed, dynamic": (
        {
            **{"nlayers": 3, "a_compress_rate": 1, "a_compress_e_rate": 2},
            **{"n_multi_edge_message": 2, "update_residual_init": "norm"},
            **{"edge_init_use_dist": True, "use_dynamic_sel": True},
            **{"activation_function": "silut:10.0", "exclude_types": ((0, 1),)},
            **{"use_tebd_bias": True, "use_econf_tebd": True, "type_map": ("O", "H")},
        },
        10.117199732415713,
    ),
    "split, sequential": (
        {
            **{"a_compress_rate": 1, "a_compress_use_split": True, "sequential_update": True},
            **{"concat_output_tebd": True, "env_protection": 0.1, "optim_update": False},
        },
        6.583104935675568,
    ),
    "averages, no angles": (
        {"update_style": "res_avg", "update_angle": False, "skip_stat": True},
        11.658859119303383,
    ),
    "increments, exponential": (
        {
            **{"update_style": "res_incr", "use_exp_switch": True, "e_rcut_smth": 3.2},
            **{"a_rcut_smth": 2.6, "activation_function": "custom_silu:1.5"},
        },
        12.085744305339157,
    ),
    "cut at sel": (
        {
            **{"e_sel": 11, "a_sel": 5, "exclude_types": ((0, 0),)},
            **{"smooth_edge_update": False, "use_loc_mapping": False},
        },
        11.463017487628434,
    ),
    "types as wide as there are, twice": (
        {"n_dim": 4, "e_dim": 4, "activation_function": "tanh", "fix_stat_std": 0.0},
        8.966087888459285,
    ),
    "one layer": ({"nlayers": 1}, 11.395459008692931),
}

REPFLOW: dict[str, Any] = {
    **{"e_rcut": 3.6, "e_rcut_smth": 1.5, "e_sel": 70, "a_rcut": 3.0, "a_rcut_smth": 1.2},
    **{"a_sel": 40, "n_dim": 6, "e_dim": 4, "a_dim": 4, "nlayers": 2, "axis_neuron": 2},
}


def small(**options: Any) -> Dpa3:
    """Return small settings for two types."""
    return Dpa3(**{"ntypes": 2, **REPFLOW, "smooth_edge_update": True, **options})


@pytest.mark.parametrize("name", KNOWN)
def test_energies_and_initial_parameters_are_those_of_deepmd_kit(name: str) -> None:
    options, energy = KNOWN[name]
    model = model_of(small(**options))
    same(evaluate(model, mdl.init(model, 5, 3), [crystal()])["energy"], [energy], rtol=1e-12)


def test_forces_without_smooth_edges_are_derivatives_away_from_the_cutoff() -> None:
    """Energies jump where a pair crosses ``a_rcut``, so this is not among the conformance tests."""
    model, system = model_of(small(smooth_edge_update=False)), molecule()
    params = mdl.init(model, 5, 3)
    slope = by_differences(
        lambda x: energy(model, params, system.moved(x)), system.coord, step=1e-4
    )
    same(evaluate(model, params, [system])["force"], -slope, rtol=1e-6, atol=1e-8)


def test_an_atom_without_neighbours_has_a_descriptor_and_no_force() -> None:
    model = model_of(small())
    found = Potential(model, mdl.init(model, 5, 3)).predict(np.zeros((1, 3)), [1])
    assert np.isfinite(found["energy"]).all()
    assert not found["force"].any()


def test_ways_of_computing_do_not_change_a_model() -> None:
    model, other = (
        model_of(small(optim_update=flag, use_loc_mapping=flag)) for flag in (True, False)
    )
    params = mdl.init(model, 5, 3)
    same(evaluate(model, params, [crystal()]), evaluate(other, params, [crystal()]), rtol=0.0)


def test_vectors_of_a_fixed_descriptor_are_zero_as_in_deepmd_kit() -> None:
    fixed = small(trainable=False)
    assert list(fixed.trainable_names()) == []
    layer = fixed.init(1)["layers"]["0"]
    assert not any(x.any() for x in flatten(layer["n_residual"]).values())


# ---- numbers of neighbours


def test_tables_are_in_the_order_of_distance() -> None:
    model = model_of(small(a_sel=7))
    batch, _ = assemble(model, [crystal(), molecule()])
    table = batch["tables"][ORDERED]
    r = np.linalg.norm(table["rij"], axis=1)
    far = np.where(table["mask"] > 0, r, 99.0)
    assert (np.diff(far, axis=1) >= 0).all()
    assert table["shells"]["0"].shape == (7,)
    kinds = batch["atype"][table["index"]]
    assert (kinds == table["kind"])[table["mask"] > 0].all()


def test_numbers_of_neighbours_are_one_for_each_cutoff() -> None:
    needs = small(e_sel=9, a_sel=4).requires()
    assert needs.slots == (9, 4)
    most, together, inner = np.zeros((3, 2)), np.array([8, 9, 10]), np.array([[5], [4], [3]])
    counted = needs.counted(most, together, inner)
    assert (counted > np.array(needs.slots)).tolist() == [
        [False, True],
        [False, False],
        [True, False],
    ]
    found = frame(batcher(model_of(small())), crystal())
    assert 0 < found.most_within(3.0) < found.most_within(3.6) == found.together


# ---- options that do not go together


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"a_rcut": 3.7}, "a_rcut is 3.7, but must be at most e_rcut, 3.6"),
        ({"a_sel": 71}, "a_sel is 71, but must be at most e_sel, 70"),
        ({"e_rcut_smth": 3.6}, "e_rcut_smth is 3.6, but must be < e_rcut, 3.6"),
        ({"a_rcut_smth": 3.2}, "a_rcut_smth is 3.2, but must be < a_rcut, 3.0"),
        ({"axis_neuron": 5}, "axis_neuron is 5, but must be at most n_dim and e_dim, 6 and 4"),
        ({"a_compress_rate": 3}, "a_compress_rate is 3, but a_dim, 4, must be divisible by twice"),
        (
            {"a_compress_rate": 1, "a_compress_use_split": True, "a_compress_e_rate": 3},
            "a_compress_use_split is true, which takes the first a_dim / a_compress_rate",
        ),
        (
            {"use_dynamic_sel": True, "smooth_edge_update": False},
            "use_dynamic_sel is true, which needs smooth_edge_update true",
        ),
        (
            {"sequential_update": True, "update_style": "res_avg"},
            'sequential_update is true, which needs update_style "res_residual", but it is "res_a',
        ),
        (
            {"sequential_update": True, "update_angle": False},
            "sequential_update is true, which needs update_angle true",
        ),
        ({"use_econf_tebd": True}, "use_econf_tebd needs the names of all 2 elements"),
        ({"update_style": "add"}, 'update_style must be one of "res_avg", "res_incr" and "res_re'),
        ({"exclude_types": ((0, 2),)}, "exclude_types names type 2, but there are 2 types"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        small(**options)
    assert says in str(caught.value)


# ---- the input


def parsed(repflow: dict[str, Any], **keys: Any) -> Any:
    """Return the model section of an input."""
    given = {
        "model": {
            "type_map": ["O", "H"],
            "descriptor": {"type": "dpa3", "repflow": {**REPFLOW, **repflow}, **keys},
            "fitting_net": {},
        },
        "learning_rate": {"start_lr": 1e-3, "stop_lr": 1e-5},
        "training": {"training_data": {"systems": "data"}, "numb_steps": 1},
    }
    return parse(given, "input.json").model.descriptor


def test_an_input_is_read_with_its_other_names_of_keys() -> None:
    section = parsed(
        {"e_sel": "auto:1.2", "edge_use_dist": True, "use_env_envelope": True},
        activation_function="silut:10.0",
    )
    assert section.numbers == ("auto:1.2", 40)
    found = descriptors.build(section, (90, 40), ["O", "H"])
    assert isinstance(found, Dpa3)
    assert found.edge_init_use_dist
    assert found.use_exp_switch
    assert (found.e_sel, found.a_sel, found.smooth_edge_update) == (90, 40, False)
    script: dict[str, Any] = {"repflow": {"e_sel": "auto", "a_sel": 40}}
    assert descriptors.key_of(found, "e_sel") == "repflow.e_sel"
    assert descriptors.key_of(found, "precision") == "precision"
    section.with_numbers(script, (90, 40))
    assert script == {"repflow": {"e_sel": 90, "a_sel": 40}}


@pytest.mark.parametrize(
    ("repflow", "says"),
    [
        ({"e_sel": "many"}, r"repflow\.e_sel .*must be an integer > 0 and at most 100000, or"),
        ({"a_rcut": 4.0}, r"repflow\.a_rcut .*is 4\.0, but must be at most e_rcut, 3\.6"),
        ({"sel": 20}, r"repflow\.sel"),
        ({"sequential_update": True, "update_angle": False}, r"which needs update_angle true"),
    ],
)
def test_an_input_that_is_wrong_says_where(repflow: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        parsed(repflow)


# ---- files


def node_of(descriptor: Dpa3) -> dict[str, Any]:
    """Return the section of a model file."""
    return descriptor.serialize(descriptor.init(3), ["O", "H"])


def test_a_file_may_be_of_the_first_version() -> None:
    descriptor = small()
    node = {**node_of(descriptor), "@version": 1}
    for name in ("use_loc_mapping", "add_chg_spin_ebd", "default_chg_spin"):
        del node[name]
    args = dict(node["repflow_args"])
    for name in ("use_dynamic_sel", "sel_reduce_factor", "use_exp_switch", "sequential_update"):
        del args[name]
    found, params = Dpa3.deserialize({**node, "repflow_args": {**args, "skip_stat": True}})
    assert found == descriptor
    same(flatten(params), flatten(descriptor.init(3)), rtol=0.0)


def _without_layer(node: dict[str, Any]) -> None:
    node["repflow_variable"]["repflow_layers"].pop()


def _without_map(node: dict[str, Any]) -> None:
    del node["repflow_variable"]["repflow_layers"][1]["angle_self_linear"]


def _without_vector(node: dict[str, Any]) -> None:
    node["repflow_variable"]["repflow_layers"][0]["@variables"]["e_residual"].pop()


def _with_charges(node: dict[str, Any]) -> None:
    node["add_chg_spin_ebd"] = True


def _of_later_version(node: dict[str, Any]) -> None:
    node["@version"] = 3


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        (_without_layer, FileFormatError, "holds 1 layers, but nlayers is 2"),
        (_without_map, FileFormatError, r"repflow_layers\.1\.angle_self_linear is missing"),
        (_without_vector, FileFormatError, "e_residual holds 1 vectors, but the layer has 2"),
        (_with_charges, UnsupportedError, "embeds the charge and spin of frames"),
        (_of_later_version, (FileFormatError, UnsupportedError), "version 3"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(change: Any, error: Any, says: str) -> None:
    node = node_of(small())
    change(node)
    with pytest.raises(error, match=says):
        Dpa3.deserialize(node)


def test_new_types_keep_their_embedding_and_the_others_that_of_the_file() -> None:
    known, fresh = small(), small(ntypes=3)
    theirs, mine = known.init(1), fresh.init(2)
    found = fresh.remap_types(mine, known, theirs, [(2, 0), (0, 1)])
    system = crystal()
    swapped = System(system.coord, np.where(system.atype == 0, 2, 0), system.cell)
    first, second = model_of(known), model_of(fresh, ("H", "X", "O"))
    params: list[Tree] = [mdl.init(first, 1, 2), mdl.init(second, 1, 2)]
    params[0]["descriptor"], params[1]["descriptor"] = theirs, found
    params[1]["fitting"]["nets"] = params[0]["fitting"]["nets"]
    same(
        evaluate(second, params[1], [swapped])["energy"],
        evaluate(first, params[0], [system])["energy"],
    )


def test_what_is_shown_of_it() -> None:
    told = dict(small(use_dynamic_sel=True, sequential_update=True).describe(["O", "H"]))
    assert told["pairs"] == "up to 70 within 3.6 Å, smooth from 1.5 Å, sums divided by 7"
    assert told["angles"].startswith("of up to 40 neighbours within 3 Å")
    assert told["updates"] == "weighted increments, one after the other"
    assert dict(small(update_angle=False).describe(["O", "H"]))["angles"] == "none"


def test_a_model_of_half_precision_is_near_the_full_one() -> None:
    model = model_of(small())
    half = replace(model, descriptor=small(precision="float16"))
    params = mdl.init(model, 5, 3)
    want = evaluate(model, params, [crystal()])["energy"]
    same(evaluate(half, mdl.init(half, 5, 3), [crystal()])["energy"], want, rtol=2e-2)

"""se_e2_a with embedded types: its nets of pairs of types, and the inputs of DeePMD-kit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import array_api_compat.numpy as xp
import numpy as np
import pytest
from _compare import same

from multifit import files, load
from multifit import models as mdl
from multifit.config import parse
from multifit.descriptors.se_e2_a_tebd import SeE2ATebd
from multifit.errors import ConfigError
from multifit.inference.potential import Potential
from multifit.nn.networks import apply_network
from multifit.train.setup.build import build_model

KEYS: dict[str, Any] = {"rcut": 3.6, "rcut_smth": 1.5, "sel": (30, 40), "axis_neuron": 2}


@pytest.mark.parametrize("one_side", [True, False])
@pytest.mark.parametrize("mode", ["concat", "strip"])
def test_the_net_of_a_pair_is_the_one_net_with_its_types(mode: str, one_side: bool) -> None:
    config = SeE2ATebd(
        **KEYS,
        neuron=(3, 6),
        type_neuron=(2, 4),
        tebd_input_mode=mode,
        type_one_side=one_side,
        use_tebd_bias=True,
    )
    params = config.init(3)
    table = config.type_table(xp, params)
    nets = config.pair_params(xp, params, [0, 1], [0, 1])["embeddings"]
    s = np.linspace(-1.0, 2.0, 5)[:, None]
    for a in range(2):
        for b in range(2):
            ends = table[b] if one_side else np.concatenate([table[b], table[a]])
            vectors = np.broadcast_to(ends, (5, len(ends)))
            x = s if config.strips else np.concatenate([s, vectors], axis=1)
            want, _ = apply_network(xp, config.shared_network, params["embeddings"]["0"], x)
            if config.strips:
                net = params["embeddings_strip"]["0"]
                want = want * (1.0 + apply_network(xp, config.types_network, net, vectors)[0])
            net = nets[str(config.network_index(a, b))]
            same(apply_network(xp, config.network, net, s)[0], want, rtol=1e-12)


def _input(descriptor: dict[str, Any], embedding: Any = None) -> dict[str, Any]:
    model: dict[str, Any] = {
        "type_map": ["O", "H"],
        "descriptor": {"sel": [20, 40], "neuron": [4, 8], **descriptor},
        "fitting_net": {},
    }
    if embedding is not None:
        model["type_embedding"] = embedding
    return {
        "model": model,
        "learning_rate": {"start_lr": 1e-3, "stop_lr": 1e-5},
        "training": {"training_data": {"systems": "data"}, "numb_steps": 1},
    }


@pytest.mark.parametrize(
    ("kind", "mode"), [("se_e2_a", "concat"), ("se_a", "concat"), ("se_a_tpe_v2", "strip")]
)
def test_inputs_of_deepmd_kit(kind: str, mode: str) -> None:
    found = parse(_input({"type": kind}, {"neuron": [2, 5], "seed": 3})).model.descriptor
    assert (found.type, found.tebd_input_mode, found.type_neuron) == ("se_e2_a_tebd", mode, (2, 5))
    assert found.type_seed == 3
    assert found.dim_out == 8 * 4 + 5


def test_attention_takes_a_single_linear_layer() -> None:
    linear = {"neuron": [6], "activation_function": "linear"}
    found = parse(_input({"type": "se_atten_v2", "sel": 60}, linear)).model.descriptor
    assert found.tebd_dim == 6
    with pytest.raises(ConfigError, match="must be a single linear layer: give tebd_dim"):
        parse(_input({"type": "se_atten_v2", "sel": 60}, {"neuron": [6]}))


#: Parts, of which the first has no pairs of the second type, and the energy of its lone atoms.
PARTS: list[dict[str, Any]] = [
    {
        **{"type": "se_e2_a_tebd", "sel": [20, 0], "rcut": 3.6, "neuron": [4, 8], "seed": 1},
        **{"exclude_types": [[0, 1], [1, 1]], "type_neuron": [3], "axis_neuron": 2},
    },
    {
        **{"type": "se_atten_v2", "sel": 30, "rcut": 4.0, "neuron": [4, 8], "axis_neuron": 2},
        **{"attn_layer": 0, "set_davg_zero": True, "tebd_dim": 3, "seed": 1},
    },
]


def _parts(parts: list[dict[str, Any]]) -> dict[str, Any]:
    given = _input({})
    given["model"]["descriptor"] = {"type": "hybrid", "list": parts}
    given["model"]["fitting_net"] = {"atom_ener": [None, -2.5], "neuron": [6], "seed": 1}
    return given


def test_lone_atoms_of_a_type_without_pairs_have_their_energy(tmp_path: Path) -> None:
    """Vectors of types stay in the descriptor that is left out, also of a model in a file."""
    model = build_model(parse(_parts(PARTS)), ["O", "H"], [(20, 0), (30,)])
    assert model.fitting.type_columns == ((16, 19), (35, 38))
    params = mdl.init(model, (1, 1), 1)
    params["descriptor"]["list"]["0"]["davg"][0] += 0.3  # as statistics find it for the first type
    files.write(tmp_path / "model.dp", {"model": mdl.serialize(model, params)})
    for potential in (Potential(model, params), load(tmp_path / "model.dp", "numpy")):
        same(potential.predict(np.zeros((1, 3)), [1])["energy"], np.array([-2.5]), rtol=1e-14)
        assert abs(potential.predict(np.zeros((1, 3)), [0])["energy"][0]) > 1e-6
        # The first part has no pairs then.
        pair = potential.predict(np.array([[0.0, 0.0, 0.0], [1.1, 0.0, 0.0]]), [1, 1])
        assert np.abs(pair["force"]).max() > 1e-9


@pytest.mark.parametrize(
    ("part", "change"), [(0, {"exclude_types": [[0, 1]]}), (1, {"set_davg_zero": False})]
)
def test_energies_of_lone_atoms_need_descriptors_without_a_mean(
    part: int, change: dict[str, Any]
) -> None:
    parts = [{**each, **(change if k == part else {})} for k, each in enumerate(PARTS)]
    with pytest.raises(ConfigError, match="atom_ener in input gives energies of isolated atoms"):
        parse(_parts(parts))
    # DeePMD-kit's form of a model would not give these energies.
    with pytest.raises(ConfigError, match="atom_ener in input gives energies of isolated atoms"):
        parse(_parts(PARTS[1:]))


@pytest.mark.parametrize(
    ("kind", "embedding", "words"),
    [
        ("se_e2_r", {}, 'model.type_embedding .*type "se_e2_r", but must be left out'),
        ("se_e2_a", {"neuron": [0]}, r"model.type_embedding.neuron in input is \[0\]"),
        ("se_e2_a", {"neurn": [2]}, "model.type_embedding.neurn in input is not a known key"),
        ("se_e2_a", 3, "model.type_embedding in input is 3, but must be an object"),
        ("se_e2_a", {"neuron": [3]}, "neuron in input starts with 4, but must not"),
    ],
)
def test_what_does_not_fit(kind: str, embedding: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        parse(_input({"type": kind, "type_one_side": True}, embedding))

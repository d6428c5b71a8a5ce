"""se_e2_a with embedded types: its nets of pairs of types, and the inputs of DeePMD-kit."""

from __future__ import annotations

from typing import Any

import array_api_compat.numpy as xp
import numpy as np
import pytest
from _compare import same

from multifit.config import parse
from multifit.descriptors.se_e2_a_tebd import SeE2ATebd
from multifit.errors import ConfigError
from multifit.nn.networks import apply_network

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

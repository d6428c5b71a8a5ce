"""The layers of dpa2 in the form of DeePMD-kit's model files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ... import precision as prec
from ...errors import FileFormatError
from ...files import check_version, items, mapping, parameter, required
from ...nn.networks import Layer
from ...nn.serial import layer_params, layer_to_dict
from ...precision import numpy_dtype
from ...tree import Tree, numbered, unflatten
from .._updates import vectors_params, vectors_to_dict
from ..dpa1._attention import SHIFT
from ._layers import has_norm, is_last, maps, weights

if TYPE_CHECKING:
    from ._descriptor import Dpa2

#: Version of the format of a layer.
VERSION = 2

#: Settings of the whole that each layer repeats.
PLAIN = (
    *("g1_dim", "g2_dim", "axis_neuron", "update_g1_has_conv", "update_g1_has_drrd"),
    *("update_g1_has_grrg", "update_g1_has_attn", "attn1_hidden", "attn1_nhead"),
    *("attn2_hidden", "attn2_nhead", "attn2_has_gate", "activation_function", "update_style"),
    *("trainable_ln", "use_sqrt_nnei", "g1_out_conv", "g1_out_mlp", "ln_eps"),
)

#: Those of which the last layer has none.
OF_PAIRS = ("update_g2_has_g1g1", "update_g2_has_attn", "update_h2")


def plain_map(layer: Layer, params: Tree) -> dict[str, Any]:
    """Return a linear map."""
    return layer_to_dict(layer, params) | {"activation_function": None}


def layer_node(config: Dpa2, k: int, params: Tree) -> dict[str, Any]:
    """Return the k-th layer."""
    own, updates = config.repformer, not is_last(config.repformer, k)
    node: dict[str, Any] = {
        "@class": "RepformerLayer",
        "@version": VERSION,
        "rcut": own.rcut,
        "rcut_smth": own.rcut_smth,
        "sel": [own.nsel],
        "ntypes": config.ntypes,
        "update_chnnl_2": updates,
        "smooth": config.smooth,
        "precision": prec.canonical(config.precision),
        **{name: getattr(own, name) for name in PLAIN},
        **{name: getattr(own, name) and updates for name in OF_PAIRS},
    }
    for name, (layer, _) in maps(own, k, config.precision, config.trainable).items():
        group, _, part = name.rpartition(".")
        values = params[group][part] if group else params[name]
        target = node.setdefault(group, _group(config, group)) if group else node
        target[part or name] = plain_map(layer, values)
    if has_norm(own, k):
        node["attn2_lm"] = _norm(config, params["attn2_lm"])
    if own.update_style == "res_residual":
        names = ("g1_residual", "g2_residual", "h2_residual")
        node["@variables"] = vectors_to_dict(params, names)
    return node


def _group(config: Dpa2, name: str) -> dict[str, Any]:
    """Return the settings of a group of maps."""
    own = config.repformer
    pairs = {"input_dim": own.g2_dim, "head_num": own.attn2_nhead}
    smooth = {"smooth": config.smooth, "attnw_shift": SHIFT}
    known: dict[str, tuple[str, dict[str, Any]]] = {
        "attn2g_map": (
            "Atten2Map",
            {**pairs, "hidden_dim": own.attn2_hidden, "has_gate": own.attn2_has_gate, **smooth},
        ),
        "attn2_mh_apply": ("Atten2MultiHeadApply", pairs),
        "attn2_ev_apply": ("Atten2EquiVarApply", pairs),
        "loc_attn": (
            "LocalAtten",
            {
                "input_dim": own.g1_dim,
                "hidden_dim": own.attn1_hidden,
                "head_num": own.attn1_nhead,
                **smooth,
            },
        ),
    }
    kind, settings = known[name]
    precision = prec.canonical(config.precision)
    return {"@class": kind, "@version": 1, **settings, "precision": precision}


def _norm(config: Dpa2, params: Tree) -> dict[str, Any]:
    return {
        "@class": "LayerNorm",
        "@version": 1,
        "eps": config.repformer.ln_eps,
        "trainable": config.repformer.trainable_ln,
        "precision": prec.canonical(config.precision),
        "@variables": {name: np.asarray(params[name]) for name in ("w", "b")},
    }


def layers_params(config: Dpa2, node: dict[str, Any], where: str) -> Tree:
    """Return the parameters of all layers, and of the map that makes features of pairs.

    Raises
    ------
    FileFormatError
        If an array is missing or its shape does not match the settings.
    """
    layers = items(required(node, "repformer_layers", where), f"{where}.repformer_layers")
    if len(layers) != config.repformer.nlayers:
        raise FileFormatError(
            f"{where} holds {len(layers)} layers, but nlayers is {config.repformer.nlayers}; "
            "restore the file from a copy"
        )
    embedding = required(node, "g2_embd", where)
    return {
        "g2_embd": layer_params(embedding, config.embedding, f"{where}.g2_embd"),
        "layers": numbered(
            [
                _layer(config, k, each, f"{where}.repformer_layers.{k}")
                for k, each in enumerate(layers)
            ]
        ),
    }


def _layer(config: Dpa2, k: int, value: Any, where: str) -> Tree:
    own, node = config.repformer, mapping(value, where)
    check_version(node, range(1, VERSION + 1), where)
    found: dict[str, Any] = {}
    for name, (layer, _) in maps(own, k, config.precision, config.trainable).items():
        group, _, part = name.rpartition(".")
        source = mapping(required(node, group, where), f"{where}.{group}") if group else node
        given = required(source, part or name, where)
        for key, x in layer_params(given, layer, f"{where}.{name}").items():
            found[f"{name}.{key}"] = x
    dtype = numpy_dtype(config.precision)
    if has_norm(own, k):
        norm = mapping(required(node, "attn2_lm", where), f"{where}.attn2_lm")
        for key in ("w", "b"):
            found[f"attn2_lm.{key}"] = parameter(
                norm, key, (own.g2_dim,), f"{where}.attn2_lm", dtype
            )
    for name, (width, seeds) in weights(own, k).items():
        vectors = vectors_params(node, name, [width] * len(seeds), where, dtype)
        found |= {f"{name}.{place}": x for place, x in enumerate(vectors)}
    return unflatten(found)

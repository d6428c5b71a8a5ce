"""The descriptors se_atten and se_atten_v2 in the form of DeePMD-kit's model files."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from ... import precision as prec
from ...errors import UnsupportedError
from ...files import check_version, items, number, required
from ...nn.serial import layer_to_dict
from ...tree import Tree, numbered_values
from .._types_serial import types_to_dict
from ._reading import parameters
from ._typed_serial import (
    env_mat,
    nets_to_dict,
    refuse_foreign,
    statistics_to_dict,
)

if TYPE_CHECKING:
    from ._descriptor import SeAtten

S = TypeVar("S", bound="SeAtten")

log = logging.getLogger(__name__)

#: About models whose empty slots take the type of an atom, which DeePMD-kit has as well.
AMBIGUOUS = (
    "the model's energies depend on the order of the atoms, as in DeePMD-kit: empty slots for "
    "neighbours have a mean that is not 0 and the type of the first atom of the frame; train with "
    "set_davg_zero true to avoid this"
)

#: Version of the file format; 3 is a compressed model, 4 one with ``lmax`` > 1.
VERSION = 2

#: Settings whose names and values are those of files.
PLAIN = (
    *("rcut", "rcut_smth", "ntypes", "axis_neuron", "tebd_dim", "set_davg_zero", "attn"),
    *("attn_layer", "attn_dotr", "activation_function", "resnet_dt", "scaling_factor"),
    *("normalize", "temperature", "trainable_ln", "type_one_side", "concat_output_tebd"),
    *("use_econf_tebd", "use_tebd_bias", "env_protection", "trainable"),
)

#: The same, of se_atten alone.
MODES = ("tebd_input_mode", "smooth_type_embedding")


def serialize(config: SeAtten, params: Tree, type_map: list[str] | None) -> dict[str, Any]:
    """Return the ``descriptor`` section of a model file."""
    modes = MODES if config.kind == "dpa1" else ()
    return {
        "@class": "Descriptor",
        "type": config.kind,
        "@version": VERSION,
        **{name: getattr(config, name) for name in (*PLAIN, *modes)},
        **{name: list(getattr(config, name)) for name in ("sel", "neuron")},
        "attn_mask": False,
        "ln_eps": config.epsilon,
        "type_map": type_map,
        "precision": prec.canonical(config.precision),
        **nets_to_dict(config, params),
        "attention_layers": _attention(config, params),
        "env_mat": env_mat(config),
        "type_embedding": types_to_dict(config, params["type_embedding"], type_map),
        "exclude_types": [list(pair) for pair in config.exclude_types],
        "@variables": statistics_to_dict(config, params),
        "spin": None,
    }


def _attention(config: SeAtten, params: Tree) -> dict[str, Any]:
    common = {
        "nnei": config.nnei,
        "embed_dim": config.neuron[-1],
        "hidden_dim": config.attn,
        "dotr": config.attn_dotr,
        "do_mask": False,
        "scaling_factor": config.scaling_factor,
        "normalize": config.normalize,
        "temperature": config.temperature,
        "precision": prec.canonical(config.precision),
    }
    shared = {**common, "trainable_ln": config.trainable_ln, "ln_eps": config.epsilon}
    inner = {**common, "num_heads": 1, "bias": True, "smooth": config.is_smooth}
    into, out = config.projections
    layers = [
        {
            **shared,
            "attention_layer": {
                **inner,
                "in_proj": layer_to_dict(into, layer["in_proj"]),
                "out_proj": layer_to_dict(out, layer["out_proj"]),
            },
            "attn_layer_norm": {
                "@class": "LayerNorm",
                "@version": 1,
                "eps": config.epsilon,
                "trainable": config.trainable_ln,
                "precision": common["precision"],
                "@variables": {name: np.asarray(layer["norm"][name]) for name in ("w", "b")},
            },
        }
        for layer in numbered_values(params.get("attention", {}))
    ]
    head = {"@class": "NeighborGatedAttention", "@version": 1, "layer_num": config.attn_layer}
    return {**head, **shared, "attention_layers": layers}


def deserialize(cls: type[S], node: dict[str, Any]) -> tuple[S, Tree]:
    """Return settings and parameters of a ``descriptor`` section.

    Raises
    ------
    FileFormatError
        If an array is missing or its shape does not match the settings.
    UnsupportedError
        If the model is compressed, of a later version, or uses an unsupported option.
    """
    options = _options(cls, node)
    config = cls(**options)
    params = parameters(config, node)
    if config.set_davg_zero and np.any(params["davg"]):  # its empty slots do count
        config = cls(**{**options, "set_davg_zero": False})
    if config.is_ambiguous and np.any(params["davg"]):
        log.warning("%s", AMBIGUOUS)
    return config, params


def _options(cls: type[SeAtten], node: dict[str, Any]) -> dict[str, Any]:
    where = "descriptor"
    refuse_foreign(node, where)
    if node.get("lmax", 1) != 1:
        raise UnsupportedError(
            f"the model's descriptor has lmax {node['lmax']!r}; multifit reads models with lmax 1"
        )
    version = check_version(node, range(1, VERSION + 1), where)
    if node.get("spin") is not None or node.get("attn_mask"):
        raise UnsupportedError(
            "the model's descriptor uses spin or attn_mask, which multifit lacks"
        )
    modes = MODES if cls.kind == "dpa1" else ()
    found = {name: node[name] for name in (*PLAIN, *modes, "ln_eps") if name in node}
    for name in ("rcut", "rcut_smth"):
        found[name] = number(required(node, name, where))
    for name in ("env_protection", "scaling_factor", "temperature", "ln_eps"):
        if found.get(name) is not None:
            found[name] = number(found[name])
    if version == 1 and "use_tebd_bias" not in node:
        found["use_tebd_bias"] = True
    stripped = node.get("stripped_type_embedding")
    if stripped is not None and modes:
        found["tebd_input_mode"] = "strip" if stripped else "concat"
    return {
        **found,
        "ntypes": required(node, "ntypes", where),
        "exclude_types": items(node.get("exclude_types", []), f"{where}.exclude_types"),
        "precision": prec.canonical(node.get("precision", "default")),
        "type_map": items(node.get("type_map") or [], f"{where}.type_map"),
        **{
            name: items(required(node, name, where), f"{where}.{name}")
            for name in ("sel", "neuron")
        },
    }

"""The descriptor dpa2 in the form of DeePMD-kit's model files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from ... import precision as prec
from ...errors import ConfigError, FileFormatError
from ...files import check_version, items, mapping, number, required
from ...nn.serial import layer_params
from ...tree import Tree, numbered_values
from .._types_serial import types_params, types_to_dict
from ..dpa1._typed_serial import (
    env_mat,
    has_bias,
    nets_params,
    nets_to_dict,
    refuse_foreign,
    statistics_params,
    statistics_to_dict,
)
from ._layers_serial import layer_node, layers_params, plain_map
from ._settings import Repformer, Repinit

if TYPE_CHECKING:
    from ._descriptor import Dpa2

S = TypeVar("S", bound="Dpa2")

#: Version of the file format; 4 is a compressed model.
VERSION = 3

#: Settings of the whole whose names and values are those of files.
PLAIN = (
    *("ntypes", "concat_output_tebd", "smooth", "env_protection", "trainable"),
    *("add_tebd_to_repinit_out", "use_econf_tebd", "use_tebd_bias"),
)

#: The key of each block in files.
KEYS = {
    "repinit": "repinit_variable",
    "repformer": "repformers_variable",
    "three_body": "repinit_three_body_variable",
}

#: Options that did not exist before version 3, and were off.
LATER = ("use_sqrt_nnei", "g1_out_conv", "g1_out_mlp")


def serialize(config: Dpa2, params: Tree, type_map: list[str] | None) -> dict[str, Any]:
    """Return the ``descriptor`` section of a model file."""
    node: dict[str, Any] = {
        "@class": "Descriptor",
        "type": config.name,
        "@version": VERSION,
        "repinit_args": _listed(asdict(config.repinit)),
        "repformer_args": _listed(asdict(config.repformer)),
        **{name: getattr(config, name) for name in PLAIN},
        "precision": prec.canonical(config.precision),
        "exclude_types": [list(pair) for pair in config.exclude_types],
        "type_map": type_map,
        "type_embedding": types_to_dict(config, params["type_embedding"], type_map),
        "g1_shape_tranform": {"@class": "Identity", "@version": 1},
    }
    for name, layer in config.transformations.items():
        node[name] = plain_map(layer, params[name])
    for name, block in config.blocks.items():
        own = params[name]
        found: dict[str, Any] = {
            # DeePMD-kit writes no protection here.
            "env_mat": {**env_mat(block), "protection": 0.0},
            "@variables": statistics_to_dict(block, own),
        }
        if name == "repformer":
            found["g2_embd"] = plain_map(config.embedding, own["g2_embd"])
            found["repformer_layers"] = [
                layer_node(config, k, layer)
                for k, layer in enumerate(numbered_values(own["layers"]))
            ]
        else:
            found |= nets_to_dict(block, own)
        node[KEYS[name]] = found
    return node


def _listed(options: dict[str, Any]) -> dict[str, Any]:
    return {name: list(x) if isinstance(x, tuple) else x for name, x in options.items()}


def deserialize(cls: type[S], node: dict[str, Any]) -> tuple[S, Tree]:
    """Return settings and parameters of a ``descriptor`` section.

    Raises
    ------
    FileFormatError
        If an array is missing or its shape does not match the settings.
    UnsupportedError
        If the model is compressed, of a later version, or uses an unsupported option.
    """
    where = "descriptor"
    given = {name: mapping(node.get(key, {}), f"{where}.{key}") for name, key in KEYS.items()}
    for part in given.values():
        refuse_foreign(part, where)
    version = check_version(node, range(1, VERSION + 1), where)
    config = _settings(cls, node, version)
    embedding = required(node, "type_embedding", where)
    params: Tree = {
        "type_embedding": types_params(config, embedding, f"{where}.type_embedding"),
        **{
            name: layer_params(required(node, name, where), layer, f"{where}.{name}")
            for name, layer in config.transformations.items()
        },
    }
    for name, block in config.blocks.items():
        key = f"{where}.{KEYS[name]}"
        own = mapping(required(node, KEYS[name], where), key)
        params[name] = statistics_params(block, own, key)
        if name == "repformer":
            params[name] |= layers_params(config, own, key)
        else:
            params[name] |= nets_params(block, own, key)
    wrong = config.nonzero_mean(params)
    if wrong is not None:  # empty slots of the first block do count
        config, params = _counted(cls, config, params)
    return config, params


def _counted(cls: type[S], config: S, params: Tree) -> tuple[S, Tree]:
    """Return settings in which the means of a file count."""
    nonzero = {name: bool(np.any(params[name]["davg"])) for name in config.blocks}
    options = {field.name: getattr(config, field.name) for field in fields(config)}
    if nonzero["repinit"] or nonzero.get("three_body", False):
        first = asdict(config.repinit) | {"set_davg_zero": False}
        options["repinit"] = Repinit(**first)
    if nonzero["repformer"]:
        second = asdict(config.repformer) | {"set_davg_zero": False}
        options["repformer"] = Repformer(**second)
    return cls(**options), params


def _settings(cls: type[S], node: dict[str, Any], version: int) -> S:
    where = "descriptor"
    found = {name: node[name] for name in PLAIN if name in node}
    if found.get("env_protection") is not None:
        found["env_protection"] = number(found["env_protection"])
    if "use_tebd_bias" not in node:
        found["use_tebd_bias"] = has_bias(required(node, "type_embedding", where))
    second = dict(mapping(required(node, "repformer_args", where), f"{where}.repformer_args"))
    if version < VERSION:
        second |= dict.fromkeys(LATER, False)
    first = mapping(required(node, "repinit_args", where), f"{where}.repinit_args")
    required(node, "ntypes", where)
    try:
        repinit, repformer = Repinit.of(_numbers(first)), Repformer.of(_numbers(second))
    except (ConfigError, TypeError) as error:
        raise FileFormatError(f"{where}: {error}; restore the file from a copy") from error
    return cls(
        **found,
        repinit=repinit,
        repformer=repformer,
        precision=prec.canonical(node.get("precision", "default")),
        type_map=items(node.get("type_map") or [], f"{where}.type_map"),
        exclude_types=items(node.get("exclude_types", []), f"{where}.exclude_types"),
    )


#: Options that are numbers with a decimal point.
_REAL = (
    "rcut",
    "rcut_smth",
    "three_body_rcut",
    "three_body_rcut_smth",
    "update_residual",
    "ln_eps",
)


def _numbers(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: number(x) if name in _REAL else x for name, x in options.items()}

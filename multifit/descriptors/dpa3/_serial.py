"""The descriptor dpa3 in the form of DeePMD-kit's model files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from ... import precision as prec
from ...errors import FileFormatError, UnsupportedError
from ...files import check_version, items, mapping, number, required
from ...nn.serial import layer_params, layer_to_dict
from ...precision import numpy_dtype
from ...tree import Tree, numbered, numbered_values
from .._statistics import one_for_all_slots
from .._types_serial import types_params, types_to_dict
from .._updates import vectors_params, vectors_to_dict
from ._layers import embeddings, parts, residuals
from ._rules import REPFLOW_RANGES

if TYPE_CHECKING:
    from ._descriptor import Dpa3

D = TypeVar("D", bound="Dpa3")

#: Version of the file format, and of a layer.
VERSION = 2

#: Settings at the top level whose names and values are those of files.
PLAIN = (
    *("ntypes", "concat_output_tebd", "activation_function", "env_protection", "trainable"),
    *("use_econf_tebd", "use_tebd_bias", "use_loc_mapping"),
)

#: Options of ``repflow`` in files; ``skip_stat`` is that of old ones.
REPFLOW = tuple(name for name in REPFLOW_RANGES if name != "skip_stat")

#: Options of ``repflow`` that each layer repeats.
OF_LAYERS = (
    *("e_rcut", "e_rcut_smth", "a_rcut", "a_rcut_smth", "a_sel", "n_dim", "e_dim", "a_dim"),
    *("a_compress_rate", "a_compress_e_rate", "a_compress_use_split", "n_multi_edge_message"),
    *("axis_neuron", "update_angle", "update_style", "update_residual", "update_residual_init"),
    *("optim_update", "smooth_edge_update", "use_dynamic_sel", "sel_reduce_factor"),
    "sequential_update",
)


def serialize(config: Dpa3, params: Tree, type_map: list[str] | None) -> dict[str, Any]:
    """Return the ``descriptor`` section of a model file."""
    args = {name: getattr(config, name) for name in REPFLOW}
    return {
        "@class": "Descriptor",
        "type": config.name,
        "@version": VERSION,
        **{name: getattr(config, name) for name in PLAIN},
        "repflow_args": args,
        "precision": prec.canonical(config.precision),
        "exclude_types": [list(pair) for pair in config.exclude_types],
        "add_chg_spin_ebd": False,
        "default_chg_spin": None,
        "type_map": type_map,
        "type_embedding": types_to_dict(config, params["type_embedding"], type_map),
        "repflow_variable": _variables(config, params),
    }


def _variables(config: Dpa3, params: Tree) -> dict[str, Any]:
    layers = numbered_values(params["layers"])
    return {
        **{
            name: layer_to_dict(part.layer, params[name])
            for name, part in embeddings(config).items()
        },
        "repflow_layers": [_layer(config, layer) for layer in layers],
        "env_mat": {  # DeePMD-kit writes these numbers always, and ignores them
            "rcut": config.e_rcut,
            "rcut_smth": config.e_rcut_smth,
            "protection": 0.0,
            "use_exp_switch": False,
        },
        "@variables": {name: _spread(config, params[name]) for name in ("davg", "dstd")},
    }


def _layer(config: Dpa3, params: Tree) -> dict[str, Any]:
    node = {
        "@class": "RepFlowLayer",
        "@version": VERSION,
        **{name: getattr(config, name) for name in OF_LAYERS},
        "e_sel": [config.e_sel],
        "ntypes": config.ntypes,
        "activation_function": config.activation_function,
        "precision": prec.canonical(config.precision),
        **{name: layer_to_dict(part.layer, params[name]) for name, part in parts(config).items()},
    }
    vectors = residuals(config)
    if vectors:
        node["@variables"] = vectors_to_dict(params, tuple(vectors))
    return node


def _spread(config: Dpa3, statistic: np.ndarray) -> np.ndarray:
    """Return (ntypes, e_sel, 4) from (ntypes, 4): one row for each slot."""
    spread = np.repeat(np.asarray(statistic)[:, None, :], config.e_sel, axis=1)
    return spread.astype(numpy_dtype(config.precision))


def deserialize(cls: type[D], node: dict[str, Any]) -> tuple[D, Tree]:
    """Return settings and parameters of a ``descriptor`` section.

    Raises
    ------
    FileFormatError
        If an array is missing or its shape does not match the settings.
    UnsupportedError
        If the model is of a later version, or uses an unsupported option.
    """
    config = cls(**_options(node))
    return config, _parameters(config, node)


def _options(node: dict[str, Any]) -> dict[str, Any]:
    where = "descriptor"
    check_version(node, range(1, VERSION + 1), where)
    if node.get("add_chg_spin_ebd"):
        raise UnsupportedError(
            "the model's descriptor embeds the charge and spin of frames (add_chg_spin_ebd), which "
            "multifit lacks"
        )
    args = mapping(required(node, "repflow_args", where), f"{where}.repflow_args")
    found = {name: args[name] for name in REPFLOW_RANGES if name in args}
    for name in ("e_rcut", "e_rcut_smth", "a_rcut", "a_rcut_smth"):
        found[name] = required(args, name, f"{where}.repflow_args")
    found |= {name: node[name] for name in PLAIN if name in node}
    for name, value in found.items():
        if isinstance(value, np.generic):
            found[name] = value.item()
    for name in ("e_rcut", "e_rcut_smth", "a_rcut", "a_rcut_smth", "update_residual"):
        if name in found:
            found[name] = number(found[name])
    return {
        **found,
        "ntypes": required(node, "ntypes", where),
        "exclude_types": items(node.get("exclude_types", []), f"{where}.exclude_types"),
        "precision": prec.canonical(node.get("precision", "default")),
        "type_map": items(node.get("type_map") or [], f"{where}.type_map"),
    }


def _parameters(config: Dpa3, node: dict[str, Any]) -> Tree:
    where = "descriptor"
    inner = f"{where}.repflow_variable"
    variables = mapping(required(node, "repflow_variable", where), inner)
    layers = items(required(variables, "repflow_layers", inner), f"{inner}.repflow_layers")
    if len(layers) != config.nlayers:
        raise FileFormatError(
            f"{inner}.repflow_layers holds {len(layers)} layers, but nlayers is {config.nlayers}; "
            "restore the file from a copy"
        )
    return {
        "type_embedding": types_params(
            config, required(node, "type_embedding", where), f"{where}.type_embedding"
        ),
        **{
            name: layer_params(required(variables, name, inner), part.layer, f"{inner}.{name}")
            for name, part in embeddings(config).items()
        },
        "layers": numbered(
            [
                _layer_params(config, one, f"{inner}.repflow_layers.{k}")
                for k, one in enumerate(layers)
            ]
        ),
        **{
            name: one_for_all_slots(variables, name, config.ntypes, config.e_sel, inner)
            for name in ("davg", "dstd")
        },
    }


def _layer_params(config: Dpa3, value: Any, where: str) -> Tree:
    node = mapping(value, where)
    check_version(node, range(1, VERSION + 1), where)
    params: Tree = {
        name: layer_params(required(node, name, where), part.layer, f"{where}.{name}")
        for name, part in parts(config).items()
    }
    dtype = numpy_dtype(config.precision)
    for name, each in residuals(config).items():
        found = vectors_params(node, name, [one.width for one in each], where, dtype)
        if found:
            params[name] = numbered(found)
    return params

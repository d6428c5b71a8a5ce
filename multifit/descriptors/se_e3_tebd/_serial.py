"""The descriptor se_e3_tebd in the form of DeePMD-kit's model files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from ... import precision as prec
from ...files import check_version, items, number, required
from ...tree import Tree
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

if TYPE_CHECKING:
    from ._descriptor import SeE3Tebd

S = TypeVar("S", bound="SeE3Tebd")

#: Version of the file format; 2 is a compressed model.
VERSION = 1

#: Settings whose names and values are those of files.
PLAIN = (
    *("rcut", "rcut_smth", "ntypes", "tebd_dim", "tebd_input_mode", "set_davg_zero"),
    *("activation_function", "resnet_dt", "concat_output_tebd", "use_econf_tebd"),
    *("env_protection", "smooth", "trainable"),
)


def serialize(config: SeE3Tebd, params: Tree, type_map: list[str] | None) -> dict[str, Any]:
    """Return the ``descriptor`` section of a model file."""
    return {
        "@class": "Descriptor",
        "type": config.name,
        "@version": VERSION,
        **{name: getattr(config, name) for name in PLAIN},
        **{name: list(getattr(config, name)) for name in ("sel", "neuron")},
        "type_map": type_map,
        "precision": prec.canonical(config.precision),
        **nets_to_dict(config, params),
        "env_mat": env_mat(config),
        "type_embedding": types_to_dict(config, params["type_embedding"], type_map),
        "exclude_types": [list(pair) for pair in config.exclude_types],
        "@variables": statistics_to_dict(config, params),
    }


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
    refuse_foreign(node, where)
    check_version(node, range(1, VERSION + 1), where)
    found = {name: node[name] for name in PLAIN if name in node}
    for name in ("rcut", "rcut_smth"):
        found[name] = number(required(node, name, where))
    embedding = required(node, "type_embedding", where)
    for name in ("sel", "neuron"):
        found[name] = items(required(node, name, where), f"{where}.{name}")
    config = cls(
        **found,
        precision=prec.canonical(node.get("precision", "default")),
        use_tebd_bias=has_bias(embedding),
        type_map=items(node.get("type_map") or [], f"{where}.type_map"),
        exclude_types=items(node.get("exclude_types", []), f"{where}.exclude_types"),
    )
    params: Tree = {
        **nets_params(config, node, where),
        "type_embedding": types_params(config, embedding, f"{where}.type_embedding"),
        **statistics_params(config, node, where),
    }
    return config, params

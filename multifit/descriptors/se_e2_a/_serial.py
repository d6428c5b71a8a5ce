"""se_e2_a in the form that DeePMD-kit's model files give it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...nn.serial import collection_params
from ...tree import Tree
from .. import _radial

if TYPE_CHECKING:
    from ._descriptor import SeE2A

VERSION = 2


def serialize(config: SeE2A, params: Tree, type_map: list[str] | None = None) -> dict[str, Any]:
    """Return the ``descriptor`` section of a model file."""
    return {
        "@class": "Descriptor",
        "type": "se_e2_a",
        "@version": VERSION,
        "axis_neuron": config.axis_neuron,
        "type_map": type_map,
        **_radial.serialize(config, params, ndim=1 if config.type_one_side else 2),
    }


def options(node: dict[str, Any]) -> dict[str, Any]:
    """Return the settings that a ``descriptor`` section describes."""
    return _radial.options(node, VERSION) | {"axis_neuron": node["axis_neuron"]}


def parameters(config: SeE2A, node: dict[str, Any]) -> Tree:
    """Return the parameters that a ``descriptor`` section holds."""
    where = "descriptor.embeddings"
    return {
        "embeddings": collection_params(
            node["embeddings"], config.network, config.n_networks, where
        ),
        **{
            name: _radial.statistic(config, node["@variables"][name], name, 4)
            for name in ("davg", "dstd")
        },
    }

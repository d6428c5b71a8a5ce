"""Networks in the form of DeePMD-kit's model files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import precision as prec
from ..errors import FileFormatError
from ..files import check_version
from ..tree import Tree, numbered, numbered_values
from .networks import Layer, Network

#: Supported versions; the last one is written.
VERSIONS = {
    "Layer": range(1, 3),
    "EmbeddingNetwork": range(1, 3),
    "FittingNetwork": range(1, 2),
    "NetworkCollection": range(1, 2),
}


def layer_to_dict(layer: Layer, params: Tree) -> dict[str, Any]:
    """Return one layer in the form of model files."""
    return {
        "@class": "Layer",
        "@version": 2,
        "bias": layer.bias,
        "use_timestep": layer.timestep,
        "activation_function": layer.activation,
        "resnet": layer.resnet,
        "precision": prec.canonical(layer.precision),
        "trainable": layer.trainable,
        "@variables": {name: params.get(name) for name in ("w", "b", "idt")},
    }


def layer_params(node: dict[str, Any], layer: Layer, where: str) -> Tree:
    """Return the parameters of one layer, checked against its settings."""
    check_version(node, VERSIONS["Layer"], where)
    wanted: dict[str, tuple[int, ...]] = {"w": (layer.n_in, layer.n_out)}
    if layer.bias:
        wanted["b"] = (layer.n_out,)
    if layer.timestep:
        wanted["idt"] = (layer.n_out,)
    params = {}
    for name, shape in wanted.items():
        value = node["@variables"].get(name)
        if value is None:
            raise FileFormatError(f"{where} lacks the array {name!r}")
        value = np.asarray(value)
        value = value.reshape(-1) if name != "w" else value
        if value.shape != shape:
            raise FileFormatError(
                f"{where}.{name} has the shape {value.shape}, but its settings ask for {shape}"
            )
        params[name] = value.astype(prec.numpy_dtype(layer.precision))
    return params


def network_to_dict(network: Network, params: Tree, kind: str, head: dict[str, Any]) -> Any:
    """Return one network; ``kind`` is ``EmbeddingNetwork`` or ``FittingNetwork``."""
    layers = zip(network.layers, numbered_values(params["layers"]), strict=True)
    return {
        "@class": kind,
        "@version": VERSIONS[kind][-1],
        "in_dim": network.n_in,
        **head,
        "layers": [layer_to_dict(layer, p) for layer, p in layers],
    }


def collection_to_dict(
    networks: Sequence[Any], ntypes: int, ndim: int, network_type: str
) -> dict[str, Any]:
    """Return a collection of networks, one for each type (ndim 1) or pair of types (ndim 2)."""
    return {
        "@class": "NetworkCollection",
        "@version": 1,
        "ndim": ndim,
        "ntypes": ntypes,
        "network_type": network_type,
        "networks": list(networks),
    }


def collection_params(node: dict[str, Any], network: Network, count: int, where: str) -> Tree:
    """Return the parameters of every network of a collection, checked against the settings."""
    check_version(node, VERSIONS["NetworkCollection"], where)
    networks = node["networks"]
    if len(networks) != count or any(net is None for net in networks):
        raise FileFormatError(f"{where} holds {len(networks)} networks, but {count} are needed")
    return numbered(
        [
            {"layers": _network_layers(net, network, f"{where}.{k}")}
            for k, net in enumerate(networks)
        ]
    )


def _network_layers(node: dict[str, Any], network: Network, where: str) -> Tree:
    kind = node.get("@class", "EmbeddingNetwork")
    check_version(node, VERSIONS.get(kind, range(1, 2)), where)
    if len(node["layers"]) != len(network.layers):
        raise FileFormatError(
            f"{where} has {len(node['layers'])} layers, but its settings ask for "
            f"{len(network.layers)}"
        )
    pairs = zip(node["layers"], network.layers, strict=True)
    return numbered(
        [layer_params(one, layer, f"{where}.layers.{k}") for k, (one, layer) in enumerate(pairs)]
    )

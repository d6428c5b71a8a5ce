"""Networks in the form of DeePMD-kit's model files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import precision as prec
from ..errors import FileFormatError
from ..files import check_version, items, mapping, parameter, required
from ..tree import Tree, numbered, numbered_values
from .activations import is_same
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


def layer_params(value: Any, layer: Layer, where: str) -> Tree:
    """Return the parameters of one layer, checked against its settings."""
    node = mapping(value, where)
    check_version(node, VERSIONS["Layer"], where)
    _check_settings(node, layer, where)
    wanted: dict[str, tuple[int, ...]] = {"w": (layer.n_in, layer.n_out)}
    if layer.bias:
        wanted["b"] = (layer.n_out,)
    if layer.timestep:
        wanted["idt"] = (layer.n_out,)
    dtype = prec.numpy_dtype(layer.precision)
    return {name: parameter(node, name, shape, where, dtype) for name, shape in wanted.items()}


def _check_settings(node: dict[str, Any], layer: Layer, where: str) -> None:
    """Raise FileFormatError if a layer computes something else than its net says.

    DeePMD-kit reads the settings of each layer, multifit those of the net.
    """
    given = node.get("activation_function", layer.activation)
    if not is_same("none" if given is None else given, layer.activation):
        raise FileFormatError(
            f"{where}.activation_function is {given!r:.60}, but the net has "
            f"{layer.activation!r} there; restore the file from a copy"
        )
    if layer.n_out not in (layer.n_in, 2 * layer.n_in):
        return
    resnet = node.get("resnet", layer.resnet)
    if not isinstance(resnet, bool) or resnet != layer.resnet:
        raise FileFormatError(
            f"{where}.resnet is {resnet!r:.60}, but must be {str(layer.resnet).lower()}; restore "
            "the file from a copy"
        )


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


def collection_params(value: Any, network: Network, count: int, where: str) -> Tree:
    """Return the parameters of every network of a collection, checked against the settings."""
    node = mapping(value, where)
    check_version(node, VERSIONS["NetworkCollection"], where)
    networks = items(required(node, "networks", where), f"{where}.networks")
    if len(networks) != count or any(net is None for net in networks):
        raise FileFormatError(f"{where} holds {len(networks)} networks, but {count} are needed")
    return numbered(
        [
            {"layers": _network_layers(net, network, f"{where}.{k}")}
            for k, net in enumerate(networks)
        ]
    )


def _network_layers(value: Any, network: Network, where: str) -> Tree:
    node = mapping(value, where)
    kind = node.get("@class", "EmbeddingNetwork")
    known = VERSIONS.get(kind) if isinstance(kind, str) else None
    check_version(node, known or range(1, 2), where)
    layers = items(required(node, "layers", where), f"{where}.layers")
    if len(layers) != len(network.layers):
        raise FileFormatError(
            f"{where} has {len(layers)} layers, but its settings ask for {len(network.layers)}"
        )
    pairs = zip(layers, network.layers, strict=True)
    return numbered(
        [layer_params(one, layer, f"{where}.layers.{k}") for k, (one, layer) in enumerate(pairs)]
    )

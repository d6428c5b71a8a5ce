"""Embedded types, nets and statistics in the form of DeePMD-kit's model files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ... import precision as prec
from ...errors import UnsupportedError
from ...files import mapping, required
from ...nn.networks import Network
from ...nn.serial import collection_params, collection_to_dict, network_to_dict
from ...tree import Tree
from .._statistics import one_for_all_slots

if TYPE_CHECKING:
    from ._base import TypedDescriptor


def env_mat(config: TypedDescriptor) -> dict[str, Any]:
    """Return the settings of the environment matrix."""
    return {
        "rcut": config.rcut,
        "rcut_smth": config.rcut_smth,
        "protection": config.env_protection,
        "use_exp_switch": False,
    }


def refuse_foreign(node: dict[str, Any], where: str) -> None:
    """Raise UnsupportedError for a model that is compressed, or has another environment."""
    if "compress" in node:
        raise UnsupportedError("the model is compressed; give the model that it was made from")
    if mapping(node.get("env_mat", {}), f"{where}.env_mat").get("use_exp_switch"):
        raise UnsupportedError("the model's descriptor uses use_exp_switch, which multifit lacks")


def nets_to_dict(config: TypedDescriptor, params: Tree) -> dict[str, Any]:
    """Return the embedding net, and with ``strip`` that of the types, by their keys."""
    head = {
        "neuron": list(config.neuron),
        "activation_function": config.activation_function,
        "resnet_dt": config.resnet_dt,
        "bias": True,
        "precision": prec.canonical(config.precision),
    }
    return {
        name: collection_to_dict(
            [network_to_dict(network, params[name]["0"], "EmbeddingNetwork", head)],
            config.ntypes,
            0,
            "embedding_network",
        )
        for name, network in _networks(config).items()
    }


def nets_params(config: TypedDescriptor, node: dict[str, Any], where: str) -> Tree:
    """Return the parameters of these nets."""
    return {
        name: collection_params(required(node, name, where), network, 1, f"{where}.{name}")
        for name, network in _networks(config).items()
    }


def _networks(config: TypedDescriptor) -> dict[str, Network]:
    nets = {"embeddings": config.network}
    return nets | {"embeddings_strip": config.types_network} if config.strips else nets


def has_bias(embedding: Any) -> bool:
    """Return ``use_tebd_bias`` of a type embedding: true in files without the key."""
    return bool(mapping(embedding, "descriptor.type_embedding").get("use_tebd_bias", True))


def statistics_to_dict(config: TypedDescriptor, params: Tree) -> dict[str, np.ndarray]:
    """Return ``davg`` and ``dstd`` with a row for each slot, (ntypes, sel, 4)."""
    dtype = prec.numpy_dtype(config.precision)
    found = {}
    for name in ("davg", "dstd"):
        spread = np.repeat(np.asarray(params[name])[:, None, :], config.nnei, axis=1)
        found[name] = spread.astype(dtype)
    return found


def statistics_params(config: TypedDescriptor, node: dict[str, Any], where: str) -> Tree:
    """Return ``davg`` and ``dstd``, (ntypes, 4).

    Raises
    ------
    FileFormatError
        If a deviation is not > 0.
    UnsupportedError
        If statistics differ between slots.
    """
    return {
        name: one_for_all_slots(node, name, config.ntypes, config.nnei, where)
        for name in ("davg", "dstd")
    }

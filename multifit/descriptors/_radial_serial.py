"""Radial descriptors in the form of DeePMD-kit's model files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .. import precision as prec
from ..errors import FileFormatError, UnsupportedError
from ..files import check_version, items, mapping, number, parameter, required
from ..nn.serial import collection_params, collection_to_dict, network_to_dict
from ..tree import Tree, numbered_values

if TYPE_CHECKING:
    from ._radial import RadialDescriptor


def serialize(config: RadialDescriptor, params: Tree) -> dict[str, Any]:
    """Return the keys of a ``descriptor`` section common to radial descriptors."""
    precision = prec.canonical(config.precision)
    head = {
        "neuron": list(config.neuron),
        "activation_function": config.activation_function,
        "resnet_dt": config.resnet_dt,
        "bias": True,
        "precision": precision,
    }
    nets = [
        network_to_dict(config.network, net, "EmbeddingNetwork", head)
        for net in numbered_values(params["embeddings"])
    ]
    return {
        "rcut": config.rcut,
        "rcut_smth": config.rcut_smth,
        "sel": list(config.sel),
        "neuron": list(config.neuron),
        "resnet_dt": config.resnet_dt,
        "set_davg_zero": config.set_davg_zero,
        "activation_function": config.activation_function,
        "precision": precision,
        "embeddings": collection_to_dict(
            nets, config.ntypes, 1 if config.type_one_side else 2, "embedding_network"
        ),
        "env_mat": {
            "rcut": config.rcut,
            "rcut_smth": config.rcut_smth,
            "protection": config.env_protection,
            "use_exp_switch": False,
        },
        "exclude_types": [list(pair) for pair in config.exclude_types],
        "env_protection": config.env_protection,
        "@variables": {name: _spread(config, params[name]) for name in ("davg", "dstd")},
        "trainable": config.trainable,
        "type_one_side": config.type_one_side,
        "spin": None,
    }


def options(node: dict[str, Any], version: int) -> dict[str, Any]:
    """Return the settings of a ``descriptor`` section common to radial descriptors.

    Raises
    ------
    UnsupportedError
        If the model is compressed, of a later version, or uses an unsupported option.
    """
    where = "descriptor"
    # Compressed models have a different version.
    if "compress" in node:
        raise UnsupportedError("the model is compressed; give the model that it was made from")
    check_version(node, range(1, version + 1), "descriptor")
    env_mat = mapping(node.get("env_mat", {}), "descriptor.env_mat")
    if node.get("spin") is not None or env_mat.get("use_exp_switch"):
        raise UnsupportedError(
            "the model's descriptor uses spin or use_exp_switch, which multifit lacks"
        )
    return {
        **{key: number(required(node, key, where)) for key in ("rcut", "rcut_smth")},
        **{key: items(required(node, key, where), f"{where}.{key}") for key in ("sel", "neuron")},
        "resnet_dt": node.get("resnet_dt", False),
        "trainable": node.get("trainable", True),
        "type_one_side": node.get("type_one_side", True),
        "exclude_types": items(node.get("exclude_types", []), f"{where}.exclude_types"),
        "env_protection": number(node.get("env_protection", 0.0)),
        "set_davg_zero": node.get("set_davg_zero", False),
        "activation_function": node.get("activation_function", "tanh"),
        "precision": prec.canonical(node.get("precision", "default")),
    }


def _spread(config: RadialDescriptor, statistic: np.ndarray) -> np.ndarray:
    """Return (ntypes, Σ sel, c) from (ntypes, ntypes, c): one row for each neighbour slot."""
    spread = np.repeat(np.asarray(statistic), config.sel, axis=1)
    return spread.astype(prec.numpy_dtype(config.precision))


def _statistic(config: RadialDescriptor, node: dict[str, Any], name: str) -> np.ndarray:
    """Return (ntypes, ntypes, c) from the statistic of a file, one row for each neighbour slot.

    Raises
    ------
    FileFormatError
        If it is missing, has a different shape, or is not finite (and positive, if it divides).
    UnsupportedError
        If it differs between the slots of one type.
    """
    n, slots, components = config.ntypes, config.nnei, config.components
    full = parameter(node, name, (n, slots, components), "descriptor")
    if name == "dstd" and not (full > 0).all():
        raise FileFormatError(
            f"descriptor.dstd is {full.min():g} for a type, but must be > 0: the environment is "
            "divided by it; restore the file from a copy"
        )
    ends = np.cumsum(config.sel)
    blocks = [full[:, end - k : end] for k, end in zip(config.sel, ends, strict=True)]
    for block in blocks:
        if block.size and np.any(block != block[:, :1]):
            raise UnsupportedError(
                f"descriptor.{name} differs between neighbours of one type; "
                "multifit reads models whose statistics depend on the types alone"
            )
    neutral = np.full((n, components), 0.0 if name == "davg" else 1.0)
    return np.stack([b[:, 0] if b.shape[1] else neutral for b in blocks], axis=1)


def parameters(config: RadialDescriptor, node: dict[str, Any]) -> Tree:
    """Return the parameters of a ``descriptor`` section.

    Raises
    ------
    FileFormatError
        If an array is missing or its shape does not match the settings.
    """
    nets, where = required(node, "embeddings", "descriptor"), "descriptor.embeddings"
    return {
        "embeddings": collection_params(nets, config.network, config.n_networks, where),
        **{name: _statistic(config, node, name) for name in ("davg", "dstd")},
    }

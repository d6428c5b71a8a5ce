"""se_e2_a in the form that DeePMD-kit's model files give it."""

from __future__ import annotations

from typing import Any

import numpy as np

from ... import precision as prec
from ...errors import FileFormatError, UnsupportedError
from ...files import check_version
from ...nn.serial import collection_params, collection_to_dict, network_to_dict
from ...tree import Tree, numbered_values
from ._settings import SeE2A

VERSION = 2
TYPES = ("se_e2_a", "se_a")


def _spread(config: SeE2A, statistic: np.ndarray) -> np.ndarray:
    """Return (ntypes, Σ sel, 4) from (ntypes, ntypes, 4): one row for each neighbour slot."""
    spread = np.repeat(np.asarray(statistic), config.sel, axis=1)
    return spread.astype(prec.numpy_dtype(config.precision))


def _gather(config: SeE2A, statistic: np.ndarray, name: str) -> np.ndarray:
    """Return (ntypes, ntypes, 4) from one row for each neighbour slot."""
    n = config.ntypes
    full = np.asarray(statistic, dtype=np.float64)
    if full.size != n * config.nnei * 4:
        raise FileFormatError(
            f"descriptor.{name} has the shape {full.shape}, but sel asks for {(n, config.nnei, 4)}"
        )
    full = full.reshape(n, config.nnei, 4)
    ends = np.cumsum(config.sel)
    blocks = [full[:, end - k : end] for k, end in zip(config.sel, ends, strict=True)]
    for block in blocks:
        if block.size and np.any(block != block[:, :1]):
            raise UnsupportedError(
                f"descriptor.{name} differs between neighbours of one type; "
                "multifit reads models whose statistics depend on the types alone"
            )
    neutral = np.zeros((n, 4)) if name == "davg" else np.ones((n, 4))
    return np.stack([b[:, 0] if b.shape[1] else neutral for b in blocks], axis=1)


def serialize(config: SeE2A, params: Tree, type_map: list[str] | None = None) -> dict[str, Any]:
    """Return the ``descriptor`` section of a model file."""
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
    ndim = 1 if config.type_one_side else 2
    return {
        "@class": "Descriptor",
        "type": "se_e2_a",
        "@version": VERSION,
        "rcut": config.rcut,
        "rcut_smth": config.rcut_smth,
        "sel": list(config.sel),
        "neuron": list(config.neuron),
        "axis_neuron": config.axis_neuron,
        "resnet_dt": config.resnet_dt,
        "set_davg_zero": config.set_davg_zero,
        "activation_function": config.activation_function,
        "precision": precision,
        "embeddings": collection_to_dict(nets, config.ntypes, ndim, "embedding_network"),
        "env_mat": {
            "rcut": config.rcut,
            "rcut_smth": config.rcut_smth,
            "protection": config.env_protection,
            "use_exp_switch": False,
        },
        "exclude_types": [list(pair) for pair in config.exclude_types],
        "env_protection": config.env_protection,
        "@variables": {name: _spread(config, params[name]) for name in ("davg", "dstd")},
        "type_map": type_map,
        "trainable": config.trainable,
        "type_one_side": config.type_one_side,
        "spin": None,
    }


def settings(node: dict[str, Any]) -> SeE2A:
    """Return the settings that a ``descriptor`` section describes."""
    if node.get("type") not in TYPES:
        raise UnsupportedError(
            f"the model's descriptor is of type {node.get('type')!r}; multifit reads 'se_e2_a'"
        )
    # Compressed ones have a version of their own.
    if "compress" in node:
        raise UnsupportedError("the model is compressed; give the model that it was made from")
    check_version(node, range(1, VERSION + 1), "descriptor")
    if node.get("spin") is not None or node.get("env_mat", {}).get("use_exp_switch"):
        raise UnsupportedError(
            "the model's descriptor uses spin or use_exp_switch, which multifit lacks"
        )
    return SeE2A(
        rcut=float(node["rcut"]),
        rcut_smth=float(node["rcut_smth"]),
        sel=tuple(int(n) for n in node["sel"]),
        neuron=tuple(node["neuron"]),
        axis_neuron=node["axis_neuron"],
        resnet_dt=node.get("resnet_dt", False),
        trainable=bool(node.get("trainable", True)),
        type_one_side=node.get("type_one_side", True),
        exclude_types=tuple((int(a), int(b)) for a, b in node.get("exclude_types", [])),
        env_protection=float(node.get("env_protection", 0.0)),
        set_davg_zero=node.get("set_davg_zero", False),
        activation_function=node.get("activation_function", "tanh"),
        precision=prec.canonical(node.get("precision", "default")),
    )


def deserialize(node: dict[str, Any]) -> tuple[SeE2A, Tree]:
    """Return the settings and parameters that a ``descriptor`` section holds.

    Raises
    ------
    FileFormatError
        If an array is missing or has another shape than its settings ask for.
    UnsupportedError
        If the descriptor is of another kind, or uses an option that multifit does not have.
    """
    config = settings(node)
    variables = node["@variables"]
    where = "descriptor.embeddings"
    return config, {
        "embeddings": collection_params(
            node["embeddings"], config.network, config.n_networks, where
        ),
        "davg": _gather(config, variables["davg"], "davg"),
        "dstd": _gather(config, variables["dstd"], "dstd"),
    }

"""What descriptors with embedding nets N_ab(s) of the radial part have in common."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from .. import precision as prec
from ..errors import FileFormatError, UnsupportedError
from ..files import check_version
from ..nn.networks import Network, Seed, child_seed, embedding_network, init_network
from ..nn.networks import trainable_names as network_names
from ..nn.serial import collection_to_dict, network_to_dict
from ..tree import Tree, numbered, numbered_values
from ._environment import Environment


class Settings(Protocol):
    """Settings of a descriptor with radial embedding nets, under the names of ``input.json``."""

    @property
    def rcut(self) -> float:
        """The cut-off in Å."""
        ...

    @property
    def rcut_smth(self) -> float:
        """Å from which the switch falls to 0."""
        ...

    @property
    def sel(self) -> tuple[int, ...]:
        """The most neighbours of each type."""
        ...

    @property
    def neuron(self) -> tuple[int, ...]:
        """Widths of the nets."""
        ...

    @property
    def activation_function(self) -> str:
        """That of the nets."""
        ...

    @property
    def resnet_dt(self) -> bool:
        """True if residual layers have a trainable step."""
        ...

    @property
    def precision(self) -> str:
        """That of the nets."""
        ...

    @property
    def trainable(self) -> bool:
        """True if training changes the nets."""
        ...

    @property
    def type_one_side(self) -> bool:
        """True if a net depends on the type of the neighbour alone."""
        ...

    @property
    def env_protection(self) -> float:
        """Å added to distances before they are divided by."""
        ...

    @property
    def exclude_types(self) -> tuple[tuple[int, int], ...]:
        """Pairs of types that do not see each other."""
        ...

    @property
    def set_davg_zero(self) -> bool:
        """True if the mean is 0 whatever the data."""
        ...

    @property
    def network(self) -> Network:
        """The settings that all nets share."""
        ...


def network(config: Settings, *, double: bool = False) -> Network:
    """Return the settings that all embedding nets share, in their precision or in float64."""
    return embedding_network(
        config.neuron,
        activation_function=config.activation_function,
        resnet_dt=config.resnet_dt,
        precision="float64" if double else prec.canonical(config.precision),
        trainable=config.trainable,
    )


def environment(config: Settings) -> Environment:
    """Return the radial settings."""
    return Environment(config.rcut, config.rcut_smth, config.env_protection)


def excluded(config: Settings) -> frozenset[tuple[int, int]]:
    """Return the excluded pairs of types, in both orders."""
    return frozenset(p for a, b in config.exclude_types for p in ((a, b), (b, a)))


def number_of_networks(config: Settings) -> int:
    """Return one net for each neighbour type, or one for each pair of types."""
    return len(config.sel) if config.type_one_side else len(config.sel) ** 2


def network_index(config: Settings, centre: int, neighbour: int) -> int:
    """Return the position of N_ab in the collection (and in a model file)."""
    return neighbour if config.type_one_side else centre + neighbour * len(config.sel)


def init(config: Settings, seed: Seed, components: int) -> Tree:
    """Return random embedding nets, and statistics that change nothing (μ = 0, σ = 1).

    Parameters
    ----------
    components
        Of the environment that are used: 4, or 1 for the radial one alone.
    """
    n = len(config.sel)
    # DeePMD-kit numbers the seeds of the nets N_ab by a·ntypes + b, their places by a + b·ntypes.
    order = (
        list(range(n))
        if config.type_one_side
        else [(place % n) * n + place // n for place in range(n * n)]
    )
    nets = [init_network(config.network, child_seed(seed, k)) for k in order]
    return {
        "embeddings": numbered(nets),
        "davg": np.zeros((n, n, components)),
        "dstd": np.ones((n, n, components)),
    }


def trainable_names(config: Settings) -> Iterator[str]:
    """Yield the dotted names of the parameters that training may change."""
    for k in range(number_of_networks(config)):
        yield from (f"embeddings.{k}.{name}" for name in network_names(config.network))


def remap_types(
    config: Settings, params: Tree, other: Settings, known: Tree, shared: Sequence[tuple[int, int]]
) -> Tree:
    """Return nets and statistics in which shared types are as in another model.

    The scale of R belongs to the centre alone, so that a new neighbour type shares it.
    """
    nets = dict(params["embeddings"])
    found = {name: np.array(params[name]) for name in ("davg", "dstd")}
    for a_new, a_old in shared:
        for b_new, b_old in shared:
            here = str(network_index(config, a_new, b_new))
            nets[here] = known["embeddings"][str(network_index(other, a_old, b_old))]
        for name, value in found.items():
            value[a_new] = known[name][a_old, shared[0][1]]
    return {**params, "embeddings": nets, **found}


def describe(
    config: Settings, kind: str, dim_out: int, type_map: Sequence[str], more: str = ""
) -> Iterator[tuple[str, str]]:
    """Yield (name, text) for ``multifit show``; ``more`` follows the nets."""
    yield "descriptor", f"{kind}, {dim_out} numbers for each atom, {config.precision}"
    yield "cut-off", f"{config.rcut:g} Å, smooth from {config.rcut_smth:g} Å"
    sel = "  ".join(f"{name} {n}" for name, n in zip(type_map, config.sel, strict=True))
    yield "sel", f"{sel}  (the most neighbours that count)"
    per = "for each neighbour type" if config.type_one_side else "for each pair of types"
    widths = "-".join(map(str, config.neuron))
    nets = f"{number_of_networks(config)} × {widths}, one {per}, {config.activation_function}"
    step = ", resnet_dt" if config.resnet_dt else ""
    yield "embedding nets", f"{nets}{step}{more}"


def serialize(config: Settings, params: Tree, ndim: int) -> dict[str, Any]:
    """Return the keys of a ``descriptor`` section that radial descriptors share.

    Parameters
    ----------
    ndim
        Types that an embedding net depends on: 1 or 2.
    """
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
        "embeddings": collection_to_dict(nets, len(config.sel), ndim, "embedding_network"),
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
    """Return the settings of a ``descriptor`` section that radial descriptors share.

    Raises
    ------
    UnsupportedError
        If the model is compressed, of a later version, or uses what multifit does not have.
    """
    # Compressed ones have a version of their own.
    if "compress" in node:
        raise UnsupportedError("the model is compressed; give the model that it was made from")
    check_version(node, range(1, version + 1), "descriptor")
    if node.get("spin") is not None or node.get("env_mat", {}).get("use_exp_switch"):
        raise UnsupportedError(
            "the model's descriptor uses spin or use_exp_switch, which multifit lacks"
        )
    return {
        "rcut": float(node["rcut"]),
        "rcut_smth": float(node["rcut_smth"]),
        "sel": tuple(int(n) for n in node["sel"]),
        "neuron": tuple(node["neuron"]),
        "resnet_dt": node.get("resnet_dt", False),
        "trainable": bool(node.get("trainable", True)),
        "type_one_side": node.get("type_one_side", True),
        "exclude_types": tuple((int(a), int(b)) for a, b in node.get("exclude_types", [])),
        "env_protection": float(node.get("env_protection", 0.0)),
        "set_davg_zero": node.get("set_davg_zero", False),
        "activation_function": node.get("activation_function", "tanh"),
        "precision": prec.canonical(node.get("precision", "default")),
    }


def _spread(config: Settings, statistic: np.ndarray) -> np.ndarray:
    """Return (ntypes, Σ sel, c) from (ntypes, ntypes, c): one row for each neighbour slot."""
    spread = np.repeat(np.asarray(statistic), config.sel, axis=1)
    return spread.astype(prec.numpy_dtype(config.precision))


def statistic(config: Settings, full: np.ndarray, name: str, components: int) -> np.ndarray:
    """Return (ntypes, ntypes, c) from the statistic of a file, one row for each neighbour slot.

    Raises
    ------
    FileFormatError
        If it has another shape.
    UnsupportedError
        If it differs between the slots of one type.
    """
    n, slots = len(config.sel), sum(config.sel)
    full = np.asarray(full, dtype=np.float64)
    if full.size != n * slots * components:
        raise FileFormatError(
            f"descriptor.{name} has the shape {full.shape}, but sel asks for "
            f"{(n, slots, components)}"
        )
    full = full.reshape(n, slots, components)
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

"""The parameters of se_atten: random ones, names, and those of other types."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ...nn.networks import Seed, child_seed, init_layer, init_network
from ...nn.networks import trainable_names as network_names
from ...precision import numpy_dtype
from ...tree import Tree, numbered
from .._types import remapped

if TYPE_CHECKING:
    from ._base import TypedDescriptor
    from ._descriptor import SeAtten


def init(config: SeAtten, seed: Seed) -> Tree:
    """Return random networks, and neutral statistics (μ = 0, σ = 1).

    The seeds of the parts are those of DeePMD-kit's NumPy core.
    """
    block = child_seed(seed, 0)
    params: Tree = {
        **init_block(config, block),
        "type_embedding": init_network(config.type_network, child_seed(seed, 1)),
    }
    if config.attn_layer:
        layers = child_seed(block, 2)
        params["attention"] = numbered(
            [_init_attention(config, child_seed(layers, k)) for k in range(config.attn_layer)]
        )
    return params


def init_block(config: TypedDescriptor, seed: Seed) -> Tree:
    """Return random embedding nets, and neutral statistics."""
    params: Tree = {
        "embeddings": {"0": init_network(config.network, child_seed(seed, 0))},
        **init_statistics(config),
    }
    if config.strips:
        params["embeddings_strip"] = {"0": init_network(config.types_network, child_seed(seed, 1))}
    return params


def init_statistics(config: TypedDescriptor) -> Tree:
    """Return μ = 0 and σ = 1."""
    return {"davg": np.zeros((config.ntypes, 4)), "dstd": np.ones((config.ntypes, 4))}


def _init_attention(config: SeAtten, seed: Seed) -> Tree:
    into, out = config.projections
    parts = child_seed(seed, 0)
    width, dtype = config.neuron[-1], numpy_dtype(config.precision)
    return {
        "in_proj": init_layer(into, child_seed(parts, 0)),
        "out_proj": init_layer(out, child_seed(parts, 1)),
        "norm": {"w": np.ones(width, dtype=dtype), "b": np.zeros(width, dtype=dtype)},
    }


def trainable_names(config: SeAtten) -> Iterator[str]:
    """Yield the dotted names of the trainable parameters."""
    if not config.trainable:
        return
    yield from block_names(config)
    for k in range(config.attn_layer):
        parts = ("in_proj", "out_proj") + ("norm",) * config.trainable_ln
        yield from (f"attention.{k}.{part}.{name}" for part in parts for name in ("w", "b"))
    yield from (f"type_embedding.{name}" for name in network_names(config.type_network))


def block_names(config: TypedDescriptor) -> Iterator[str]:
    """Yield the dotted names of the trainable parameters of the embedding nets."""
    yield from (f"embeddings.0.{name}" for name in network_names(config.network))
    if config.strips:
        yield from (f"embeddings_strip.0.{name}" for name in network_names(config.types_network))


def remap_types(
    config: TypedDescriptor,
    params: Tree,
    other: TypedDescriptor,
    known: Tree,
    shared: Sequence[tuple[int, int]],
) -> Tree:
    """Return the networks of another model, with what it knows of the shared types.

    New types keep their embedding and their statistics.
    """
    found = {**known, **remap_statistics(params, known, shared)}
    embedding = remapped(config, params["type_embedding"], other, known["type_embedding"], shared)
    return {**found, "type_embedding": embedding}


def remap_statistics(params: Tree, known: Tree, shared: Sequence[tuple[int, int]]) -> Tree:
    """Return the statistics of another model for the shared types, and of this for the others."""
    found = {name: np.array(params[name]) for name in ("davg", "dstd")}
    for here, there in shared:
        for name, value in found.items():
            value[here] = known[name][there]
    return found


def describe(config: SeAtten) -> Iterator[tuple[str, str]]:
    """Yield (name, text) for ``multifit show``."""
    yield "descriptor", f"{config.name}, {config.dim_out} numbers for each atom, {config.precision}"
    yield "cut-off", f"{config.rcut:g} Å, smooth from {config.rcut_smth:g} Å"
    yield "sel", f"{config.nnei}  (the most neighbours that count, of all types)"
    widths = "-".join(map(str, config.neuron))
    step = ", resnet_dt" if config.resnet_dt else ""
    yield (
        "embedding net",
        f"{widths} for all types, {config.activation_function}{step}, "
        f"axis_neuron {config.axis_neuron}",
    )
    ends = "the neighbour" if config.type_one_side else "both atoms"
    yield from describe_types(config, ends, smooth=config.strips and config.is_smooth)
    if config.attn_layer:
        gate = ", gated by angles" if config.attn_dotr else ""
        fade = ", smooth" if config.is_smooth else ", not smooth at the cut-off"
        plural = "s" * (config.attn_layer > 1)
        yield "attention", f"{config.attn_layer} layer{plural} of width {config.attn}{gate}{fade}"


def describe_types(
    config: TypedDescriptor, ends: str, *, smooth: bool
) -> Iterator[tuple[str, str]]:
    """Yield (name, text) about the embedding of the types of some atoms."""
    source = "electron configurations" if config.use_econf_tebd else "types"
    how = "a factor from a net of its own" if config.strips else "input of the net"
    fading = ", smooth" * smooth
    output = ", also appended to the descriptor" if config.concat_output_tebd else ""
    yield (
        "type embedding",
        f"{config.tebd_dim} numbers from {source}, of {ends}, {how}{fading}{output}",
    )

"""The parameters of dpa2: random ones, names, and those of other types."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...nn.networks import Seed, child_seed, descendant, init_layer, init_network
from ...nn.networks import trainable_names as network_names
from ...precision import numpy_dtype
from ...tree import Tree, numbered, unflatten
from .._types import remapped
from .._updates import draw
from ..dpa1._parameters import block_names, init_block, init_statistics, remap_statistics
from ._layers import has_norm, maps, weights

if TYPE_CHECKING:
    from ._descriptor import Dpa2

#: The seeds of the parts are those of DeePMD-kit's NumPy core.
SEEDS = {
    "repinit": 0,
    "repformer": 1,
    "type_embedding": 2,
    "g1_shape_tranform": 3,
    "tebd_transform": 4,
    "three_body": 5,
}


def init(config: Dpa2, seed: Seed) -> Tree:
    """Return random parameters, and neutral statistics (μ = 0, σ = 1)."""
    seeds = {name: child_seed(seed, k) for name, k in SEEDS.items()}
    params: Tree = {
        name: init_block(config.blocks[name], seeds[name]) for name in config.first_parts
    }
    params["repformer"] = _init_layers(config, seeds["repformer"])
    params["type_embedding"] = init_network(config.type_network, seeds["type_embedding"])
    for name, layer in config.transformations.items():
        params[name] = init_layer(layer, seeds[name])
    return params


def _init_layers(config: Dpa2, seed: Seed) -> Tree:
    own = config.repformer
    layers = [_init_layer(config, k, descendant(seed, (1, k))) for k in range(own.nlayers)]
    return {
        "g2_embd": init_layer(config.embedding, child_seed(seed, 0)),
        "layers": numbered(layers),
        **init_statistics(config.blocks["repformer"]),
    }


def _init_layer(config: Dpa2, k: int, seed: Seed) -> Tree:
    own, dtype = config.repformer, numpy_dtype(config.precision)
    drawn: dict[str, Any] = {}
    for name, (layer, path) in maps(own, k, config.precision, config.trainable).items():
        for key, value in init_layer(layer, descendant(seed, path)).items():
            drawn[f"{name}.{key}"] = value
    for name, (width, seeds) in weights(own, k).items():
        for place, number in enumerate(seeds):
            one = child_seed(seed, number)
            drawn[f"{name}.{place}"] = draw(own, width, one, dtype, config.trainable)
    if has_norm(own, k):
        drawn["attn2_lm.w"] = np.ones(own.g2_dim, dtype=dtype)
        drawn["attn2_lm.b"] = np.zeros(own.g2_dim, dtype=dtype)
    return unflatten(drawn)


def trainable_names(config: Dpa2) -> Iterator[str]:
    """Yield the dotted names of the trainable parameters."""
    if not config.trainable:
        return
    for name in config.first_parts:
        yield from (f"{name}.{key}" for key in block_names(config.blocks[name]))
    yield from ("repformer.g2_embd.w", "repformer.g2_embd.b")
    own = config.repformer
    for k in range(own.nlayers):
        here = f"repformer.layers.{k}"
        for name, (layer, _) in maps(own, k, config.precision).items():
            yield from (f"{here}.{name}.{key}" for key in ("w",) + ("b",) * layer.bias)
        for name, (_, seeds) in weights(own, k).items():
            yield from (f"{here}.{name}.{place}" for place in range(len(seeds)))
        if has_norm(own, k) and own.trainable_ln:
            yield from (f"{here}.attn2_lm.{key}" for key in ("w", "b"))
    yield from (f"type_embedding.{key}" for key in network_names(config.type_network))
    yield from (f"{name}.w" for name in config.transformations)


def remap_types(
    config: Dpa2, params: Tree, other: Dpa2, known: Tree, shared: Sequence[tuple[int, int]]
) -> Tree:
    """Return the parameters of another model, with what it knows of the shared types.

    New types keep their embedding and their statistics.
    """
    found = {
        **known,
        **{
            name: {**known[name], **remap_statistics(params[name], known[name], shared)}
            for name in config.blocks
        },
    }
    mine, theirs = params["type_embedding"], known["type_embedding"]
    return {**found, "type_embedding": remapped(config, mine, other, theirs, shared)}

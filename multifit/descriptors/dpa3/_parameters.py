"""The parameters of dpa3: random ones, names, and those of other types."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ...nn.networks import Network, Seed, child_seed, descendant, init_layer, init_network
from ...precision import numpy_dtype
from ...tree import Tree, flatten, numbered
from .._types import remapped, type_layer
from .._updates import draw
from ._layers import embeddings, parts, residuals

if TYPE_CHECKING:
    from ._descriptor import Dpa3

#: Parameters that are computed from data.
STATISTICS = ("davg", "dstd")


def init(config: Dpa3, seed: Seed) -> Tree:
    """Return random parameters, with μ = 0 and the constant σ.

    The seeds of the parts are those of DeePMD-kit's NumPy core.
    """
    block = child_seed(seed, 1)
    layers = child_seed(block, 1)
    network = Network((type_layer(config),))
    return {
        "type_embedding": init_network(network, child_seed(seed, 2)),
        **{
            name: init_layer(part.layer, child_seed(block, part.seed))
            for name, part in embeddings(config).items()
        },
        "layers": numbered(
            [_init_layer(config, child_seed(layers, k)) for k in range(config.nlayers)]
        ),
        **constants(config),
    }


def constants(config: Dpa3) -> dict[str, np.ndarray]:
    """Return the statistics if they are not computed from data, (ntypes, 4)."""
    shape = (config.ntypes, 4)
    return {"davg": np.zeros(shape), "dstd": np.full(shape, config.fix_stat_std or 1.0)}


def _init_layer(config: Dpa3, seed: Seed) -> Tree:
    dtype = numpy_dtype(config.precision)
    maps: Tree = {
        name: init_layer(part.layer, child_seed(seed, part.seed))
        for name, part in parts(config).items()
    }
    for name, each in residuals(config).items():
        if each:
            maps[name] = numbered(
                [
                    draw(config, one.width, descendant(seed, one.seed), dtype, config.trainable)
                    for one in each
                ]
            )
    return maps


def trainable_names(config: Dpa3) -> Iterator[str]:
    """Yield the dotted names of the trainable parameters."""
    if config.trainable:
        yield from (name for name in flatten(init(config, 0)) if name not in STATISTICS)


def remap_types(
    config: Dpa3, params: Tree, other: Dpa3, known: Tree, shared: Sequence[tuple[int, int]]
) -> Tree:
    """Return the layers of another model, with what it knows of the shared types.

    New types keep their embedding and their statistics.
    """
    found = {**known, **{name: np.array(params[name]) for name in STATISTICS}}
    for here, there in shared:
        for name in STATISTICS:
            found[name][here] = known[name][there]
    mine, theirs = params["type_embedding"], known["type_embedding"]
    return {**found, "type_embedding": remapped(config, mine, other, theirs, shared)}


def describe(config: Dpa3) -> Iterator[tuple[str, str]]:
    """Yield (name, text) for ``multifit show``."""
    yield "descriptor", f"{config.name}, {config.dim_out} numbers for each atom, {config.precision}"
    plural = "s" * (config.nlayers > 1)
    yield (
        "layers",
        f"{config.nlayers} layer{plural}, n_dim {config.n_dim}, e_dim {config.e_dim}, a_dim "
        f"{config.a_dim}, {config.activation_function}",
    )
    fades = "exponential switch" if config.use_exp_switch else "smooth"
    scaled = f", sums divided by {config.e_norm:g}" if config.use_dynamic_sel else ""
    yield (
        "pairs",
        f"up to {config.e_sel} within {config.e_rcut:g} Å, {fades} from {config.e_rcut_smth:g} Å"
        f"{scaled}",
    )
    if not config.update_angle:
        yield "angles", "none"
        return
    scaled = f", sums divided by √{config.a_norm:g}" if config.use_dynamic_sel else ""
    edge = "" if config.smooth_edge_update else ", not smooth there"
    yield (
        "angles",
        f"of up to {config.a_sel} neighbours within {config.a_rcut:g} Å, {fades} from "
        f"{config.a_rcut_smth:g} Å{scaled}{edge}",
    )
    style = {"res_avg": "averages", "res_incr": "increments", "res_residual": "weighted increments"}
    order = ", one after the other" if config.sequential_update else ""
    yield "updates", f"{style[config.update_style]}{order}"
    source = "electron configurations" if config.use_econf_tebd else "types"
    output = ", also appended to the descriptor" if config.concat_output_tebd else ""
    yield "type embedding", f"from {source}{output}"

"""The descriptors of all atoms of a batch, and their pullback to the pair vectors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ... import precision as prec
from ...autodiff import with_pullback
from ...backend import Arithmetic
from ...nn.activations import activated
from ...tree import Tree
from .. import _messages as messages
from .._pieces import rows_in
from .._types import type_table, with_types
from ..dpa1._apply import by_vectors
from ._first import FirstBlock
from ._forward import RepformerLayers
from ._geometry import by_distances, distances

if TYPE_CHECKING:
    from ._descriptor import Dpa2

Array = Any


def apply(
    arithmetic: Arithmetic,
    config: Dpa2,
    params: Tree,
    counts: Mapping[int, int],
    known: Tree,
    plan: Tree | None,
) -> tuple[Array, Callable[[Array], Array]]:
    """Return D (N, dim_out), and D̄ → ∂/∂r_ij of the pairs of all blocks (N, 3, P).

    Parameters
    ----------
    known
        From :func:`._geometry.geometry`.
    """
    xp = arithmetic.xp
    table = type_table(xp, config, params)
    x, by_blocks = FirstBlock(arithmetic, config, params, table, plan).apply(counts, known)
    d, pull = _second(arithmetic, config, params, known["repformer"], plan, x)

    def pullback(d_bar: Array) -> Array:
        x_bar, last = pull(d_bar)
        found = {**by_blocks(x_bar), "repformer": last}
        parts = [found[name] for name in config.blocks if "rij" in known[name]]
        if not parts:
            return xp.zeros((x_bar.shape[0], 3, 0), dtype=xp.float64)
        return parts[0] if len(parts) == 1 else xp.concat(parts, axis=2)

    return with_types(xp, config, table, counts, known["kind"], (d, pullback))


def _second(
    arithmetic: Arithmetic,
    config: Dpa2,
    params: Tree,
    block: Tree,
    plan: Tree | None,
    x: Array,
) -> tuple[Array, Callable[[Array], tuple[Array, Array | None]]]:
    """Return g of the last layer (N, n₁), and ḡ → (x̄, ∂/∂r_ij of the second block)."""
    xp = arithmetic.xp
    name = config.repformer.activation_function
    node, by_x = with_pullback(arithmetic, lambda a, y: activated(a.xp, name, y), x)
    pairs = _pairs(xp, config, block)
    known = {
        key: prec.cast(xp, pairs[key], config.precision) for key in ("rows", "switch", "present")
    }
    known["index"] = pairs["index"]
    layers = RepformerLayers(config.repformer, config.smooth)
    rows = rows_in(plan, x.shape[0])
    g, pull = messages.apply(arithmetic, layers, params["repformer"], known, node, rows)

    def pullback(g_bar: Array) -> tuple[Array, Array | None]:
        found = pull(xp.astype(g_bar, g.dtype, copy=False))
        (x_bar,) = by_x(found.pop("node"))
        if "rij" not in block:
            return x_bar, None
        wide = block["rij"].dtype
        by = {key: xp.astype(bar, wide, copy=False) for key, bar in found.items()}
        if config.repformer.direct_dist:
            return x_bar, by_distances(xp, config, block, by)
        return x_bar, by_vectors(xp, block, by)

    return g, pullback


def _pairs(xp: Any, config: Dpa2, block: Tree) -> Tree:
    """Return the pairs of the second block; one empty slot replaces those of no pairs."""
    if "rij" in block:
        rows = distances(xp, config, block) if config.repformer.direct_dist else block["rows"]
        return {**block, "rows": rows}
    n = block["absent"].shape[0]
    return {
        "rows": xp.zeros((n, 4, 1), dtype=xp.float64),
        "switch": xp.zeros((n, 1), dtype=xp.float64),
        "present": xp.zeros((n, 1), dtype=xp.float64),
        "index": xp.zeros((n, 1), dtype=xp.int64),
    }

"""The descriptors of all atoms of a batch, and their pullback to the pair vectors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ... import precision as prec
from ...autodiff import ReverseArithmetic, with_pullback
from ...backend import Arithmetic
from ...nn.groups import picked
from ...tree import Tree
from .._tables import spread
from .._types import type_table, with_types
from ..dpa1._apply import by_vectors
from ..se_e3_tebd._apply import block as angular
from ._attention import Slots
from ._forward import Layers
from ._geometry import by_distances, distances

if TYPE_CHECKING:
    from ._descriptor import Dpa2

Array = Any
Result = tuple[Array, Callable[[Array], Any]]


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
    x, by_blocks = _first(arithmetic, config, params, counts, known, plan, table)
    d, pull = _second(arithmetic, config, params, known, x)

    def pullback(d_bar: Array) -> Array:
        x_bar, last = pull(d_bar)
        found = {**by_blocks(x_bar), "repformer": last}
        parts = [found[name] for name in config.blocks if "rij" in known[name]]
        if not parts:
            return xp.zeros((x_bar.shape[0], 3, 0), dtype=xp.float64)
        return parts[0] if len(parts) == 1 else xp.concat(parts, axis=2)

    return with_types(xp, config, table, counts, known["kind"], (d, pullback))


def _first(
    arithmetic: Arithmetic,
    config: Dpa2,
    params: Tree,
    counts: Mapping[int, int],
    known: Tree,
    plan: Tree | None,
    table: Array,
) -> Result:
    """Return x of the first block (N, n₁), and x̄ → ∂/∂r_ij of each of its parts."""
    xp, made = arithmetic.xp, {}
    for name in config.blocks:
        own = {**params[name], "type_embedding": params["type_embedding"]}
        block = config.blocks[name]
        if name == "repinit":
            made[name] = block.apply(arithmetic, own, counts, known[name], plan)
        elif name == "three_body":
            made[name] = angular(arithmetic, block, own, known[name], table)
    parts = [prec.cast(xp, d, config.precision) for d, _ in made.values()]
    x = parts[0] if len(parts) == 1 else xp.concat(parts, axis=1)
    w = params["g1_shape_tranform"]["w"] if config.transforms else None
    if w is not None:
        x = xp.matmul(x, w)
    if config.add_tebd_to_repinit_out:
        rows = xp.matmul(picked(xp, table, list(counts)), params["tebd_transform"]["w"])
        x = x + xp.astype(spread(xp, known["kind"], rows), x.dtype, copy=False)

    def pullback(x_bar: Array) -> dict[str, Array]:
        if w is not None:
            x_bar = xp.matmul(x_bar, xp.matrix_transpose(w))
        found, start = {}, 0
        for name, (d, pull) in made.items():
            stop = start + d.shape[1]
            found[name] = pull(x_bar[:, start:stop])
            start = stop
        return found

    return x, pullback


def _second(
    arithmetic: Arithmetic, config: Dpa2, params: Tree, known: Tree, x: Array
) -> tuple[Array, Callable[[Array], tuple[Array, Array]]]:
    """Return g of the last layer (N, n₁), and ḡ → (x̄, ∂/∂r_ij of the second block)."""
    xp, block = arithmetic.xp, known["repformer"]
    pairs = _pairs(xp, config, block)
    names = ["rows", "switch"] if config.smooth else ["rows"]
    here = {
        key: prec.cast(xp, pairs[key], config.precision) for key in ("rows", "switch", "present")
    }

    def forward(recording: ReverseArithmetic, x: Array, *inputs: Array) -> Array:
        given = recording.lift(here) | dict(zip(names, inputs, strict=True))
        present = given["present"]
        weight = given["switch"] if config.smooth else present
        slots = Slots(present, weight, config.repformer.nsel, config.smooth)
        layers = Layers(recording, config.repformer, slots, pairs["index"])
        own = recording.lift({key: params["repformer"][key] for key in ("g2_embd", "layers")})
        return layers.run(own, layers.start(own, x, given["rows"]))

    g, pull = with_pullback(arithmetic, forward, x, *(here[name] for name in names))

    def pullback(g_bar: Array) -> tuple[Array, Array]:
        x_bar, *bars = pull(xp.astype(g_bar, g.dtype, copy=False))
        if "rij" not in block:
            return x_bar, None
        wide = block["rij"].dtype
        by = {name: xp.astype(bar, wide, copy=False) for name, bar in zip(names, bars, strict=True)}
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

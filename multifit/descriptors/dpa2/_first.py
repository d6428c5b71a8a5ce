"""The first block: what atoms are before messages, of all at once or of a few at a time.

In pieces neither the geometry of the pairs nor the arrays of the nets are kept: the pullback
computes those of each piece again. Every piece has its share of the atoms of each type, because the
nets of the block are applied to types.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ... import precision as prec
from ...backend import Arithmetic, each
from ...nn.groups import picked
from ...tree import Tree, flatten, unflatten
from .._pieces import Pieces, rows_in
from .._tables import concat, kinds_of, spread
from .._types import type_table
from ..se_e3_tebd._apply import block as angular
from ._geometry import of_part, series_of

if TYPE_CHECKING:
    from ._descriptor import Dpa2

Array = Any
Result = tuple[Array, Callable[[Array], Tree]]


def first_block(
    arithmetic: Arithmetic,
    config: Dpa2,
    params: Tree,
    counts: Mapping[int, int],
    known: Tree,
    plan: Tree | None,
) -> Result:
    """Return x of the first block (N, n₁), and x̄ → ∂/∂r_ij of each of its parts.

    Parameters
    ----------
    known
        From :func:`._geometry.geometry`.
    """
    rows = rows_in(plan, known["kind"].shape[0], "first")
    if rows is None or not any("tables" in known[name] for name in config.first_parts):
        return _whole(arithmetic, config, params, counts, known, plan)
    return _in_pieces(arithmetic, config, params, counts, known, plan, rows)


def _whole(
    arithmetic: Arithmetic,
    config: Dpa2,
    params: Tree,
    counts: Mapping[int, int],
    known: Tree,
    plan: Tree | None,
) -> Result:
    """Return the same, of all atoms at once."""
    xp, made = arithmetic.xp, {}
    table = type_table(xp, config, params)
    for name in config.first_parts:
        own = {**params[name], "type_embedding": params["type_embedding"]}
        block = config.blocks[name]
        if name == "repinit":
            made[name] = block.apply(arithmetic, own, counts, known[name], series_of(plan))
        else:
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


def _in_pieces(
    arithmetic: Arithmetic,
    config: Dpa2,
    params: Tree,
    counts: Mapping[int, int],
    known: Tree,
    plan: Tree | None,
    rows: int,
) -> Result:
    """Return the same, from the tables of a few atoms at a time."""
    xp = arithmetic.xp
    pieces = Pieces(xp, counts, rows)
    each_type = [xp.full((n,), a, dtype=xp.int64) for a, n in pieces.share.items()]
    atype = concat(xp, each_type, axis=0)
    given = flatten({name: known[name].get("tables", {}) for name in config.first_parts})
    same = {name: x for name, x in given.items() if name.endswith(".near")}  # only shapes count
    cut = {name: pieces.blocks(x) for name, x in given.items() if name not in same}
    tables = unflatten(cut)

    def piece(own: Tree) -> Result:
        whole = unflatten({**flatten(own), **same})
        made = {
            name: of_part(xp, config, params, name, atype, pieces.share, whole.get(name, {}), plan)
            for name in config.first_parts
        }
        made["kind"] = kinds_of(xp, pieces.share, atype)
        return _whole(arithmetic, config, params, pieces.share, made, plan)

    def pullback(x_bar: Array) -> Tree:
        def run(block: Tree) -> Tree:
            return piece(block["tables"])[1](block["bar"])

        found = each(arithmetic, run, {"tables": tables, "bar": pieces.blocks(x_bar)})
        return {name: pieces.joined(x) for name, x in found.items()}

    x = each(arithmetic, lambda own: {"x": piece(own)[0]}, tables)["x"]
    return pieces.joined(x), pullback

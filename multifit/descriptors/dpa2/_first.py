"""The first block: what atoms are before messages, of all at once or of a few at a time.

In pieces neither the geometry of the pairs nor the arrays of the nets are kept: the pullback
computes those of each piece again. Every piece has its share of the atoms of each type, because the
nets of the block are applied to types.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ... import precision as prec
from ...backend import Arithmetic, each
from ...nn.groups import picked
from ...tree import Tree, flatten, unflatten
from .._pieces import Pieces, rows_in
from .._tables import concat, kinds_of, spread
from ..se_e3_tebd._apply import block as angular
from ._geometry import of_part, series_of

if TYPE_CHECKING:
    from ._descriptor import Dpa2

Array = Any
Result = tuple[Array, Callable[[Array], Tree]]


@dataclass(frozen=True)
class FirstBlock:
    """The block with its parameters.

    Parameters
    ----------
    table
        From :func:`.._types.type_table`.
    plan
        From :class:`._planner.Dpa2Planner`.
    """

    arithmetic: Arithmetic
    config: Dpa2
    params: Tree
    table: Array
    plan: Tree | None

    def apply(self, counts: Mapping[int, int], known: Tree) -> Result:
        """Return x of the block (N, n₁), and x̄ → ∂/∂r_ij of each of its parts.

        Parameters
        ----------
        known
            From :func:`._geometry.geometry`.
        """
        rows = rows_in(self.plan, known["kind"].shape[0], "first")
        if rows is None or not any("tables" in known[name] for name in self.config.first_parts):
            return self._whole(counts, known)
        return self._in_pieces(counts, known, rows)

    def _whole(self, counts: Mapping[int, int], known: Tree) -> Result:
        """Return the same, of all atoms at once."""
        xp, config, params, made = self.arithmetic.xp, self.config, self.params, {}
        for name in config.first_parts:
            own = {**params[name], "type_embedding": params["type_embedding"]}
            block, here = config.blocks[name], known[name]
            if name == "repinit":
                made[name] = block.apply(self.arithmetic, own, counts, here, series_of(self.plan))
            else:
                made[name] = angular(self.arithmetic, block, own, here, self.table)
        parts = [prec.cast(xp, d, config.precision) for d, _ in made.values()]
        x = parts[0] if len(parts) == 1 else xp.concat(parts, axis=1)
        w = params["g1_shape_tranform"]["w"] if config.transforms else None
        if w is not None:
            x = xp.matmul(x, w)
        if config.add_tebd_to_repinit_out:
            rows = xp.matmul(picked(xp, self.table, list(counts)), params["tebd_transform"]["w"])
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

    def _in_pieces(self, counts: Mapping[int, int], known: Tree, rows: int) -> Result:
        """Return the same, from the tables of a few atoms at a time."""
        xp, parts = self.arithmetic.xp, self.config.first_parts
        pieces = Pieces(xp, counts, rows)
        each_type = [xp.full((n,), a, dtype=xp.int64) for a, n in pieces.share.items()]
        atype = concat(xp, each_type, axis=0)
        given = flatten({name: known[name].get("tables", {}) for name in parts})
        same = {name: x for name, x in given.items() if name.endswith(".near")}  # only shapes count
        cut = {name: pieces.blocks(x) for name, x in given.items() if name not in same}
        tables = unflatten(cut)

        def piece(own: Tree) -> Result:
            whole = unflatten({**flatten(own), **same})
            here = (atype, pieces.share)
            made = {
                name: of_part(
                    xp, self.config, self.params, name, *here, whole.get(name, {}), self.plan
                )
                for name in parts
            }
            made["kind"] = kinds_of(xp, pieces.share, atype)
            return self._whole(pieces.share, made)

        def pullback(x_bar: Array) -> Tree:
            def run(block: Tree) -> Tree:
                return piece(block["tables"])[1](block["bar"])

            found = each(self.arithmetic, run, {"tables": tables, "bar": pieces.blocks(x_bar)})
            return {name: pieces.joined(x) for name, x in found.items()}

        x = each(self.arithmetic, lambda own: {"x": piece(own)[0]}, tables)["x"]
        return pieces.joined(x), pullback

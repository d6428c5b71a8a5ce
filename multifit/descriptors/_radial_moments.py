"""The moments of the Chebyshev polynomials of s alone, for descriptors without directions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..batching.types import Table
from ..tree import Tree
from ._chebyshev import chebyshev
from ._tables import blocks, join, missing_slots

if TYPE_CHECKING:
    from ._radial import RadialDescriptor

Array = Any


def moments(
    xp: Any,
    config: RadialDescriptor,
    tables: Mapping[str, Table],
    plan: Tree,
    atype: Array,
    s: Array,
    visible: Array | None,
) -> Tree:
    """Return the polynomials of the pairs, their moments, and dx/ds, of each block."""
    made: dict[str, Tree] = {}
    for k, block in enumerate(blocks(tables, alone=True)):
        (b,), ((first, last),) = block.neighbours, block.columns
        own = plan[block.zone]
        start, reach = (xp.take(own[key], atype, axis=0)[:, b, None] for key in ("start", "reach"))
        stretch = 2.0 / (reach - start)
        entry: Tree = {"stretch": stretch}
        sums = []
        if block.zone == "far":
            at = xp.ones_like(stretch) * own["signs"][None, :]
            if config.common_scale:  # s = 0 is not the end of the interval
                at = chebyshev(xp, -start * stretch - 1.0, own["nodes"].shape[0])[:, :, 0]
            sums.append(missing_slots(xp, config.sel, tables, block) * at)
        if block.width:
            x = (s[:, first:last] - start) * stretch
            weight = xp.ones_like(x) if visible is None else visible[:, first:last]
            if block.zone == "near":
                mask = join(xp, tables)["mask"][:, first:last]
                x, weight = x * mask, weight * mask
            entry["cheb"] = chebyshev(xp, x - 1.0, own["nodes"].shape[0])
            sums.append(xp.sum(entry["cheb"] * weight[:, None, :], axis=2))
        entry["moments"] = sums[0] if len(sums) == 1 else sums[0] + sums[1]
        made[str(k)] = {block.name: entry}
    return {"series": made}

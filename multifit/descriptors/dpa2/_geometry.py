"""The geometry of the neighbours of both blocks of dpa2, each with tables of its own.

A tree of ``rij`` and ``index`` of all tables side by side (absent if there are no pairs), ``kind``
(N, na), 1 at the place of each atom's type among those present, and the geometry of each block:
``repinit`` and ``repformer`` as of :mod:`..dpa1._geometry`, ``three_body`` as of
:mod:`..se_e3_tebd._apply`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ...batching.types import ORDERED, PARTS
from ...tree import Tree
from .._tables import concat, kinds_of, seen_kinds
from ..dpa1._geometry import of_pairs

if TYPE_CHECKING:
    from ..dpa1._base import TypedDescriptor
    from ._descriptor import Dpa2

Array = Any


def geometry(
    xp: Any,
    config: Dpa2,
    params: Tree,
    atype: Array,
    counts: Mapping[int, int],
    tables: Mapping[str, Any],
    plan: Tree | None,
) -> Tree:
    """Return the geometry of all blocks.

    Parameters
    ----------
    plan
        That of the first block.
    """
    made: Tree = {}
    for k, name in enumerate(config.blocks):
        block = config.blocks[name]
        here = tables[PARTS][str(k)] if tables else {}
        own = params[name]
        if name == "repformer":
            made[name] = _messages(xp, block, own, atype, here)
        else:
            made[name] = block.geometry(
                xp, own, atype, counts, here, plan if name == "repinit" else None
            )
    pairs = [x for x in made.values() if "rij" in x]
    for key in ("rij", "index") if pairs else ():
        made[key] = concat(xp, [x[key] for x in pairs], axis=-1)
    return {**made, "kind": kinds_of(xp, counts, atype)}


def _messages(
    xp: Any, block: TypedDescriptor, params: Tree, atype: Array, tables: Mapping[str, Any]
) -> Tree:
    """Return the geometry of the second block, whose neighbours are in the order of distance."""
    mean, deviation = (xp.take(params[key], atype, axis=0) for key in ("davg", "dstd"))
    if not tables:
        return {"absent": xp.ones_like(mean[:, 0]) * block.nnei}
    table = tables[ORDERED]
    visible = seen_kinds(xp, block.excluded, block.ntypes, atype, table["kind"])
    made = of_pairs(xp, block, mean, deviation, table, visible)
    return {**made, "deviation": deviation}


def distances(xp: Any, config: Dpa2, known: Tree) -> Array:
    """Return (r, **r**)/r_c of the second block, (N, 4, P), for ``direct_dist``."""
    present = known["present"]
    rij = known["rij"] * present[:, None, :]
    r = present / known["inverse"]
    return xp.concat([r[:, None, :], rij], axis=1) * (1.0 / config.repformer.rcut)


def by_distances(xp: Any, config: Dpa2, known: Tree, by: Mapping[str, Array]) -> Array:
    """Return ∂/∂r_ij (N, 3, P) from the derivatives by :func:`distances`, and by w."""
    rows, unit, present = by["rows"], known["factors"]["unit"], known["present"]
    along = rows[:, 0, :] * (1.0 / config.repformer.rcut)
    if "switch" in by:
        along = along + by["switch"] * known["fall"]
    found = rows[:, 1:, :] * (1.0 / config.repformer.rcut)
    return (found + unit * along[:, None, :]) * present[:, None, :]

"""The geometry of the neighbours of both blocks of dpa2, each with tables of its own.

A tree of ``rij`` and ``index`` of all tables side by side (absent if there are no pairs), ``kind``
(N, na), 1 at the place of each atom's type among those present, and the geometry of each block:
``repinit`` and ``repformer`` as of :mod:`..dpa1._geometry`, ``three_body`` as of
:mod:`..se_e3_tebd._apply`. If the first block is to be evaluated a few atoms at a time, its parts
have their ``tables`` instead, from which the geometry of each piece is made (:mod:`._first`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ...batching.types import ORDERED, PARTS
from ...tree import Tree
from .._pieces import rows_in
from .._tables import concat, join, kinds_of, seen_kinds
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
        From :class:`._planner.Dpa2Planner`.
    """
    rows = rows_in(plan, atype.shape[0], "first")
    made: Tree = {}
    for k, name in enumerate(config.blocks):
        here = tables[PARTS][str(k)] if tables else {}
        if name == "repformer":
            made[name] = _messages(xp, config.blocks[name], params[name], atype, here)
        elif rows is not None and here:
            pairs = join(xp, here)
            made[name] = {"rij": pairs["rij"], "index": pairs["index"], "tables": here}
        else:
            made[name] = of_part(xp, config, params, name, atype, counts, here, plan)
    each = [x for x in made.values() if "rij" in x]
    for key in ("rij", "index") if each else ():
        made[key] = concat(xp, [x[key] for x in each], axis=-1)
    return {**made, "kind": kinds_of(xp, counts, atype)}


def of_part(
    xp: Any,
    config: Dpa2,
    params: Tree,
    name: str,
    atype: Array,
    counts: Mapping[int, int],
    tables: Mapping[str, Any],
    plan: Tree | None,
) -> Tree:
    """Return the geometry of a part of the first block."""
    own = series_of(plan) if name == "repinit" else None
    made: Tree = config.blocks[name].geometry(xp, params[name], atype, counts, tables, own)
    return made


def series_of(plan: Tree | None) -> Tree | None:
    """Return the plan of ``repinit``, or None if its net is evaluated at each pair."""
    return None if plan is None else plan.get("repinit")


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

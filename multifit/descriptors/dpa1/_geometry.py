"""The geometry of the neighbours: everything that depends on positions and on no network.

For N atoms and P slots for pairs it is a tree of

==================== ================ ===========================================================
key                  shape            what it is
==================== ================ ===========================================================
``rij``, ``index``   (N, 3, P), (N, P) the pairs; absent, like all below it, if there are none
``rows``             (N, 4, P)        R̃; 0 in empty slots and for excluded pairs
``factors``                           of :func:`.._environment.to_vectors`, with u as ``unit``
``present``          (N, P)           1 for a pair that is not excluded
``switch``, ``fall`` (N, P)           w and its derivative
``inverse``          (N, P)           1/r
``deviation``        (N, 4)           σ
``widths.b``         (k,)             the columns of type b; the values are not used
==================== ================ ===========================================================

and always ``kind`` (N, na), 1 at the place of each atom's type among those present, ``missing``
(N,), the number of empty slots, ``empty_row`` (N, 4), their R̃, and ``absent`` (N,), the number of
slots that are empty or of excluded pairs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ...batching.types import Table
from ...errors import UnsupportedError
from ...tree import Tree
from .._environment import local_frames, switch_and_slope, without_hidden
from .._tables import columns_of, join, kinds_of, seen

if TYPE_CHECKING:
    from ._base import TypedDescriptor

Array = Any


def geometry(
    xp: Any,
    config: TypedDescriptor,
    params: Tree,
    atype: Array,
    counts: Mapping[int, int],
    tables: Mapping[str, Table],
) -> Tree:
    """Return the geometry of the neighbours of N atoms.

    Parameters
    ----------
    params
        ``davg`` and ``dstd``, (ntypes, 4).
    atype
        (N,) integers.
    counts
        Number of atoms of each present type, in order.
    tables
        As for :meth:`multifit.descriptors.Descriptor.geometry`.
    """
    mean, deviation = (xp.take(params[key], atype, axis=0) for key in ("davg", "dstd"))
    made: Tree = {
        "empty_row": -mean / deviation,
        "deviation": deviation,
        "kind": kinds_of(xp, counts, atype),
    }
    if config.is_ambiguous:
        made["first"] = _first(tables)
    if _is_empty(tables):
        return made | dict.fromkeys(("missing", "absent"), xp.ones_like(mean[:, 0]) * config.nnei)
    pairs, columns = join(xp, tables), columns_of(tables)
    visible = seen(xp, config.excluded, atype, counts, columns, pairs["mask"])
    widths = {
        str(b): xp.zeros((span.stop - span.start,), dtype=xp.float64) for b, span in columns.items()
    }
    return {**made, **of_pairs(xp, config, mean, deviation, pairs, visible), "widths": widths}


def of_pairs(
    xp: Any,
    config: TypedDescriptor,
    mean: Array,
    deviation: Array,
    pairs: Mapping[str, Array],
    visible: Array | None,
) -> Tree:
    """Return the geometry of pairs in one table.

    Parameters
    ----------
    mean, deviation
        μ and σ of the atoms, (N, 4).
    pairs
        ``rij``, ``index`` and ``mask``.
    visible
        0 for excluded pairs, else 1, (N, P); None if there are none.
    """
    rij, mask = pairs["rij"], pairs["mask"]
    raw, factors = local_frames(xp, config.environment, rij, mask)
    rows = (raw - mean[:, :, None] * mask[:, None, :]) / deviation[:, :, None]
    present = mask
    if visible is not None:
        present, rows = mask * visible, rows * visible[:, None, :]
        factors = without_hidden(factors, visible)
    r = xp.sqrt(xp.sum(rij * rij, axis=1) + (1.0 - mask))
    switch, fall = switch_and_slope(xp, config.environment, r)
    return {
        "rij": rij,
        "index": pairs["index"],
        "rows": rows,
        "factors": factors,
        "present": present,
        "switch": switch * present,
        "fall": fall * present,
        "inverse": 1.0 / r,
        "missing": config.nnei - xp.sum(mask, axis=1),
        "absent": config.nnei - xp.sum(present, axis=1),
    }


def _is_empty(tables: Mapping[str, Table]) -> bool:
    """Return True if there are no slots for pairs; those of an export are not known."""
    widths = [table["mask"].shape[1] for table in tables.values()]
    return all(isinstance(n, int) and n == 0 for n in widths)


def _first(tables: Mapping[str, Table]) -> Array:
    """Return the type of the first atom of each atom's frame, (N,)."""
    for table in tables.values():
        if "first" in table:
            return table["first"]
    raise UnsupportedError(
        "the model's empty slots have the type of the first atom of a frame (set_davg_zero is "
        "false), which is not known here; train with set_davg_zero true, or use Potential.predict"
    )

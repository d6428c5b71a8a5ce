r"""The geometry of the neighbours, as the descriptor needs it: independent of the networks.

It is computed once per batch, outside the differentiated function, and once per run for frames that
recur. For N atoms and P slots for pairs, with the tables of all types of neighbours side by
side, it is a tree of

====================== ===================== =====================================================
key                    shape                 what it is
====================== ===================== =====================================================
``rij``, ``index``     (N, 3, P), (N, P)     the pairs; absent, like all below, if there are none
``rows``               (N, 4, P)             R̃
``factors``                                  of :func:`~._environment.to_vectors`
``widths.b``           (k,)                  the columns of type b; the values are not used
``kind``               (N, na)               1 at the place of each atom's type among those present
``deviation``          (N, 4, P)             σ, without a basis only
``series.m.z.cheb``    (N, nb, K, k)         T(x) of the pairs of the m-th block, named z
``series.m.z.factor``  (N, nb, 8, 1)         ∂R̃/∂R and ∂x/∂s = 2/(s₁ − s₀), by turns, four of each
``moments.g``          (…, 4n, ΣK)           A of the g-th group of atoms, over all of ``series``
``places``             (P,)                  columns of pairs among those of all blocks
====================== ===================== =====================================================

of which the last three exist only with a basis for the series. A block is one or several types of
neighbours in a zone, a group one or several types of centres (:mod:`multifit.nn.groups`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ...batching.types import Table
from ...nn.groups import picked
from ...tree import Tree
from .._chebyshev import SCALES, chebyshev, scales_of, side_by_side
from .._coefficients import split_moments
from .._environment import local_frames, without_hidden
from .._tables import (
    ZONES,
    Block,
    Spans,
    blocks,
    by_columns,
    columns_in,
    columns_of,
    concat,
    join,
    kinds_of,
    missing_slots,
    padded,
    seen,
)

if TYPE_CHECKING:
    from .._radial import RadialDescriptor

Array = Any


class _Atoms(NamedTuple):
    """Arrays that depend on the types of the atoms alone."""

    types: Array  #: (N,) integers
    counts: Mapping[int, int]
    mean: Array  #: μ for each type of neighbours, (N, ntypes, 4)
    deviation: Array  #: σ, (N, ntypes, 4)


class _Pairs(NamedTuple):
    """The pairs in the tables of all types of neighbours side by side."""

    rows: Array  #: R̃, (N, 4, P)
    s: Array  #: (N, P)
    mask: Array  #: 1 for a pair, 0 for an empty slot, (N, P)


class _Interval(NamedTuple):
    """The intervals of a zone for each atom and each of nb types of neighbours."""

    start: Array  #: s₀, (N, nb, 1)
    stretch: Array  #: ∂x/∂s, (N, nb, 1)
    factor: Array  #: 1/σ and ∂x/∂s by turns, as in the product with C and D C, (N, nb, 8, 1)

    def of(self, xp: Any, block: Block) -> _Interval:
        """Return those of the types of a block."""
        return _Interval(*(picked(xp, x, block.neighbours, axis=1) for x in self))


def geometry(
    xp: Any,
    config: RadialDescriptor,
    params: Tree,
    atype: Array,
    counts: Mapping[int, int],
    tables: Mapping[str, Table],
    basis: Tree | None = None,
) -> Tree:
    """Return the geometry of the neighbours of N atoms.

    Parameters
    ----------
    params
        ``davg`` and ``dstd``, (ntypes, ntypes, 4).
    atype
        (N,) integers.
    counts
        Number of atoms of each present type, in order.
    tables
        For each present neighbour type, under its number: ``rij`` (N, 3, k) in Å, ``mask`` and
        ``index`` (N, k). Slots of ``sel`` missing from a table count as empty, those in excess
        as absent. With ``near`` (m,) the first m columns are those of near pairs.
    basis
        ``near`` and ``far`` from :func:`.._chebyshev.chebyshev_basis`, as arrays of xp.
    """
    scaling = (xp.take(params[key], atype, axis=0) for key in ("davg", "dstd"))
    atoms, columns = _Atoms(atype, counts, *scaling), columns_of(tables)
    made: Tree = {"kind": kinds_of(xp, counts, atype)}
    if not tables:
        return made
    pairs = join(xp, tables)
    more, s = _common(xp, config, atoms, pairs, columns)
    made |= more
    if basis is None:
        return made | {"deviation": by_columns(xp, atoms.deviation, columns)}
    given = _Pairs(made["rows"], s, pairs["mask"])
    return made | _series(xp, config, params, given, tables, basis, atoms)


def _common(
    xp: Any, config: RadialDescriptor, atoms: _Atoms, pairs: Tree, columns: Spans
) -> tuple[Tree, Array]:
    """Return the part common to all evaluations, and s (N, P)."""
    raw, factors = local_frames(xp, config.environment, pairs["rij"], pairs["mask"])
    scaled = _scaled(xp, raw, atoms, columns)
    visible = seen(xp, config.excluded, atoms.types, atoms.counts, columns, pairs["mask"])
    if visible is not None:
        scaled = scaled * visible[:, None, :]
        factors = without_hidden(factors, visible)
    widths = {
        str(b): xp.zeros((span.stop - span.start,), dtype=xp.float64) for b, span in columns.items()
    }
    made = {"rij": pairs["rij"], "index": pairs["index"], "rows": scaled}
    return {**made, "factors": factors, "widths": widths}, raw[:, 0, :]


def _scaled(xp: Any, raw: Array, atoms: _Atoms, columns: Spans) -> Array:
    """Return R̃ = (R − μ)/σ, (N, 4, P)."""
    scaling = [
        (span, atoms.mean[:, b, :, None], atoms.deviation[:, b, :, None])
        for b, span in columns.items()
    ]
    if isinstance(raw, np.ndarray):  # written where it belongs; joining would be another pass
        made = np.empty_like(raw)
        for span, mean, deviation in scaling:
            np.subtract(raw[:, :, span], mean, out=made[:, :, span])
            made[:, :, span] /= deviation
        return made
    return concat(xp, [(raw[:, :, span] - m) / d for span, m, d in scaling], axis=2)


def _series(
    xp: Any,
    config: RadialDescriptor,
    params: Tree,
    given: _Pairs,
    tables: Mapping[str, Table],
    basis: Tree,
    atoms: _Atoms,
) -> Tree:
    """Return the part for series."""
    joined, found = [], blocks(tables)
    present = [zone for zone in ZONES if any(block.zone == zone for block in found)]
    zones = {zone: _interval(xp, basis[zone], params, atoms) for zone in present}
    intervals = [zones[block.zone].of(xp, block) for block in found]
    pairs = _in_blocks(xp, found, intervals, given)
    counts = [basis[block.zone]["nodes"].shape[0] for block, _, _ in pairs]
    polynomials = iter(_polynomials(xp, [x for _, x, _ in pairs], counts))
    moved = {block.name: r for block, _, r in pairs}
    entries: dict[str, Tree] = {}
    for k, (block, here) in enumerate(zip(found, intervals, strict=True)):
        sums, entry = [], {"factor": here.factor}
        if block.zone == "far":
            sums.append(_of_empty(xp, config, block, basis["far"], tables, atoms, here))
        if block.name in moved:
            entry["cheb"] = next(polynomials)
            sums.append(_moments(xp, moved[block.name], entry["cheb"]))
        joined.append(sums[0] if len(sums) == 1 else sums[0] + sums[1])
        entries[str(k)] = {block.name: entry}
    moments = split_moments(xp, config, atoms.counts, concat(xp, joined, axis=2))
    made = {"series": entries, "moments": moments}
    places = columns_in(found)
    if places is not None:
        made["places"] = xp.asarray(places, dtype=xp.int64)
    return made


def _interval(xp: Any, own: Tree, params: Tree, atoms: _Atoms) -> _Interval:
    """Return the intervals of a zone for all types of neighbours.

    They are computed for types, which are fewer than atoms, and then taken for all atoms at once.
    """
    scales = own[SCALES] if SCALES in own else scales_of(xp, own, params["dstd"])
    packed = xp.take(scales, atoms.types, axis=0)
    return _Interval(packed[:, :, :1], packed[:, :, 1:2], packed[:, :, 2:, None])


def _in_blocks(
    xp: Any,
    found: Sequence[Block],
    intervals: Sequence[_Interval],
    pairs: _Pairs,
) -> list[tuple[Block, Array, Array]]:
    """Return the blocks that have columns, with x (N, nb, k) and R̃ (N, 4, nb, k) of each."""
    made = []
    for block, here in zip(found, intervals, strict=True):
        if not block.width:
            continue
        x = (padded(xp, block, pairs.s[:, None, :])[:, 0, :, :] - here.start) * here.stretch
        r = padded(xp, block, pairs.rows)
        if block.zone == "near":
            there = padded(xp, block, pairs.mask[:, None, :])
            x, r = x * there[:, 0, :, :], r * there
        made.append((block, x - 1.0, r))
    return made


def _polynomials(xp: Any, x: Sequence[Array], counts: Sequence[int]) -> list[Array]:
    """Return T(x), (N, nb, K, k), of several blocks, for x (N, nb, k) and K of each.

    The columns of types alone are computed side by side: for few atoms the number of calls counts.
    """
    if not all(part.shape[1] == 1 for part in x):
        return [_polynomials_of(xp, part, count) for part, count in zip(x, counts, strict=True)]
    made = side_by_side(xp, [part[:, 0, :] for part in x], counts)
    return [part[:, None, :, :] for part in made]


def _polynomials_of(xp: Any, x: Array, count: int) -> Array:
    """Return T(x), (N, nb, K, k), for x (N, nb, k)."""
    n, nb, k = x.shape
    return xp.reshape(chebyshev(xp, xp.reshape(x, (n * nb, k)), count), (n, nb, count, k))


def _moments(xp: Any, r: Array, cheb: Array) -> Array:
    """Return Σ_j R̃ ⊗ T, (N, 4, nb·K), from R̃ (N, 4, nb, k) and T (N, nb, K, k)."""
    sums = xp.matmul(xp.permute_dims(r, (0, 2, 1, 3)), xp.matrix_transpose(cheb))
    sums = xp.permute_dims(sums, (0, 2, 1, 3))
    return xp.reshape(sums, (*sums.shape[:2], -1))


def _of_empty(
    xp: Any,
    config: RadialDescriptor,
    block: Block,
    own: Tree,
    tables: Mapping[str, Table],
    atoms: _Atoms,
    here: _Interval,
) -> Array:
    """Return the moments (N, 4, nb·K) of empty slots without a column, at s = 0."""
    mean, deviation = (
        picked(xp, x, block.neighbours, axis=1) for x in (atoms.mean, atoms.deviation)
    )
    empty = xp.matrix_transpose(-mean / deviation)
    counted = empty * missing_slots(xp, config.sel, tables, block)[:, None, :]
    if config.common_scale:  # s = 0 is not the end of the interval
        x = -here.start * here.stretch - 1.0
        at = _polynomials_of(xp, x, own["nodes"].shape[0])[:, :, :, 0]
    else:
        at = own["signs"][None, None, :]
    sums = counted[:, :, :, None] * at[:, None, :, :]
    return xp.reshape(sums, (*sums.shape[:2], -1))

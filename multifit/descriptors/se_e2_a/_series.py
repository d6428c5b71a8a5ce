"""Embedding by series: a few large matrix products, without evaluating a net for each pair."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from ...tree import Tree
from .._coefficients import series_of
from .._tables import ZONES, Spans, concat

if TYPE_CHECKING:
    from ._descriptor import SeE2A

Array = Any
Sums = dict[int, Array]  #: the type of the centres → Σ_j R̃ ⊗ G, (n, 4, M)
Bars = tuple[Array, Array]  #: derivatives by R₀ (N, P) and by the other rows of R (N, 3, P)


class _Part(NamedTuple):
    """Neighbours of one type in one zone: K rows of C, and columns of A."""

    neighbour: int
    zone: str
    arrays: Tree  #: ``factor``, and ``cheb`` if there are pairs


def series(
    xp: Any, config: SeE2A, params: Tree, basis: Tree, rows: Spans, geometry: Tree
) -> tuple[Sums, Callable[[Sums], Bars]]:
    """Return Σ_j R̃_ij ⊗ N_ab(s_ij) for each type a, and the pullback to R.

    Parameters
    ----------
    basis
        ``near`` and ``far`` from :func:`.._chebyshev.chebyshev_basis`; every s lies in its
        interval.
    geometry
        From :func:`multifit.descriptors.geometry`, for this basis.

    Returns
    -------
    T
        (n, 4, M) for each type of centres.
    pullback
        T̄ → the derivatives by R.
    """
    parts = _parts(geometry["series"])
    nets = _stacked(xp, config, params, basis, rows, parts)
    sums = {}
    for a, (c, _) in nets.items():
        t = xp.matmul(geometry["moments"][str(a)], c)
        sums[a] = xp.reshape(t, (-1, 4, t.shape[1]))

    def pullback(sums_bar: Sums) -> Bars:
        found = []
        for a, bar in sums_bar.items():
            both = xp.matrix_transpose(xp.concat(nets[a], axis=0))
            bars = xp.matmul(xp.reshape(bar, (-1, bar.shape[2])), both)
            found.append(xp.reshape(bars, (bar.shape[0], 8, bars.shape[1] // 2)))
        return _rows_bar(xp, basis, geometry, parts, concat(xp, found, axis=0))

    return sums, pullback


def _parts(made: Tree) -> list[_Part]:
    return [
        _Part(int(b), zone, made[b][zone])
        for b in sorted(made, key=int)
        for zone in ZONES
        if zone in made[b]
    ]


def _rows_bar(xp: Any, basis: Tree, geometry: Tree, parts: list[_Part], bars: Array) -> Bars:
    """Return the derivatives by R from Ā and Ā Dᵀ, alternating, (N, 8, ΣK)."""
    found, start = [], 0
    for part in parts:
        stop = start + basis[part.zone]["nodes"].shape[0]
        if "cheb" in part.arrays:
            own = bars[:, :, start:stop] * part.arrays["factor"]
            found.append(xp.matmul(own, part.arrays["cheb"]))
        start = stop
    joined = concat(xp, found, axis=2)
    n, _, pairs = joined.shape
    joined = xp.reshape(joined, (n, 4, 2, pairs))
    by_rows, by_x = joined[:, :, 0, :], joined[:, :, 1, :]
    return by_rows[:, 0, :] + xp.sum(geometry["rows"] * by_x, axis=1), by_rows[:, 1:, :]


def _stacked(
    xp: Any, config: SeE2A, params: Tree, basis: Tree, rows: Spans, parts: list[_Part]
) -> dict[int, tuple[Array, Array]]:
    """Return C and D C for each type a of centres, (ΣK, M), all parts stacked."""
    zones = [(part.neighbour, part.zone) for part in parts]
    found = series_of(xp, config, params, basis, rows, zones)
    stacks = {}
    for a in rows:
        both = zip(*(found[a, b, zone] for b, zone in zones), strict=True)
        c, slope = (concat(xp, each, axis=0) for each in both)
        stacks[a] = c, slope
    return stacks

"""Embedding by series: a few large matrix products, without evaluating a net for each pair."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ...tree import Tree
from .._coefficients import block_series, in_double, of_empty_slots, of_groups, series_atoms
from .._tables import Block, concat, series_entries, spread, widths_of

if TYPE_CHECKING:
    from ._descriptor import SeE2A

Array = Any
Bars = tuple[Array, Array]  #: derivatives by R₀ (N, P) and by the other rows of R (N, 3, P)


def series(
    xp: Any, config: SeE2A, params: Tree, basis: Tree, counts: Mapping[int, int], geometry: Tree
) -> tuple[Array, Callable[[Array], Bars]]:
    """Return Σ_j R̃_ij ⊗ N_ab(s_ij), and the pullback to R.

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
        (N, 4, M), float64.
    pullback
        T̄ → the derivatives by R.
    """
    found = series_entries(geometry)
    atoms = series_atoms(config, counts, geometry["kind"].shape[0])
    nets: list[tuple[Array, Array]] = []
    parts = []
    if found:
        kinds = list(counts)
        each = [block_series(xp, config, params, basis, kinds, block) for block, _ in found]
        c, slope = (concat(xp, list(x), axis=1) for x in zip(*each, strict=True))
        nets = of_groups(xp, config, atoms, kinds, (c, slope))
        for g, (c, _) in enumerate(nets):
            t = xp.matmul(geometry["moments"][str(g)], c)
            parts.append(xp.reshape(t, (*t.shape[:-2], -1, 4, t.shape[-1])))
        total = [atoms.flat(xp, parts)]
    else:
        total = []
    empty = _of_absent(xp, config, params, counts, geometry)
    if empty is not None:
        total.append(empty)
    t = total[0] if len(total) == 1 else total[0] + total[1]

    def pullback(bar: Array) -> Bars:
        bars = []
        for both, own in zip(nets, atoms.gather(xp, bar), strict=True):
            joined = xp.matrix_transpose(xp.concat(both, axis=-2))
            rows = xp.matmul(xp.reshape(own, (*own.shape[:-3], -1, own.shape[-1])), joined)
            bars.append(xp.reshape(rows, (*own.shape[:-2], 8, joined.shape[-1] // 2)))
        return _rows_bar(xp, basis, geometry, found, atoms.flat(xp, bars))

    return t, pullback


def _of_absent(
    xp: Any, config: SeE2A, params: Tree, counts: Mapping[int, int], geometry: Tree
) -> Array | None:
    """Return the part (N, 4, M) of the slots for types without neighbours; None if it is zero."""
    widths = widths_of(geometry)
    missing = {b: float(n) for b, n in enumerate(config.sel) if n and b not in widths}
    if not missing or (config.set_davg_zero and widths):
        return None
    double = {**params, "embeddings": in_double(xp, params["embeddings"])}
    each = of_empty_slots(xp, config, config.double_network, double, list(counts), missing)
    return spread(xp, geometry["kind"], each)


def _rows_bar(
    xp: Any, basis: Tree, geometry: Tree, found: list[tuple[Block, Tree]], bars: Array
) -> Bars:
    """Return the derivatives by R from Ā and Ā Dᵀ, alternating, (N, 8, ΣK)."""
    parts, start, n = [], 0, bars.shape[0]
    for block, arrays in found:
        count, nb = basis[block.zone]["nodes"].shape[0], len(block.neighbours)
        stop = start + count * nb
        if "cheb" in arrays:
            own = xp.reshape(bars[:, :, start:stop], (n, 8, nb, count))
            own, cheb = xp.permute_dims(own, (0, 2, 1, 3)), arrays["cheb"]
            # A factor of each row: applied to the smaller matrix.
            if _is_wide(cheb):
                own = xp.matmul(own * arrays["factor"], cheb)
            else:
                own = xp.matmul(own, cheb) * arrays["factor"]
            own = xp.permute_dims(own, (0, 2, 1, 3))
            parts.append(xp.reshape(own, (n, 8, -1)))
        start = stop
    joined = concat(xp, parts, axis=2)
    if "places" in geometry:
        joined = xp.take(joined, geometry["places"], axis=2)
    joined = xp.reshape(joined, (n, 4, 2, -1))
    by_rows, by_x = joined[:, :, 0, :], joined[:, :, 1, :]
    return by_rows[:, 0, :] + xp.sum(geometry["rows"] * by_x, axis=1), by_rows[:, 1:, :]


def _is_wide(x: Array) -> bool:
    """Return True for more columns than rows, or an unknown number, as in an export."""
    rows, columns = x.shape[-2:]
    return not isinstance(columns, int) or columns > rows

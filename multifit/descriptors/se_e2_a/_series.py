"""Embedding by series: a few large matrix products, without evaluating a net for each pair."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...nn.groups import Groups
from ...tree import Tree
from .._coefficients import all_series, in_double, of_empty_slots, series_atoms
from .._environment import inner
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
    total = []
    if found:
        kinds, present = list(counts), [block for block, _ in found]
        nets = all_series(xp, config, params, basis, atoms, kinds, present)
        moments = [geometry["moments"][str(g)] for g in range(len(nets))]
        values = [c for c, _ in nets]
        total.append(_products(xp, atoms, moments, values, (4, values[0].shape[-1])))
    empty = _of_absent(xp, config, params, counts, geometry)
    if empty is not None:
        total.append(empty)
    t = total[0] if len(total) == 1 else total[0] + total[1]

    def pullback(bar: Array) -> Bars:
        rows = [xp.reshape(x, (*x.shape[:-3], -1, x.shape[-1])) for x in atoms.gather(xp, bar)]
        joined = [xp.matrix_transpose(both) for _, both in nets]
        shape = (8, joined[0].shape[-1] // 2)
        return _rows_bar(xp, basis, geometry, found, _products(xp, atoms, rows, joined, shape))

    return t, pullback


def _products(
    xp: Any, atoms: Groups, left: Sequence[Array], right: Sequence[Array], shape: tuple[int, int]
) -> Array:
    """Return (N, *shape): the rows of each group of atoms multiplied by its own matrix."""
    if atoms.in_order and len(left) > 1 and isinstance(left[0], np.ndarray):
        # NumPy writes the parts where they belong; joining them would be another pass.
        out = np.empty((sum(map(len, left)), right[0].shape[-1]), dtype=left[0].dtype)
        start = 0
        for x, y in zip(left, right, strict=True):
            xp.matmul(x, y, out=out[start : start + len(x)])
            start += len(x)
        return out.reshape((-1, *shape))
    parts = [xp.matmul(x, y) for x, y in zip(left, right, strict=True)]
    return atoms.flat(xp, [xp.reshape(x, (*x.shape[:-2], -1, *shape)) for x in parts])


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
    return by_rows[:, 0, :] + inner(xp, geometry["rows"], by_x), by_rows[:, 1:, :]


def _is_wide(x: Array) -> bool:
    """Return True for more columns than rows, or an unknown number, as in an export."""
    rows, columns = x.shape[-2:]
    return not isinstance(columns, int) or columns > rows

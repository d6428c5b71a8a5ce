"""The embedding net at every pair: the definition, and the reference for faster methods."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ... import precision as prec
from ...nn.groups import Groups, groups, net_of, nets_of
from ...nn.networks import apply_network
from ...tree import Tree
from .._coefficients import of_empty_slots
from .._tables import (
    Block,
    column_blocks,
    columns_in,
    concat,
    missing_columns,
    padded,
    spread,
    widths_of,
)

if TYPE_CHECKING:
    from ._descriptor import SeE2A

Array = Any
Bars = tuple[Array, Array]  #: derivatives by R₀ (N, P) and by the other rows of R (N, 3, P)


def direct(
    xp: Any, config: SeE2A, params: Tree, counts: Mapping[int, int], geometry: Tree
) -> tuple[Array, Callable[[Array], Bars]]:
    """Return Σ_j R̃_ij ⊗ N_ab(R̃_ij,0), and the pullback to R.

    Parameters
    ----------
    geometry
        From :func:`multifit.descriptors.geometry`.

    Returns
    -------
    T
        (N, 4, M), in the precision of the nets.
    pullback
        T̄ → the derivatives by R, float64.
    """
    found = column_blocks(widths_of(geometry))
    atoms = groups({0: geometry["kind"].shape[0]} if config.type_one_side else counts)
    total, pulls = [], []
    for block in found:
        part, pull = _block(xp, config, params, counts, atoms, block, geometry["rows"])
        total.append(part)
        pulls.append(pull)
    missing = missing_columns(config.sel, geometry)
    if missing:
        each = of_empty_slots(xp, config, config.network, params, list(counts), missing)
        total.append(spread(xp, geometry["kind"], each))

    def pullback(bar: Array) -> Bars:
        joined = concat(xp, [pull(bar) for pull in pulls], axis=2)
        places = columns_in(found)
        if places is not None:
            joined = xp.take(joined, xp.asarray(places, dtype=xp.int64), axis=2)
        joined = xp.astype(joined, params["dstd"].dtype, copy=False) / geometry["deviation"]
        return joined[:, 0, :], joined[:, 1:, :]

    return sum(total[1:], total[0]), pullback


def _block(
    xp: Any,
    config: SeE2A,
    params: Tree,
    counts: Mapping[int, int],
    atoms: Groups,
    block: Block,
    rows: Array,
) -> tuple[Array, Callable[[Array], Array]]:
    """Return the sum over the neighbours of a block (N, 4, M), and T̄ → ∂/∂R̃ (N, 4, nb·k)."""
    rows = prec.cast(xp, padded(xp, block, rows), config.precision)
    each = []
    for group, own in zip(atoms.members, atoms.gather(xp, rows), strict=True):
        kinds = [0] if config.type_one_side else group.kinds
        indices = [config.network_index(a, b) for a in kinds for b in block.neighbours]
        each.append(of_pairs(xp, config, params["embeddings"], indices, own))

    def pullback(bar: Array) -> Array:
        parts = zip(each, atoms.gather(xp, bar), strict=True)
        return atoms.flat(xp, [pull(own) for (_, pull), own in parts])

    return atoms.flat(xp, [t for t, _ in each]), pullback


def of_pairs(
    xp: Any, config: SeE2A, nets: Tree, indices: list[int], rows: Array
) -> tuple[Array, Callable[[Array], Array]]:
    """Return Σ_j R̃_ij ⊗ N(R̃_ij,0), ([na,] n, 4, M), and the pullback T̄ → ([na,] n, 4, nb·k).

    Parameters
    ----------
    indices
        The net of each pair of types, (na · nb).
    rows
        R̃ for some types of neighbours and of one type of centres or several, ([na,] n, 4, nb, k).
    """
    *several, n, _, nb, k = rows.shape
    count = len(indices)
    na = count // nb
    rows = xp.permute_dims(xp.reshape(rows, (na, n, 4, nb, k)), (0, 3, 1, 2, 4))
    s = rows[:, :, :, 0, :]
    if count == 1:
        params, s = net_of(xp, nets, indices[0]), xp.reshape(s, (n * k, 1))
    else:
        params, s = nets_of(xp, nets, indices), xp.reshape(s, (count, n * k, 1))
    g, net_pullback = apply_network(xp, config.network, params, s)
    m = g.shape[-1]
    g = xp.reshape(g, (na, nb, n, k, m))

    def pullback(t_bar: Array) -> Array:
        t_bar = xp.reshape(xp.astype(t_bar, g.dtype, copy=False), (na, 1, n, 4, m))
        t_bar = xp.broadcast_to(t_bar, (na, nb, n, 4, m))
        rows_bar = xp.matmul(t_bar, xp.matrix_transpose(g))
        g_bar = xp.reshape(xp.matmul(xp.matrix_transpose(rows), t_bar), (*s.shape[:-1], m))
        s_bar = xp.reshape(net_pullback(g_bar), (na, nb, n, 1, k))
        first = rows_bar[:, :, :, :1, :] + s_bar
        found = xp.concat([first, rows_bar[:, :, :, 1:, :]], axis=3)
        return xp.reshape(xp.permute_dims(found, (0, 2, 3, 1, 4)), (*several, n, 4, nb * k))

    t = xp.sum(xp.matmul(rows, g), axis=1)
    return xp.reshape(t, (*several, n, 4, m)), pullback

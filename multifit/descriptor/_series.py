"""Embedding by series: few large matrix products, none of which is of a pair with a net."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..tree import Tree
from ._blocks import Block, Rows
from ._se_e2_a import SeE2A
from ._spectral import chebyshev, coefficients

Array = Any
Sums = dict[int, Array]  #: the type of the centres → Σ_j R̃ ⊗ G, (n, 4, M)


def in_zones(
    xp: Any,
    config: SeE2A,
    params: Tree,
    basis: Tree,
    atype: Array,
    rows: Rows,
    blocks: list[Block],
) -> tuple[Sums, Callable[[Sums], list[Array]]]:
    """Return what :func:`series` does, with a basis for near pairs and one for the others."""
    parts = [block.zones() for block in blocks]
    sums: Sums = {}
    pullbacks = {}
    for zone in ("near", "far"):
        some = [part[zone] for part in parts if zone in part and part[zone].counts]
        if not some:
            continue
        found, pullbacks[zone] = series(xp, config, params, basis[zone], atype, rows, some)
        sums = {a: sums[a] + t if a in sums else t for a, t in found.items()}

    def pullback(sums_bar: Sums) -> list[Array]:
        bars = {zone: iter(pull(sums_bar)) for zone, pull in pullbacks.items()}
        found = []
        for part in parts:
            own = [next(bars[zone]) for zone, block in part.items() if block.rows is not None]
            if own:
                found.append(own[0] if len(own) == 1 else xp.concat(own, axis=2))
        return found

    return sums, pullback


def series(
    xp: Any,
    config: SeE2A,
    params: Tree,
    basis: Tree,
    atype: Array,
    rows: Rows,
    blocks: list[Block],
) -> tuple[Sums, Callable[[Sums], list[Array]]]:
    """Return Σ_j R̃_ij ⊗ N_ab(s_ij) for each type a, and the pullback to R̃.

    Parameters
    ----------
    basis
        From :func:`multifit.descriptor.chebyshev_basis`; every s lies in its interval.
    blocks
        The neighbours, type by type.

    Returns
    -------
    T
        (n, 4, M) for each type of centres.
    pullback
        T̄ → ∂/∂R̃ (N, 4, k) for each block that has pairs.
    """
    count, nb = basis["nodes"].shape[0], len(blocks)
    scale = 2.0 / xp.take(basis["reach"], atype, axis=0)
    moments, bases = [], []
    for k, block in enumerate(blocks):
        stretch = scale[:, block.neighbour : block.neighbour + 1]
        cheb = None if block.rows is None else chebyshev(xp, block.s * stretch - 1.0, count)
        moments.append(_moments(xp, basis, block, cheb))
        if cheb is not None:
            bases.append((k * count, block, cheb, stretch))
    joined = moments[0] if nb == 1 else xp.concat(moments, axis=2)
    nets = _series(xp, config, params, basis, rows, blocks)
    sums = {}
    for a, span in rows.items():
        n = span.stop - span.start
        flat = xp.reshape(joined[span, :, :], (n * 4, nb * count))
        sums[a] = xp.reshape(xp.matmul(flat, nets[a]), (n, 4, nets[a].shape[1]))

    def pullback(sums_bar: Sums) -> list[Array]:
        parts = []
        for a, bar in sums_bar.items():
            flat = xp.reshape(bar, (bar.shape[0] * 4, bar.shape[2]))
            parts.append(xp.matmul(flat, xp.matrix_transpose(nets[a])))
        flat = parts[0] if len(parts) == 1 else xp.concat(parts, axis=0)
        n = joined.shape[0]
        slope = xp.matmul(
            xp.reshape(flat, (n * 4 * nb, count)), xp.matrix_transpose(basis["derivative"])
        )
        both = [xp.reshape(part, (n, 4, nb * count)) for part in (flat, slope)]
        bars = xp.concat(both, axis=1)
        return [
            _rows_bar(xp, block, bars[:, :, start : start + count], cheb, stretch)
            for start, block, cheb, stretch in bases
        ]

    return sums, pullback


def _moments(xp: Any, basis: Tree, block: Block, cheb: Array | None) -> Array:
    """Return Σ_j R̃ ⊗ T(x) over all slots, (N, 4, K)."""
    moments = None if cheb is None else xp.matmul(block.rows, xp.matrix_transpose(cheb))
    if block.missing:
        nothing = (float(block.missing) * block.empty) * basis["signs"][None, None, :]
        moments = nothing if moments is None else moments + nothing
    return moments


def _rows_bar(xp: Any, block: Block, bars: Array, cheb: Array, stretch: Array) -> Array:
    """Return ∂/∂R̃ (N, 4, k) from Ā and Ā Dᵀ (N, 8, K)."""
    found = xp.matmul(bars, cheb)
    x_bar = xp.sum(block.rows * found[:, 4:, :], axis=1, keepdims=True)
    # dx/dR̃₀ = (2/s_max) σ₀, so that all of it is a derivative by R̃.
    s_bar = x_bar * (stretch[:, None, :] * block.deviation[:, :1, :])
    return xp.concat([found[:, :1, :] + s_bar, found[:, 1:4, :]], axis=1)


def _series(
    xp: Any, config: SeE2A, params: Tree, basis: Tree, rows: Rows, blocks: list[Block]
) -> dict[int, Array]:
    """Return the coefficients of N_ab for each centre a, those of all b one below the other."""
    users: dict[int, list[tuple[int, int]]] = {}
    for a in rows:
        for block in blocks:
            key = (a, block.neighbour)
            users.setdefault(config.network_index(*key), []).append(key)
    found: dict[tuple[int, int], Array] = {}
    for index, keys in users.items():
        scales = [
            (basis["reach"][a, b], params["davg"][a, b, 0], params["dstd"][a, b, 0])
            for a, b in keys
        ]
        net = params["embeddings"][str(index)]
        made = coefficients(xp, config.double_network, net, basis, scales)
        found.update(zip(keys, made, strict=True))
    stacks = {a: [found[a, block.neighbour] for block in blocks] for a in rows}
    return {a: s[0] if len(s) == 1 else xp.concat(s, axis=0) for a, s in stacks.items()}

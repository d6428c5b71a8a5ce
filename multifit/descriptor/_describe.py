"""Descriptors of all atoms of a batch, and the way back from them to the pair vectors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..tree import Tree
from ._blocks import Block, Rows, rows_of
from ._direct import direct
from ._environment import environment
from ._se_e2_a import SeE2A
from ._series import in_zones

Array = Any
Descriptors = dict[int, Array]  #: the type of the centres → (n, M·axis_neuron)


def join(xp: Any, tables: Mapping[str, Tree]) -> Tree:
    """Return the tables of all types of neighbours side by side: ``rij``, ``index``, ``mask``."""
    found = [tables[b] for b in sorted(tables, key=int)]
    if len(found) == 1:
        return found[0]
    keys = [key for key in found[0] if key != "near"]
    return {key: xp.concat([table[key] for table in found], axis=-1) for key in keys}


def describe(
    xp: Any,
    config: SeE2A,
    params: Tree,
    atype: Array,
    counts: Mapping[int, int],
    tables: Mapping[str, Tree],
    basis: Tree | None = None,
) -> tuple[Descriptors, Callable[[Descriptors], Array]]:
    """Return the descriptors of N atoms that lie in the order of their types, and their pullback.

    Parameters
    ----------
    atype
        (N,) integers.
    counts
        How many atoms of each type that occurs, in order.
    tables
        For each neighbour type that occurs, under its number: ``rij`` (N, 3, k) in Å and ``mask``
        (N, k). Slots of ``sel`` that a table lacks count as empty, those that it has too many as
        not there. With ``near`` (m,) the first m columns are those of near pairs.
    basis
        ``near`` and ``far`` from :func:`multifit.descriptor.chebyshev_basis`, as arrays of xp: the
        embedding nets are then evaluated at their nodes and interpolated; without it, at every
        pair.

    Returns
    -------
    D
        For each type its atoms' descriptors, (n, M·axis_neuron).
    pullback
        D̄ → ∂/∂r_ij (N, 3, Σk), for the tables as :func:`join` puts them.
    """
    rows = rows_of(counts)
    blocks, back = _blocks(xp, config, params, atype, rows, tables)
    if basis is None:
        t, embed_pullback = direct(xp, config, params, rows, blocks)
    else:
        t, embed_pullback = in_zones(xp, config, params, basis, atype, rows, blocks)
    parts = {a: _contract(xp, config, each) for a, each in t.items()}

    def pullback(d_bar: Descriptors) -> Array:
        return back(embed_pullback({a: pull(d_bar[a]) for a, (_, pull) in parts.items()}))

    return {a: d for a, (d, _) in parts.items()}, pullback


def _blocks(
    xp: Any, config: SeE2A, params: Tree, atype: Array, rows: Rows, tables: Mapping[str, Tree]
) -> tuple[list[Block], Callable[[list[Array]], Array]]:
    """Return R̃ for each type of neighbours that has slots, and {∂/∂R̃} → ∂/∂r (N, 3, Σk)."""
    mean, deviation = (xp.take(params[key], atype, axis=0) for key in ("davg", "dstd"))
    raw: Array = None
    if tables:
        pairs = join(xp, tables)
        raw, env_pullback = environment(xp, config.environment, pairs["rij"], pairs["mask"])
    blocks, start = [], 0
    for b in range(config.ntypes):
        if not config.sel[b]:
            continue
        mu, sigma = mean[:, b, :, None], deviation[:, b, :, None]
        block = Block(b, config.sel[b], mu, sigma)
        if str(b) in tables:
            table = tables[str(b)]
            mask, near = table["mask"], table["near"].shape[0] if "near" in table else 0
            stop = start + mask.shape[1]
            block = block.filled(raw[:, :, start:stop], _seen(xp, config, rows, b, mask), near)
            start = stop
        blocks.append(block)

    def pullback(rows_bar: list[Array]) -> Array:
        """Return ∂/∂r from ∂/∂R̃ of the blocks that have pairs."""
        full = [block for block in blocks if block.rows is not None]
        found = [block.unscaled(bar) for block, bar in zip(full, rows_bar, strict=True)]
        return env_pullback(found[0] if len(found) == 1 else xp.concat(found, axis=-1))

    return blocks, pullback


def _seen(xp: Any, config: SeE2A, rows: Rows, b: int, mask: Array) -> Array | None:
    """Return 0 for pairs of types that are excluded, else 1, (N, 1, k); None if all are seen."""
    if not any((a, b) in config.excluded for a in rows):
        return None
    parts = [
        1.0 - mask[span, :] if (a, b) in config.excluded else xp.ones_like(mask[span, :])
        for a, span in rows.items()
    ]
    return xp.concat(parts, axis=0)[:, None, :]


def _contract(xp: Any, config: SeE2A, t: Array) -> tuple[Array, Callable[[Array], Array]]:
    """Return D (n, M·m) from Σ_j R̃ ⊗ G (n, 4, M), and its pullback."""
    n, _, width = t.shape
    m, share = config.axis_neuron, 1.0 / config.nnei
    t = t * share
    head = t[:, :, :m]
    d = xp.reshape(xp.matmul(xp.matrix_transpose(t), head), (n, width * m))

    def pullback(d_bar: Array) -> Array:
        d_bar = xp.astype(xp.reshape(d_bar, (n, width, m)), t.dtype, copy=False) * share
        t_bar = xp.matmul(head, xp.matrix_transpose(d_bar))
        first = t_bar[:, :, :m] + xp.matmul(t, d_bar)
        return xp.concat([first, t_bar[:, :, m:]], axis=2)

    return d, pullback

"""The coefficients of the series of embedding nets, computed in a step or known before it.

While parameters are trained, coefficients are computed in each step. A model with fixed parameters
has them in its plan (:func:`with_coefficients`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import array_api_compat.numpy as np_xp
import numpy as np

from ..nn.groups import Groups, groups, net_of, nets_of, of_group, picked
from ..nn.networks import Network, apply_network
from ..tree import Tree, map_leaves
from ._chebyshev import BOTH, SCALES, scales_of
from ._tables import ZONES, Block, concat

if TYPE_CHECKING:
    from ._radial import RadialDescriptor

Array = Any

#: Key of the coefficients in a plan.
KNOWN = "coefficients"


def of_pairs_of_types(xp: Any, x: Array, kinds: Sequence[int], neighbours: Sequence[int]) -> Array:
    """Return the part of (ntypes, ntypes, …) of some centres and some neighbours."""
    return picked(xp, picked(xp, x, kinds), neighbours, axis=1)


def evaluate(
    xp: Any,
    config: RadialDescriptor,
    network: Network,
    nets: Tree,
    kinds: Sequence[int],
    neighbours: Sequence[int],
    x: Array,
) -> Array:
    """Return N_ab(x_ab), (na, nb, n, M), for centres a and neighbours b; x (na, nb, n).

    Parameters
    ----------
    nets
        ``embeddings`` of the parameters, in the precision of the network.
    """
    na, nb, n = x.shape
    # In the order of the nets, all of which then need not be copied.
    if config.type_one_side:
        indices = list(neighbours)
    else:
        indices = [config.network_index(a, b) for b in neighbours for a in kinds]
    g = _apply(xp, network, nets, indices, xp.permute_dims(x, (1, 0, 2)))
    return xp.permute_dims(xp.reshape(g, (nb, na, n, -1)), (1, 0, 2, 3))


def _apply(xp: Any, network: Network, nets: Tree, indices: Sequence[int], x: Array) -> Array:
    """Return N(x) of each net for its part of x, in the order of its elements."""
    if len(indices) == 1:
        return apply_network(xp, network, net_of(xp, nets, indices[0]), xp.reshape(x, (-1, 1)))[0]
    params = nets_of(xp, nets, indices)
    return apply_network(xp, network, params, xp.reshape(x, (len(indices), -1, 1)))[0]


def in_double(xp: Any, nets: Tree) -> Tree:
    """Return nets in float64: a derivative multiplies rounding errors by K²."""
    return map_leaves(lambda x: xp.astype(x, xp.float64, copy=False), nets)


def values_at_nodes(
    xp: Any,
    config: RadialDescriptor,
    params: Tree,
    zones: Sequence[Tree],
    kinds: Sequence[int],
    neighbours: Sequence[int],
) -> Array:
    """Return the nets at the nodes of their series, (na, nb, ΣK, M), float64.

    Parameters
    ----------
    zones
        ``near`` or ``far`` of the plan, from :func:`._chebyshev.chebyshev_basis`, or both.
    """
    scaling = (params["davg"][:, :, 0], params["dstd"][:, :, 0])
    parts = []
    for own in zones:
        given = (own["start"], own["reach"], *scaling)
        start, reach, mean, deviation = (
            of_pairs_of_types(xp, x, kinds, neighbours)[:, :, None] for x in given
        )
        part = 0.5 * (own["nodes"] + 1.0)
        parts.append((start + part[None, None, :] * (reach - start) - mean) / deviation)
    x = concat(xp, parts, axis=2)
    nets = in_double(xp, params["embeddings"])
    return evaluate(xp, config, config.double_network, nets, kinds, neighbours, x)


def tails(
    config: RadialDescriptor,
    params: Tree,
    own: Tree,
    kinds: Sequence[int],
    neighbours: Sequence[int],
) -> np.ndarray:
    """Return the size of the last coefficients relative to the largest, (na, nb).

    Parameters
    ----------
    params, own
        As of :func:`values_at_nodes`, as NumPy arrays.
    """
    values = values_at_nodes(np_xp, config, params, [own], kinds, neighbours)
    return tail_of(own["transform"] @ values)


def tail_of(series: np.ndarray) -> np.ndarray:
    """Return the size of the last coefficients relative to the largest, (…), for (…, K, M)."""
    size = np.abs(series)
    last = size[..., -max(2, size.shape[-2] // 16) :, :].max(axis=(-2, -1))
    found: np.ndarray = last / np.maximum(size.max(axis=(-2, -1)), 1e-300)
    return found


def block_series(
    xp: Any, config: RadialDescriptor, params: Tree, plan: Tree, kinds: Sequence[int], block: Block
) -> tuple[Array, Array]:
    """Return the coefficients C and those of the derivative by x, D C, (na, nb·K, M).

    Parameters
    ----------
    params
        Parameters of the descriptor; not used if the plan has coefficients.
    plan
        ``near`` and ``far`` from :func:`._chebyshev.chebyshev_basis`, as arrays of xp.
    kinds
        Types of the centres; with a common scale one array stands for all, na = 1.
    """
    kinds = series_kinds(config, kinds)
    if KNOWN in plan:
        both = _known(xp, config, plan, kinds, [block])
        return both[:, 0, :, :], both[:, 1, :, :]
    return _computed(xp, config, params, plan, kinds, block.neighbours, (block.zone,))


def _computed(
    xp: Any,
    config: RadialDescriptor,
    params: Tree,
    plan: Tree,
    kinds: Sequence[int],
    neighbours: Sequence[int],
    zones: Sequence[str],
) -> tuple[Array, Array]:
    """Return C and D C, (na, nb·ΣK, M), from the nets at the nodes of one zone or of both."""
    own = plan[zones[0] if len(zones) == 1 else BOTH]
    given = [plan[zone] for zone in zones]
    g = values_at_nodes(xp, config, params, given, kinds, neighbours)
    c = xp.matmul(own["transform"], g)
    found = (c, xp.matmul(own["derivative"], c))
    value, slope = (xp.reshape(x, (len(kinds), -1, x.shape[3])) for x in found)
    return value, slope


def _known(
    xp: Any, config: RadialDescriptor, plan: Tree, kinds: Sequence[int], found: Sequence[Block]
) -> Array:
    """Return C and D C of some blocks from a plan that has those of all, (na, 2, ΣK, M).

    That of all blocks is returned without a copy.
    """
    terms = {zone: plan[zone]["nodes"].shape[0] for zone in ZONES}
    first, total = {}, 0
    for b, sel in enumerate(config.sel):
        for zone in ZONES if sel else ():
            first[zone, b] = total
            total += terms[zone]
    edges: list[tuple[int, int]] = []
    for block in found:
        for b in block.neighbours:
            start = first[block.zone, b]
            if edges and edges[-1][1] == start:
                start = edges.pop()[0]
            edges.append((start, first[block.zone, b] + terms[block.zone]))
    own = picked(xp, plan[KNOWN]["series"], kinds)
    if edges == [(0, total)]:
        return own
    return concat(xp, [own[:, :, start:stop, :] for start, stop in edges], axis=2)


def with_slots(config: RadialDescriptor) -> list[int]:
    """Return the types of neighbours that have slots."""
    return [b for b, sel in enumerate(config.sel) if sel]


def all_series(
    xp: Any,
    config: RadialDescriptor,
    params: Tree,
    plan: Tree,
    atoms: Groups,
    kinds: Sequence[int],
    found: Sequence[Block],
) -> list[tuple[Array, Array]]:
    """Return C, ([types,] K, M), and C above D C, ([types,] 2K, M), of each group of atoms.

    Parameters
    ----------
    params, plan, kinds
        As for :func:`block_series`.
    atoms
        From :func:`series_atoms`.
    found
        Blocks, whose coefficients follow one another in K.
    """
    if KNOWN not in plan:
        order = series_kinds(config, kinds)
        given = (xp, config, params, plan, order)
        each = [_computed(*given, *part) for part in _together(plan, found)]
        c, slope = (concat(xp, list(x), axis=1) for x in zip(*each, strict=True))
        own = of_groups(xp, config, atoms, kinds, (c, slope))
        return [(value, xp.concat((value, by_x), axis=-2)) for value, by_x in own]
    order = list(series_kinds(config, kinds))
    every = _known(xp, config, plan, order, found)
    nets = []
    for group in atoms.members:
        both = of_group(xp, group, every, order)
        joined = xp.reshape(both, (*both.shape[:-3], -1, both.shape[-1]))
        nets.append((both[..., 0, :, :], joined))
    return nets


def _together(plan: Tree, found: Sequence[Block]) -> Iterator[tuple[Sequence[int], Sequence[str]]]:
    """Yield the neighbours and zones of blocks in order; a type's two zones are one part.

    Half as many calls evaluate its net, which is what few nodes cost in eager frameworks.
    """
    rest = list(found)
    while rest:
        block = rest.pop(0)
        zones, other = [block.zone], Block(ZONES[1], block.neighbours, ())
        single = BOTH in plan and block.zone == ZONES[0] and len(block.neighbours) == 1
        if single and rest and rest[0].name == other.name:
            zones.append(rest.pop(0).zone)
        yield block.neighbours, zones


def of_groups(
    xp: Any,
    config: RadialDescriptor,
    atoms: Groups,
    kinds: Sequence[int],
    arrays: tuple[Array, Array],
) -> list[tuple[Array, Array]]:
    """Return two arrays of :func:`block_series` for each group of atoms, ([types,] K, M).

    Parameters
    ----------
    atoms
        From :func:`series_atoms`.
    kinds
        Types of the centres.
    """
    order, found = list(series_kinds(config, kinds)), []
    if all(group.single for group in atoms.members):
        parts = [dict(zip(order, xp.unstack(x), strict=True)) for x in arrays]
        return [(parts[0][a], parts[1][a]) for group in atoms.members for a in group.kinds]
    for group in atoms.members:
        value, slope = (of_group(xp, group, x, order) for x in arrays)
        found.append((value, slope))
    return found


def series_atoms(config: RadialDescriptor, counts: Mapping[int, int], natoms: int) -> Groups:
    """Return the groups of atoms with one series each: with a common scale all are one."""
    return groups({0: natoms} if config.common_scale else counts)


def split_moments(
    xp: Any, config: RadialDescriptor, counts: Mapping[int, int], moments: Array
) -> dict[str, Array]:
    """Return moments (N, 4, K) by the number of the group of atoms, ([types,] 4n, K)."""
    each = series_atoms(config, counts, moments.shape[0]).gather(xp, moments)
    split = [xp.reshape(x, (*x.shape[:-3], -1, x.shape[-1])) for x in each]
    return {str(g): x for g, x in enumerate(split)}


def series_kinds(config: RadialDescriptor, kinds: Sequence[int]) -> Sequence[int]:
    """Return the types of centres that have series: with a common scale only the first."""
    return [0] if config.common_scale else kinds


def with_coefficients(config: RadialDescriptor, params: Tree, plan: Tree) -> Tree:
    """Return a plan with the coefficients of all pairs of types, for fixed parameters.

    Parameters
    ----------
    params, plan
        Nested NumPy arrays.
    """
    kinds = series_kinds(config, range(config.ntypes))
    each = [
        block_series(np_xp, config, params, plan, kinds, Block(zone, (b,), ()))
        for b, sel in enumerate(config.sel)
        for zone in (ZONES if sel else ())
    ]
    both = [np.concatenate(x, axis=1) for x in zip(*each, strict=True)]
    made: Tree = {**plan, KNOWN: {"series": np.stack(both, axis=1)}}
    if config.components == 4:
        for zone in ZONES:
            made[zone] = {**plan[zone], SCALES: scales_of(np_xp, plan[zone], params["dstd"])}
    return made


def of_empty_slots(
    xp: Any,
    config: RadialDescriptor,
    network: Network,
    params: Tree,
    kinds: Sequence[int],
    missing: Mapping[int, float],
    weighted: bool = True,
) -> Array:
    """Return Σ_b m_b R̃ ⊗ N_ab(R̃₀) of slots without a pair, (na, components, M).

    Without ``weighted`` it is Σ_b m_b N_ab(R̃₀), (na, 1, M).

    Parameters
    ----------
    params
        Parameters of the descriptor, with nets in the precision of the network.
    missing
        Type of neighbours → the number m_b of its slots; negative for those to be subtracted.
    """
    neighbours = list(missing)
    mean, deviation = (
        of_pairs_of_types(xp, params[key], kinds, neighbours) for key in ("davg", "dstd")
    )
    nets = params["embeddings"]
    dtype = next(iter(next(iter(nets.values()))["layers"].values()))["w"].dtype
    rows = xp.astype(-mean / deviation, dtype, copy=False)
    g = evaluate(xp, config, network, nets, kinds, neighbours, rows[:, :, :1])[:, :, 0, :]
    counts = xp.asarray(list(missing.values()), dtype=dtype)
    factors = rows if weighted else xp.ones_like(rows[:, :, :1])
    return xp.matmul(xp.matrix_transpose(factors * counts[None, :, None]), g)

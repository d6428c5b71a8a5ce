"""The coefficients of the series of all embedding nets, computed in a step or known before it.

While parameters are trained, coefficients are computed in each step. A model with fixed parameters
has them in its plan (:func:`with_coefficients`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import array_api_compat.numpy as np_xp

from ..tree import Tree
from ._chebyshev import coefficients, scale_of
from ._tables import ZONES

if TYPE_CHECKING:
    from ._radial import RadialDescriptor

Array = Any
Zones = Sequence[tuple[int, str]]  #: a type of neighbours, and one of :data:`ZONES`
#: Type of centres, type of neighbours, zone → C and D C, (K, M).
Series = dict[tuple[int, int, str], tuple[Array, Array]]

#: Key of the coefficients in a plan.
KNOWN = "coefficients"


def series_of(
    xp: Any, config: RadialDescriptor, params: Tree, plan: Tree, kinds: Iterable[int], zones: Zones
) -> Series:
    """Return the coefficients C and those of the derivative by x, D C, (K, M).

    Parameters
    ----------
    params
        Parameters of the descriptor; not used if the plan has coefficients.
    plan
        ``near`` and ``far`` from :func:`._chebyshev.chebyshev_basis`, as arrays of xp.
    kinds
        Types of the centres.
    zones
        Types of neighbours and their zones.
    """
    kinds = list(kinds)
    if KNOWN in plan:
        known = plan[KNOWN]
        return {
            (a, b, zone): (known[zone][f"{a}-{b}"]["value"], known[zone][f"{a}-{b}"]["slope"])
            for a in kinds
            for b, zone in zones
        }
    found: Series = {}
    for (index, zone), pairs in _users(config, kinds, zones).items():
        own = plan[zone]
        scales = [scale_of(own, params, a, b) for a, b in pairs]
        net = params["embeddings"][str(index)]
        made = coefficients(xp, config.double_network, net, own, scales)
        for (a, b), c in zip(pairs, made, strict=True):
            found[a, b, zone] = c, xp.matmul(own["derivative"], c)
    return found


def _users(
    config: RadialDescriptor, kinds: Iterable[int], zones: Zones
) -> dict[tuple[int, str], list[tuple[int, int]]]:
    """Return the pairs of types that use each net in each zone."""
    users: dict[tuple[int, str], list[tuple[int, int]]] = {}
    for a in kinds:
        for b, zone in zones:
            users.setdefault((config.network_index(a, b), zone), []).append((a, b))
    return users


def with_coefficients(config: RadialDescriptor, params: Tree, plan: Tree) -> Tree:
    """Return a plan with the coefficients of all pairs of types, for fixed parameters.

    Parameters
    ----------
    params, plan
        Nested NumPy arrays.
    """
    zones = [(b, zone) for b, sel in enumerate(config.sel) if sel for zone in ZONES]
    known: dict[str, Tree] = {zone: {} for zone in ZONES}
    series = series_of(np_xp, config, params, plan, range(config.ntypes), zones)
    for (a, b, zone), (value, slope) in series.items():
        known[zone][f"{a}-{b}"] = {"value": value, "slope": slope}
    return {**plan, KNOWN: known}

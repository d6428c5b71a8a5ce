"""Descriptors of all atoms of a batch, and their pullback to the pair vectors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ... import precision as prec
from ...autodiff import ReverseArithmetic, with_pullback
from ...backend import Arithmetic
from ...tree import Tree
from .._environment import to_vectors
from .._types import type_table, with_types
from . import _fading as fading
from . import _series as series
from ._attention import Slots
from ._forward import Constants, contract, features

if TYPE_CHECKING:
    from ._descriptor import SeAtten

Array = Any


def apply(
    arithmetic: Arithmetic,
    config: SeAtten,
    params: Tree,
    counts: Mapping[int, int],
    known: Tree,
    plan: Tree | None = None,
) -> tuple[Array, Callable[[Array], Array]]:
    """Return D (N, dim_out) and its pullback D̄ → ∂/∂r_ij (N, 3, P).

    Parameters
    ----------
    known
        The result of :func:`._geometry.geometry`, or with a plan of :func:`._series.geometry`.
    """
    xp = arithmetic.xp
    table = type_table(xp, config, params)
    if plan is not None and "series" in known:
        d, pull = series.apply(xp, config, params, counts, known, plan, table)
    else:
        constants = Constants(xp, config, params, counts, known, table)
        if constants.by_type is None:
            d, pull = _alone(xp, config, constants, known)
        elif plan is not None and "fading" in known:
            d, pull = _by_series(arithmetic, config, params, constants, known, plan)
        else:
            d, pull = _among(arithmetic, config, params, constants, known)
    return with_types(xp, config, table, counts, known["kind"], (d, pull))


def _alone(
    xp: Any, config: SeAtten, constants: Constants, known: Tree
) -> tuple[Array, Callable[[Array], Array]]:
    """Return the descriptors of atoms without neighbours."""
    n = known["missing"].shape[0]
    empty = constants.empty
    if empty is None:
        empty = prec.cast(
            xp, xp.zeros((n, 4, config.neuron[-1]), dtype=xp.float64), config.precision
        )
    return contract(xp, config, empty), lambda d_bar: xp.zeros((n, 3, 0), dtype=xp.float64)


def _among(
    arithmetic: Arithmetic, config: SeAtten, params: Tree, constants: Constants, known: Tree
) -> tuple[Array, Callable[[Array], Array]]:
    """Return the descriptors of atoms with neighbours, and the pullback."""
    xp = arithmetic.xp
    here = {
        key: prec.cast(xp, x, config.precision)
        for key, x in (
            *((key, known[key]) for key in ("rows", "present", "switch", "absent")),
            ("unit", known["factors"]["unit"]),
        )
    }
    names = ["rows", *config.directions]

    def forward(recording: ReverseArithmetic, *inputs: Array) -> Array:
        given = recording.lift(here) | dict(zip(names, inputs, strict=True))
        slots = Slots(given["present"], given["switch"], given["unit"], given["absent"])
        return features(recording, config, params, constants, slots, given["rows"])

    d, pull = with_pullback(arithmetic, forward, *(here[name] for name in names))

    def pullback(d_bar: Array) -> Array:
        bars = pull(xp.astype(d_bar, d.dtype, copy=False))
        wide = known["rows"].dtype
        by = {name: xp.astype(bar, wide, copy=False) for name, bar in zip(names, bars, strict=True)}
        return by_vectors(xp, known, by)

    return d, pullback


def _by_series(
    arithmetic: Arithmetic,
    config: SeAtten,
    params: Tree,
    constants: Constants,
    known: Tree,
    plan: Tree,
) -> tuple[Array, Callable[[Array], Array]]:
    """Return the descriptors of a smooth strip model by series, and the pullback."""
    xp = arithmetic.xp
    factors = xp.astype(constants.by_type, xp.float64, copy=False)
    t, by_geometry = fading.apply(xp, config.pairwise, params, known, plan, factors)
    if constants.empty is not None:
        t = t + xp.astype(constants.empty, xp.float64, copy=False)
    d, pull = with_pullback(arithmetic, lambda a, x: contract(a.xp, config, x), t)

    def pullback(d_bar: Array) -> Array:
        (bar,) = pull(xp.astype(d_bar, d.dtype, copy=False))
        return by_vectors(xp, known, by_geometry(bar))

    return d, pullback


def by_vectors(xp: Any, known: Tree, by: dict[str, Array]) -> Array:
    """Return ∂/∂r_ij (N, 3, P) from the derivatives by R̃, w and u, as far as there are any."""
    factors, scaled = known["factors"], by["rows"] / known["deviation"][:, :, None]
    found = to_vectors(xp, factors, scaled[:, 0, :], scaled[:, 1:, :])
    unit = factors["unit"]
    if "switch" in by:
        found = found + unit * (by["switch"] * known["fall"])[:, None, :]
    if "unit" in by:
        bar = by["unit"]
        across = bar - unit * xp.sum(bar * unit, axis=1)[:, None, :]
        found = found + across * (known["inverse"] * known["present"])[:, None, :]
    return found

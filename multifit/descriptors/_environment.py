r"""The local environment matrix and its pullback.

For a pair r = r_j − r_i of length r, with the quintic switch w and a protection p,

.. math::

   q = 1/(r+p), \quad s = w(r)\,q, \quad R = s\,(1,\; q\,\mathbf r),

    w(r) = 1 - 10u^3 + 15u^4 - 6u^5, \quad u = (r - r_s)/(r_c - r_s) \in [0, 1].

Source: Zhang et al., NeurIPS 2018 (DeepPot-SE), eq. 5; DeePMD-kit documentation, "se_e2_a".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..tree import Tree

Array = Any
Pullback = Callable[[Array], Array]


@dataclass(frozen=True)
class Environment:
    """The radial settings: start and end of the switch, and protection of 1/r (all Å)."""

    rcut: float
    rcut_smth: float
    protection: float = 0.0


def switch_and_slope(xp: Any, env: Environment, r: Array) -> tuple[Array, Array]:
    """Return w(r) and w′(r), both (n, k)."""
    width = env.rcut - env.rcut_smth
    u = (r - env.rcut_smth) / width
    zero, one = xp.zeros_like(u), xp.ones_like(u)
    u = xp.minimum(xp.maximum(u, zero), one)
    u2 = u * u
    w = 1.0 - u2 * u * (10.0 - 15.0 * u + 6.0 * u2)
    rise = u * (1.0 - u)
    return w, (-30.0 / width) * (rise * rise)


def switch(xp: Any, r: Array, rcut_smth: float, rcut: float) -> Array:
    """Return w(r): 1 up to ``rcut_smth``, 0 from ``rcut`` on (Å), with two smooth derivatives."""
    return switch_and_slope(xp, Environment(rcut, rcut_smth), r)[0]


def local_frames(xp: Any, env: Environment, rij: Array, mask: Array) -> tuple[Array, Tree]:
    """Return R (n, 4, k), and the factors for :func:`to_vectors`, independent of networks.

    Parameters
    ----------
    rij
        Pair vectors in Å, (n, 3, k); zeros for empty slots.
    mask
        1.0 for a pair and 0.0 for an empty slot, (n, k); R is zero in an empty slot.
    """
    # An empty slot gets the length 1, so that nothing divides by zero.
    r = xp.sqrt(inner(xp, rij, rij) + (1.0 - mask))
    inverse = 1.0 / r
    q = 1.0 / (r + env.protection) if env.protection else inverse
    w, w_slope = switch_and_slope(xp, env, r)
    wq, q_there = w * q, q * mask
    s, slope = w * q_there, (w_slope - wq) * q_there
    unit, scale = rij * inverse[:, None, :], s * q
    turn, across = slope - scale, s
    if env.protection:
        turn, across = r * q * turn, s * (r * q)
    rows = _with_first(xp, s, unit, across[:, None, :])
    return rows, {"unit": unit, "scale": scale, "slope": slope, "turn": turn}


def _with_first(xp: Any, first: Array, x: Array, factor: Array) -> Array:
    """Return (n, 1 + c, k) from the first row (n, k), and x (n, c, k) times a factor."""
    if isinstance(x, np.ndarray):  # written where they belong; joining would be another pass
        made = np.empty((x.shape[0], 1 + x.shape[1], x.shape[2]), dtype=x.dtype)
        made[:, 0, :] = first
        np.multiply(x, factor, out=made[:, 1:, :])
        return made
    return xp.concat([first[:, None, :], x * factor], axis=1)


def inner(xp: Any, a: Array, b: Array) -> Array:
    """Return Σ_c a_c b_c (n, k), for (n, c, k)."""
    if isinstance(a, np.ndarray):  # in one pass; sums over short axes are slow
        found: Array = np.einsum("nck,nck->nk", a, b)
        return found
    return xp.sum(a * b, axis=1)


def without_hidden(factors: Mapping[str, Array], visible: Array) -> dict[str, Array]:
    """Return factors of :func:`local_frames` that are 0 for excluded pairs.

    Parameters
    ----------
    visible
        0 for excluded pairs, else 1, (N, P).
    """
    return {key: x if key == "unit" else x * visible for key, x in factors.items()}


def to_vectors(xp: Any, factors: Tree, s_bar: Array, v_bar: Array) -> Array:
    """Return ∂/∂r (n, 3, k) from the derivatives by R₀ (n, k) and by its other rows (n, 3, k)."""
    unit = factors["unit"]
    along = s_bar * factors["slope"] + inner(xp, v_bar, unit) * factors["turn"]
    return v_bar * factors["scale"][:, None, :] + unit * along[:, None, :]


def environment(xp: Any, env: Environment, rij: Array, mask: Array) -> tuple[Array, Pullback]:
    """Return R (n, 4, k) and the pullback R̄ (n, 4, k) → ∂/∂r (n, 3, k).

    Parameters
    ----------
    rij, mask
        As in :func:`local_frames`.
    """
    rows, factors = local_frames(xp, env, rij, mask)
    return rows, lambda bar: to_vectors(xp, factors, bar[:, 0, :], bar[:, 1:, :])


def radial(xp: Any, env: Environment, r: Array) -> Array:
    """Return s(r) for r (n, k) in Å."""
    w, _ = switch_and_slope(xp, env, r)
    return w / (r + env.protection)

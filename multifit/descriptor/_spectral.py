r"""The embedding net as a Chebyshev series: an order of magnitude less work per pair.

N is a smooth function of one variable, s ∈ [0, s_max]. With x = 2s/s_max − 1 and the Chebyshev
polynomials T_k, interpolation at K nodes gives

.. math::

   N(s) = \sum_k C_k T_k(x), \quad C = W N(\text{nodes}), \quad
   \sum_j \tilde R_{ij} \otimes N(s_{ij}) = A_i C, \quad
   A_i = \sum_j \tilde R_{ij} \otimes T(x_{ij}),

so that the net is evaluated K times in a step instead of once for every pair, and A does not depend
on parameters. With Ā = T̄ Cᵀ and the matrix D that differentiates a series,
∂/∂R̃ = Ā T and ∂/∂x = Σ_c R̃_c (Ā Dᵀ)_c T.

It is no approximation that one chooses: :func:`tail` tells whether K is large enough for the last
digits, and where it is not, the direct evaluation is used.

=======  =================================
symbol   variable, shape
=======  =================================
T(x)     ``cheb``, (n, K, k)
A        ``moments``, (n, 4, K)
C        ``series``, (K, M)
W, D     ``basis["transform"]``, ``basis["derivative"]``, (K, K)
=======  =================================

Source: Trefethen, Approximation Theory and Approximation Practice, chapters 3 and 4.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import array_api_compat.numpy as np_xp
import numpy as np

from ..networks import Network, apply_network
from ..tree import Tree

Array = Any

#: Activations that are analytic, so that a series converges geometrically.
SMOOTH = frozenset({"tanh", "gelu", "gelu_tf", "softplus", "sigmoid", "silu", "linear", "none"})


def _cosine(m: np.ndarray, k: int) -> np.ndarray:
    """Return cos(π m/2k) for integers m.

    The angle is brought to [0, π/2] in integers: a large one would cost the last two digits, and
    differentiating the series multiplies what is lost by k².
    """
    m = m % (4 * k)
    m = np.minimum(m, 4 * k - m)
    sign = np.where(m > k, -1.0, 1.0)
    m = np.minimum(m, 2 * k - m)
    angle = np.pi * m / (2 * k)
    # Near π/2 the sine of the rest is the accurate one.
    near = np.sin(np.pi * (k - m) / (2 * k))
    cosine: np.ndarray = sign * np.where(2 * m > k, near, np.cos(angle))
    return cosine


def chebyshev_basis(k: int, s_max: float) -> dict[str, np.ndarray]:
    """Return what the series needs on [0, s_max]: nodes (K,), W and D (K, K), 2/s_max (0-d)."""
    odd = 2 * np.arange(k) + 1
    transform = _cosine(np.outer(np.arange(k), odd), k) * (2.0 / k)
    transform[0] *= 0.5
    order = np.arange(k)
    above = (order[None, :] > order[:, None]) & ((order[None, :] - order[:, None]) % 2 == 1)
    derivative = np.where(above, 2.0 * order[None, :], 0.0)
    derivative[0] *= 0.5
    return {
        "nodes": 0.5 * s_max * (1.0 + _cosine(odd, k)),
        "transform": transform,
        "derivative": derivative,
        "scale": np.asarray(2.0 / s_max),
    }


def _chebyshev(xp: Any, x: Array, count: int) -> Array:
    """Return T_0 … T_{count−1} of x (n, k) as (n, count, k).

    By T_{m+l} = 2 T_m T_l − T_{m−l}: the number of known polynomials doubles in each pass.
    """
    known = xp.stack([xp.ones_like(x), x], axis=1)
    while known.shape[1] < count:
        m = known.shape[1] - 1
        more = min(m, count - known.shape[1])
        below = xp.flip(known[:, m - more : m, :], axis=1)
        # Spread out first: Paddle is ten times slower where a product has to broadcast.
        top = xp.broadcast_to(2.0 * known[:, m : m + 1, :], below.shape)
        known = xp.concat([known, top * known[:, 1 : more + 1, :] - below], axis=1)
    return known


def _series(
    xp: Any, network: Network, params: Tree, basis: dict[str, Array], scale: tuple[Array, Array]
) -> Array:
    """Return the coefficients C (K, M), float64, of N as a function of s."""
    mean, deviation = scale
    at_nodes = xp.reshape((basis["nodes"] - mean) / deviation, (-1, 1))
    g, _ = apply_network(xp, network, params, at_nodes)
    return xp.matmul(basis["transform"], g)


def spectral(
    xp: Any,
    network: Network,
    params: Tree,
    basis: dict[str, Array],
    scale: tuple[Array, Array],
    s: Array,
    rows: Array,
) -> tuple[Array, Callable[[Array], Array]]:
    """Return Σ_j R̃_ij ⊗ N(R̃_ij,0), (n, 4, M), and the pullback T̄ → ∂/∂R̃ (n, 4, k).

    Parameters
    ----------
    basis
        From :func:`chebyshev_basis`; every s lies in its interval.
    scale
        Mean and deviation (0-d) with which R̃_ij,0 = (s − mean)/deviation.
    s
        (n, k).
    rows
        R̃, (n, 4, k).
    """
    count = basis["nodes"].shape[0]
    cheb = _chebyshev(xp, s * basis["scale"] - 1.0, count)
    moments = xp.matmul(rows, xp.matrix_transpose(cheb))
    series = _series(xp, network, params, basis, scale)
    n, m = rows.shape[0], series.shape[1]
    t = xp.reshape(xp.matmul(xp.reshape(moments, (n * 4, count)), series), (n, 4, m))

    def pullback(t_bar: Array) -> Array:
        flat = xp.matmul(xp.reshape(t_bar, (n * 4, m)), xp.matrix_transpose(series))
        slope = xp.matmul(flat, xp.matrix_transpose(basis["derivative"]))
        both = [xp.reshape(part, (n, 4, count)) for part in (flat, slope)]
        bars = xp.matmul(xp.concat(both, axis=1), cheb)
        # dx/dR̃₀ = (2/s_max)·deviation, so that all of it is a derivative by R̃.
        x_bar = xp.sum(rows * bars[:, 4:, :], axis=1, keepdims=True)
        s_bar = x_bar * (basis["scale"] * scale[1])
        return xp.concat([bars[:, :1, :] + s_bar, bars[:, 1:4, :]], axis=1)

    return t, pullback


def tail(
    network: Network, params: Tree, basis: dict[str, np.ndarray], scale: tuple[float, float]
) -> float:
    """Return the size of the last coefficients relative to the largest, for NumPy parameters."""
    series = np.abs(_series(np_xp, network, params, basis, (scale[0], scale[1])))
    last = max(2, len(series) // 16)
    return float(series[-last:].max() / max(series.max(), 1e-300))

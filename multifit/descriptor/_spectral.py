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
s_max    ``basis["reach"]``, (ntypes, ntypes)
=======  =================================

Source: Trefethen, Approximation Theory and Approximation Practice, chapters 3 and 4.
"""

from __future__ import annotations

from typing import Any

import array_api_compat.numpy as np_xp
import numpy as np

from ..networks import Network, apply_network
from ..tree import Tree, map_leaves

Array = Any

#: Activations that are analytic, so that a series converges geometrically.
SMOOTH = frozenset({"tanh", "gelu", "gelu_tf", "softplus", "sigmoid", "silu", "linear", "none"})

#: Polynomials that are made one by one; the others follow from them in blocks of as many.
BLOCK = 8


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


def chebyshev_basis(k: int, reach: np.ndarray) -> dict[str, np.ndarray]:
    """Return what the series needs on [0, s_max]: nodes in x (K,), W and D (K, K), signs T_k(−1).

    Parameters
    ----------
    reach
        s_max for each pair of types, (ntypes, ntypes).
    """
    odd = 2 * np.arange(k) + 1
    transform = _cosine(np.outer(np.arange(k), odd), k) * (2.0 / k)
    transform[0] *= 0.5
    order = np.arange(k)
    above = (order[None, :] > order[:, None]) & ((order[None, :] - order[:, None]) % 2 == 1)
    derivative = np.where(above, 2.0 * order[None, :], 0.0)
    derivative[0] *= 0.5
    return {
        "nodes": _cosine(odd, k),
        "transform": transform,
        "derivative": derivative,
        "signs": np.where(order % 2 == 0, 1.0, -1.0),
        "reach": np.asarray(reach, dtype=np.float64),
    }


def chebyshev(xp: Any, x: Array, count: int) -> Array:
    """Return T_0 … T_{count−1} of x (n, k) as (n, count, k).

    The first ones by the recurrence of three terms, the others in blocks of L by
    T_{m+L} = 2 T_L T_m − T_{m−L}: few operations on large arrays.
    """
    if count == 1:
        return xp.ones_like(x)[:, None, :]
    few, twice = [xp.ones_like(x), x], 2.0 * x
    while len(few) < min(count, BLOCK + 1):
        few.append(twice * few[-1] - few[-2])
    first = xp.stack(few, axis=1)
    if count <= BLOCK + 1:
        return first
    block = first[:, :BLOCK, :]
    # Spread out first: Paddle is ten times slower where a product has to broadcast.
    factor = xp.broadcast_to(2.0 * first[:, BLOCK:, :], block.shape)
    blocks = [block, factor * block - xp.flip(first[:, 1:, :], axis=1)]
    while len(blocks) * BLOCK < count:
        blocks.append(factor * blocks[-1] - blocks[-2])
    return xp.concat(blocks, axis=1)[:, :count, :]


def coefficients(
    xp: Any,
    network: Network,
    params: Tree,
    basis: dict[str, Array],
    scales: list[tuple[Array, Array, Array]],
) -> list[Array]:
    """Return the coefficients C (K, M), float64, of one net N as a function of s, for some scales.

    Parameters
    ----------
    scales
        s_max, and mean and deviation (0-d) with which R̃₀ = (s − mean)/deviation.
    """
    # In float64 whatever the precision of the net: a derivative multiplies rounding errors by K².
    params = map_leaves(lambda x: xp.astype(x, xp.float64, copy=False), params)
    count = basis["nodes"].shape[0]
    s = 0.5 * (basis["nodes"] + 1.0)
    rows = [(s * reach - mean) / deviation for reach, mean, deviation in scales]
    g, _ = apply_network(xp, network, params, xp.reshape(xp.concat(rows, axis=0), (-1, 1)))
    places = range(0, len(scales) * count, count)
    return [xp.matmul(basis["transform"], g[start : start + count, :]) for start in places]


def tail(
    network: Network,
    params: Tree,
    basis: dict[str, np.ndarray],
    scale: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> float:
    """Return the size of the last coefficients relative to the largest, for NumPy parameters."""
    series = np.abs(coefficients(np_xp, network, params, basis, [scale])[0])
    last = max(2, len(series) // 16)
    return float(series[-last:].max() / max(series.max(), 1e-300))

r"""The embedding net as a Chebyshev series: ten times less work per pair.

N is a smooth function of one variable, s ∈ [s₀, s₁]. With x = 2(s − s₀)/(s₁ − s₀) − 1 and the
Chebyshev polynomials T_k, interpolation at K nodes gives

.. math::

   N(s) = \sum_k C_k T_k(x), \quad C = W N(\text{nodes}), \quad
   \sum_j \tilde R_{ij} \otimes N(s_{ij}) = A_i C, \quad
   A_i = \sum_j \tilde R_{ij} \otimes T(x_{ij}),

so that the net is evaluated K times per step instead of once for every pair, and A does not depend
on parameters. With Ā = T̄ Cᵀ and the matrix D that differentiates a series,
∂/∂R̃ = Ā T and ∂/∂x = Σ_c R̃_c (Ā Dᵀ)_c T.

This does not change the results: the planner checks that K is large enough for full precision;
otherwise, the net is evaluated directly.

=======  =================================
symbol   variable, shape
=======  =================================
T(x)     ``cheb``, (n, K, k)
A        ``moments``, (n, 4, K)
C        ``series``, (K, M)
W, D     ``basis["transform"]``, ``basis["derivative"]``, (K, K)
s₀, s₁   ``basis["start"]``, ``basis["reach"]``, (ntypes, ntypes)
=======  =================================

Source: Trefethen, Approximation Theory and Approximation Practice, chapters 3 and 4.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

Array = Any

#: Key in a plan of what :func:`of_both_zones` returns.
BOTH = "both"

#: Key in a zone of a plan of what :func:`scales_of` returns.
SCALES = "scales"

#: Numbers in a term of several series that are computed side by side: more do not fit in the cache.
TOGETHER = 1 << 15

#: Activations that are analytic, so that a series converges geometrically.
SMOOTH = frozenset({"tanh", "gelu", "gelu_tf", "softplus", "sigmoid", "silu", "linear", "none"})


def _cosine(m: np.ndarray, k: int) -> np.ndarray:
    """Return cos(π m/2k) for integers m.

    The angle is reduced to [0, π/2] in integers: a large one would cost the last two digits, and
    differentiating the series multiplies the error by k².
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


def chebyshev_basis(
    k: int, reach: np.ndarray, start: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """Return the basis of series on [s₀, s₁]: nodes in x (K,), W and D (K, K), signs T_k(−1).

    Parameters
    ----------
    reach
        s₁ for each pair of types, (ntypes, ntypes).
    start
        s₀ for each pair of types; 0 by default.
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
        "start": np.zeros_like(reach) if start is None else start,
        "reach": np.asarray(reach, dtype=np.float64),
    }


def of_both_zones(zones: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Return W and D of several bases for nodes one after the other, (ΣK, ΣK): blocks."""
    total, found = sum(len(own["nodes"]) for own in zones), {}
    for key in ("transform", "derivative"):
        found[key], start = np.zeros((total, total)), 0
        for own in zones:
            stop = start + len(own[key])
            found[key][start:stop, start:stop] = own[key]
            start = stop
    return found


def scales_of(xp: Any, own: Mapping[str, Any], deviation: Array) -> Array:
    """Return s₀, ∂x/∂s, and 1/σ and ∂x/∂s by turns, for all pairs of types (ntypes, ntypes, 10).

    Parameters
    ----------
    own
        ``near`` or ``far`` of the plan.
    deviation
        σ, (ntypes, ntypes, 4).
    """
    start, reach, each = own["start"][:, :, None], own["reach"][:, :, None], 1.0 / deviation
    stretch = 2.0 / (reach - start)
    by_x = stretch + xp.zeros_like(each)
    both = xp.reshape(xp.stack([each, by_x], axis=3), (*each.shape[:2], 8))
    return xp.concat([start, stretch, both], axis=2)


def chebyshev(xp: Any, x: Array, count: int) -> Array:
    """Return T_0 … T_{count−1} of x (n, k) as (n, count, k), by T_{m+1} = 2x T_m − T_{m−1}.

    The terms are computed one by one, in small arrays that stay in the cache, and joined at the
    end: building them in blocks takes fewer operations, but up to five times as long.
    """
    if isinstance(x, np.ndarray):
        return _in_place([x], [count])[0]
    found, twice = [xp.ones_like(x), x], 2.0 * x
    while len(found) < count:
        following = twice * found[-1]
        following -= found[-2]
        found.append(following)
    return xp.stack(found[:count], axis=1)


def with_slopes(xp: Any, x: Array, count: int) -> tuple[Array, Array]:
    """Return :func:`chebyshev` of x (n, k), and the derivatives by x, for a count ≥ 2.

    T′_{m+1} = 2 T_m + 2x T′_m − T′_{m−1}.
    """
    terms, slopes = [xp.ones_like(x), x], [xp.zeros_like(x), xp.ones_like(x)]
    twice = 2.0 * x
    while len(terms) < count:
        slopes.append(2.0 * terms[-1] + twice * slopes[-1] - slopes[-2])
        terms.append(twice * terms[-1] - terms[-2])
    return xp.stack(terms, axis=1), xp.stack(slopes, axis=1)


def side_by_side(xp: Any, x: Sequence[Array], counts: Sequence[int]) -> list[Array]:
    """Return :func:`chebyshev` of several x (n, k), with a count ≥ 2 for each: the same numbers.

    Columns are computed together, so that few atoms cost few calls; those with more terms than
    others continue alone.
    """
    if x and isinstance(x[0], np.ndarray):
        return _in_place(x, counts)
    known = all(isinstance(n, int) for part in x for n in part.shape)  # unknown in an export
    if len(x) < 2 or not known or x[0].shape[0] * sum(part.shape[1] for part in x) > TOGETHER:
        return [chebyshev(xp, part, count) for part, count in zip(x, counts, strict=True)]
    order = sorted(range(len(x)), key=lambda k: counts[k])
    last = xp.concat([x[k] for k in order], axis=1)
    before, twice = xp.ones_like(last), 2.0 * last
    terms, number = [before, last], 2
    done: list[Array] = []
    found: dict[int, Array] = {}
    for count in sorted(set(counts)):
        for _ in range(count - number):
            following = twice * last
            following -= before
            before, last = last, following
            terms.append(following)
        joined = [*done, xp.stack(terms, axis=1)]
        whole, start = joined[0] if len(joined) == 1 else xp.concat(joined, axis=1), 0
        for k in order:
            if counts[k] == count:
                stop = start + x[k].shape[1]
                found[k], start = whole[:, :, start:stop], stop
        before, last, twice = (each[:, start:] for each in (before, last, twice))
        terms, number, done = [], count, [whole[:, :, start:]]
    return [found[k] for k in range(len(x))]


def _in_place(x: Sequence[np.ndarray], counts: Sequence[int]) -> list[np.ndarray]:
    """Return :func:`side_by_side` for NumPy, whose terms can be written where they belong.

    The terms are rows of one array (K, n, k), and the results views of it.
    """
    order = sorted(range(len(x)), key=lambda k: counts[k], reverse=True)  # what continues is first
    last = np.concatenate([x[k] for k in order], axis=1) if len(x) > 1 else x[0]
    twice, terms, number = last + last, np.empty((0, *last.shape)), 0
    found: dict[int, np.ndarray] = {}
    while order:
        count, width = counts[order[-1]], sum(x[k].shape[1] for k in order)
        before, terms = terms, np.empty((max(count, 2), len(last), width), dtype=last.dtype)
        if number:
            terms[:number] = before[:, :, :width]
        else:
            terms[0], terms[1], number = 1.0, last, 2
        part = twice[:, :width]
        for new in range(number, count):
            np.multiply(part, terms[new - 1], out=terms[new])
            terms[new] -= terms[new - 2]
        number, stop = count, width
        while order and counts[order[-1]] == count:
            k = order.pop()
            start = stop - x[k].shape[1]
            found[k], stop = terms[:count, :, start:stop].transpose(1, 0, 2), start
    return [found[k] for k in range(len(x))]

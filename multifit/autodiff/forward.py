r"""First derivatives along many directions at once: a namespace of arrays that carry tangents.

A :class:`Dual` is an array x together with its derivatives ẋ along D directions, and each function
of :class:`Forward` applies the chain rule to both (forward-mode differentiation):

.. math::

   y = f(x_1, x_2), \quad \dot y = f_1 \dot x_1 + f_2 \dot x_2 .

Forces are coded with Array-API functions, so that evaluating them on such arrays gives the
Hessian on every backend, NumPy included, and a framework that differentiates the result by the
parameters sees plain arrays. Run inside :class:`multifit.autodiff.Reverse`, it gives second
derivatives of forward passes. Functions that the core does not use are missing.

Source: Griewank & Walther, Evaluating Derivatives (2008), chapter 3.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..backend import Arithmetic
from ._dual import Dual as Dual
from ._dual import aligned, behind, combine, maybe, rank_of

Array = Any
Axis = int | tuple[int, ...] | None


def _axes(axis: Axis, rank: int) -> tuple[int, ...]:
    if axis is None:
        return tuple(range(rank))
    return (axis,) if isinstance(axis, int) else axis


@dataclass(frozen=True)
class Forward:
    """The Array-API functions that the core uses, for :class:`Dual`; ``xp`` does the arithmetic."""

    xp: Any

    def __getattr__(self, name: str) -> Any:
        # float64, int64, …
        return getattr(self.xp, name)

    def _dual(self, x: Any) -> Dual:
        return x if isinstance(x, Dual) else Dual(self.xp, x)

    def _scaled(self, x: Dual, value: Array, slope: Callable[[], Array]) -> Dual:
        """Return f(x) for a function of each element, from f and f′."""
        return Dual(self.xp, value, maybe(lambda t: t * slope(), x.tangent))

    def _all_tangents(self, arrays: Sequence[Any]) -> tuple[list[Array], list[Array] | None]:
        """Return values and tangents; zeros for missing tangents, None if all are missing."""
        duals = [self._dual(x) for x in arrays]
        values = [x.value for x in duals]
        count = next((x.tangent.shape[0] for x in duals if x.tangent is not None), None)
        if count is None:
            return values, None
        zeros = self.xp.zeros
        return values, [
            zeros((count, *x.shape), dtype=x.dtype) if x.tangent is None else x.tangent
            for x in duals
        ]

    def lift(self, x: Any, /) -> Any:
        """Return a plain floating-point array as a constant, anything else unchanged."""
        if isinstance(x, Dual | type) or not hasattr(x, "dtype"):
            return x
        return Dual(self.xp, x) if self.xp.isdtype(x.dtype, "real floating") else x

    def asarray(self, x: Any, /, *, dtype: Any = None) -> Any:
        """Return a constant, or integers as a plain array."""
        return self.lift(self.xp.asarray(x, dtype=dtype))

    def ones(self, shape: Any, *, dtype: Any) -> Any:
        """Return a constant."""
        return self.lift(self.xp.ones(shape, dtype=dtype))

    def full(self, shape: Any, value: float, *, dtype: Any) -> Any:
        """Return a constant."""
        return self.lift(self.xp.full(shape, value, dtype=dtype))

    def eye(self, n: int, /, *, dtype: Any) -> Any:
        """Return a constant."""
        return self.lift(self.xp.eye(n, dtype=dtype))

    def full_like(self, x: Dual, /, value: float) -> Dual:
        """Return a constant."""
        return Dual(self.xp, self.xp.full_like(x.value, value))

    def zeros(self, shape: Any, *, dtype: Any) -> Dual:
        """Return a constant."""
        return Dual(self.xp, self.xp.zeros(shape, dtype=dtype))

    def zeros_like(self, x: Dual, /) -> Dual:
        """Return a constant."""
        return Dual(self.xp, self.xp.zeros_like(x.value))

    def ones_like(self, x: Dual, /) -> Dual:
        """Return a constant."""
        return Dual(self.xp, self.xp.ones_like(x.value))

    def astype(self, x: Any, dtype: Any, /, *, copy: bool = True) -> Dual:
        """Return x in another precision."""

        def convert(y: Array) -> Array:
            return self.xp.astype(y, dtype, copy=copy)

        return self._dual(x)._apply(convert, convert)  # comparisons become constants

    def sqrt(self, x: Dual, /) -> Dual:
        """Return √x."""
        y = self.xp.sqrt(x.value)
        return self._scaled(x, y, lambda: 0.5 / y)

    def exp(self, x: Dual, /) -> Dual:
        """Return eˣ."""
        y = self.xp.exp(x.value)
        return self._scaled(x, y, lambda: y)

    def expm1(self, x: Dual, /) -> Dual:
        """Return eˣ − 1."""
        y = self.xp.expm1(x.value)
        return self._scaled(x, y, lambda: y + 1.0)

    def log1p(self, x: Dual, /) -> Dual:
        """Return ln(1 + x)."""
        return self._scaled(x, self.xp.log1p(x.value), lambda: 1.0 / (1.0 + x.value))

    def tanh(self, x: Dual, /) -> Dual:
        """Return tanh x."""
        y = self.xp.tanh(x.value)
        return self._scaled(x, y, lambda: 1.0 - y * y)

    def maximum(self, x: Any, y: Any, /) -> Dual:
        """Return the larger one of each pair of elements."""
        x, y = self._dual(x), self._dual(y)
        return self.where(x >= y, x, y)

    def minimum(self, x: Any, y: Any, /) -> Dual:
        """Return the smaller one of each pair of elements."""
        x, y = self._dual(x), self._dual(y)
        return self.where(x <= y, x, y)

    def where(self, condition: Array, x: Any, y: Any, /) -> Dual:
        """Return x where the condition holds, else y."""
        x, y = self._dual(x), self._dual(y)
        where, zeros = self.xp.where, self.xp.zeros_like
        return combine(
            x,
            y,
            where(condition, x.value, y.value),
            lambda t: where(condition, t, zeros(t)),
            lambda t: where(condition, zeros(t), t),
        )

    def abs(self, x: Dual, /) -> Dual:
        """Return the absolute value."""
        return self._scaled(x, self.xp.abs(x.value), lambda: self.xp.sign(x.value))

    def ceil(self, x: Dual, /) -> Dual:
        """Return the numbers rounded up, whose derivative is zero."""
        return Dual(self.xp, self.xp.ceil(x.value))

    def sign(self, x: Dual, /) -> Dual:
        """Return −1, 0 or 1, a constant."""
        return Dual(self.xp, self.xp.sign(x.value))

    def log(self, x: Dual, /) -> Dual:
        """Return ln x."""
        return self._scaled(x, self.xp.log(x.value), lambda: 1.0 / x.value)

    def sin(self, x: Dual, /) -> Dual:
        """Return sin x."""
        return self._scaled(x, self.xp.sin(x.value), lambda: self.xp.cos(x.value))

    def cos(self, x: Dual, /) -> Dual:
        """Return cos x."""
        return self._scaled(x, self.xp.cos(x.value), lambda: -self.xp.sin(x.value))

    def pow(self, x: Dual, exponent: float, /) -> Dual:
        """Return xⁿ for a Python number n."""
        n, power = exponent, self.xp.pow
        if n == 0:
            return Dual(self.xp, power(x.value, n))
        return self._scaled(x, power(x.value, n), lambda: n * power(x.value, n - 1))

    def sum(self, x: Dual, /, *, axis: Axis = None, keepdims: bool = False) -> Dual:
        """Return the sum over some axes."""
        total, axes = self.xp.sum, _axes(axis, rank_of(x))
        after = tuple(map(behind, axes))
        return x._apply(
            lambda v: total(v, axis=axes, keepdims=keepdims),
            lambda t: total(t, axis=after, keepdims=keepdims),
        )

    def mean(self, x: Dual, /, *, axis: Axis = None, keepdims: bool = False) -> Dual:
        """Return the mean over some axes."""
        count: int = math.prod(x.shape[k] for k in _axes(axis, rank_of(x)))
        return self.sum(x, axis=axis, keepdims=keepdims) / count

    def max(self, x: Dual, /, *, axis: Axis = None, keepdims: bool = False) -> Dual:
        """Return the largest element over some axes; equal ones share the derivative."""
        return self._extreme(self.xp.max, x, axis, keepdims)

    def min(self, x: Dual, /, *, axis: Axis = None, keepdims: bool = False) -> Dual:
        """Return the smallest element over some axes; equal ones share the derivative."""
        return self._extreme(self.xp.min, x, axis, keepdims)

    def _extreme(self, f: Any, x: Dual, axis: Axis, keepdims: bool) -> Dual:
        xp, axes = self.xp, _axes(axis, rank_of(x))
        y = f(x.value, axis=axes, keepdims=keepdims)
        if x.tangent is None:
            return Dual(xp, y)
        best = xp.astype(x.value == f(x.value, axis=axes, keepdims=True), x.dtype)
        share = best / xp.sum(best, axis=axes, keepdims=True)
        after = tuple(map(behind, axes))
        return Dual(xp, y, xp.sum(x.tangent * share, axis=after, keepdims=keepdims))

    def permute_dims(self, x: Any, /, axes: Sequence[int]) -> Any:
        """Return x with its axes in another order; integers stay plain arrays."""
        permute = self.xp.permute_dims
        if not isinstance(x, Dual):
            return permute(x, axes)
        after = (0, *(k % len(axes) + 1 for k in axes))
        return x._apply(lambda v: permute(v, axes), lambda t: permute(t, after))

    def matmul(self, x: Any, y: Any, /) -> Dual:
        """Return the matrix product over the last two axes, the others broadcast."""
        x, y = self._dual(x), self._dual(y)
        xp, rank = self.xp, max(rank_of(x), rank_of(y))
        # Without its new axes a tangent's directions would be confused with an axis of the other.
        product = xp.matmul
        return combine(
            x,
            y,
            product(x.value, y.value),
            lambda t: product(aligned(xp, t, rank), y.value),
            lambda t: product(x.value, aligned(xp, t, rank)),
        )

    def reshape(self, x: Any, /, shape: Any) -> Any:
        """Return the same elements in another shape; integers stay plain arrays."""
        if not isinstance(x, Dual):
            return self.xp.reshape(x, shape)
        y = self.xp.reshape(x.value, shape)
        return Dual(
            self.xp, y, maybe(lambda t: self.xp.reshape(t, (t.shape[0], *y.shape)), x.tangent)
        )

    def broadcast_to(self, x: Dual, /, shape: Any) -> Dual:
        """Return x repeated."""
        y = self.xp.broadcast_to(x.value, shape)

        def spread(t: Array) -> Array:
            return self.xp.broadcast_to(aligned(self.xp, t, len(y.shape)), (t.shape[0], *y.shape))

        return Dual(self.xp, y, maybe(spread, x.tangent))

    def matrix_transpose(self, x: Dual, /) -> Dual:
        """Return x with its last two axes exchanged."""
        return x._apply(self.xp.matrix_transpose, self.xp.matrix_transpose)

    def flip(self, x: Dual, /, *, axis: int) -> Dual:
        """Return x in reverse order along an axis."""
        flip = self.xp.flip
        return x._apply(lambda v: flip(v, axis=axis), lambda t: flip(t, axis=behind(axis)))

    def take(self, x: Any, indices: Array, /, *, axis: int) -> Any:
        """Return elements along an axis; integers stay plain arrays."""
        take = self.xp.take
        if not isinstance(x, Dual):
            return take(x, indices, axis=axis)
        return x._apply(
            lambda v: take(v, indices, axis=axis), lambda t: take(t, indices, axis=behind(axis))
        )

    def concat(self, arrays: Sequence[Any], /, *, axis: int) -> Any:
        """Return arrays one after the other; integers stay plain arrays."""
        if not any(isinstance(x, Dual) for x in arrays):
            return self.xp.concat(arrays, axis=axis)
        values, tangents = self._all_tangents(arrays)
        concat = self.xp.concat
        return Dual(
            self.xp,
            concat(values, axis=axis),
            None if tangents is None else concat(tangents, axis=behind(axis)),
        )

    def stack(self, arrays: Sequence[Any], /, *, axis: int) -> Dual:
        """Return arrays along a new axis."""
        values, tangents = self._all_tangents(arrays)
        stack = self.xp.stack
        return Dual(
            self.xp,
            stack(values, axis=axis),
            None if tangents is None else stack(tangents, axis=behind(axis)),
        )


@dataclass(frozen=True)
class ForwardArithmetic:
    """A backend's arithmetic on :class:`Dual`."""

    base: Arithmetic

    @property
    def xp(self) -> Forward:
        """The namespace."""
        return Forward(self.base.xp)

    def segment_sum(self, x: Dual, index: Array, n: int, /) -> Dual:
        """Return y (n, …) with y[k] = Σ x[m] over all m with index[m] = k."""
        xp = self.base.xp

        def tangent(t: Array) -> Array:
            # Each direction gets separate segments.
            count, rows, *rest = t.shape
            own = xp.arange(count, dtype=xp.int64)[:, None] * n + index[None, :]
            flat = xp.reshape(t, (count * rows, *rest))
            total = self.base.segment_sum(flat, xp.reshape(own, (count * rows,)), count * n)
            return xp.reshape(total, (count, n, *rest))

        return Dual(xp, self.base.segment_sum(x.value, index, n), maybe(tangent, x.tangent))

"""Forward mode with the functions that the rules of reverse mode and attention need, too."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from . import forward
from .forward import Dual, _aligned, _behind, _combine, _rank

Array = Any
Axis = int | tuple[int, ...] | None


def _axes(axis: Axis, rank: int) -> tuple[int, ...]:
    if axis is None:
        return tuple(range(rank))
    return (axis,) if isinstance(axis, int) else axis


@dataclass(frozen=True)
class Forward(forward.Forward):
    """The functions of :class:`multifit.autodiff.forward.Forward`, and more."""

    def lift(self, x: Any, /) -> Any:
        """Return a plain floating-point array as a constant, anything else as it is."""
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

    def abs(self, x: Dual, /) -> Dual:
        """Return the absolute value."""
        return self._scaled(x, self.xp.abs(x.value), lambda: self.xp.sign(x.value))

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
        total, axes = self.xp.sum, _axes(axis, _rank(x))
        behind = tuple(map(_behind, axes))
        return x._apply(
            lambda v: total(v, axis=axes, keepdims=keepdims),
            lambda t: total(t, axis=behind, keepdims=keepdims),
        )

    def mean(self, x: Dual, /, *, axis: Axis = None, keepdims: bool = False) -> Dual:
        """Return the mean over some axes."""
        count: int = math.prod(x.shape[k] for k in _axes(axis, _rank(x)))
        return self.sum(x, axis=axis, keepdims=keepdims) / count

    def max(self, x: Dual, /, *, axis: Axis = None, keepdims: bool = False) -> Dual:
        """Return the largest element over some axes; equal ones share the derivative."""
        return self._extreme(self.xp.max, x, axis, keepdims)

    def min(self, x: Dual, /, *, axis: Axis = None, keepdims: bool = False) -> Dual:
        """Return the smallest element over some axes; equal ones share the derivative."""
        return self._extreme(self.xp.min, x, axis, keepdims)

    def _extreme(self, f: Any, x: Dual, axis: Axis, keepdims: bool) -> Dual:
        xp, axes = self.xp, _axes(axis, _rank(x))
        y = f(x.value, axis=axes, keepdims=keepdims)
        if x.tangent is None:
            return Dual(xp, y)
        best = xp.astype(x.value == f(x.value, axis=axes, keepdims=True), x.dtype)
        share = best / xp.sum(best, axis=axes, keepdims=True)
        behind = tuple(map(_behind, axes))
        return Dual(xp, y, xp.sum(x.tangent * share, axis=behind, keepdims=keepdims))

    def permute_dims(self, x: Any, /, axes: Sequence[int]) -> Any:
        """Return x with its axes in another order; integers stay plain arrays."""
        permute = self.xp.permute_dims
        if not isinstance(x, Dual):
            return permute(x, axes)
        behind = (0, *(k % len(axes) + 1 for k in axes))
        return x._apply(lambda v: permute(v, axes), lambda t: permute(t, behind))

    def matmul(self, x: Any, y: Any, /) -> Dual:
        """Return the matrix product over the last two axes, the others broadcast."""
        x, y = self._dual(x), self._dual(y)
        xp, rank = self.xp, max(_rank(x), _rank(y))
        # Without its new axes a tangent's directions would be taken for an axis of the other.
        product = xp.matmul
        return _combine(
            x,
            y,
            product(x.value, y.value),
            lambda t: product(_aligned(xp, t, rank), y.value),
            lambda t: product(x.value, _aligned(xp, t, rank)),
        )


@dataclass(frozen=True)
class ForwardArithmetic(forward.ForwardArithmetic):
    """A backend's arithmetic on :class:`multifit.autodiff.forward.Dual`."""

    @property
    def xp(self) -> Forward:
        """The namespace."""
        return Forward(self.base.xp)

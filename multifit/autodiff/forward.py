r"""First derivatives along many directions at once: a namespace of arrays that carry tangents.

A :class:`Dual` is an array x together with its derivatives ẋ along D directions, and each function
of :class:`Forward` applies the chain rule to both (forward-mode differentiation):

.. math::

   y = f(x_1, x_2), \quad \dot y = f_1 \dot x_1 + f_2 \dot x_2 .

Forces are written out with Array-API functions, so that running them on such arrays gives the
Hessian on every backend, NumPy included, and a framework that differentiates the result by the
parameters sees plain arrays. What the core does not use is not here.

Source: Griewank & Walther, Evaluating Derivatives (2008), chapter 3.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..backend import Arithmetic

Array = Any


class Dual:
    """An array and its derivatives along D directions.

    Parameters
    ----------
    xp
        The namespace of both.
    value
        Any shape.
    tangent
        (D, …), D times the shape of the value; None where no direction changes the value.
    """

    #: NumPy's operators leave an operation with a Dual to the Dual.
    __array_ufunc__ = None

    def __init__(self, xp: Any, value: Array, tangent: Array | None = None) -> None:
        self.xp = xp
        self.value = value
        self.tangent = tangent

    @property
    def shape(self) -> Any:
        """Shape of the value."""
        return self.value.shape

    @property
    def dtype(self) -> Any:
        """Precision of the value."""
        return self.value.dtype

    def __getitem__(self, key: Any) -> Dual:
        behind = key if isinstance(key, tuple) else (key,)
        return self._apply(lambda x: x[key], lambda t: t[(slice(None), *behind)])

    def _apply(self, f: Callable[[Array], Array], on_tangent: Callable[[Array], Array]) -> Dual:
        """Return a linear function of this array."""
        return Dual(self.xp, f(self.value), _maybe(on_tangent, self.tangent))

    def _with(self, other: Any) -> Dual:
        return other if isinstance(other, Dual) else Dual(self.xp, other)

    def __neg__(self) -> Dual:
        return self._apply(lambda x: -x, lambda t: -t)

    def __add__(self, other: Any) -> Dual:
        other = self._with(other)
        return _combine(self, other, self.value + other.value, lambda t: t, lambda t: t)

    def __sub__(self, other: Any) -> Dual:
        other = self._with(other)
        return _combine(self, other, self.value - other.value, lambda t: t, lambda t: -t)

    def __mul__(self, other: Any) -> Dual:
        other = self._with(other)
        x, y = self.value, other.value
        return _combine(self, other, x * y, lambda t: t * y, lambda t: t * x)

    def __truediv__(self, other: Any) -> Dual:
        other = self._with(other)
        y = other.value
        ratio = self.value / y
        return _combine(self, other, ratio, lambda t: t / y, lambda t: -(t * (ratio / y)))

    __radd__, __rmul__ = __add__, __mul__

    def __rsub__(self, other: Any) -> Dual:
        return self._with(other) - self

    def __rtruediv__(self, other: Any) -> Dual:
        return self._with(other) / self

    # A comparison chooses a branch and has no derivative.
    def __lt__(self, other: Any) -> Array:
        return self.value < self._with(other).value

    def __le__(self, other: Any) -> Array:
        return self.value <= self._with(other).value

    def __gt__(self, other: Any) -> Array:
        return self.value > self._with(other).value

    def __ge__(self, other: Any) -> Array:
        return self.value >= self._with(other).value


def _maybe(f: Callable[[Array], Array], tangent: Array | None) -> Array | None:
    return None if tangent is None else f(tangent)


def _rank(x: Any) -> int:
    return len(x.shape) if hasattr(x, "shape") else 0  # a Python number has none


def _aligned(xp: Any, tangent: Array, rank: int) -> Array:
    """Return a tangent whose axes behind the first are as many as ``rank``."""
    first, *rest = tangent.shape
    return xp.reshape(tangent, (first, *[1] * (rank - len(rest)), *rest))


def _combine(
    a: Dual,
    b: Dual,
    value: Array,
    of_a: Callable[[Array], Array],
    of_b: Callable[[Array], Array],
) -> Dual:
    """Return ``value`` with the tangent of_a(ȧ) + of_b(ḃ), shaped like the value."""
    xp, rank = a.xp, _rank(value)
    parts = [
        of(_aligned(xp, x.tangent, rank))
        for x, of in ((a, of_a), (b, of_b))
        if x.tangent is not None
    ]
    if not parts:
        return Dual(xp, value)
    total = parts[0] if len(parts) == 1 else parts[0] + parts[1]
    shape = (total.shape[0], *value.shape)
    return Dual(xp, value, total if tuple(total.shape) == shape else xp.broadcast_to(total, shape))


def _behind(axis: int) -> int:
    """Return the axis of a tangent that is this axis of the value."""
    return axis if axis < 0 else axis + 1


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
        return Dual(self.xp, value, _maybe(lambda t: t * slope(), x.tangent))

    def _all_tangents(self, arrays: Sequence[Any]) -> tuple[list[Array], list[Array] | None]:
        """Return values and tangents; zeros for those without, None if none has any."""
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
        return _combine(
            x,
            y,
            where(condition, x.value, y.value),
            lambda t: where(condition, t, zeros(t)),
            lambda t: where(condition, zeros(t), t),
        )

    def sum(self, x: Dual, /, *, axis: int, keepdims: bool = False) -> Dual:
        """Return the sum over one axis."""
        total = self.xp.sum
        return x._apply(
            lambda v: total(v, axis=axis, keepdims=keepdims),
            lambda t: total(t, axis=_behind(axis), keepdims=keepdims),
        )

    def matmul(self, x: Any, y: Any, /) -> Dual:
        """Return the matrix product over the last two axes."""
        x, y = self._dual(x), self._dual(y)
        product = self.xp.matmul
        return _combine(
            x,
            y,
            product(x.value, y.value),
            lambda t: product(t, y.value),
            lambda t: product(x.value, t),
        )

    def reshape(self, x: Any, /, shape: Any) -> Any:
        """Return the same elements in another shape; integers stay plain arrays."""
        if not isinstance(x, Dual):
            return self.xp.reshape(x, shape)
        y = self.xp.reshape(x.value, shape)
        return Dual(
            self.xp, y, _maybe(lambda t: self.xp.reshape(t, (t.shape[0], *y.shape)), x.tangent)
        )

    def broadcast_to(self, x: Dual, /, shape: Any) -> Dual:
        """Return x repeated."""
        y = self.xp.broadcast_to(x.value, shape)

        def spread(t: Array) -> Array:
            return self.xp.broadcast_to(_aligned(self.xp, t, len(y.shape)), (t.shape[0], *y.shape))

        return Dual(self.xp, y, _maybe(spread, x.tangent))

    def matrix_transpose(self, x: Dual, /) -> Dual:
        """Return x with its last two axes exchanged."""
        return x._apply(self.xp.matrix_transpose, self.xp.matrix_transpose)

    def flip(self, x: Dual, /, *, axis: int) -> Dual:
        """Return x in reverse order along an axis."""
        flip = self.xp.flip
        return x._apply(lambda v: flip(v, axis=axis), lambda t: flip(t, axis=_behind(axis)))

    def take(self, x: Any, indices: Array, /, *, axis: int) -> Any:
        """Return elements along an axis; integers stay plain arrays."""
        take = self.xp.take
        if not isinstance(x, Dual):
            return take(x, indices, axis=axis)
        return x._apply(
            lambda v: take(v, indices, axis=axis), lambda t: take(t, indices, axis=_behind(axis))
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
            None if tangents is None else concat(tangents, axis=_behind(axis)),
        )

    def stack(self, arrays: Sequence[Any], /, *, axis: int) -> Dual:
        """Return arrays along a new axis."""
        values, tangents = self._all_tangents(arrays)
        stack = self.xp.stack
        return Dual(
            self.xp,
            stack(values, axis=axis),
            None if tangents is None else stack(tangents, axis=_behind(axis)),
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
            # Each direction gets segments of its own.
            count, rows, *rest = t.shape
            own = xp.arange(count, dtype=xp.int64)[:, None] * n + index[None, :]
            flat = xp.reshape(t, (count * rows, *rest))
            total = self.base.segment_sum(flat, xp.reshape(own, (count * rows,)), count * n)
            return xp.reshape(total, (count, n, *rest))

        return Dual(xp, self.base.segment_sum(x.value, index, n), _maybe(tangent, x.tangent))

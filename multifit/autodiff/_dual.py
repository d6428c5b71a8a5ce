"""Arrays that carry their derivatives along directions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

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
        rest = key if isinstance(key, tuple) else (key,)
        return self._apply(lambda x: x[key], lambda t: t[(slice(None), *rest)])

    def _apply(self, f: Callable[[Array], Array], on_tangent: Callable[[Array], Array]) -> Dual:
        """Return a linear function of this array."""
        return Dual(self.xp, f(self.value), maybe(on_tangent, self.tangent))

    def _with(self, other: Any) -> Dual:
        return other if isinstance(other, Dual) else Dual(self.xp, other)

    def __neg__(self) -> Dual:
        return self._apply(lambda x: -x, lambda t: -t)

    def __add__(self, other: Any) -> Dual:
        other = self._with(other)
        return combine(self, other, self.value + other.value, lambda t: t, lambda t: t)

    def __sub__(self, other: Any) -> Dual:
        other = self._with(other)
        return combine(self, other, self.value - other.value, lambda t: t, lambda t: -t)

    def __mul__(self, other: Any) -> Dual:
        other = self._with(other)
        x, y = self.value, other.value
        return combine(self, other, x * y, lambda t: t * y, lambda t: t * x)

    def __truediv__(self, other: Any) -> Dual:
        other = self._with(other)
        y = other.value
        ratio = self.value / y
        return combine(self, other, ratio, lambda t: t / y, lambda t: -(t * (ratio / y)))

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


def maybe(f: Callable[[Array], Array], tangent: Array | None) -> Array | None:
    """Return f of a tangent, if there is one."""
    return None if tangent is None else f(tangent)


def rank_of(x: Any) -> int:
    """Return the number of axes; none for a Python number."""
    return len(x.shape) if hasattr(x, "shape") else 0


def aligned(xp: Any, tangent: Array, rank: int) -> Array:
    """Return a tangent whose axes behind the first are as many as ``rank``."""
    first, *rest = tangent.shape
    return xp.reshape(tangent, (first, *[1] * (rank - len(rest)), *rest))


def combine(
    a: Dual,
    b: Dual,
    value: Array,
    of_a: Callable[[Array], Array],
    of_b: Callable[[Array], Array],
) -> Dual:
    """Return ``value`` with the tangent of_a(ȧ) + of_b(ḃ), shaped like the value."""
    xp, rank = a.xp, rank_of(value)
    parts = [
        of(aligned(xp, x.tangent, rank))
        for x, of in ((a, of_a), (b, of_b))
        if x.tangent is not None
    ]
    if not parts:
        return Dual(xp, value)
    total = parts[0] if len(parts) == 1 else parts[0] + parts[1]
    shape = (total.shape[0], *value.shape)
    return Dual(xp, value, total if tuple(total.shape) == shape else xp.broadcast_to(total, shape))


def behind(axis: int) -> int:
    """Return the axis of a tangent that is this axis of the value."""
    return axis if axis < 0 else axis + 1

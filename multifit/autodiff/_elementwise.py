"""Rules of functions of single elements, and of two operands that broadcast.

A function of one operand is a row of :data:`SLOPES`; a function of two is a row of :data:`BINARY`.
The cotangent of an operand that was broadcast is summed over the axes along which it was repeated.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from ._node import Rule

Array = Any

#: f(xp, *operands) → (y, one rule for each operand)
Block = Callable[..., tuple[Array, tuple[Rule, ...]]]

#: Function → its derivative f′, from x and y = f(x).
SLOPES: dict[str, Callable[[Any, Array, Array], Array]] = {
    "abs": lambda xp, x, y: xp.sign(x),
    "cos": lambda xp, x, y: -xp.sin(x),
    "exp": lambda xp, x, y: y,
    "expm1": lambda xp, x, y: y + 1.0,
    "log": lambda xp, x, y: 1.0 / x,
    "log1p": lambda xp, x, y: 1.0 / (1.0 + x),
    "sin": lambda xp, x, y: xp.cos(x),
    "sqrt": lambda xp, x, y: 0.5 / y,
    "tanh": lambda xp, x, y: 1.0 - y * y,
}


def _unary(name: str, slope: Callable[[Any, Array, Array], Array]) -> Block:
    def block(xp: Any, x: Array, /) -> tuple[Array, tuple[Rule, ...]]:
        y = getattr(xp, name)(x)
        return y, (lambda g: g * slope(xp, x, y),)

    return block


def negative(xp: Any, x: Array, /) -> tuple[Array, tuple[Rule, ...]]:
    """Return −x."""
    return -x, (operator.neg,)


def square(xp: Any, x: Array, /) -> tuple[Array, tuple[Rule, ...]]:
    """Return x²."""
    return x * x, (lambda g: g * (2.0 * x),)


def power(xp: Any, x: Array, exponent: float, /) -> tuple[Array, tuple[Rule, ...]]:
    """Return xⁿ for a Python number n."""
    if not isinstance(exponent, int | float):
        raise TypeError(f"xp.pow in reverse mode takes a Python number as exponent: {exponent!r}")
    n = exponent

    def rule(g: Array) -> Array:
        # 0 · 0⁻¹ is not a number, but the derivative of x⁰ is zero everywhere.
        return xp.zeros_like(g) if n == 0 else g * (n * xp.pow(x, n - 1))

    return xp.pow(x, n), (rule,)


def summed_to(xp: Any, g: Array, shape: tuple[int, ...]) -> Array:
    """Return the cotangent of x from that of x broadcast to the shape of ``g``."""
    if tuple(g.shape) == shape:
        return g
    extra = len(g.shape) - len(shape)
    if extra:
        g = xp.sum(g, axis=tuple(range(extra)))
    axes = tuple(k for k, n in enumerate(shape) if n == 1 and g.shape[k] != 1)
    return xp.sum(g, axis=axes, keepdims=True) if axes else g


def _fitted(xp: Any, like: Any, rule: Rule) -> Rule:
    """Return the rule of an operand that may have been broadcast."""
    shape = tuple(getattr(like, "shape", ()))
    return lambda g: summed_to(xp, rule(g), shape)


def _both(
    xp: Any, x: Any, y: Any, value: Array, of_x: Rule, of_y: Rule
) -> tuple[Array, tuple[Rule, Rule]]:
    return value, (_fitted(xp, x, of_x), _fitted(xp, y, of_y))


def add(xp: Any, x: Any, y: Any, /) -> tuple[Array, tuple[Rule, ...]]:
    """Return x + y."""
    return _both(xp, x, y, x + y, lambda g: g, lambda g: g)


def subtract(xp: Any, x: Any, y: Any, /) -> tuple[Array, tuple[Rule, ...]]:
    """Return x − y."""
    return _both(xp, x, y, x - y, lambda g: g, operator.neg)


def multiply(xp: Any, x: Any, y: Any, /) -> tuple[Array, tuple[Rule, ...]]:
    """Return x · y."""
    return _both(xp, x, y, x * y, lambda g: g * y, lambda g: g * x)


def divide(xp: Any, x: Any, y: Any, /) -> tuple[Array, tuple[Rule, ...]]:
    """Return x / y."""
    ratio = x / y
    return _both(xp, x, y, ratio, lambda g: g / y, lambda g: -(g * (ratio / y)))


def _selected(
    xp: Any, condition: Array, x: Any, y: Any, value: Array
) -> tuple[Array, tuple[Rule, ...]]:
    """Return ``value`` with the rules of where(condition, x, y)."""

    def of_x(g: Array) -> Array:
        return xp.where(condition, g, xp.zeros_like(g))

    def of_y(g: Array) -> Array:
        return xp.where(condition, xp.zeros_like(g), g)

    return _both(xp, x, y, value, of_x, of_y)


def maximum(xp: Any, x: Any, y: Any, /) -> tuple[Array, tuple[Rule, ...]]:
    """Return the larger one of each pair; x has the derivative where both are equal."""
    return _selected(xp, x >= y, x, y, xp.maximum(x, y))


def minimum(xp: Any, x: Any, y: Any, /) -> tuple[Array, tuple[Rule, ...]]:
    """Return the smaller one of each pair; x has the derivative where both are equal."""
    return _selected(xp, x <= y, x, y, xp.minimum(x, y))


def _refused(g: Array) -> Array:
    raise TypeError("the condition of xp.where has no derivative: compare, or take constant(x)")


def where(xp: Any, condition: Array, x: Any, y: Any, /) -> tuple[Array, tuple[Rule, ...]]:
    """Return x where the condition holds, else y; the condition has no derivative."""
    value, rules = _selected(xp, condition, x, y, xp.where(condition, x, y))
    return value, (_refused, *rules)


def logaddexp(xp: Any, x: Array, y: Array, /) -> tuple[Array, tuple[Rule, ...]]:
    """Return ln(eˣ + eʸ) of finite numbers, without overflow."""
    d = x - y
    small = xp.exp(-xp.abs(d))

    def share(above: Array) -> Array:
        """Return σ(±d): 1/(1 + e⁻ᵈ) for the larger operand, e⁻ᵈ/(1 + e⁻ᵈ) for the smaller."""
        return xp.where(above, xp.ones_like(small), small) / (1.0 + small)

    value = xp.maximum(x, y) + xp.log1p(small)
    return _both(xp, x, y, value, lambda g: g * share(d >= 0.0), lambda g: g * share(d < 0.0))


#: Functions of one or two operands, or a condition and two.
ELEMENTWISE: dict[str, Block] = {
    **{name: _unary(name, slope) for name, slope in SLOPES.items()},
    "add": add,
    "divide": divide,
    "logaddexp": logaddexp,
    "maximum": maximum,
    "minimum": minimum,
    "multiply": multiply,
    "negative": negative,
    "pow": power,
    "square": square,
    "subtract": subtract,
    "where": where,
}

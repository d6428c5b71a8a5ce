"""Arrays that remember how they were computed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ._dual import Dual

Array = Any

#: The linear map from the cotangent of a result to the cotangent of one operand, ȳ → x̄.
Rule = Callable[[Array], Array]


class Node:
    """An array, the operands from which it was computed and a rule for each of them.

    Parameters
    ----------
    namespace
        The :class:`multifit.autodiff.Reverse` whose functions the operators call.
    value
        Any shape.
    parents
        The operands on which the inputs act, each with its rule; none for inputs and constants.
    is_input
        True for an array by which the caller differentiates.
    """

    #: NumPy's operators leave an operation with a Node to the Node.
    __array_ufunc__ = None

    __slots__ = ("active", "namespace", "parents", "value")

    def __init__(
        self,
        namespace: Any,
        value: Array,
        parents: Sequence[tuple[Node, Rule]] = (),
        is_input: bool = False,
    ) -> None:
        self.namespace = namespace
        self.value = value
        self.parents = tuple(parents)
        self.active = is_input or bool(self.parents)

    @property
    def shape(self) -> Any:
        """Shape of the value."""
        return self.value.shape

    @property
    def ndim(self) -> int:
        """Number of axes of the value."""
        return len(self.value.shape)

    @property
    def dtype(self) -> Any:
        """Precision of the value."""
        return self.value.dtype

    def __repr__(self) -> str:
        return f"Node({self.value!r}, active={self.active})"

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise TypeError("a Node is not a NumPy array: call functions of its namespace, xp.f(x)")

    def __bool__(self) -> bool:
        return bool(self.value)

    def __float__(self) -> float:
        return float(self.value)

    def __getitem__(self, key: Any) -> Any:
        return self.namespace._slice(self, key)

    def __neg__(self) -> Any:
        return self.namespace.negative(self)

    def __pow__(self, exponent: float) -> Any:
        return self.namespace.pow(self, exponent)

    def __add__(self, other: Any) -> Any:
        return self.namespace.add(self, other)

    def __sub__(self, other: Any) -> Any:
        return self.namespace.subtract(self, other)

    def __mul__(self, other: Any) -> Any:
        return self.namespace.multiply(self, other)

    def __truediv__(self, other: Any) -> Any:
        return self.namespace.divide(self, other)

    def __matmul__(self, other: Any) -> Any:
        return self.namespace.matmul(self, other)

    __radd__, __rmul__ = __add__, __mul__

    def __rsub__(self, other: Any) -> Any:
        return self.namespace.subtract(other, self)

    def __rtruediv__(self, other: Any) -> Any:
        return self.namespace.divide(other, self)

    def __rmatmul__(self, other: Any) -> Any:
        return self.namespace.matmul(other, self)

    # A comparison selects a branch and has no derivative: the result is a plain array.
    def __lt__(self, other: Any) -> Array:
        return plain_of(self) < plain_of(other)

    def __le__(self, other: Any) -> Array:
        return plain_of(self) <= plain_of(other)

    def __gt__(self, other: Any) -> Array:
        return plain_of(self) > plain_of(other)

    def __ge__(self, other: Any) -> Array:
        return plain_of(self) >= plain_of(other)

    def __eq__(self, other: object) -> Array:
        return plain_of(self) == plain_of(other)

    def __ne__(self, other: object) -> Array:
        return plain_of(self) != plain_of(other)

    __hash__ = object.__hash__


def value_of(x: Any) -> Any:
    """Return the array of a :class:`Node`; anything else unchanged."""
    return x.value if isinstance(x, Node) else x


def plain_of(x: Any) -> Any:
    """Return the array of a :class:`Node` without tangents; anything else unchanged."""
    value = value_of(x)
    return value.value if isinstance(value, Dual) else value


def constant(x: Any) -> Any:
    """Return the same values with all derivatives zero, in reverse mode and in forward mode.

    Use it where a term does not change the result, such as the largest logit that is subtracted
    before an exponential. A plain array is returned unchanged: a framework that differentiates by
    parameters still sees through it.
    """
    if isinstance(x, Node):
        return Node(x.namespace, constant(x.value))
    return Dual(x.xp, x.value) if isinstance(x, Dual) else x

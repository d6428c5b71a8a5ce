"""Arrays whose sizes are not known while a graph is built, for frameworks that report them as None.

:class:`Dynamic` has the functions of a namespace, for arrays with a ``shape`` that the core can
compute with: an unknown size is a 0-d integer array of the graph. JAX and PyTorch have such shapes
themselves.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ._protocol import Arithmetic

Array = Any

#: From an array to its sizes; an unknown one is a 0-d integer array.
Sizes = Callable[[Array], tuple[Any, ...]]


class Sized:
    """An array of a graph, with sizes to compute with.

    Parameters
    ----------
    namespace
        The :class:`Dynamic` whose functions the operators call.
    value
        The framework's own array.
    """

    #: NumPy's operators leave an operation with a Sized to it.
    __array_ufunc__ = None

    __slots__ = ("namespace", "value")

    def __init__(self, namespace: Dynamic, value: Array) -> None:
        self.namespace, self.value = namespace, value

    @property
    def shape(self) -> tuple[Any, ...]:
        """Sizes: integers, and arrays where they are unknown."""
        return self.namespace.sizes(self.value)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.value.shape)

    @property
    def dtype(self) -> Any:
        """The type of the elements."""
        return self.value.dtype

    def __repr__(self) -> str:
        return f"Sized({self.value!r})"

    def __getitem__(self, key: Any) -> Sized:
        return Sized(self.namespace, self.namespace.item(self.value, _plain(key)))

    def __neg__(self) -> Any:
        return self.namespace.negative(self)

    def __pow__(self, other: Any) -> Any:
        return self.namespace.pow(self, other)

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

    def __lt__(self, other: Any) -> Any:
        return self.namespace.less(self, other)

    def __le__(self, other: Any) -> Any:
        return self.namespace.less_equal(self, other)

    def __gt__(self, other: Any) -> Any:
        return self.namespace.greater(self, other)

    def __ge__(self, other: Any) -> Any:
        return self.namespace.greater_equal(self, other)

    def __eq__(self, other: object) -> Any:
        return self.namespace.equal(self, other)

    def __ne__(self, other: object) -> Any:
        return self.namespace.not_equal(self, other)

    __hash__ = object.__hash__


def _plain(x: Any) -> Any:
    """Return arguments with the framework's arrays in place of :class:`Sized`."""
    if isinstance(x, Sized):
        return x.value
    return type(x)(map(_plain, x)) if isinstance(x, list | tuple) else x


@dataclass(frozen=True)
class Dynamic:
    """A namespace of :class:`Sized` arrays.

    Parameters
    ----------
    xp
        The namespace of the framework's own arrays.
    sizes
        The sizes of one of these.
    is_array
        True for an array of the framework.
    item
        ``item(x, key)`` is ``x[key]`` for such an array x; bounds of slices may be unknown.
    """

    xp: Any
    sizes: Sizes
    is_array: Callable[[Any], bool]
    item: Callable[[Array, Any], Array] = operator.getitem

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.xp, name)
        if not callable(found) or name in ("bool", "float32", "float64", "int32", "int64"):
            return found

        def call(*args: Any, **options: Any) -> Any:
            plain = {key: _plain(value) for key, value in options.items()}
            return self.sized(found(*map(_plain, args), **plain))

        return call

    def sized(self, x: Any, /) -> Any:
        """Return an array of the framework as a :class:`Sized`, anything else unchanged."""
        return Sized(self, x) if self.is_array(x) else x


@dataclass(frozen=True)
class DynamicArithmetic:
    """A backend's arithmetic, for :class:`Sized` arrays."""

    inner: Arithmetic
    xp: Dynamic

    def segment_sum(self, x: Sized, index: Sized, n: Any, /) -> Sized:
        """Return y (n, …) with y[k] = Σ x[m] over all m with index[m] = k."""
        return Sized(self.xp, self.inner.segment_sum(x.value, index.value, n))

r"""Reverse-mode differentiation: a namespace of arrays that remember how they were computed.

:class:`Reverse` has the functions of the Array API that the core uses. Each returns its value and
records a rule for each operand, the linear map from the cotangent of the result to that of the
operand. :func:`pullback` applies the rules in reverse order:

.. math::

   \bar x_k = \sum_{y\,:\,y = f(\dots, x_k, \dots)}
       \Big(\frac{\partial f}{\partial x_k}\Big)^{\mathsf T} \bar y .

A forward pass is enough for forces. The rules are written with functions of the inner namespace, so
a framework can compile the result and differentiate it by parameters, and
``Reverse(Forward(xp))`` gives second derivatives.

Plain arrays, such as parameters, are constants: nothing is recorded for them. An operator with a
plain array on the left and a :class:`Node` on the right works in NumPy, PyTorch and JAX, but not
everywhere; :meth:`ReverseArithmetic.lift` turns constants into nodes that record nothing, so that
operators work on every backend and in any order.

=====================  ============================================================================
kind                   functions
=====================  ============================================================================
operators              ``+ - * / @``, unary ``-``, ``**`` with a number, comparisons, ``x[…]``
elementwise            add, subtract, multiply, divide, negative, pow, square, abs, exp, expm1, log,
                       log1p, logaddexp, sqrt, sin, cos, tanh, maximum, minimum, where
arrays                 astype, broadcast_to, concat, expand_dims, flip, matmul, matrix_transpose,
                       permute_dims, reshape, squeeze, stack, take
reductions             sum, mean, max, min
without derivative     zeros, ones, full, eye, arange, asarray, zeros_like, ones_like, full_like,
                       sign, ceil, comparisons, logical functions, isnan, isfinite, any, all
=====================  ============================================================================

To add a function:

1. Write ``f(xp, *operands) → (y, rules)``, with one rule for each operand, in ``_elementwise.py``
   or ``_arrays.py``, and add it to the table at the end of that file. A function of single elements
   is one row of ``SLOPES``.
2. Use functions that ``xp`` and the namespaces of all backends have, also in the rule, and
   those of ``forward.py`` (add it there, too).
3. Follow the rules of the core in ``docs/design.md``. A rule does not change its argument, and it
   returns the shape and dtype of its operand; ``summed_to`` undoes a broadcast.
4. Add one row to ``tests/_reverse_rows.py``, which the tests of all backends read.

Source: Griewank & Walther, Evaluating Derivatives (2008), chapters 3 and 4.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ..backend import Arithmetic
from ..tree import Tree, map_leaves
from ._arrays import JOINING, WHOLE, getitem
from ._elementwise import ELEMENTWISE, Block
from ._node import Node, plain_of, value_of
from .forward import Forward

Array = Any

#: f(x, index, n), the segment sum of a backend.
SegmentSum = Callable[[Array, Array, int], Array]

_BLOCKS = {**ELEMENTWISE, **WHOLE}

#: Functions whose result does not depend on inputs, or only in jumps.
_HELD = frozenset({"arange", "eye", "full", "ones", "zeros"}) | frozenset(
    {"ceil", "full_like", "ones_like", "sign", "zeros_like"}
)

#: Functions whose results are bools or integers.
_DISCRETE = frozenset(
    {"all", "any", "isfinite", "isnan", "logical_and", "logical_not"}
) | frozenset(
    {"equal", "greater", "greater_equal", "less", "less_equal", "logical_or", "not_equal"}
)

#: Names of dtypes and numbers.
_VALUES = frozenset({"bfloat16", "bool", "float16", "float32", "float64", "int32", "int64"}) | {
    *("e", "inf", "isdtype", "nan", "newaxis", "pi")
}


@dataclass(frozen=True)
class Reverse:
    """The Array-API functions that the core uses, for :class:`Node`; ``xp`` does the arithmetic.

    Parameters
    ----------
    xp
        The namespace of the values.
    segment_sum
        The backend's, for ``take``.
    """

    xp: Any
    segment_sum: SegmentSum | None = None

    def __post_init__(self) -> None:
        if isinstance(self.xp, Reverse):
            raise TypeError("Reverse(Reverse(xp)) is not supported: use Reverse(Forward(xp))")

    def __getattr__(self, name: str) -> Any:
        if name in _BLOCKS:
            return functools.partial(self._record, _BLOCKS[name])
        if name in JOINING:
            return functools.partial(self._join, JOINING[name])
        if name.startswith("__"):
            raise AttributeError(name)
        found = getattr(self.xp, name)
        if name in _VALUES:
            return found
        if name in _DISCRETE:
            return functools.partial(self._discrete, found)
        return functools.partial(self._held if name in _HELD else self._unknown, found)

    def variable(self, x: Array, /) -> Node:
        """Return x as an array by which :func:`pullback` can differentiate."""
        return Node(self, x, is_input=True)

    def lift(self, x: Any, /) -> Any:
        """Return a plain floating-point array as a constant node, anything else unchanged."""
        if isinstance(x, Node) or not hasattr(x, "dtype"):
            return x
        return Node(self, self._value(x)) if self.xp.isdtype(x.dtype, "real floating") else x

    def _value(self, x: Any) -> Any:
        """Return an operand in the form of the inner namespace."""
        if isinstance(x, Node):
            return x.value
        return self.xp.lift(x) if isinstance(self.xp, Forward) else x

    def _record(self, block: Block, /, *args: Any, **options: Any) -> Any:
        """Return the value of a block, with its rules if an operand is a node."""
        value, rules = block(self.xp, *map(self._value, args), **options)
        nodes = [x for x in args if isinstance(x, Node)]
        if not nodes:
            return value
        operands = zip(args, rules, strict=False)  # shapes and axes follow the operands
        return Node(self, value, [(x, f) for x, f in operands if isinstance(x, Node) and x.active])

    def _join(self, block: Block, arrays: Iterable[Any], /, *, axis: int = 0) -> Any:
        return self._record(block, *arrays, axis=axis)

    def _slice(self, x: Node, key: Any) -> Any:
        return self._record(getitem, x, key)

    def _discrete(self, function: Callable[..., Array], /, *args: Any, **options: Any) -> Array:
        return function(*map(plain_of, args), **options)

    def _held(self, function: Callable[..., Array], /, *args: Any, **options: Any) -> Any:
        return self.lift(function(*map(self._value, args), **options))

    def _unknown(self, function: Callable[..., Any], /, *args: Any, **options: Any) -> Any:
        if any(isinstance(x, Node) for x in (*args, *options.values())):
            name = getattr(function, "__name__", function)
            raise NotImplementedError(
                f"reverse mode has no rule for {name}: add one as multifit.autodiff.reverse says"
            )
        return function(*args, **options)

    def asarray(self, x: Any, /, *, dtype: Any = None) -> Any:
        """Return numbers as a constant node, or as a plain array if they are integers or bools."""
        return x if isinstance(x, Node) else self.lift(self.xp.asarray(x, dtype=dtype))

    def astype(self, x: Any, dtype: Any, /, *, copy: bool = True) -> Any:
        """Return x in another type: a node if that is a floating type, else a plain array."""
        if not self.xp.isdtype(dtype, "real floating"):
            return self.xp.astype(value_of(x), dtype, copy=copy)
        if isinstance(x, Node):
            return self._record(WHOLE["astype"], x, dtype, copy=copy)
        return self.lift(self.xp.astype(x, dtype, copy=copy))

    def elementwise(self, function: Callable[..., Any], x: Any, /) -> Any:
        """Return y of a function of single elements that gives (y, slope) for (xp, x).

        ``slope()`` is its derivative, computed only if it is needed.
        """
        value, slope = function(self.xp, self._value(x))
        if not isinstance(x, Node):
            return value
        return Node(self, value, [(x, lambda g: g * slope())] if x.active else ())

    def take(self, x: Any, indices: Array, /, *, axis: int = 0) -> Any:
        """Return elements along an axis at non-negative indices; the rule is a segment sum."""
        if not isinstance(x, Node):
            return self.xp.take(x, indices, axis=axis)
        if self.segment_sum is None:
            raise TypeError("xp.take in reverse mode needs a segment sum: use ReverseArithmetic")
        xp, scatter, axis = self.xp, self.segment_sum, axis % x.ndim
        order = (axis, *(k for k in range(x.ndim) if k != axis))
        back = tuple(order.index(k) for k in range(x.ndim))
        length = int(x.shape[axis])

        def rule(g: Array) -> Array:
            if axis == 0:
                return scatter(g, indices, length)
            return xp.permute_dims(scatter(xp.permute_dims(g, order), indices, length), back)

        value = xp.take(x.value, indices, axis=axis)
        return Node(self, value, [(x, rule)] if x.active else ())


@dataclass(frozen=True)
class ReverseArithmetic:
    """A backend's arithmetic on :class:`Node`."""

    base: Arithmetic

    @property
    def xp(self) -> Reverse:
        """The namespace."""
        return Reverse(self.base.xp, self.base.segment_sum)

    def segment_sum(self, x: Any, index: Array, n: int, /) -> Any:
        """Return y (n, …) with y[k] = Σ x[m] over all m with index[m] = k."""
        value = self.base.segment_sum(value_of(x), index, n)
        if not isinstance(x, Node):
            return value
        take = self.base.xp.take
        parents = [(x, lambda g: take(g, index, axis=0))] if x.active else ()
        return Node(x.namespace, value, parents)

    def lift(self, tree: Tree, /) -> Tree:
        """Return the tree with its plain floating-point arrays as constant nodes."""
        return map_leaves(self.xp.lift, tree)


def _in_order(ends: Iterable[Node]) -> list[Node]:
    """Return the recorded nodes behind some results, operands first.

    An explicit stack replaces recursion, whose limit a long chain of operations would exceed.
    """
    order: list[Node] = []
    seen: set[int] = set()
    stack = [(node, False) for node in ends]
    while stack:
        node, done = stack.pop()
        if done:
            order.append(node)
        elif id(node) not in seen:
            seen.add(id(node))
            stack.append((node, True))
            stack.extend((parent, False) for parent, _ in node.parents)
    return order


def _needed(order: Iterable[Node], wrt: Iterable[Node]) -> set[int]:
    """Return the ids of the nodes that depend on one of ``wrt``."""
    needed = {id(x) for x in wrt}
    for node in order:
        if any(id(parent) in needed for parent, _ in node.parents):
            needed.add(id(node))
    return needed


def _together(bars: dict[int, Array], node: Node, part: Array) -> None:
    """Add a contribution to the cotangent of a node."""
    before = bars.get(id(node))
    bars[id(node)] = part if before is None else before + part


def pullback(y: Any, wrt: Sequence[Node], y_bar: Any = None) -> list[Array]:
    r"""Return the cotangents of some inputs, x̄ = (∂y/∂x)ᵀ ȳ.

    The recorded operations are visited once, for any number of inputs.

    Parameters
    ----------
    y
        A result, or a sequence of results whose contributions are added.
    wrt
        Nodes from :meth:`Reverse.variable`, or nodes computed from them.
    y_bar
        Plain arrays shaped like the results, one for each of them; ones unless given.

    Returns
    -------
    list
        Plain arrays shaped like ``wrt``; zeros for an input on which no result depends.

    Examples
    --------
    >>> import array_api_compat.numpy as np
    >>> xp = Reverse(np)
    >>> x = xp.variable(np.asarray([1.0, 2.0]))
    >>> pullback(xp.sum(x * x * x), [x])[0].tolist()
    [3.0, 12.0]
    """
    many = isinstance(y, list | tuple)
    results = list(y) if many else [y]
    given = [None] * len(results) if y_bar is None else list(y_bar) if many else [y_bar]
    for x in wrt:
        if not isinstance(x, Node):
            raise TypeError(f"pullback by {type(x).__name__}: make it a node with xp.variable(x)")
    # A result that does not depend on inputs is a plain array.
    pairs = [(z, g) for z, g in zip(results, given, strict=True) if isinstance(z, Node)]
    order = _in_order(z for z, _ in pairs)
    needed, kept = _needed(order, wrt), {id(x) for x in wrt}
    bars: dict[int, Array] = {}
    for node, bar in pairs:
        ones = node.namespace.xp.ones_like
        _together(bars, node, ones(node.value) if bar is None else bar)
    for node in reversed(order):
        bar = bars.get(id(node)) if id(node) in kept else bars.pop(id(node), None)
        if bar is None:
            continue
        for parent, rule in node.parents:
            if id(parent) in needed:
                _together(bars, parent, rule(bar))
    return [bars[id(x)] if id(x) in bars else x.namespace.xp.zeros_like(x.value) for x in wrt]


#: ȳ → x̄ for each input; of several results, a sequence of ȳ.
Pullback = Callable[[Any], list[Array]]


def with_pullback(
    base: Arithmetic, f: Callable[..., Any], /, *inputs: Array
) -> tuple[Any, Pullback]:
    """Return y = ``f(arithmetic, *inputs)`` as plain arrays, and its pullback ȳ → [x̄, …].

    This is the form in which blocks of the core return their values.

    Parameters
    ----------
    base
        Computes; a backend, or :class:`multifit.autodiff.ForwardArithmetic` for second derivatives.
    f
        Takes a :class:`ReverseArithmetic` and one node for each input, and returns a node or a
        sequence of them.
    """
    arithmetic = ReverseArithmetic(base)
    nodes = [arithmetic.xp.variable(x) for x in inputs]
    y = f(arithmetic, *nodes)
    values = tuple(map(value_of, y)) if isinstance(y, list | tuple) else value_of(y)
    return values, functools.partial(pullback, y, nodes)

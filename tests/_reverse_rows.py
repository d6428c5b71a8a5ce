"""Functions of reverse mode, a row each: what is computed, and the shapes of its inputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from multifit.nn import networks as net
from multifit.nn.activations import NAMES, activation
from multifit.nn.attention import layer_norm, softmax
from multifit.tree import Tree, map_leaves

#: f(arithmetic, *inputs) → y
Function = Callable[..., Any]


@dataclass(frozen=True)
class Row:
    """A function, the shapes of its inputs and the interval that they are drawn from."""

    function: Function
    shapes: tuple[tuple[int, ...], ...] = ((2, 3),)
    low: float = -1.5
    high: float = 1.5

    def inputs(self) -> tuple[np.ndarray, ...]:
        """Return numbers that are far from where the function has no derivative."""
        rng = np.random.default_rng(7)
        return tuple(rng.uniform(self.low, self.high, size=shape) for shape in self.shapes)


def _of(name: str, **options: Any) -> Function:
    """Return a function of the namespace with these options."""
    return lambda a, *x: getattr(a.xp, name)(*x, **options)


def _joined(name: str, axis: int) -> Function:
    return lambda a, *x: getattr(a.xp, name)(list(x), axis=axis)


def _index(a: Any, *numbers: int) -> Any:
    return a.xp.asarray(np.array(numbers, dtype=np.int64))


def _taken(axis: int, *numbers: int) -> Function:
    return lambda a, x: a.xp.take(x, _index(a, *numbers), axis=axis) ** 2


def _segments(a: Any, x: Any) -> Any:
    return a.segment_sum(x, _index(a, 2, 0, 2, 2), 5) ** 2


def _cut(*key: Any) -> Function:
    return lambda a, x: x[key if len(key) != 1 else key[0]] ** 2


def _cast(a: Any, x: Any) -> Any:
    # float32 in the middle would round the differences.
    return a.xp.astype(a.xp.astype(x > 0.0, x.dtype) * x * x, a.xp.float64)


def _shared(a: Any, x: Any) -> Any:
    y = a.xp.tanh(x)
    z = y * y + y
    return z / (1.0 + y * z * z)


def _network(a: Any, x: Any) -> Any:
    network = net.fitting_network(3, 2, (3, 6, 5), activation_function="gelu")
    params: Tree = map_leaves(a.xp.asarray, net.init_network(network, 1))
    return net.apply_network(a.xp, network, params, x)[0]


def _norm(a: Any, x: Any, scale: Any, shift: Any) -> Any:
    return layer_norm(a.xp, x, scale=scale, shift=shift)


def _activated(name: str) -> Function:
    def function(a: Any, x: Any) -> Any:
        y, slope = activation(name)(a.xp, x)
        return y * (1.0 + slope())

    return function


PAIR, WIDE = ((2, 3), (2, 3)), ((4, 1, 3), (2, 1))

ROWS: dict[str, Row] = {
    # Operators and functions of single elements.
    "x + y": Row(lambda a, x, y: x + y, WIDE),
    "x − y": Row(lambda a, x, y: x - y, WIDE),
    "x · y": Row(lambda a, x, y: x * y, WIDE),
    "x / y": Row(lambda a, x, y: x / y, WIDE, 0.5, 2.0),
    "numbers on the left": Row(lambda a, x: 2.0 - 3.0 / (1.0 + 0.5 * x), low=0.5),
    "numbers on the right": Row(lambda a, x: (x * 2.0 - 3.0) / 4.0 + 0.5),
    "−x": Row(lambda a, x: -x * x),
    "x²": Row(lambda a, x: x**2),
    "x³": Row(lambda a, x: x**3),
    "x⁰": Row(lambda a, x: x**0),
    "x^0.7": Row(lambda a, x: x**0.7, low=0.5),
    "1/x²": Row(lambda a, x: x**-2, low=0.5),
    "square": Row(_of("square")),
    "abs": Row(lambda a, x: a.xp.abs(x) * x),
    "sign": Row(lambda a, x: a.xp.sign(x) * x * x),
    "ceil": Row(lambda a, x: a.xp.ceil(x) * x * x),
    "exp": Row(_of("exp")),
    "expm1": Row(_of("expm1")),
    "log": Row(_of("log"), low=0.5),
    "log1p": Row(_of("log1p"), low=-0.5),
    "logaddexp": Row(_of("logaddexp"), WIDE),
    "logaddexp of large numbers": Row(_of("logaddexp"), WIDE, -900.0, 900.0),
    "sqrt": Row(_of("sqrt"), low=0.5),
    "sin": Row(_of("sin")),
    "cos": Row(_of("cos")),
    "tanh": Row(_of("tanh")),
    "maximum": Row(lambda a, x, y: a.xp.maximum(x, y) ** 2, WIDE),
    "maximum with a number": Row(lambda a, x: a.xp.maximum(x, 0.1) ** 2),
    "minimum": Row(lambda a, x, y: a.xp.minimum(x, y) ** 2, WIDE),
    "where": Row(lambda a, x, y: a.xp.where(x < 0.1, x * y, y * y), WIDE),
    "where with a number": Row(lambda a, x: a.xp.where(x > 0.1, x * x, 0.0)),
    # Whole arrays.
    "astype": Row(_cast),
    "broadcast_to": Row(lambda a, x: a.xp.broadcast_to(x, (4, 2, 3)) ** 2, ((2, 1),)),
    "concat": Row(_joined("concat", 0), ((2, 3), (1, 3), (0, 3))),
    "concat, last axis": Row(_joined("concat", -1), ((2, 3), (2, 1))),
    "expand_dims": Row(lambda a, x: a.xp.expand_dims(x, axis=-2) ** 2),
    "flip": Row(lambda a, x: a.xp.flip(x, axis=1) * x),
    "matmul": Row(_of("matmul"), ((2, 3), (3, 4))),
    "matmul of stacks": Row(_of("matmul"), ((5, 2, 3), (5, 3, 4))),
    "matmul, broadcast on the right": Row(_of("matmul"), ((5, 2, 3), (3, 4))),
    "matmul, broadcast on the left": Row(_of("matmul"), ((2, 3), (5, 3, 4))),
    "matmul, broadcast on both sides": Row(_of("matmul"), ((5, 1, 2, 3), (1, 6, 3, 4))),
    "matmul, row": Row(_of("matmul"), ((3,), (3, 4))),
    "matmul, column": Row(_of("matmul"), ((5, 2, 3), (3,))),
    "matmul, row and column": Row(_of("matmul"), ((3,), (3,))),
    "x @ y": Row(lambda a, x, y: x @ y, ((2, 3), (3, 2))),
    "matrix_transpose": Row(lambda a, x: a.xp.matrix_transpose(x) ** 2, ((4, 2, 3),)),
    "permute_dims": Row(lambda a, x: a.xp.permute_dims(x, (2, 0, 1)) ** 2, ((4, 2, 3),)),
    "permute_dims, from behind": Row(
        lambda a, x: a.xp.permute_dims(x, (-1, 0, -2)) ** 2, ((4, 2, 3),)
    ),
    "reshape": Row(lambda a, x: a.xp.reshape(x, (3, -1)) ** 2),
    "squeeze": Row(lambda a, x: a.xp.squeeze(x, axis=(1, -1)) ** 2, ((2, 1, 3, 1),)),
    "stack": Row(_joined("stack", 0), PAIR),
    "stack, last axis": Row(_joined("stack", -1), PAIR),
    "take": Row(_taken(0, 2, 0, 2, 2, 1), ((4, 3),)),
    "take, last axis": Row(_taken(-1, 2, 0, 2), ((4, 2, 3),)),
    "take nothing": Row(_taken(0), ((4, 3),)),
    "segment_sum": Row(_segments, ((4, 2),)),
    # Slices.
    "a slice": Row(_cut(slice(1, 3)), ((4, 3),)),
    "a slice from behind": Row(_cut(Ellipsis, slice(-2, None)), ((4, 2, 3),)),
    "slices and a number": Row(_cut(slice(None), 1, slice(0, 2)), ((4, 2, 3),)),
    "a number from behind": Row(_cut(-1), ((4, 3),)),
    "new axes": Row(_cut(None, slice(None), None, slice(1, None)), ((4, 3),)),
    "an empty slice": Row(_cut(slice(3, 1)), ((4, 3),)),
    # Reductions.
    "sum": Row(lambda a, x: a.xp.sum(x * x)),
    "sum over an axis": Row(lambda a, x: a.xp.sum(x * x, axis=-1)),
    "sum over axes": Row(lambda a, x: a.xp.sum(x, axis=(0, 2), keepdims=True) ** 2, ((4, 2, 3),)),
    "mean": Row(lambda a, x: a.xp.mean(x) ** 2),
    "mean over an axis": Row(lambda a, x: x - a.xp.mean(x, axis=0, keepdims=True) ** 2),
    "max": Row(lambda a, x: a.xp.max(x, axis=-1) ** 2, ((4, 3),)),
    "max over all": Row(lambda a, x: a.xp.max(x) ** 2, ((4, 3),)),
    "min": Row(lambda a, x: a.xp.min(x, axis=0, keepdims=True) * x, ((4, 3),)),
    # Edges.
    "nothing": Row(lambda a, x: a.xp.exp(x) * x, ((0, 3),)),
    "sum of nothing": Row(lambda a, x: a.xp.sum(x * x, axis=0), ((0, 3),)),
    "product of nothing": Row(_of("matmul"), ((2, 0), (0, 3))),
    "0-d": Row(lambda a, x, y: a.xp.exp(x) * y + x, ((), ())),
    "0-d and an array": Row(lambda a, x, y: x * y / (x + y), ((), (2, 3)), 0.5, 2.0),
    "the same twice": Row(_shared),
    "x − x": Row(lambda a, x: x * (x - x)),
    "one input is not used": Row(lambda a, x, y: x * x, PAIR),
    "no input is used": Row(lambda a, x: a.xp.ones((2, 3), dtype=x.dtype) * 2.0),
    "zeros_like": Row(lambda a, x: x * x + a.xp.zeros_like(x) * x + a.xp.ones_like(x)),
    # What is made of them.
    "softmax": Row(lambda a, x: softmax(a.xp, x), ((4, 3),)),
    "softmax, first axis": Row(lambda a, x: softmax(a.xp, x, axis=0), ((4, 3),)),
    "softmax of large numbers": Row(lambda a, x: softmax(a.xp, x + 1000.0), ((4, 3),)),
    "layer norm": Row(_norm, ((4, 3), (3,), (3,))),
    "a network": Row(_network, ((4, 3),)),
    **{f"activation {name}": Row(_activated(name), ((4, 3),), -4.0, 4.0) for name in NAMES},
}

"""Rules of functions of whole arrays: shapes, slices, sums and products.

All but ``max``, ``min`` and the product are linear in their operands, so that a rule is the
transposed map and needs no values.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ._elementwise import Block, summed_to
from ._node import Rule

Array = Any
Axis = int | tuple[int, ...] | None
Result = tuple[Array, tuple[Rule, ...]]


def _reshaped(xp: Any, x: Array, shape: Sequence[int]) -> Result:
    before = tuple(x.shape)
    return xp.reshape(x, tuple(shape)), (lambda g: xp.reshape(g, before),)


def reshape(xp: Any, x: Array, /, shape: int | Sequence[int]) -> Result:
    """Return the same elements in another shape."""
    return _reshaped(xp, x, (shape,) if isinstance(shape, int) else shape)


def expand_dims(xp: Any, x: Array, /, *, axis: int = 0) -> Result:
    """Return x with an axis of length one."""
    shape = list(x.shape)
    shape.insert(axis % (len(shape) + 1), 1)
    return _reshaped(xp, x, shape)


def squeeze(xp: Any, x: Array, /, axis: int | tuple[int, ...]) -> Result:
    """Return x without these axes of length one."""
    gone = _axes(axis, len(x.shape))
    if any(x.shape[k] != 1 for k in gone):
        raise ValueError(f"xp.squeeze: axis {axis} of shape {tuple(x.shape)} is not of length 1")
    return _reshaped(xp, x, [n for k, n in enumerate(x.shape) if k not in gone])


def broadcast_to(xp: Any, x: Array, /, shape: Sequence[int]) -> Result:
    """Return x repeated."""
    before = tuple(x.shape)
    return xp.broadcast_to(x, tuple(shape)), (lambda g: summed_to(xp, g, before),)


def matrix_transpose(xp: Any, x: Array, /) -> Result:
    """Return x with its last two axes exchanged."""
    return xp.matrix_transpose(x), (xp.matrix_transpose,)


def permute_dims(xp: Any, x: Array, /, axes: Sequence[int]) -> Result:
    """Return x with its axes in another order."""
    order = tuple(k % len(axes) for k in axes)
    back = tuple(sorted(range(len(order)), key=order.__getitem__))
    return xp.permute_dims(x, order), (lambda g: xp.permute_dims(g, back),)


def flip(xp: Any, x: Array, /, *, axis: int) -> Result:
    """Return x in reverse order along an axis."""
    return xp.flip(x, axis=axis), (lambda g: xp.flip(g, axis=axis),)


def astype(xp: Any, x: Array, dtype: Any, /, *, copy: bool = True) -> Result:
    """Return x in another precision."""
    before = x.dtype
    return xp.astype(x, dtype, copy=copy), (lambda g: xp.astype(g, before, copy=False),)


def _whole_key(key: Any, rank: int) -> list[Any]:
    """Return a key with one entry for each axis, and None for each new one."""
    keys = list(key) if isinstance(key, tuple) else [key]
    for each in keys:
        if not (each is None or each is Ellipsis or isinstance(each, int | slice)):
            raise TypeError(
                f"x[…] in reverse mode takes slices, integers, None and …, not {type(each)}; "
                "use xp.take for an array of indices"
            )
    missing = [slice(None)] * (rank - sum(k is not None and k is not Ellipsis for k in keys))
    at = next((n for n, k in enumerate(keys) if k is Ellipsis), len(keys))
    return keys[:at] + missing + keys[at + 1 :]


def _padded(xp: Any, g: Array, axis: int, before: int, after: int) -> Array:
    """Return g with zeros before and after it along an axis."""

    def zeros(count: int) -> list[Array]:
        shape = (*g.shape[:axis], count, *g.shape[axis + 1 :])
        return [xp.zeros(shape, dtype=g.dtype)] if count else []

    parts = [*zeros(before), g, *zeros(after)]
    return g if len(parts) == 1 else xp.concat(parts, axis=axis)


def getitem(xp: Any, x: Array, key: Any, /) -> Result:
    """Return a part of x; its cotangent is that of the part with zeros around, without scatter."""
    shape = tuple(x.shape)
    spans: list[tuple[int, int] | None] = []  # None for a whole axis
    whole = _whole_key(key, len(shape))
    part = x[tuple(whole)]
    for k, n in zip([k for k in whole if k is not None], shape, strict=True):
        if isinstance(k, slice) and k == slice(None):  # an export does not know the length
            spans.append(None)
            continue
        start, stop, step = (k % n, k % n + 1, 1) if isinstance(k, int) else k.indices(n)
        if step != 1:
            raise ValueError(f"x[…] in reverse mode takes slices with step 1, not {step}")
        spans.append((start, max(start, stop)))

    def rule(g: Array) -> Array:
        known = zip(spans, shape, strict=True)
        g = xp.reshape(g, tuple(n if span is None else span[1] - span[0] for span, n in known))
        for axis, (span, n) in enumerate(zip(spans, shape, strict=True)):
            if span is not None:
                g = _padded(xp, g, axis, span[0], n - span[1])
        return g

    return part, (rule,)


def _axes(axis: Axis, rank: int) -> tuple[int, ...]:
    if axis is None:
        return tuple(range(rank))
    return tuple(k % rank for k in ((axis,) if isinstance(axis, int) else axis))


def _kept(shape: tuple[int, ...], axis: Axis) -> tuple[int, ...]:
    """Return the shape of a sum over these axes that keeps them."""
    axes = _axes(axis, len(shape))
    return tuple(1 if k in axes else n for k, n in enumerate(shape))


def total(xp: Any, x: Array, /, *, axis: Axis = None, keepdims: bool = False) -> Result:
    """Return the sum over some axes."""
    shape = tuple(x.shape)

    def rule(g: Array) -> Array:
        return xp.broadcast_to(xp.reshape(g, _kept(shape, axis)), shape)

    return xp.sum(x, axis=axis, keepdims=keepdims), (rule,)


def mean(xp: Any, x: Array, /, *, axis: Axis = None, keepdims: bool = False) -> Result:
    """Return the mean over some axes."""
    y, (rule,) = total(xp, x, axis=axis, keepdims=keepdims)
    count = math.prod(x.shape[k] for k in _axes(axis, len(x.shape)))
    return y / count, (lambda g: rule(g / count),)


def _extreme(name: str) -> Block:
    def block(xp: Any, x: Array, /, *, axis: Axis = None, keepdims: bool = False) -> Result:
        shape = _kept(tuple(x.shape), axis)
        y = getattr(xp, name)(x, axis=axis, keepdims=keepdims)

        def rule(g: Array) -> Array:
            best = xp.reshape(y, shape)
            is_best = x >= best if name == "max" else x <= best
            share = xp.astype(is_best, x.dtype)
            return share * (xp.reshape(g, shape) / xp.sum(share, axis=axis, keepdims=True))

        return y, (rule,)

    block.__doc__ = f"Return the {name} over some axes; equal elements share the derivative."
    return block


def matmul(xp: Any, x: Array, y: Array, /) -> Result:
    """Return the matrix product over the last two axes, the others broadcast."""
    turned = xp.matrix_transpose
    if min(len(x.shape), len(y.shape)) < 2:
        return _with_vector(xp, x, y)
    x_shape, y_shape = tuple(x.shape), tuple(y.shape)
    return xp.matmul(x, y), (
        lambda g: summed_to(xp, xp.matmul(g, turned(y)), x_shape),
        lambda g: summed_to(xp, xp.matmul(turned(x), g), y_shape),
    )


def _with_vector(xp: Any, x: Array, y: Array) -> Result:
    """Return the product with a 1-d array: a row on the left, a column on the right."""
    x_shape, y_shape = tuple(x.shape), tuple(y.shape)
    row, column = len(x_shape) == 1, len(y_shape) == 1
    product, (of_x, of_y) = matmul(
        xp,
        xp.reshape(x, (1, *x_shape)) if row else x,
        xp.reshape(y, (*y_shape, 1)) if column else y,
    )
    whole = tuple(product.shape)
    shape = whole[:-2] + whole[-2:-1] * (not row) + whole[-1:] * (not column)
    return xp.reshape(product, shape), (
        lambda g: xp.reshape(of_x(xp.reshape(g, whole)), x_shape),
        lambda g: xp.reshape(of_y(xp.reshape(g, whole)), y_shape),
    )


def _along(rank: int, axis: int, part: Any) -> tuple[Any, ...]:
    return (*[slice(None)] * (axis % rank), part, ...)


def concat(xp: Any, *arrays: Array, axis: int = 0) -> Result:
    """Return arrays one after the other."""
    rank, start, rules = len(arrays[0].shape), 0, []
    for x in arrays:
        stop = start + x.shape[axis]
        key = _along(rank, axis, slice(start, stop))
        rules.append(_part(key))
        start = stop
    return xp.concat(list(arrays), axis=axis), tuple(rules)


def stack(xp: Any, *arrays: Array, axis: int = 0) -> Result:
    """Return arrays along a new axis."""
    rank = len(arrays[0].shape) + 1
    rules = tuple(_part(_along(rank, axis, k)) for k in range(len(arrays)))
    return xp.stack(list(arrays), axis=axis), rules


def _part(key: tuple[Any, ...]) -> Rule:
    return lambda g: g[key]


#: Functions of one array, or of two for the product.
WHOLE: dict[str, Block] = {
    "astype": astype,
    "broadcast_to": broadcast_to,
    "expand_dims": expand_dims,
    "flip": flip,
    "matmul": matmul,
    "matrix_transpose": matrix_transpose,
    "max": _extreme("max"),
    "mean": mean,
    "min": _extreme("min"),
    "permute_dims": permute_dims,
    "reshape": reshape,
    "squeeze": squeeze,
    "sum": total,
}

#: Functions of a sequence of arrays.
JOINING: dict[str, Block] = {"concat": concat, "stack": stack}

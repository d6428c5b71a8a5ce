"""An Array-API namespace for TensorFlow's own tensors, in function style.

TensorFlow has no such namespace, and wrapping its tensors would make each operation several times
slower. These are the standard's functions with its argument names, for a core that calls functions
and operators but no methods of arrays; they work eagerly, in ``tf.function`` and under XLA.
"""

from __future__ import annotations

import builtins
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

Array = Any  #: a tf.Tensor
DType = Any  #: a tf.DType
Shape = int | Sequence[int]
Axis = int | Sequence[int] | None

__array_api_version__ = "2024.12"

bool, int32, int64, float32, float64 = tf.bool, tf.int32, tf.int64, tf.float32, tf.float64
float16, bfloat16 = tf.float16, tf.bfloat16
e, inf, nan, pi, newaxis = math.e, math.inf, math.nan, math.pi, None


# Creation and dtypes. By default, numbers are float64 and integers int64, as in NumPy.


def asarray(x: Any, /, *, dtype: DType = None, copy: builtins.bool | None = None) -> Array:
    """Return a tensor of the same values; it is immutable, so ``copy`` is irrelevant."""
    if tf.is_tensor(x):
        return tf.cast(x, dtype or x.dtype)
    host = np.asarray(x)
    return tf.constant(host, dtype or host.dtype)


def astype(x: Array, dtype: DType, /, *, copy: builtins.bool = True) -> Array:
    """Return x in another dtype."""
    return tf.cast(x, dtype)


def isdtype(dtype: DType, kind: str | DType | tuple[str | DType, ...]) -> builtins.bool:
    """Return True if the dtype is of a kind, or of one of several."""
    if isinstance(kind, tuple):
        return builtins.any(isdtype(dtype, each) for each in kind)
    kinds = {
        "bool": dtype == tf.bool,
        "signed integer": dtype.is_integer and not dtype.is_unsigned,
        "unsigned integer": dtype.is_unsigned,
        "integral": dtype.is_integer,
        "real floating": dtype.is_floating,
        "complex floating": dtype.is_complex,
        "numeric": dtype.is_integer or dtype.is_floating or dtype.is_complex,
    }
    return builtins.bool(kinds[kind] if isinstance(kind, str) else dtype == kind)


def _shape(shape: Shape) -> tuple[int, ...]:
    return (shape,) if isinstance(shape, int) else tuple(shape)


def zeros(shape: Shape, *, dtype: DType = float64) -> Array:
    """Return zeros."""
    return tf.zeros(_shape(shape), dtype)


def ones(shape: Shape, *, dtype: DType = float64) -> Array:
    """Return ones."""
    return tf.ones(_shape(shape), dtype)


def full(shape: Shape, value: Any, *, dtype: DType = None) -> Array:
    """Return one value everywhere."""
    return tf.fill(_shape(shape), asarray(value, dtype=dtype))


def zeros_like(x: Array, /, *, dtype: DType = None) -> Array:
    """Return zeros in the shape of x."""
    return tf.zeros_like(x, dtype)


def ones_like(x: Array, /, *, dtype: DType = None) -> Array:
    """Return ones in the shape of x."""
    return tf.ones_like(x, dtype)


def full_like(x: Array, /, value: Any, *, dtype: DType = None) -> Array:
    """Return one value in the shape of x."""
    return tf.fill(x.shape, asarray(value, dtype=dtype or x.dtype))


def arange(
    start: float, /, stop: float | None = None, step: float = 1, *, dtype: DType = None
) -> Array:
    """Return numbers from start to stop, stop excluded."""
    first, last = (0, start) if stop is None else (start, stop)
    return asarray(np.arange(first, last, step), dtype=dtype)


def eye(rows: int, columns: int | None = None, /, *, k: int = 0, dtype: DType = float64) -> Array:
    """Return ones on the k-th diagonal."""
    return asarray(np.eye(rows, columns, k=k), dtype=dtype)


# Element by element. A Python number beside an array takes the array's dtype.

abs = tf.abs
ceil = tf.math.ceil
cos = tf.cos
exp = tf.exp
expm1 = tf.math.expm1
log = tf.math.log
log1p = tf.math.log1p
logical_not = tf.logical_not
negative = tf.negative
sign = tf.sign
sin = tf.sin
sqrt = tf.sqrt
square = tf.square
tanh = tf.tanh


def _matching(x: Array | float, y: Array | float) -> tuple[Array, Array]:
    """Return two arrays of one dtype from an array and an array or Python number."""
    if not tf.is_tensor(x):
        return tf.convert_to_tensor(x, y.dtype), y  # type: ignore[union-attr]
    return x, y if tf.is_tensor(y) else tf.convert_to_tensor(y, x.dtype)  # type: ignore[union-attr]


def _binary(f: Callable[[Array, Array], Array]) -> Callable[[Array | float, Array | float], Array]:
    """Return f of arrays or Python numbers."""
    return lambda x, y, /: f(*_matching(x, y))


add = _binary(tf.add)
divide = _binary(tf.divide)
equal = _binary(tf.equal)
greater = _binary(tf.greater)
greater_equal = _binary(tf.greater_equal)
less = _binary(tf.less)
less_equal = _binary(tf.less_equal)
logical_and = _binary(tf.logical_and)
logical_or = _binary(tf.logical_or)
maximum = _binary(tf.maximum)
minimum = _binary(tf.minimum)
multiply = _binary(tf.multiply)
not_equal = _binary(tf.not_equal)
pow = _binary(tf.pow)
subtract = _binary(tf.subtract)


def isfinite(x: Array, /) -> Array:
    """Return True for finite numbers."""
    return tf.math.is_finite(x) if x.dtype.is_floating else tf.ones_like(x, tf.bool)


def isnan(x: Array, /) -> Array:
    """Return True for NaN."""
    return tf.math.is_nan(x) if x.dtype.is_floating else tf.zeros_like(x, tf.bool)


def where(condition: Array, x1: Array | float, x2: Array | float, /) -> Array:
    """Return x1 where the condition holds, x2 elsewhere."""
    return tf.where(condition, *_matching(x1, x2))


def clip(x: Array, /, min: Array | float | None = None, max: Array | float | None = None) -> Array:
    """Return x, no less than min and no more than max."""
    if min is not None:
        x = maximum(x, min)
    return x if max is None else minimum(x, max)


# Reductions.


def _reduction(f: Callable[..., Array], widens: builtins.bool = False) -> Callable[..., Array]:
    """Return a reduction; sums and products of small integers are int64."""

    def reduce(
        x: Array, /, *, axis: Axis = None, dtype: DType = None, keepdims: builtins.bool = False
    ) -> Array:
        if dtype is None and widens and not x.dtype.is_floating:
            dtype = int64
        return f(x if dtype is None else tf.cast(x, dtype), axis=axis, keepdims=keepdims)

    return reduce


sum, prod = _reduction(tf.reduce_sum, True), _reduction(tf.reduce_prod, True)
max, min, mean = _reduction(tf.reduce_max), _reduction(tf.reduce_min), _reduction(tf.reduce_mean)
any, all = _reduction(tf.reduce_any), _reduction(tf.reduce_all)


def cumulative_sum(x: Array, /, *, axis: int = 0) -> Array:
    """Return Σ_{m≤k} x_m."""
    return tf.cumsum(x, axis=axis)


# Shapes.

matrix_transpose = tf.linalg.matrix_transpose


def reshape(x: Array, /, shape: Shape) -> Array:
    """Return the same numbers in another shape."""
    return tf.reshape(x, _shape(shape))


def permute_dims(x: Array, /, axes: Sequence[int]) -> Array:
    """Return x with its axes in another order."""
    return tf.transpose(x, axes)


def concat(arrays: Sequence[Array], /, *, axis: int | None = 0) -> Array:
    """Return arrays one after the other; flattened with ``axis=None``."""
    if axis is None:
        return tf.concat([tf.reshape(x, (-1,)) for x in arrays], 0)
    return tf.concat(list(arrays), axis)


def stack(arrays: Sequence[Array], /, *, axis: int = 0) -> Array:
    """Return arrays side by side along a new axis."""
    return tf.stack(list(arrays), axis)


def unstack(x: Array, /, *, axis: int = 0) -> tuple[Array, ...]:
    """Return the parts along an axis."""
    return tuple(tf.unstack(x, axis=axis))


def broadcast_to(x: Array, /, shape: Shape) -> Array:
    """Return x repeated to a larger shape."""
    return tf.broadcast_to(x, _shape(shape))


def flip(x: Array, /, *, axis: Axis = None) -> Array:
    """Return x backwards along some axes, or all."""
    axes = range(x.ndim) if axis is None else _shape(axis)
    return tf.reverse(x, [each % x.ndim for each in axes])


# Indexing and order.


@tf.custom_gradient  # type: ignore[untyped-decorator]
def _dense(x: Array) -> tuple[Array, Callable[[Array], Array]]:
    """Return x, whose gradient is an array: that of ``tf.gather`` is tf.IndexedSlices."""
    return x, tf.convert_to_tensor


def take(x: Array, indices: Array, /, *, axis: int = 0) -> Array:
    """Return the entries of x at 1-d indices along an axis."""
    return tf.gather(_dense(x), indices, axis=axis)


def argsort(
    x: Array, /, *, axis: int = -1, descending: builtins.bool = False, stable: builtins.bool = True
) -> Array:
    """Return the indices that sort x, int64; equal elements keep their order."""
    direction = "DESCENDING" if descending else "ASCENDING"
    return tf.cast(tf.argsort(x, axis, direction, stable=stable), int64)


# Linear algebra.


def matmul(x1: Array, x2: Array, /) -> Array:
    """Return the matrix product; a 1-d array is a row on the left, a column on the right."""
    if x1.ndim > 1 and x2.ndim > 1:
        return tf.matmul(x1, x2)
    y = tf.matmul(
        x1[None, :] if x1.ndim == 1 else x1,
        x2[:, None] if x2.ndim == 1 else x2,
    )
    axes = [-2] * (x1.ndim == 1) + [-1] * (x2.ndim == 1)
    return tf.squeeze(y, axes)

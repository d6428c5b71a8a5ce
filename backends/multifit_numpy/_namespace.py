"""array_api_compat's namespace for NumPy, with short ways for what predictions call most.

A prediction of few atoms is hundreds of calls on small arrays, and array_api_compat and NumPy have
several Python functions above many of them. These call the array's own method, and know
arrays only, not lists.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import array_api_compat.numpy as compat
import numpy as np

Array = Any


def tanh(x: Array, /) -> Array:
    """Return tanh x as 1 − 2/(e²ˣ + 1): in half the time of NumPy's, to the same absolute error.

    Near 0 the relative error is larger. An overflow of e²ˣ gives 1, as it should.
    """
    with np.errstate(over="ignore"):
        y = np.exp(x + x)
    y += 1.0
    np.divide(2.0, y, out=y)
    return np.subtract(1.0, y, out=y)


def astype(x: Array, dtype: Any, /, *, copy: bool = True) -> Array:
    """Return x in another dtype."""
    return x.astype(dtype, copy=copy)


def permute_dims(x: Array, /, axes: tuple[int, ...]) -> Array:
    """Return x with its axes in another order."""
    return x.transpose(axes)


def matrix_transpose(x: Array, /) -> Array:
    """Return x with its last two axes exchanged."""
    return x.swapaxes(-1, -2)


def reshape(x: Array, /, shape: tuple[int, ...]) -> Array:
    """Return x in another shape."""
    return x.reshape(shape)


def take(x: Array, indices: Array, /, *, axis: int | None = None) -> Array:
    """Return the elements at some indices along an axis."""
    return x.take(indices, axis=axis)


def concat(parts: Sequence[Array], /, *, axis: int | None = 0) -> Array:
    """Return arrays joined along an axis."""
    return np.concatenate(parts, axis=axis)


matmul, zeros, zeros_like, ones_like = np.matmul, np.zeros, np.zeros_like, np.ones_like


def __getattr__(name: str) -> Any:
    """Return all else from array_api_compat, once."""
    found = globals()[name] = getattr(compat, name)
    return found

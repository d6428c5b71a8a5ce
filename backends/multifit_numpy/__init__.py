"""NumPy, DeePMD's "DP" backend: inference, forces and all; no training."""

from __future__ import annotations

import math
import platform
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from multifit.errors import UnsupportedError

from . import _namespace as xp
from ._blas import blas_threads, limit_blas

Array = np.ndarray


@dataclass(frozen=True)
class NumpyBackend:
    """The adapter; see :class:`multifit.backend.Backend`."""

    name: str = "numpy"
    xp: Any = xp
    can_train: bool = False
    static_shapes: bool = False
    eager: bool = True
    adam: None = None
    on_cpu: bool = True
    forks: bool = True  #: forked children compute as their parent does

    def asarray(self, x: np.ndarray, /) -> Array:
        """Return the array itself."""
        return np.asarray(x)

    as_input = asarray

    def to_numpy(self, x: Array, /) -> np.ndarray:
        """Return the array itself."""
        return np.asarray(x)

    def segment_sum(self, x: Array, index: Array, n: int, /) -> Array:
        """Return y (n, …) with y[k] = Σ x[m] over all m with index[m] = k."""
        if n == 1:
            return np.asarray(x.sum(axis=0, keepdims=True))
        # One bincount per column is an order of magnitude faster than np.add.at.
        columns = np.reshape(x, (len(index), math.prod(x.shape[1:])))
        sums = np.empty((n, columns.shape[1]), dtype=x.dtype)
        for k, column in enumerate(columns.T):
            sums[:, k] = np.bincount(index, weights=column, minlength=n)
        return sums.reshape((n, *x.shape[1:]))

    def value_and_grad(self, f: Callable[..., Any], /) -> Callable[..., Any]:
        """Raise: NumPy does not differentiate."""
        raise UnsupportedError(
            "the numpy backend has no gradients, so it cannot train; "
            "use torch or jax (multifit train --backend jax)"
        )

    def compile(self, f: Callable[..., Any], /, donate: tuple[int, ...] = ()) -> Callable[..., Any]:
        """Return f without warnings about NaN.

        OpenBLAS occasionally sets the flag for unused places of a vector register;
        actual NaN in a result is visible to the caller.
        """
        return np.errstate(invalid="ignore")(f)

    def describe(self) -> dict[str, str]:
        """Return the version, the devices and the number of threads, if it is known."""
        return {
            "version": np.__version__,
            "devices": platform.machine() or "cpu",
            "threads": ", ".join(map(str, blas_threads())),
        }


def backend() -> NumpyBackend:
    """Return the adapter (the entry point of ``multifit.backends``)."""
    limit_blas()
    return NumpyBackend()

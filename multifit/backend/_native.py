"""Conversion of NumPy's arrays to a backend's: the classes accept both."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._protocol import Backend

Array = Any


def native(backend: Backend, x: Array) -> Array:
    """Return real numbers as the backend's array: NumPy's are converted, as float64.

    Arrays of the backend are returned unchanged, including their gradients, and
    so is None.
    """
    if not isinstance(x, np.ndarray) or backend.name == "numpy":
        return x
    return backend.asarray(x.astype(np.float64))

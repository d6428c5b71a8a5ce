"""Arrays of NumPy where a backend's are expected: the classes take both."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._protocol import Backend

Array = Any


def native(backend: Backend, x: Array) -> Array:
    """Return real numbers as the backend's array: NumPy's are taken over, as float64.

    What is of the backend already is returned as it is, with all that it knows of gradients, and
    so is None.
    """
    if not isinstance(x, np.ndarray) or backend.name == "numpy":
        return x
    return backend.asarray(x.astype(np.float64))

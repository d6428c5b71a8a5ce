"""Hashes of data, which stay the same when files are moved, copied or renamed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np


def add_arrays(digest: Any, arrays: Iterable[tuple[str, np.ndarray]]) -> None:
    """Add names, shapes, types and values of arrays to a hash.

    Parameters
    ----------
    digest
        An object of :mod:`hashlib`.
    """
    for name, values in arrays:
        digest.update(f"{name} {values.shape} {values.dtype.str};".encode())
        digest.update(np.ascontiguousarray(values).data)

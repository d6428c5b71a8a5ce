"""Names of floating-point precisions, as ``input.json`` spells them."""

from __future__ import annotations

from typing import Any

import numpy as np

from .errors import ConfigError, did_you_mean

Array = Any

#: What ``default`` means, and the precision of energies, forces and sums over atoms.
GLOBAL = "float64"

NAMES = {"default": GLOBAL, "float32": "float32", "float64": "float64"}
_SYNONYMS = {"single": "float32", "double": "float64"}


def canonical(name: str) -> str:
    """Return ``float32`` or ``float64`` for any accepted spelling.

    Raises
    ------
    ConfigError
        For a name that is unknown, or a precision that multifit does not have.
    """
    key = _SYNONYMS.get(name.lower(), name.lower())
    if key not in NAMES:
        raise ConfigError(
            f"precision {name!r} is not available{did_you_mean(key, NAMES)}; "
            f"use one of {', '.join(NAMES)}"
        )
    return NAMES[key]


def numpy_dtype(name: str) -> np.dtype[Any]:
    """Return the NumPy dtype of a precision."""
    return np.dtype(canonical(name))


def cast(xp: Any, x: Array, name: str) -> Array:
    """Return x in the given precision; the array itself if it already is."""
    return xp.astype(x, getattr(xp, name), copy=False)

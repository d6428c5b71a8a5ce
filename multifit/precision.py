"""Names of floating-point precisions, as spelled in ``input.json``.

A net of half precision (``float16``, ``bfloat16``) has its parameters in float32: an optimizer's
small steps would be lost otherwise, and no file format supports bfloat16. They are rounded when
used, and so are the arrays they are combined with; the results are float32 again.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .errors import ConfigError, did_you_mean

Array = Any

#: The meaning of ``default``, and the precision of energies, forces and sums over atoms.
GLOBAL = "float64"

#: The precisions used in computations, but not for storage.
HALF = ("float16", "bfloat16")

NAMES = {"default": GLOBAL} | {name: name for name in ("float64", "float32", *HALF)}
_SYNONYMS = {"half": "float16", "single": "float32", "double": "float64"}


def canonical(name: str) -> str:
    """Return ``float64``, ``float32``, ``float16`` or ``bfloat16`` for any accepted spelling.

    Raises
    ------
    ConfigError
        For an unknown name.
    """
    if not isinstance(name, str):
        raise ConfigError(f"precision must be one of {', '.join(NAMES)}, but is {name!r:.60}")
    key = _SYNONYMS.get(name.lower(), name.lower())
    if key not in NAMES:
        raise ConfigError(
            f"precision {name!r} is not available{did_you_mean(key, NAMES)}; "
            f"use one of {', '.join(NAMES)}"
        )
    return NAMES[key]


def kept(name: str) -> str:
    """Return the precision in which the arrays of a net of this precision are stored."""
    key = canonical(name)
    return "float32" if key in HALF else key


def numpy_dtype(name: str) -> np.dtype[Any]:
    """Return the NumPy dtype in which the arrays of a net of this precision are stored."""
    return np.dtype(kept(name))


def cast(xp: Any, x: Array, name: str) -> Array:
    """Return x in the precision for storage; the array itself if it already is."""
    return xp.astype(x, getattr(xp, kept(name)), copy=False)


def narrow(xp: Any, x: Array, name: str) -> Array:
    """Return x in half precision if a layer computes in it, else the array itself."""
    return xp.astype(x, getattr(xp, name), copy=False) if name in HALF else x

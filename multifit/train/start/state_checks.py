"""The state of a training in a file, checked before anything is computed with it.

A checkpoint may be damaged or made by somebody else. Kernels of frameworks do not check the sizes
of moments, and would read and write outside of them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import FileFormatError
from ...tree import Flat

#: The moments of the optimizer, the moving average of the parameters, and the sum of the gradients
#: since the last update.
MOMENTS = ("m", "v", "ema", "sum")

#: The counters of a sampler.
COUNTERS = ("seed", "step", "given", "nframes")

ADVICE = "restart from another checkpoint, or use --init-model to start from its parameters"


def check_moments(path: Path, moments: Mapping[str, Any], params: Flat) -> None:
    """Raise an error unless moments fit the parameters.

    Parameters
    ----------
    path
        The checkpoint.
    moments
        one of :data:`MOMENTS` → name of a parameter → array.
    params
        All parameters of the model, flat.

    Raises
    ------
    FileFormatError
        If a name, shape, dtype or value is wrong (of which array).
    """
    for moment, flat in moments.items():
        if moment not in MOMENTS:
            raise _wrong(path, f"optimizer.{moment}", f"is none of {', '.join(MOMENTS)}")
        for name, value in flat.items():
            where = f"optimizer.{moment}.{name}"
            param = params.get(name)
            if param is None:
                raise _wrong(path, where, "belongs to no parameter of the model")
            if not isinstance(value, np.ndarray) or value.dtype != param.dtype:
                dtype = getattr(value, "dtype", type(value).__name__)
                raise _wrong(path, where, f"is of type {dtype}, not {param.dtype}")
            if value.shape != param.shape:
                raise _wrong(path, where, f"has the shape {value.shape}, not {param.shape}")
            if not np.isfinite(value).all():
                raise _wrong(path, where, "holds values that are not finite")
            if moment == "v" and (value < 0).any():
                raise _wrong(path, where, "holds negative squares")


def check_sampler(path: Path, key: str, state: Mapping[str, Any]) -> None:
    """Raise an error unless the counters of a sampler make sense; an empty state is accepted.

    Parameters
    ----------
    key
        Name of the state in the file.

    Raises
    ------
    FileFormatError
        If a counter is missing, of another type or shape, or out of range.
    """
    if not state:
        return
    for name in COUNTERS:
        where = f"{key}.{name}"
        if name not in state:
            raise _wrong(path, where, "is missing")
        value = state[name]
        if not isinstance(value, np.ndarray) or value.dtype.kind not in "iu":
            raise _wrong(path, where, "is not made of integers")
        ndim = 1 if name in ("given", "nframes") else 0
        if value.ndim != ndim:
            raise _wrong(path, where, f"has {value.ndim} axes, not {ndim}")
        least = 1 if name == "nframes" else 0
        if value.size and value.min() < least:
            raise _wrong(path, where, f"is {value.min()}, but must be at least {least}")
    if state["given"].shape != state["nframes"].shape:
        raise _wrong(path, f"{key}.given", "is of another number of systems than nframes")


def count(path: Path, key: str, value: Any) -> int:
    """Return a number of steps or validations.

    Raises
    ------
    FileFormatError
        If it is not a whole number ≥ 0.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**53:
        raise _wrong(path, key, f"is {str(value)[:40]!r}, not a whole number ≥ 0")
    return value


def error_or_none(path: Path, key: str, value: Any) -> float | None:
    """Return a validation error, or None if there is none yet.

    Raises
    ------
    FileFormatError
        If it is not a number.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
        raise _wrong(path, key, f"is {str(value)[:40]!r}, not a finite number")
    return float(value)


def plain(path: Path, key: str, value: Any) -> dict[str, Any]:
    """Return a dict of numbers, texts, lists and dicts.

    Raises
    ------
    FileFormatError
        If it is anything else.
    """
    try:
        json.dumps(value)
    except (TypeError, ValueError, RecursionError) as exc:
        raise _wrong(path, key, "is not an input") from exc
    if not isinstance(value, dict):
        raise _wrong(path, key, "is not an input")
    return value


def _wrong(path: Path, where: str, what: str) -> FileFormatError:
    return FileFormatError(f"{path} holds the state of a training, whose {where} {what}; {ADVICE}")

"""Densities of states at energies other than the stored ones."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def same_energies(one: Array, other: Array) -> bool:
    """Return True if two grids (m,) are the same up to rounding."""
    if one.shape != other.shape:
        return False
    size = np.maximum(np.abs(one), np.abs(other))
    # An energy of 0 is only as accurate as its neighbours.
    step = np.gradient(one) if one.size > 1 else size
    return bool(np.all(np.abs(one - other) <= 1e-9 * np.maximum(size, step)))


def overhang(one: Array) -> float:
    """Return the tolerance in eV for energies beyond the ends of a grid (m,).

    A ten-thousandth of a step: grids in single precision have their ends to that accuracy, and
    what the last value is taken for changes by no more than that part of one step's change.
    """
    return 1e-4 * float(min(one[1] - one[0], one[-1] - one[-2]))


def interpolate(own: Array, values: Array, energies: Array) -> Array:
    """Return piecewise linear functions at other energies.

    Parameters
    ----------
    own
        Increasing energies (m,) of the values.
    values
        (n, ..., m): n frames with any axes between.
    (k,), or (n, k) if each frame has its own. Beyond ``own``, the first or last value is
        (k,), or (n, k) where each frame has its own. Beyond ``own``, the first or last value is
        returned.

    Returns
    -------
    values
        (n, ..., k).
    """
    left = np.clip(np.searchsorted(own, energies, side="right") - 1, 0, own.size - 2)
    weight = np.clip((energies - own[left]) / (own[left + 1] - own[left]), 0.0, 1.0)
    if energies.ndim == 1:
        return np.asarray(values[..., left] * (1 - weight) + values[..., left + 1] * weight)
    between = (1,) * (values.ndim - 2)
    left, weight = (x.reshape(len(x), *between, -1) for x in (left, weight))
    low, high = (np.take_along_axis(values, index, axis=-1) for index in (left, left + 1))
    return np.asarray(low * (1 - weight) + high * weight)

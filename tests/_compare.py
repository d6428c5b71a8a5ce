"""The one place that knows how equal two results must be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

#: What float64 must agree to between two ways to compute the same thing.
RTOL = 1e-10


def same(got: Any, want: Any, rtol: float = RTOL, atol: float | None = None) -> None:
    """Assert that two (nested dicts or tuples of) arrays agree, and say where they differ most.

    Parameters
    ----------
    rtol
        Relative to each number.
    atol
        Absolute; unless given, rtol times the largest number wanted, so that a component that is
        small by cancellation is held to the accuracy of the array it lives in.
    """
    for x, y, where in _pairs(got, want, ""):
        _same(x, y, rtol, atol, where)


def deviation(got: Any, want: Any, floor: float = 0.0) -> tuple[float, str]:
    """Return how far two (nested dicts or tuples of) arrays are apart at most, and where.

    Differences are divided by the largest number wanted in the array.

    Parameters
    ----------
    floor
        Smallest such divisor, as a fraction of the largest number wanted in all arrays: for arrays
        some of which are only what is left of a cancellation of much larger numbers.
    """
    leaves = list(_pairs(got, want, ""))
    sizes = [float(np.abs(y[np.isfinite(y)]).max(initial=0.0)) for _, y, _ in leaves]
    least = floor * max(sizes, default=0.0)
    worst, place = 0.0, "nowhere"
    for (x, y, where), size in zip(leaves, sizes, strict=True):
        finite = np.isfinite(y)
        if not np.array_equal(x[~finite], y[~finite], equal_nan=True):
            return np.inf, f"{where}: {x}, wanted {y}"
        off = float(np.abs(x[finite] - y[finite]).max(initial=0.0))
        by = max(size, least)
        # A NaN is as far away as can be, as is anything from an array of zeros.
        relative = np.inf if np.isnan(off) else off / by if by else np.inf if off else 0.0
        if relative > worst:
            worst, place = relative, where or "array"
    return worst, place


def _pairs(got: Any, want: Any, where: str) -> Iterator[tuple[np.ndarray, np.ndarray, str]]:
    """Yield the arrays that are to be compared; what differs in structure fails at once."""
    if isinstance(want, Mapping):
        assert set(got) == set(want), f"{where or 'the dict'}: {sorted(set(got) ^ set(want))}"
        for key in want:
            yield from _pairs(got[key], want[key], f"{where}.{key}".lstrip("."))
        return
    if isinstance(want, tuple):
        assert len(got) == len(want), f"{where}: {len(got)} results, wanted {len(want)}"
        for k, (one, other) in enumerate(zip(got, want, strict=True)):
            yield from _pairs(one, other, f"{where}.{k}".lstrip("."))
        return
    x, y = _numpy(got), _numpy(want)
    assert x.shape == y.shape, f"{where or 'array'}: shape {x.shape}, wanted {y.shape}"
    yield x, y, where


def _same(x: np.ndarray, y: np.ndarray, rtol: float, atol: float | None, where: str) -> None:
    if not y.size:
        return
    finite = np.isfinite(y)
    assert np.array_equal(x[~finite], y[~finite], equal_nan=True), f"{where}: {x}, wanted {y}"
    x, y = np.where(finite, x, 0.0), np.where(finite, y, 0.0)
    slack = rtol * np.abs(y).max() if atol is None else atol
    excess = np.abs(x - y) - (slack + rtol * np.abs(y))
    excess = np.where(np.isnan(excess), np.inf, excess)
    worst = np.unravel_index(int(np.argmax(excess)), excess.shape)
    assert excess[worst] <= 0.0, (
        f"{where or 'array'}{list(map(int, worst))}: {x[worst]!r}, wanted {y[worst]!r}; differs by "
        f"{abs(x[worst] - y[worst]):.3g}, {int((excess > 0).sum())} of {y.size} numbers do "
        f"(rtol {rtol:.1g}, atol {slack:.3g})"
    )


def _numpy(x: Any) -> np.ndarray:
    """Return the values, whichever framework they come from."""
    if hasattr(x, "detach"):
        x = x.detach().cpu()
    if type(x).__module__.startswith("array_api_strict"):
        x = x._array
    return np.asarray(x, dtype=np.float64)

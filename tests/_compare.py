"""The one place that knows how equal two results must be."""

from __future__ import annotations

from collections.abc import Mapping
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
    _same(got, want, rtol, atol, "")


def _same(got: Any, want: Any, rtol: float, atol: float | None, where: str) -> None:
    if isinstance(want, Mapping):
        assert set(got) == set(want), f"{where or 'the dict'}: {sorted(set(got) ^ set(want))}"
        for key in want:
            _same(got[key], want[key], rtol, atol, f"{where}.{key}".lstrip("."))
        return
    if isinstance(want, tuple):
        assert len(got) == len(want), f"{where}: {len(got)} results, wanted {len(want)}"
        for k, (one, other) in enumerate(zip(got, want, strict=True)):
            _same(one, other, rtol, atol, f"{where}.{k}".lstrip("."))
        return
    x, y = _numpy(got), _numpy(want)
    assert x.shape == y.shape, f"{where or 'array'}: shape {x.shape}, wanted {y.shape}"
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

"""Derivatives in two ways that share nothing with the pullbacks they check."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from multifit.backend import Backend, get_backend

STEP = 1e-5


def by_differences(f: Callable[[np.ndarray], Any], x: np.ndarray, step: float = STEP) -> np.ndarray:
    """Return ∂f/∂x of a scalar f by central differences of fourth order, shaped like x."""
    grad = np.zeros_like(x)
    for place in np.ndindex(x.shape):
        values = []
        for k in (-2, -1, 1, 2):
            moved = x.copy()
            moved[place] += k * step
            values.append(float(f(moved)))
        far_left, left, right, far_right = values
        grad[place] = (8.0 * (right - left) - (far_right - far_left)) / (12.0 * step)
    return grad


#: Weights of f(x + k·step) − f(x − k·step) for k = 1 … 4: differences of eighth order.
_EIGHTH = (4 / 5, -1 / 5, 4 / 105, -1 / 280)


def along(
    f: Callable[[np.ndarray], float], x: np.ndarray, direction: np.ndarray, step: float = 0.01
) -> float:
    """Return the slope of a smooth scalar f along a direction, to about twelve digits."""
    moved = enumerate(_EIGHTH, start=1)
    differences = [
        c * (f(x + k * step * direction) - f(x - k * step * direction)) for k, c in moved
    ]
    return sum(differences) / step


def by_framework(backend: Backend, f: Callable[[Any], Any], x: np.ndarray) -> np.ndarray:
    """Return ∂f/∂x of a scalar f as the framework differentiates it."""
    run = backend.compile(backend.value_and_grad(lambda p: (f(p["x"]), {})))
    _, grads = run({"x": backend.asarray(x)})
    return backend.to_numpy(grads["x"])


#: block(backend, x) → (y, pullback), with x an array of the backend
Block = Callable[[Backend, Any], tuple[Any, Callable[[Any], Any]]]


def pulled(backend: Backend, block: Block, x: np.ndarray, y_bar: np.ndarray) -> np.ndarray:
    """Return the block's own x̄ for ȳ."""
    _, pullback = block(backend, backend.asarray(x))
    return backend.to_numpy(pullback(backend.asarray(y_bar)))


def contracted(backend: Backend, block: Block, y_bar: np.ndarray) -> Callable[[Any], Any]:
    """Return x ↦ Σ ȳ y(x), whose gradient is x̄."""
    xp = backend.xp

    def scalar(x: Any) -> Any:
        return xp.sum(block(backend, x)[0] * backend.asarray(y_bar))

    return scalar


def by_differences_of(block: Block, x: np.ndarray, y_bar: np.ndarray) -> np.ndarray:
    """Return x̄ by differences of the block's values on NumPy."""
    return by_differences(contracted(get_backend("numpy"), block, y_bar), x)

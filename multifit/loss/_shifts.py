"""Rigid shifts along the energy grid, by whole grid points, that do not count as errors.

The zero of energy of a periodic calculation is arbitrary, and differs between codes and cells: only
the shape of the density of states matters then. A label D* shifted by s is D*(k − s), known on the
n − |s| points of the grid where both exist; points beyond the overlap count on neither side.

After the loss of W. B. How, S. Chong, F. Grasselli, K. K. Huguenin-Dumittan and M. Ceriotti,
"Adaptive energy reference for machine-learning models of the electronic density of states",
arXiv:2407.01068, as metatrain has it.
"""

from __future__ import annotations

from typing import Any

Array = Any


def shifted(xp: Any, x: Array, shift: Array) -> tuple[Array, Array]:
    """Return x shifted along its last axis, and weights for means over the overlap.

    Parameters
    ----------
    x
        (rows, n).
    shift
        Number of points, upwards, (rows,) int64.

    Returns
    -------
    y
        y[r, k] = x[r, k − shift[r]], arbitrary outside the overlap.
    weight
        n / (n − |shift|) in the overlap and 0 elsewhere, (rows, n).
    """
    rows, n = x.shape
    source = xp.arange(n, dtype=xp.int64)[None, :] - shift[:, None]
    known = xp.logical_and(source >= 0, source < n)
    inside = xp.where(known, source, xp.zeros_like(source))
    index = inside + n * xp.arange(rows, dtype=xp.int64)[:, None]
    flat = xp.take(xp.reshape(x, (rows * n,)), xp.reshape(index, (rows * n,)), axis=0)
    overlap = xp.astype(n - xp.abs(shift), x.dtype)
    weight = xp.astype(known, x.dtype) * (float(n) / overlap)[:, None]
    return xp.reshape(flat, (rows, n)), weight


def best_shift(xp: Any, prediction: Array, label: Array, largest: int) -> Array:
    """Return the shift that best fits the label, (nframes,) int64 in [−largest, largest].

    The best shift has the least mean squared difference over the overlap; of equal ones it is the
    shortest. All shifts are tried, which costs (2·largest + 1)·n for each frame. No gradient flows
    through integers, and none is missing: in a minimum over shifts only the best one counts.

    Parameters
    ----------
    prediction, label
        (nframes, n).
    """
    nframes, n = prediction.shape
    steps = xp.arange(1, largest + 1, dtype=xp.int64)
    pairs = xp.reshape(xp.stack([steps, -steps], axis=1), (2 * largest,))
    shifts = xp.concat([xp.zeros((1,), dtype=xp.int64), pairs], axis=0)  # 0, 1, −1, 2, −2, …
    number = 2 * largest + 1

    def repeated(x: Array) -> Array:
        copies = xp.broadcast_to(x[:, None, :], (nframes, number, n))
        return xp.reshape(copies, (nframes * number, n))

    shift = xp.reshape(xp.broadcast_to(shifts[None, :], (nframes, number)), (nframes * number,))
    target, weight = shifted(xp, repeated(label), shift)
    error = repeated(prediction) - target
    score = xp.reshape(xp.mean(weight * error * error, axis=1), (nframes, number))
    # Not all namespaces have argmin. If the score is NaN, this is the first.
    worse = score > xp.min(score, axis=1, keepdims=True)
    order = xp.broadcast_to(xp.arange(number, dtype=xp.int64)[None, :], (nframes, number))
    first = xp.min(xp.where(worse, xp.full_like(order, number), order), axis=1)
    return xp.take(shifts, first, axis=0)

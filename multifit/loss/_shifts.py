"""Rigid shifts along the energy grid, by whole grid points, that are not counted as errors.

The zero of energy of a periodic calculation is arbitrary, and differs between codes and cells: what
is wanted then is the shape of the density of states. A label D* moved by s is D*(k − s), known on
the n − |s| points of the grid where both are; what falls off counts on neither side.

After the loss of W. B. How, S. Chong, F. Grasselli, K. K. Huguenin-Dumittan and M. Ceriotti,
"Adaptive energy reference for machine-learning models of the electronic density of states",
arXiv:2407.01068, as metatrain has it.
"""

from __future__ import annotations

from typing import Any

Array = Any


def moved(xp: Any, x: Array, shift: Array) -> tuple[Array, Array]:
    """Return x moved along its last axis, and the weights with which means are over what is known.

    Parameters
    ----------
    x
        (rows, n).
    shift
        By how many points, upwards, (rows,) int64.

    Returns
    -------
    y
        y[r, k] = x[r, k − shift[r]], anything where that does not exist.
    weight
        n / (n − |shift|) where it exists and 0 elsewhere, (rows, n).
    """
    rows, n = x.shape
    source = xp.arange(n, dtype=xp.int64)[None, :] - shift[:, None]
    known = xp.logical_and(source >= 0, source < n)
    inside = xp.where(known, source, xp.zeros_like(source))
    place = inside + n * xp.arange(rows, dtype=xp.int64)[:, None]
    flat = xp.take(xp.reshape(x, (rows * n,)), xp.reshape(place, (rows * n,)), axis=0)
    overlap = xp.astype(n - xp.abs(shift), x.dtype)
    weight = xp.astype(known, x.dtype) * (float(n) / overlap)[:, None]
    return xp.reshape(flat, (rows, n)), weight


def best_shift(xp: Any, mine: Array, theirs: Array, most: int) -> Array:
    """Return by how many points theirs is best moved, (nframes,) int64 in [−most, most].

    Best is the least mean of the squared difference over the points where both are; of several,
    the shortest. All shifts are tried, which costs (2·most + 1)·n for each frame. No gradient comes
    through integers, and none is missing: in a minimum over shifts only the best one counts.

    Parameters
    ----------
    mine, theirs
        (nframes, n).
    """
    nframes, n = mine.shape
    steps = xp.arange(1, most + 1, dtype=xp.int64)
    pairs = xp.reshape(xp.stack([steps, -steps], axis=1), (2 * most,))
    shifts = xp.concat([xp.zeros((1,), dtype=xp.int64), pairs], axis=0)  # 0, 1, −1, 2, −2, …
    number = 2 * most + 1

    def tried(x: Array) -> Array:
        every = xp.broadcast_to(x[:, None, :], (nframes, number, n))
        return xp.reshape(every, (nframes * number, n))

    by = xp.broadcast_to(shifts[None, :], (nframes, number))
    there, weight = moved(xp, tried(theirs), xp.reshape(by, (nframes * number,)))
    error = tried(mine) - there
    score = xp.reshape(xp.mean(weight * error * error, axis=1), (nframes, number))
    # The standard's argmin is not everywhere. Where the score is NaN, this is the first.
    worse = score > xp.min(score, axis=1, keepdims=True)
    order = xp.broadcast_to(xp.arange(number, dtype=xp.int64)[None, :], (nframes, number))
    first = xp.min(xp.where(worse, xp.full_like(order, number), order), axis=1)
    return xp.take(shifts, first, axis=0)

"""The pairs of neighbours of an atom, as positions in its P × P products.

Products are symmetric, so that those of the pairs j ≤ k are kept, U of them. The net of a pair of
neighbours of different types depends on their order: it is evaluated for both, so that there are
T ≥ U evaluations.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np


class Angles(NamedTuple):
    """Where the pairs of neighbours are."""

    upper: np.ndarray  #: place of each pair j ≤ k in the products as one row, (U,)
    folded: np.ndarray  #: the pair of each place, (P·P,)
    turned: np.ndarray  #: the pairs evaluated once more in the other order, (T − U,)
    again: np.ndarray  #: place of each pair in ``turned``, T − U for none, (U,)
    weight: np.ndarray  #: how often each evaluation counts, (T,)
    types: tuple[tuple[int, int], ...]  #: the pairs of types that occur
    kind: np.ndarray  #: 1 at the place of the types of each evaluation, else 0, (T, len(types))


@lru_cache(maxsize=64)
def angles(widths: tuple[tuple[int, int], ...], ordered: bool) -> Angles:
    """Return the pairs of neighbours in tables of some widths.

    Parameters
    ----------
    widths
        (type, number of columns) of each table, side by side.
    ordered
        True if the order of two types matters.
    """
    of_column = np.repeat([b for b, _ in widths], [n for _, n in widths])
    size = of_column.size
    j, k = np.triu_indices(size)
    folded = np.zeros((size, size), dtype=np.int64)
    folded[j, k] = folded[k, j] = np.arange(j.size)
    b, c = of_column[j], of_column[k]
    crossed = np.flatnonzero(b != c) if ordered else np.zeros(0, dtype=np.int64)
    again = np.full(j.size, crossed.size)
    again[crossed] = np.arange(crossed.size)
    weight = np.where(j == k, 1.0, 2.0)
    weight[crossed] = 1.0
    first = np.concatenate([b, c[crossed]])
    second = np.concatenate([c, b[crossed]])
    code = first * (int(of_column.max(initial=0)) + 1) + second
    found, place = np.unique(code, return_inverse=True)
    types = [divmod(int(one), int(of_column.max(initial=0)) + 1) for one in found]
    return Angles(
        upper=j * size + k,
        folded=folded.ravel(),
        turned=crossed,
        again=again,
        weight=np.concatenate([weight, np.ones(crossed.size)]),
        types=tuple(types),
        kind=np.eye(len(found))[place.ravel()],
    )

"""The nearest pairs of each centre: cuts at numbers of neighbours."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

#: i, j, rij (3, n), distance of pairs sorted by i.
Part: TypeAlias = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def joined(parts: list[Part]) -> Part:
    """Return the parts as one."""
    if len(parts) == 1:
        return parts[0]
    i, j, rij, distance = (np.concatenate(part, axis=-1) for part in zip(*parts, strict=True))
    return i, j, rij, distance


def rows(i: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the first pair of each centre, and the number of its pairs."""
    new = np.ones(i.size, dtype=bool)
    np.not_equal(i[1:], i[:-1], out=new[1:])
    first = np.flatnonzero(new)
    return first, counts_of(first, i.size)


def counts_of(first: np.ndarray, total: int) -> np.ndarray:
    """Return the number of elements from each of the first ones to the next, or to the end."""
    count = np.empty_like(first)
    np.subtract(first[1:], first[:-1], out=count[:-1])
    count[-1] = total - first[-1]
    return count


def within(pairs: Part, count: np.ndarray, sel: int) -> Part:
    """Return the pairs without those of a centre that are farther than its ``sel`` nearest ones.

    Of two at equal distance, the first is kept.
    """
    full = count > sel
    if not full.any():
        return pairs
    crowded = np.flatnonzero(np.repeat(full, count))
    # Already sorted by centre: the places of a centre's pairs remain its own.
    order = np.lexsort((pairs[3][crowded], np.repeat(np.arange(count.size), count)[crowded]))
    rank = columns(count[full])
    keep = np.ones(pairs[0].size, dtype=bool)
    keep[crowded[order[rank >= sel]]] = False
    kept = np.flatnonzero(keep)
    i, j, rij, distance = (np.take(x, kept, axis=-1) for x in pairs)
    return i, j, rij, distance


def within_total(found: dict[int, Part], natoms: int, total: int) -> tuple[dict[int, Part], int]:
    """Return the pairs of each type that are among the ``total`` nearest of their centre.

    The second result is the most neighbours that a centre has, before this cut.
    """
    number = np.zeros(natoms, dtype=np.int64)
    for one in found.values():
        number += np.bincount(one[0], minlength=natoms)
    full = number > total
    if full.any():
        crowded = {b: np.flatnonzero(full[one[0]]) for b, one in found.items()}
        centre = np.concatenate([found[b][0][here] for b, here in crowded.items()])
        distance = np.concatenate([found[b][3][here] for b, here in crowded.items()])
        order = np.lexsort((distance, centre))
        beyond = np.zeros(len(order), dtype=bool)
        beyond[order] = columns(number[full]) >= total
        ends = np.cumsum([len(here) for here in crowded.values()])[:-1]
        for (b, here), lost in zip(crowded.items(), np.split(beyond, ends), strict=True):
            keep = np.ones(found[b][0].size, dtype=bool)
            keep[here[lost]] = False
            i, j, rij, far = (np.compress(keep, x, axis=-1) for x in found[b])
            found[b] = (i, j, rij, far)
    return found, int(number.max(initial=0))


def columns(count: np.ndarray) -> np.ndarray:
    """Return 0, 1, … (count[0] of them), 0, 1, … (count[1]), … in one array, int32."""
    start = (np.cumsum(count) - count).astype(np.int32)
    found: np.ndarray = np.arange(count.sum(), dtype=np.int32) - np.repeat(start, count)
    return found

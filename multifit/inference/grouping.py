"""Structures grouped into batches, of a bounded number of atoms each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .structure import Structure


@dataclass(frozen=True)
class Grouping:
    """The grouping of structures for evaluation."""

    groups: list[list[int]]  #: structures evaluated together, small ones first
    divided: list[int]  #: structures evaluated in parts


def plan_batches(structures: Sequence[Structure], limit: int, divide: bool = True) -> Grouping:
    """Return the plan for structures, with at most ``limit`` atoms evaluated at once.

    Parameters
    ----------
    divide
        False if none may be divided, and those of one batch must have equal numbers of atoms.
    """
    sizes = [int((s.atype >= 0).sum()) for s in structures]
    large = [k for k, n in enumerate(sizes) if n > limit and divide]
    small = sorted(set(range(len(sizes))).difference(large))
    kinds = [0 if divide else len(structures[k].atype) for k in small]
    groups = group_by_size([sizes[k] for k in small], limit, kinds)
    return Grouping([[small[k] for k in group] for group in groups], large)


def group_by_size(sizes: Sequence[int], limit: int, kinds: Sequence[int]) -> list[list[int]]:
    """Return the structures of each batch: of similar size, as many as fit.

    Parameters
    ----------
    sizes
        Atoms of each structure.
    limit
        Maximum number of atoms in a batch, unless one structure alone has more.
    kinds
        Only structures of the same kind are batched.
    """
    groups: list[list[int]] = []
    total = 0
    for k in sorted(range(len(sizes)), key=lambda k: (kinds[k], sizes[k])):
        if not groups or total + sizes[k] > limit or kinds[groups[-1][-1]] != kinds[k]:
            groups.append([])
            total = 0
        groups[-1].append(k)
        total += max(sizes[k], 1)
    return groups

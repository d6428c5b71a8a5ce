"""The neighbours required by a model."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Requirements:
    """The neighbours that a descriptor needs.

    Attributes
    ----------
    rcut
        Cutoff in Å.
    sel
        Maximum number of neighbours of each type; the nearest are kept.
    hops
        Rounds of message passing: a descriptor depends on atoms within ``hops · rcut``.
    inner
        Å; pairs nearer than this have separate columns in the tables. 0 for none.
    """

    rcut: float
    sel: tuple[int, ...]
    hops: int = 1
    inner: float = 0.0

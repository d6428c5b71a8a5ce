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
    mixed_above
        With neighbours of more types than this, all are in one table; None for separate tables.
    two_sided
        True if the pairs in that table are grouped by both types, not by that of the neighbour.
    """

    rcut: float
    sel: tuple[int, ...]
    hops: int = 1
    inner: float = 0.0
    mixed_above: int | None = None
    two_sided: bool = False

    def mixes(self, number: int) -> bool:
        """Return True if neighbours of this number of types are in one table."""
        return self.mixed_above is not None and number > self.mixed_above

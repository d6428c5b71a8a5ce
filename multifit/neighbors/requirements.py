"""The neighbours required by a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Requirements:
    """The neighbours that a descriptor needs.

    Attributes
    ----------
    rcut
        Cutoff in Å.
    sel
        Maximum number of neighbours of each type; the nearest are kept.
    total
        Maximum number of neighbours of all types together; None for no such limit.
    first
        True if the descriptor depends on the type of the first atom of a frame.
    ordered
        True for one table of the neighbours of all types in the order of distance; this needs
        ``total``.
    shells
        (cutoff in Å, maximum number) of neighbours within shorter cutoffs, of which a table in
        the order of distance tells the number of columns.
    hops
        Rounds of message passing: a descriptor depends on atoms within ``hops · rcut``.
    inner
        Å; pairs nearer than this have separate columns in the tables. 0 for none.
    mixed_above
        With neighbours of more types than this, all are in one table; None for separate tables.
    two_sided
        True if the pairs in that table are grouped by both types, not by that of the neighbour.
    parts
        What each part of a descriptor needs, if it has several: each gets tables of its own, of the
        neighbours that the whole needs.
    block
        Name of a part that is a block of a descriptor, not a descriptor of its own.
    """

    rcut: float
    sel: tuple[int, ...]
    hops: int = 1
    inner: float = 0.0
    mixed_above: int | None = None
    two_sided: bool = False
    total: int | None = None
    first: bool = False
    ordered: bool = False
    shells: tuple[tuple[float, int], ...] = ()
    parts: tuple[Requirements, ...] = ()
    block: str = ""

    @property
    def each(self) -> tuple[Requirements, ...]:
        """What each part needs, or each block of it; of a descriptor without parts, itself."""
        return tuple(one for part in self.parts for one in part.each) or (self,)

    @property
    def places(self) -> tuple[str, ...]:
        """The place of each of :attr:`each`: ``list[0]``, ``repformer``, ``list[1].repformer``."""
        found = []
        for k, part in enumerate(self.parts):
            own = part.block or f"list[{k}]"
            found += [f"{own}.{inner}" if inner else own for inner in part.places]
        return tuple(found) or ("",)

    @property
    def needs_order(self) -> bool:
        """True if a part needs the neighbours of all types in the order of distance."""
        return self.ordered or any(part.needs_order for part in self.parts)

    @property
    def reach(self) -> float:
        """Distance in Å of the farthest atoms that an atom depends on."""
        if self.parts and self.parts[0].block:  # the others pass messages of the first
            return self.rcut + max((part.hops - 1) * part.rcut for part in self.parts)
        return max((part.reach for part in self.parts), default=self.hops * self.rcut)

    def same_pairs(self, other: Requirements) -> bool:
        """Return True if the neighbours of both are the same pairs."""
        mine, others = ((x.rcut, x.sel, x.total) for x in (self, other))
        return mine == others

    @property
    def slots(self) -> tuple[int, ...]:
        """``sel`` as in an input: a number for each cutoff if the types are not told apart."""
        if self.parts and self.parts[0].block:
            return tuple(number for part in self.parts for number in part.slots)
        return self.sel if self.total is None else (self.total, *(most for _, most in self.shells))

    def counted(self, most: np.ndarray, together: np.ndarray, inner: np.ndarray) -> np.ndarray:
        """Return the numbers of neighbours that ``slots`` limit, (…, slots).

        Parameters
        ----------
        most, together
            The most neighbours of each type, (…, ntypes), and of all types, (…).
        inner
            The most neighbours of all types within each shell, (…, shells).
        """
        if self.total is None:
            return most
        whole = together[..., None]
        return whole if not self.shells else np.concatenate([whole, inner], axis=-1)

    def short(self, fullest: Sequence[int], together: int, names: Sequence[str]) -> list[str]:
        """Return the numbers of neighbours beyond a limit, in words.

        Parameters
        ----------
        fullest, together
            The most neighbours of each type, and of all types, around one atom.
        names
            Of the types.
        """
        if self.total is not None:
            return [f"{together} (sel {self.total})"] if together > self.total else []
        given = zip(fullest, names, self.sel, strict=True)
        return [f"{most} {name} (sel {slots})" for most, name, slots in given if most > slots]

    def mixes(self, number: int) -> bool:
        """Return True if neighbours of this number of types are in one table."""
        return self.mixed_above is not None and number > self.mixed_above


def together(parts: Sequence[Requirements]) -> Requirements:
    """Return the requirements of a descriptor with several parts.

    Its neighbours hold those of each part: the nearest of each type, as many as any part counts.
    """
    totals = {part.total for part in parts}
    return Requirements(
        max(part.rcut for part in parts),
        tuple(max(numbers) for numbers in zip(*(part.sel for part in parts), strict=True)),
        hops=max(part.hops for part in parts),
        # The nearest of all types are among the nearest of each, but not the other way round.
        total=None if None in totals else max(totals, key=lambda n: n or 0),
        first=any(part.first for part in parts),
        parts=tuple(parts),
    )

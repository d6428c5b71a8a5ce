"""The neighbours that a model asks for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Requirements:
    """The neighbours that a descriptor needs.

    Attributes
    ----------
    rcut
        The cut-off in Å.
    sel
        The most neighbours of each type that count; the nearest do.
    hops
        Rounds of message passing: a descriptor depends on atoms within ``hops · rcut``.
    inner
        Å; pairs nearer than this get columns of their own in the tables. 0 for no such columns.
    """

    rcut: float
    sel: tuple[int, ...]
    hops: int = 1
    inner: float = 0.0

"""Rows of arrays put at other places, and back in the derivative."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ..backend import Rules

Array = Any


class Places(NamedTuple):
    """Places that rows come from."""

    index: Array  #: rows of an array, (n,)
    live: Array  #: 1, or 0 for those that are left out, (n,)

    def take(self, xp: Any, x: Array) -> Array:
        """Return the rows of x (m, …), zeros for those that are left out, (n, …)."""
        live = xp.reshape(self.live, (-1, *(1,) * (len(x.shape) - 1)))
        return xp.take(x, self.index, axis=0) * xp.astype(live, x.dtype, copy=False)


def exchanged(xp: Any, rules: Rules | None, x: Array, there: Places, back: Places) -> Array:
    """Return the rows of x at other places, (n, …).

    The derivative takes them back. Frameworks add them up where they came from, as if several
    could come from one place, which XLA does one row after the other.

    Parameters
    ----------
    x
        (m, …).
    there, back
        n rows of x, and the m rows that :func:`exchanged` makes x of again.
    """
    if rules is None:
        return there.take(xp, x)

    def go(x: Array, *places: Array) -> tuple[Array, ...]:
        return (Places(*places[:2]).take(xp, x),)

    def rule(given: Sequence[Array], bars: Sequence[Array]) -> tuple[Array | None, ...]:
        return Places(*given[3:]).take(xp, bars[0]), None, None, None, None

    return rules.with_rule(go, rule)(x, *there, *back)[0]

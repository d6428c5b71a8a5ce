"""Numbers and names in sentences."""

from __future__ import annotations

from collections.abc import Sequence

#: Maximum number of names in a sentence.
NAMES = 3


def counted(number: int, what: str) -> str:
    """Return ``"1 frame"`` or ``"2 frames"``."""
    return f"{number:,} {what}{'s' * (number != 1)}"


def few(names: Sequence[str]) -> str:
    """Return the first names, with ``…`` if there are more."""
    return ", ".join([*names[:NAMES], *["…"] * (len(names) > NAMES)])


def printable(text: str) -> str:
    """Return a text in which nothing but line breaks controls a terminal."""
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)

"""Sentences about data systems."""

from __future__ import annotations

from collections.abc import Sequence

from ..data import System
from .words import few

#: Numbers of types that a sentence names.
TYPES = 4


def guessed(systems: Sequence[System]) -> str:
    """Return a sentence on systems whose types had to be guessed, empty if there are none."""
    bare = [system for system in systems if not system.named]
    if not bare:
        return ""
    names = systems[0].type_map
    first, *others = [f"as {name}" for name in names[:TYPES]]
    taken = ", ".join([f"0 is taken {first}", *(f"{k + 1} {n}" for k, n in enumerate(others))])
    have = "has" if len(bare) == 1 else "have"
    unlike, other = (
        ("warning: ", ", unlike other systems") if len(bare) < len(systems) else ("", "")
    )
    return (
        f"{unlike}{few([system.name for system in bare])} {have} no type_map.raw{other}: {taken}"
        f"{', …' * (len(names) > TYPES)}"
    )

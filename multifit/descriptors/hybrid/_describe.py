"""What ``multifit show`` says of a hybrid."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._descriptor import Hybrid


def describe(hybrid: Hybrid, type_map: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield a line on the whole, and those of each part, numbered from 1."""
    names = " + ".join(part.name for part in hybrid.list)
    yield "descriptor", f"hybrid of {names}, {hybrid.dim_out} numbers for each atom"
    everywhere = set(hybrid.exclude_types)
    for k, part in enumerate(hybrid.list, start=1):
        yield from ((f"{k}. {name}", text) for name, text in part.describe(type_map))
        pairs = sorted({(min(pair), max(pair)) for pair in part.exclude_types} - everywhere)
        if pairs:
            yield (
                f"{k}. excluded pairs",
                ", ".join(f"{type_map[a]}–{type_map[b]}" for a, b in pairs),
            )

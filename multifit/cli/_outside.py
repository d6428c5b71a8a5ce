"""Warnings about the data of a command, printed once, below its tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..console.words import few

if TYPE_CHECKING:
    from ..data import System
    from ..inference.potential import Potential


def collect(potential: Potential, content: Mapping[str, Any]) -> None:
    """Let a potential collect what is outside of its training data, and print nothing meanwhile.

    Parameters
    ----------
    content
        Of the model file.
    """
    from ..inference.seen import Watch, from_content

    seen = from_content(potential.model, content)
    potential.runner.watch = Watch(potential.model, seen, tell=_nothing)


def silence(potentials: Sequence[Potential]) -> None:
    """Let loaded potentials collect without printing."""
    for potential in potentials:
        if potential.runner.watch is not None:
            potential.runner.watch.tell = _nothing


def _nothing(text: str) -> None:
    """Print nothing."""


def warnings(systems: Sequence[System], potentials: Mapping[str, Potential]) -> Iterator[str]:
    """Yield a sentence for each doubt about the data and predictions for them.

    Parameters
    ----------
    systems
        The data.
    potentials
        The models by name, which is added to what does not hold for all.
    """
    from ..console.systems import guessed

    if about := guessed(systems):
        yield about
    told: dict[str, list[str]] = {}
    for name, potential in potentials.items():
        for text in potential.outside:
            told.setdefault(text, []).append(name)
    for text, names in told.items():
        whose = f"{few(names)}: " if len(names) < len(potentials) else ""
        yield f"warning: {whose}{text}"

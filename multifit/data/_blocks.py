"""The blocks of ``auto_prob``: ranges of systems that share a probability."""

from __future__ import annotations

import math

from ..errors import ConfigError


def ranges(auto_prob: str) -> list[tuple[int, int, float]]:
    """Return the blocks (start, end, weight) of a rule ``"prob_sys_size;start:end:weight;…"``.

    Raises
    ------
    ConfigError
        If a block is not understood, empty, or overlaps with one before it.
    """
    found: list[tuple[int, int, float]] = []
    for block in auto_prob.split(";")[1:]:
        try:
            start_text, end_text, weight_text = block.split(":")
            start, end, weight = int(start_text), int(end_text), float(weight_text)
        except ValueError as exc:
            raise ConfigError(
                f"block {block!r} of auto_prob {auto_prob!r} is not start:end:weight"
            ) from exc
        if not (0 <= start < end and 0 <= weight < math.inf):
            raise ConfigError(
                f"block {block!r} of auto_prob needs 0 ≤ start < end and a weight that is not "
                "negative"
            )
        if any(start < other_end and end > other for other, other_end, _ in found):
            raise ConfigError(f"block {block!r} of auto_prob overlaps with one before it")
        found.append((start, end, weight))
    return found

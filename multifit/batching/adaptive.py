"""Shapes of batches where each costs a compilation: as few as pay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .shapes import Shape, Shapes, bucket, planned, union

#: Atoms that could have been evaluated in the time of a compilation for one more shape.
COMPILATION = 20_000


@dataclass
class AdaptiveShapes:
    """Shapes that are made when needed, or when enough padding has accumulated.

    A batch gets the smallest shape that holds it. When the padded places add up to the cost of a
    compilation, better shapes are made: at most twice the cost of the optimal offline plan.
    """

    shapes: Shapes
    empty: float = 0.0  #: padded places since the shapes were made

    def make(self, needs: Sequence[Shape]) -> None:
        """Make shapes available for the next batches."""
        if not self.shapes.static or not needs:
            return
        unmet = [need for need in needs if not any(s.holds(need) for s in self.shapes.known)]
        if unmet:
            self._add([_rounded_up(unmet[0]) if len(unmet) == 1 else union(unmet)])
        waste = sum(self.shapes.fit(need).natoms - need.natoms for need in needs)
        if self.empty + waste > COMPILATION:
            self._add(planned(needs, [1.0] * len(needs)))
            waste = 0
            self.empty = 0.0
        self.empty += waste

    def _add(self, shapes: Sequence[Shape]) -> None:
        self.shapes.known += [shape for shape in shapes if shape not in self.shapes.known]


def _rounded_up(need: Shape) -> Shape:
    """Return a shape with some room to spare."""
    return Shape(need.nframes, tuple(bucket(n) if n else 0 for n in need.counts))

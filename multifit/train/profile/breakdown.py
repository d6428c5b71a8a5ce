"""The times of the parts of a training step, and a lower bound: its matrix products alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ...console.tables import plain_table
from ...console.words import counted


@dataclass(frozen=True)
class Floor:
    """The matrix products of the fitting nets alone, which are needed in any training."""

    passes: int  #: products with each matrix of weights
    operations: float  #: floating-point operations
    seconds: float


@dataclass(frozen=True)
class Breakdown:
    """Medians in seconds, of computations that each include the one before."""

    atoms: int
    calls: int
    stages: list[tuple[str, float]] = field(default_factory=list)
    floor: Floor | None = None

    def table(self) -> Any:
        """Return the parts of the step: differences of computations that do more and more."""
        table = plain_table("parts of a step alone")
        table.add_column("", no_wrap=True, min_width=20)
        table.add_column("ms", justify="right")
        table.add_column("%", justify="right")
        whole, before = self.stages[-1][1], 0.0
        for name, seconds in self.stages:
            more, before = seconds - before, seconds
            table.add_row(name, f"{more * 1e3:.2f}", f"{100 * more / whole:.1f}")
        table.add_section()
        table.add_row("the step itself", f"{whole * 1e3:.2f}", "100.0")
        return table

    def notes(self) -> list[str]:
        """Return a description of the measurement, and the time of the matrix products alone."""
        floor, whole = self.floor, self.stages[-1][1]
        measured = (
            f"medians of {self.calls} calls on the last batch ({counted(self.atoms, 'atom')})"
            ", after the run and with no other thread; each line is what it adds"
        )
        if floor is None:
            return [measured]
        return [
            measured,
            f"the matrix products of the fitting nets alone ({floor.passes} passes, "
            f"{floor.operations / 1e9:.3g} GFLOP) take {floor.seconds * 1e3:.2f} ms, at "
            f"{floor.operations / floor.seconds / 1e9:.3g} GFLOP/s; a step takes "
            f"{whole / floor.seconds:.2f} times as long",
        ]

    def as_dict(self) -> dict[str, Any]:
        """Return the numbers for a file."""
        found = {"atoms": self.atoms, "calls": self.calls, "stages_s": dict(self.stages)}
        if self.floor is not None:
            found |= {"floor_s": self.floor.seconds, "floor_operations": self.floor.operations}
        return found

"""Results as plain values, which can be written to JSON and read back."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

#: Of the JSON; a reader refuses others.
VERSION = 1


@dataclass
class TrainingRun:
    """A program that trains; one number for each interval or round.

    Attributes
    ----------
    framework
        Our name for what it runs on: ``jax``, ``torch``, ``tensorflow``, ``paddle``.
    step_ms
        Milliseconds per step, of each display interval but the first.
    first_s
        Seconds from the command to the first step.
    """

    name: str
    framework: str
    ours: bool
    step_ms: list[float] = field(default_factory=list)
    first_s: list[float] = field(default_factory=list)
    memory_mb: list[float] = field(default_factory=list)
    gpu_mb: list[float] = field(default_factory=list)
    note: str = ""


@dataclass
class TrainingCase:
    """Programs on the same input and data, and the products of matrices that bound them.

    Attributes
    ----------
    floor_ms
        For each framework, milliseconds of the products alone.
    """

    task: str
    precision: str
    batch: int
    atoms: int
    data: str
    runs: list[TrainingRun] = field(default_factory=list)
    floor_ms: dict[str, list[float]] = field(default_factory=dict)


@dataclass
class Point:
    """Energies and forces of `frames` frames of `atoms` atoms in one call."""

    atoms: int
    frames: int = 1
    call_ms: list[float] = field(default_factory=list)
    memory_mb: list[float] = field(default_factory=list)
    gpu_mb: list[float] = field(default_factory=list)
    note: str = ""


@dataclass
class InferenceRun:
    """A program that predicts.

    Attributes
    ----------
    energy_error
        max |ΔE| per atom in eV against the direct evaluation in NumPy.
    force_error
        max |ΔF| in eV/Å against it.
    device
        What it says that it runs on.
    """

    name: str
    framework: str
    ours: bool
    points: list[Point] = field(default_factory=list)
    energy_error: float | None = None
    force_error: float | None = None
    device: str = ""
    note: str = ""

    def point(self, atoms: int, frames: int = 1) -> Point:
        """Return the point of that size, a new one if there is none."""
        for point in self.points:
            if (point.atoms, point.frames) == (atoms, frames):
                return point
        self.points.append(Point(atoms, frames))
        return self.points[-1]


#: Atoms of the frame that programs are compared with in detail: those of deepmd-kit's example.
USUAL = 192

#: The program that computes the products of matrices of a prediction, and nothing else.
PRODUCTS = "products alone, NumPy"


def usual(sizes: Sequence[int]) -> int:
    """Return the first of some numbers of atoms, in order, that is not small; else the first."""
    return next((n for n in sizes if n >= USUAL), sizes[0])


@dataclass
class InferenceCase:
    """Programs that predict with the same model."""

    precision: str
    model: str
    runs: list[InferenceRun] = field(default_factory=list)


@dataclass
class Report:
    """A run of the suite.

    Attributes
    ----------
    machine
        What is known about it, as words.
    versions
        For each environment, the versions of what it holds.
    caution
        Why the numbers are not to be trusted, if so.
    """

    created: str
    command: str
    machine: dict[str, str]
    versions: dict[str, dict[str, str]]
    caution: str = ""
    notes: list[str] = field(default_factory=list)
    training: list[TrainingCase] = field(default_factory=list)
    inference: list[InferenceCase] = field(default_factory=list)
    dynamics: list[InferenceCase] = field(default_factory=list)  #: a call is a step in LAMMPS

    def write(self, path: Path) -> None:
        """Write it as JSON."""
        path.write_text(json.dumps({"version": VERSION, **asdict(self)}, indent=1) + "\n")


def read(path: Path) -> Report:
    """Return the report in a file that :meth:`Report.write` wrote."""
    content: dict[str, Any] = json.loads(path.read_text())
    if content.pop("version", None) != VERSION:
        raise SystemExit(f"{path} is no report of this version of the suite; run it again")
    content["training"] = [
        TrainingCase(**{**case, "runs": [TrainingRun(**run) for run in case["runs"]]})
        for case in content["training"]
    ]
    for kind in ("inference", "dynamics"):
        content[kind] = [
            InferenceCase(**{**case, "runs": [_inference_run(run) for run in case["runs"]]})
            for case in content.get(kind, [])
        ]
    return Report(**content)


def merged(reports: Sequence[Report]) -> Report:
    """Return one report of several runs on one machine, case after case."""
    first, *others = reports
    processor = first.machine.get("processor")
    for other in others:
        if other.machine.get("processor") != processor:
            raise SystemExit(
                f"these results are of two machines ({processor}; "
                f"{other.machine.get('processor')}), so that no ratio between them means anything; "
                "run the suite on one"
            )
    return Report(
        created=max(report.created for report in reports),
        command="; ".join(dict.fromkeys(report.command for report in reports)),
        machine=first.machine,
        versions={name: found for report in reports for name, found in report.versions.items()},
        caution=next((report.caution for report in reports if report.caution), ""),
        notes=list(dict.fromkeys(note for report in reports for note in report.notes)),
        training=[case for report in reports for case in report.training],
        inference=[case for report in reports for case in report.inference],
        dynamics=[case for report in reports for case in report.dynamics],
    )


def _inference_run(content: dict[str, Any]) -> InferenceRun:
    return InferenceRun(**{**content, "points": [Point(**p) for p in content["points"]]})


def median(values: Sequence[float]) -> float | None:
    """Return the median, or None if nothing was measured."""
    return statistics.median(values) if values else None

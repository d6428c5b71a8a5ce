"""Time training with two processes beside one, each on one core with the same batch."""

from __future__ import annotations

import os
import shutil
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .studies import CHILDREN, milliseconds, trained

#: Processes that are compared.
NUMBERS = (1, 2)


@dataclass
class Scaling:
    """Measurements of one backend."""

    backend: str
    step_ms: dict[int, list[float]] = field(default_factory=dict)  #: by the number of processes
    reduction_ms: list[float] = field(default_factory=list)
    parameters: int = 0
    note: str = ""
    load: list[float] = field(default_factory=list)  #: of the machine, before each round

    @property
    def speedup(self) -> float:
        """Frames per second of two processes, relative to one: medians of all intervals."""
        one, two = (statistics.median(self.step_ms[number]) for number in NUMBERS)
        return NUMBERS[1] * one / two

    def row(self) -> str:
        """Return a row of a Markdown table."""
        if self.note:
            return f"| {self.backend} | {self.note} | | | | |"
        one, two = (statistics.median(self.step_ms[number]) for number in NUMBERS)
        low, high = min(self.load), max(self.load)
        return (
            f"| {self.backend} | {one:.1f} | {two:.1f} | {self.speedup:.2f} | "
            f"{statistics.median(self.reduction_ms):.1f} | {low:.1f} to {high:.1f} |"
        )


COLUMNS = ("backend", "1 process, ms/step", "2 processes, ms/step", "frames/s, ratio", "sum, ms")
HEAD = f"| {' | '.join(COLUMNS)} | load |\n|---|---:|---:|---:|---:|---:|"


def measure(
    backends: Sequence[str],
    *,
    source: Path,
    rounds: int,
    interval: int,
    limit_s: float,
    environment: Mapping[str, str],
) -> list[Scaling]:
    """Return the scaling of each backend; the programs run in turn.

    Parameters
    ----------
    source
        A folder with ``input.json``.
    """
    found = [Scaling(name) for name in backends]
    for number in range(rounds):
        for each in found:
            each.load.append(os.getloadavg()[0])
            for processes in NUMBERS:
                if not each.note:
                    _train(each, processes, source, interval, limit_s, environment)
            if not each.note:
                _reduce(each, source, limit_s, environment)
        print(f"round {number + 1}\n{HEAD}\n" + "\n".join(x.row() for x in found), flush=True)
    return found


def _command(processes: int, *words: str) -> tuple[str, ...]:
    return (sys.executable, str(CHILDREN / "several.py"), str(processes), sys.executable, *words)


def _train(
    each: Scaling,
    processes: int,
    source: Path,
    interval: int,
    limit_s: float,
    environment: Mapping[str, str],
) -> None:
    folder = source / f"{each.backend}-{processes}"
    folder.mkdir()
    shutil.copy(source / "input.json", folder)
    words = ("-m", "multifit", "train", "input.json", "--backend", each.backend)
    command = _command(processes, *words)
    found = trained(
        each, command, folder, interval=interval, limit_s=limit_s, environment=environment
    )
    shutil.rmtree(folder)
    if found:
        each.step_ms.setdefault(processes, []).extend(found.step_ms)
        each.parameters = found.parameters


def _reduce(each: Scaling, source: Path, limit_s: float, environment: Mapping[str, str]) -> None:
    words = (str(CHILDREN / "reduction.py"), each.backend, str(each.parameters))
    command = _command(NUMBERS[-1], *words)
    took = milliseconds(each, command, source, limit_s=limit_s, environment=environment)
    each.reduction_ms += [] if took is None else [took]

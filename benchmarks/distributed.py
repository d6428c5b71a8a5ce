"""Time training with two processes beside one, each on one core with the same batch.

Two runs that have nothing to do with one another are timed as well: the cores share the memory's
bandwidth, and no two processes of one run can be faster.
"""

from __future__ import annotations

import os
import shutil
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .studies import CHILDREN, milliseconds, trained

#: Processes that are compared, and whether they belong to one run.
PROCESSES, APART = 2, "apart"
KINDS = {"one": (1, "together"), "two": (PROCESSES, "together"), APART: (PROCESSES, APART)}


@dataclass
class Scaling:
    """Measurements of one backend."""

    backend: str
    step_ms: dict[str, list[float]] = field(default_factory=dict)  #: by the names in KINDS
    reduction_ms: list[float] = field(default_factory=list)
    parameters: int = 0
    note: str = ""
    load: list[float] = field(default_factory=list)  #: of the machine, before each round

    def median(self, kind: str) -> float:
        """Return the median of all intervals, in milliseconds per step."""
        return statistics.median(self.step_ms[kind])

    def ratio(self, kind: str) -> float:
        """Return the frames per second of two processes, relative to one."""
        return PROCESSES * self.median("one") / self.median(kind)

    def row(self) -> str:
        """Return a row of a Markdown table."""
        if self.note:
            return f"| {self.backend} | {self.note} | | | | | | |"
        times = " | ".join(f"{self.median(kind):.1f}" for kind in KINDS)
        ratios = f"{self.ratio('two'):.2f} | {self.ratio(APART):.2f}"
        total, low, high = statistics.median(self.reduction_ms), min(self.load), max(self.load)
        return f"| {self.backend} | {times} | {ratios} | {total:.1f} | {low:.1f} to {high:.1f} |"


COLUMNS = (
    *("backend", "1 process, ms/step", "2 processes, ms/step", "2 runs apart, ms/step"),
    *("frames/s, ratio", "ratio of runs apart", "sum, ms", "load"),
)
HEAD = f"| {' | '.join(COLUMNS)} |\n|---{'|---:' * (len(COLUMNS) - 1)}|"


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
            for kind in KINDS:
                if not each.note:
                    _train(each, kind, source, interval, limit_s, environment)
            if not each.note:
                _reduce(each, source, limit_s, environment)
        print(f"round {number + 1}\n{HEAD}\n" + "\n".join(x.row() for x in found), flush=True)
    return found


def _command(kind: str, *words: str) -> tuple[str, ...]:
    number, how = KINDS[kind]
    return (sys.executable, str(CHILDREN / "several.py"), str(number), how, sys.executable, *words)


def _train(
    each: Scaling,
    kind: str,
    source: Path,
    interval: int,
    limit_s: float,
    environment: Mapping[str, str],
) -> None:
    folder = source / f"{each.backend}-{kind}"
    folder.mkdir()
    shutil.copy(source / "input.json", folder)
    words = ("-m", "multifit", "train", "input.json", "--backend", each.backend)
    command = _command(kind, *words)
    found = trained(
        each, command, folder, interval=interval, limit_s=limit_s, environment=environment
    )
    shutil.rmtree(folder)
    if found:
        each.step_ms.setdefault(kind, []).extend(found.step_ms)
        each.parameters = found.parameters


def _reduce(each: Scaling, source: Path, limit_s: float, environment: Mapping[str, str]) -> None:
    words = (str(CHILDREN / "reduction.py"), each.backend, str(each.parameters))
    command = _command("two", *words)
    took = milliseconds(each, command, source, limit_s=limit_s, environment=environment)
    each.reduction_ms += [] if took is None else [took]

"""Parts of the studies that train with one input: programs whose outcome is noted, and results."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from .processes import Outcome, run
from .training import FIRST, step_times

CHILDREN = Path(__file__).resolve().parent / "children"

#: The line that says how many numbers are trained.
PARAMETERS = re.compile(r"([\d,]+) trainable parameters")


class Case(Protocol):
    """A case of a study; its ``note`` says why there are no figures."""

    note: str


@dataclass(frozen=True)
class Trained:
    """Figures of a training run of ours."""

    step_ms: list[float]  #: of each interval but the first
    first_s: float
    memory_mb: float
    parameters: int


def trained(
    case: Case,
    command: tuple[str, ...],
    folder: Path,
    *,
    interval: int,
    limit_s: float,
    environment: Mapping[str, str],
) -> Trained | None:
    """Return the figures of a training run; None if it failed, which the case then notes."""
    outcome = run(command, folder, environment, limit_s)
    times = step_times(outcome, True, interval)
    first = [seconds for seconds, line in outcome.lines if FIRST.search(line)]
    told = PARAMETERS.search("\n".join(line for _, line in outcome.lines))
    if outcome.failure or not times or not first or told is None:
        return _failed(case, outcome)
    return Trained(times, first[0], outcome.memory_mb, int(told[1].replace(",", "")))


def milliseconds(
    case: Case,
    command: tuple[str, ...],
    folder: Path,
    *,
    limit_s: float,
    environment: Mapping[str, str],
) -> float | None:
    """Return what a program prints before `` ms``; None if it failed, which the case then notes."""
    outcome = run(command, folder, environment, limit_s)
    times = [line.split()[0] for _, line in outcome.lines if line.endswith(" ms")]
    if outcome.failure or not times:
        return _failed(case, outcome)
    return float(times[-1])


def _failed(case: Case, outcome: Outcome) -> None:
    case.note = outcome.failure or "its output has no times"
    print(outcome.tail(), flush=True)


def write(found: Sequence[Any], path: Path) -> Path:
    """Write cases as JSON, and return the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([asdict(each) for each in found], indent=1) + "\n")
    return path

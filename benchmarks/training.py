"""Time training steps: each program in turn, several rounds, on the same input and data."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import floor
from .processes import Outcome, run
from .programs import FRAMEWORK, TITLE, Peer
from .results import TrainingCase, TrainingRun
from .systems import Products

#: The lines that say that the first step is done: ours, deepmd-kit's.
FIRST = re.compile(r"first step after|[Bb]atch +[01]: trn")

#: Our line after an interval: the step, and milliseconds per step.
OURS = re.compile(r"step +(\d+) .* ([0-9.]+) ms/step")

#: deepmd-kit's: the step, and the seconds since its last such line.
PEERS = re.compile(r"[Bb]atch +(\d+): total wall time = ([0-9.]+) s")


@dataclass(frozen=True)
class Trainer:
    """A program that trains with the ``input.json`` of the folder that it is started in."""

    run: TrainingRun
    command: tuple[str, ...]


def trainers(backends: Sequence[str], peers: Sequence[Peer]) -> list[Trainer]:
    """Return the programs, each framework's two next to one another."""
    order = [
        *backends,
        *(FRAMEWORK[p.backend] for p in peers if FRAMEWORK[p.backend] not in backends),
    ]
    found = []
    for name in order:
        if name in backends:
            ours = ("-m", "multifit", "train", "input.json", "--backend", name)
            made = TrainingRun(f"multifit {TITLE[name]}", name, True)
            found.append(Trainer(made, (sys.executable, *ours)))
        for peer in peers:
            if FRAMEWORK[peer.backend] == name:
                theirs = (peer.python, "-m", "deepmd", f"--{peer.backend}", "train", "input.json")
                found.append(Trainer(TrainingRun(peer.name, name, False), theirs))
    return found


def step_times(outcome: Outcome, ours: bool, interval: int) -> list[float]:
    """Return milliseconds per step of each interval but the first, which compiles."""
    text = "\n".join(line for _, line in outcome.lines)
    if ours:
        return [float(ms) for step, ms in OURS.findall(text) if int(step) > interval]
    found, before = [], 0
    for step, seconds in PEERS.findall(text):
        if before >= interval and int(step) > before:
            found.append(float(seconds) * 1e3 / (int(step) - before))
        before = int(step)
    return found


def time_case(
    case: TrainingCase,
    programs: Sequence[Trainer],
    products: Products,
    *,
    source: Path,
    rounds: int,
    interval: int,
    limit_s: float,
    environment: Mapping[str, str],
) -> None:
    """Run the programs in turn and add what they need to the case, the floor in between.

    Parameters
    ----------
    source
        A folder with ``input.json``; the programs run in folders beside it. The first model of
        ours is left there as ``model.dp``.
    """
    case.runs = [program.run for program in programs]
    for number in range(rounds):
        _add_floor(case, "numpy", products, environment)
        for program in programs:
            made = program.run
            if made.note:  # it failed before
                continue
            if made.ours:
                _add_floor(case, made.framework, products, environment)
            folder = source / f"{number}-{made.name.replace(' ', '-')}"
            folder.mkdir()
            shutil.copy(source / "input.json", folder)
            outcome = run(program.command, folder, environment, limit_s)
            _add(made, outcome, interval)
            if made.ours and not (source / "model.dp").exists() and (folder / "model.dp").exists():
                shutil.copy(folder / "model.dp", source)
            shutil.rmtree(folder)
            last = made.note or f"{made.step_ms[-1]:.1f} ms/step"
            print(f"  round {number + 1}: {made.name}: {last}", flush=True)


def _add(made: TrainingRun, outcome: Outcome, interval: int) -> None:
    times = step_times(outcome, made.ours, interval)
    first = [seconds for seconds, line in outcome.lines if FIRST.search(line)]
    if outcome.failure or not times or not first:
        made.note = outcome.failure or "its output has no times"
        print(outcome.tail(), flush=True)
        return
    made.step_ms += times
    made.first_s.append(first[0])
    made.memory_mb.append(outcome.memory_mb)
    if outcome.gpu_mb is not None:
        made.gpu_mb.append(outcome.gpu_mb)


def _add_floor(
    case: TrainingCase, backend: str, products: Products, environment: Mapping[str, str]
) -> None:
    found = floor.measure(backend, products, case.precision, environment)
    if isinstance(found, str):
        print(f"  products on {backend}: {found}", flush=True)
    else:
        case.floor_ms.setdefault(backend, []).append(found)

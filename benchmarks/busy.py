"""Time training with one and two threads while other programs keep cores busy."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .studies import trained
from .tables import table

#: Threads of the run, and other programs that compute all the time, that are compared.
THREADS, OTHERS = (1, 2), (0, 1, 2)

#: A program that keeps one core busy.
BURN = "while True: pass"


@dataclass
class Busy:
    """Steps of one backend with a number of threads beside a number of other programs."""

    backend: str
    threads: int
    others: int
    step_ms: list[float] = field(default_factory=list)  #: of each interval
    load: list[float] = field(default_factory=list)  #: of the machine over a minute, before a run
    note: str = ""

    @property
    def cell(self) -> str:
        """The median with the range, or why there is none."""
        if self.note or not self.step_ms:
            return self.note or "—"
        low, high = min(self.step_ms), max(self.step_ms)
        return f"{statistics.median(self.step_ms):.0f} ({low:.0f}–{high:.0f})"


def markdown(found: Sequence[Busy]) -> str:
    """Return a table: a row for each backend and number of threads, and the loads below."""
    head = ["ms per step", *(f"{n} other program{'s' * (n != 1)}" for n in OTHERS)]
    kinds = itertools.groupby(found, key=lambda each: (each.backend, each.threads))
    rows = [
        [f"{name}, `--threads {threads}`", *(each.cell for each in group)]
        for (name, threads), group in kinds
    ]
    loads = [load for each in found for load in each.load]
    if not loads:
        return table(head, rows)
    return f"{table(head, rows)}\n\nLoad before the runs: {min(loads):.1f} to {max(loads):.1f}."


def measure(
    backends: Sequence[str],
    *,
    source: Path,
    rounds: int,
    interval: int,
    limit_s: float,
    environment: Mapping[str, str],
) -> list[Busy]:
    """Return the times of each backend; the runs take turns.

    Parameters
    ----------
    source
        A folder with ``input.json``.
    """
    cases = itertools.product(backends, THREADS, OTHERS)
    found = [Busy(*case) for case in cases]
    for number in range(rounds):
        for each in found:
            if not each.note:
                each.load.append(os.getloadavg()[0])
                with _others(each.others):
                    _train(each, source, interval, limit_s, environment)
                what = f"{each.backend}, {each.threads} threads beside {each.others} programs"
                print(f"  round {number + 1}: {what}: {each.cell}", flush=True)
        print(f"round {number + 1}\n{markdown(found)}", flush=True)
    return found


@contextlib.contextmanager
def _others(number: int) -> Iterator[None]:
    """Keep cores busy meanwhile."""
    running = [subprocess.Popen([sys.executable, "-c", BURN]) for _ in range(number)]
    try:
        yield
    finally:
        for each in running:
            each.kill()
            each.wait()


def _train(
    each: Busy, source: Path, interval: int, limit_s: float, environment: Mapping[str, str]
) -> None:
    folder = source / f"{each.backend}-{each.threads}-{each.others}"
    folder.mkdir()
    shutil.copy(source / "input.json", folder)
    words = ("-m", "multifit", "train", "input.json", "--backend", each.backend)
    command = (sys.executable, *words, "--threads", str(each.threads))
    found = trained(
        each, command, folder, interval=interval, limit_s=limit_s, environment=environment
    )
    shutil.rmtree(folder)
    each.step_ms += found.step_ms if found else []

"""Progress of a run: a line for each display, and a bar on a terminal."""

from __future__ import annotations

import math
import statistics
import sys
import time
from collections import Counter
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from ...host.durations import in_words
from ...outputs import OUTPUTS, curves


def _known(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return the known metrics in the order of :func:`multifit.outputs.curves`."""
    found = {name.partition("_")[2]: value for name, value in metrics.items()}
    return {term: found[term] for term in curves() if not math.isnan(found.get(term, math.nan))}


def describe(metrics: Mapping[str, float]) -> str:
    """Return ``E 1.20e-03 F 1.23e-01``: the error of each term of the loss that has labels.

    They are of the energy per atom (eV), force (eV/Å), virial per atom (eV), Hessian H (eV/Å²),
    atomic energy AE (eV), weighted force PF and generalized force GF; or of the density of states
    per atom (states/eV), its sums up to each energy CDF, and both of the atoms (ADOS, ACDF).
    """
    return " ".join(
        f"{curves()[term].symbol} {value:.2e}" for term, value in _known(metrics).items()
    )


def brief(training: Mapping[str, float], validation: Mapping[str, float] | None) -> str:
    """Return ``F 0.13|0.15``: errors of training and validation, short enough for a bar."""
    mine, shown = _known(training), []
    theirs = {} if validation is None else _known(validation)
    first = [term for output in OUTPUTS.values() for term in output.brief if term in mine]
    for term in first[:2]:
        other = "" if validation is None else f"|{theirs.get(term, math.nan):.2g}"
        shown.append(f"{curves()[term].symbol} {mine[term]:.2g}{other}")
    return " ".join(shown)


class Display:
    """Progress on the console.

    Parameters
    ----------
    steps
        Steps of the whole run.
    done
        Steps already done by the run that is continued.
    quiet
        True if nothing is printed.
    timings
        True to show the pace and the remaining time.
    """

    def __init__(
        self,
        console: Console,
        steps: int,
        done: int,
        quiet: bool = False,
        timings: bool = True,
    ) -> None:
        self.console, self.steps, self.quiet, self.timings = console, steps, quiet, timings
        self._spent: list[float] = []
        self._began, self._steps, self._pace = 0.0, 0, ""
        self._compiling, self._new = False, False
        self.compiled: Counter[str] = Counter()  #: number of compilations by name
        self._bar = Progress(
            TextColumn("[bold]{task.completed}[/]/{task.total}"),
            BarColumn(bar_width=10),
            TextColumn("{task.fields[speed]}"),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[errors]}"),
            console=console,
            disable=quiet or not console.is_terminal,
            transient=True,
        )
        self._task = self._bar.add_task("", total=steps, completed=done, speed="", errors="")

    def __enter__(self) -> Self:
        """Show the bar."""
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Take the bar away."""
        self._bar.stop()

    def compiling(self, what: str, natoms: int, in_step: bool = True) -> None:
        """Announce a compilation, which may take longer than a thousand steps.

        Parameters
        ----------
        what
            Name of the compiled function.
        natoms
            Number of atoms in a batch.
        in_step
            True if the time of the next step includes the compilation.
        """
        self.say(f"compiling {what} for {natoms} atom{'s' * (natoms != 1)} …")
        self.compiled[what] += 1
        self._compiling = self._compiling or in_step
        # Every run compiles at its start; only further compilations indicate more to come.
        self._new = self._new or self._steps > 1 or (in_step and self._steps > 0)

    def step(self, step: int, seconds: float) -> None:
        """Advance the bar after a step of this duration."""
        if not self._steps:
            self._began = time.monotonic() - seconds
        self._steps += 1
        if not self._compiling:
            self._spent.append(seconds)
            # The last few, to exclude a single slow one.
            self._pace = f"{statistics.median(self._spent[-9:]) * 1e3:.1f} ms/step"
        self._compiling = False
        self._bar.update(self._task, completed=step, speed=self._pace if self.timings else "")

    def show(
        self,
        step: int,
        training: Mapping[str, float],
        validation: Mapping[str, float] | None,
        lr: float,
        task: str = "",
    ) -> None:
        """Print a line with errors, speed and the remaining time."""
        errors = f"{task} trn {describe(training)}".lstrip()
        if validation is not None:
            errors += f"  val {describe(validation)}"
        times = self._times(step) if self.timings and step > 1 else ""
        self._spent.clear()
        self._new = False
        self._bar.update(self._task, completed=step, errors=brief(training, validation))
        if not self.quiet:
            self.console.print(
                f"step {step:>{len(str(self.steps))}}  {errors}  lr {lr:.1e}{times}",
                highlight=False,
                soft_wrap=True,
            )

    def _times(self, step: int) -> str:
        """Return the speed since the last line, and the time that remains."""
        pace, each = "", 0.0
        if self._spent:
            # The median: a step that waits for the disk is not representative.
            each = statistics.median(self._spent)
            pace = f"  {each * 1e3:.1f} ms/step"
        if self._new:
            # New shapes are still occurring: include the time to compile them.
            each = (time.monotonic() - self._began) / self._steps
        return f"{pace}  {in_words(each * (self.steps - step))} left" if each else ""

    def say(self, text: str) -> None:
        """Print a sentence."""
        if not self.quiet:
            say(self.console, text)

    def warn(self, text: str) -> None:
        """Print a sentence about trouble with files, in a quiet run to stderr."""
        if self.quiet:
            print(f"multifit: {text}", file=sys.stderr)
        self.say(text)


def say(console: Console, text: str) -> None:
    """Print a sentence on one line."""
    console.print(text, highlight=False, soft_wrap=True, markup=False)

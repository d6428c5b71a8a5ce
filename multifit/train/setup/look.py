"""The look at all frames before a run: with progress, and a cache if there are many."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace

import numpy as np

from ...config import Config
from ...console.words import counted
from ...data import System
from ...distributed import Processes, Solo
from ...loss import LossConfig
from ...neighbors.requirements import Requirements
from ...survey import Cache, Scope, SystemSurvey, survey_systems
from ...survey.scan import as_message, frames_of, from_message, joined

#: Atoms in all frames from which on results are kept: looking at them takes some seconds.
MANY = 200_000

#: Frames of each system that are looked at if the others are to be skipped.
FEW = 10

#: A bar for so many frames: called with the number of frames done since the last call.
Bar = Callable[[int], AbstractContextManager[Callable[[int], None]]]


@contextmanager
def no_bar(total: int) -> Iterator[Callable[[int], None]]:
    """Show nothing."""
    yield lambda done: None


@dataclass
class Look:
    """Settings of the survey of a run.

    Attributes
    ----------
    say
        Prints a sentence.
    bar
        Shows progress.
    limit
        Frames of each system, the first ones; None for all.
    cache
        Keeps results for later runs if there are many frames.
    processes
        Those of the run: each looks at a part of the frames of each system.
    """

    say: Callable[[str], None] = lambda text: None
    bar: Bar = no_bar
    limit: int | None = None
    cache: Cache = field(default_factory=Cache)
    processes: Processes = field(default_factory=Solo)
    _done: dict[tuple[tuple[int, ...], Scope], list[SystemSurvey]] = field(default_factory=dict)

    def at(self, systems: Sequence[System], scope: Scope) -> list[SystemSurvey]:
        """Return what each system holds, found once in a run.

        Raises
        ------
        DataError
            If a frame cannot be read, or two of its atoms are at the same place.
        """
        key = (tuple(map(id, systems)), scope)
        if key not in self._done:
            self._done[key] = self._divided(systems, scope)
        return self._done[key]

    def at_part(
        self, systems: Sequence[System], scope: Scope, needs: Requirements
    ) -> list[SystemSurvey]:
        """Return the neighbours around atoms within the cutoff of a part of the descriptor.

        Parameters
        ----------
        scope
            Of the whole, whose survey is used if it has the numbers that ``needs`` limit.
        """
        own = scope._replace(rcut=needs.rcut, shells=tuple(radius for radius, _ in needs.shells))
        if own == scope or own.shells:
            return self.at(systems, own)
        if own.rcut == scope.rcut:
            return [replace(one, inner=one.inner[:, :0]) for one in self.at(systems, scope)]
        if needs.total is None or own.rcut not in scope.shells:
            return self.at(systems, own)
        k = scope.shells.index(own.rcut)
        return [_of_shell(one, k) for one in self.at(systems, scope)]

    def _divided(self, systems: Sequence[System], scope: Scope) -> list[SystemSurvey]:
        """Return the survey of all frames, of which each process looks at its part."""
        rank, size = self.processes.rank, self.processes.size
        if size == 1:
            return self._look(systems, scope)
        sizes = self.processes.gather([[s.nframes, s.natoms, len(s.type_map)] for s in systems])
        if any(other != sizes[0] for other in sizes):  # reported when all have opened their data
            return self._look(systems, scope)
        scope = scope._replace(part=(rank, size))
        mine = [k for k, system in enumerate(systems) if frames_of(system, scope).size]
        found = self._look([systems[k] for k in mine], scope)
        told = [[k, as_message(one)] for k, one in zip(mine, found, strict=True)]
        parts: list[list[SystemSurvey]] = [[] for _ in systems]
        for some in self.processes.gather(told):
            for k, one in some:
                parts[k].append(from_message(one))
        return [joined(each) for each in parts]

    def notes(self) -> list[str]:
        """Return sentences on what was not looked at, and on the cache."""
        said = []
        if self.limit is not None:
            said.append(
                f"distances and neighbours are of the first {self.limit} frames of each system only"
            )
        if self.cache.reused:
            said.append(
                f"distances and neighbours of {counted(self.cache.reused, 'system')} are known "
                f"from an earlier run ({self.cache.folder})"
            )
        return said + ([self.cache.problem] if self.cache.problem else [])

    def _look(self, systems: Sequence[System], scope: Scope) -> list[SystemSurvey]:
        numbers = [len(frames_of(s, scope)) for s in systems]
        total = sum(numbers)
        many = sum(n * s.natoms for n, s in zip(numbers, systems, strict=True)) >= MANY
        cache = self.cache if many else None
        before, said = self.cache.reused, not many
        with self.bar(total) as advance:

            def on_frames(done: int) -> None:
                nonlocal said
                if not said and self.cache.reused == before:
                    self.say(
                        f"looking at the neighbours of {total:,} frames; the result is kept for "
                        "later runs, and --skip-neighbor-stat leaves this out …"
                    )
                    said = True
                advance(done)

            return survey_systems(systems, scope, on_frames, cache)


def _of_shell(one: SystemSurvey, k: int) -> SystemSurvey:
    """Return a survey within a shorter cutoff, of which only the numbers of all types are known."""
    together = one.inner[:, k]
    most = np.minimum(one.most, together[:, None])
    return replace(one, most=most, together=together, inner=one.inner[:, :0])


def scope_of(config: Config, loss: LossConfig) -> Scope:
    """Return what a run looks at in its data."""
    model, fitting = config.model, config.model.fitting_net
    labels: list[str] = [key for key in ("energy", "force") if key in loss.labels]
    labels += ["fparam"] if fitting.numb_fparam else []
    labels += ["aparam"] if fitting.numb_aparam else []
    return Scope(
        rcut=model.descriptor.rcut,
        labels=tuple(labels),
        exclude=tuple(model.pair_exclude_types),
        masked=fitting.use_aparam_as_mask,
        shells=model.descriptor.shells,
    )

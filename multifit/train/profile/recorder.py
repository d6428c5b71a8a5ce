"""A recorder of the time of a run: named spans of time, nested, in one thread or in two."""

from __future__ import annotations

import contextlib
import statistics
import threading
import time
from array import array
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import NamedTuple

#: The names of a span and of those around it, from the outside to the inside.
SpanPath = tuple[str, ...]

#: Maximum number of spans of each thread in the timeline; the sums are over all.
EVENTS = 10_000

#: The threads, as the timeline calls them.
MAIN, BESIDE = "training", "preparing batches"

#: The outermost spans: one iteration of the loop, and the next batch meanwhile.
STEP, BATCH = "step", "batch"

_NOTHING = contextlib.nullcontext()


class Event(NamedTuple):
    """One span of the timeline; times are in seconds since the recorder was made."""

    name: str
    began: float
    seconds: float
    number: int  #: index among outermost spans of the same name, from 1


@dataclass
class _Open:
    name: str
    began: float


@dataclass
class _Track:
    """The spans of one thread."""

    title: str
    open: list[_Open] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    dropped: int = 0
    numbers: dict[str, int] = field(default_factory=dict)
    number: int = 0  #: of the outermost span that is open
    pending: list[tuple[SpanPath, float]] = field(default_factory=list)
    warm_up: bool = False  #: True if an open span compiles something
    steady: dict[SpanPath, array[float]] = field(default_factory=dict)
    apart: dict[SpanPath, array[float]] = field(default_factory=dict)

    def begin(self, name: str, now: float) -> None:
        if not self.open:
            self.number = self.numbers[name] = self.numbers.get(name, 0) + 1
            self.warm_up = self.number == 1
        self.open.append(_Open(name, now))

    def end(self, now: float) -> None:
        path = tuple(span.name for span in self.open)
        span = self.open.pop()
        seconds = now - span.began
        self.pending.append((path, seconds))
        if len(self.events) < EVENTS:
            self.events.append(Event(span.name, span.began, seconds, self.number))
        else:
            self.dropped += 1
        if not self.open:
            sums = self.apart if self.warm_up else self.steady
            for each, value in self.pending:
                sums.setdefault(each, array("d")).append(value)
            self.pending.clear()


class Part(NamedTuple):
    """The times of the spans of one path, in seconds."""

    path: SpanPath
    calls: int
    median: float
    total: float


class Recorder:
    """Recorder of spans; if it is off, a span costs no more than a function call.

    An outermost span that includes a compilation, and the first one of each name, are kept
    separately: they are not representative.

    Parameters
    ----------
    on
        True if anything is recorded.
    clock
        Returns the time in seconds.
    """

    def __init__(self, on: bool = True, clock: Callable[[], float] = time.perf_counter) -> None:
        self.on = on
        self._clock, self._zero = clock, clock()
        self._tracks = {threading.get_ident(): _Track(MAIN)}
        self.compiled: list[str] = []  #: names of compiled functions, in order

    def span(self, name: str) -> AbstractContextManager[None]:
        """Return a context whose time is recorded under this name, within that around it."""
        return self._measured(name) if self.on else _NOTHING

    @contextlib.contextmanager
    def _measured(self, name: str) -> Iterator[None]:
        track = self._tracks.setdefault(threading.get_ident(), _Track(BESIDE))
        track.begin(name, self._clock() - self._zero)
        try:
            yield
        finally:
            track.end(self._clock() - self._zero)

    def compiling(self, what: str) -> None:
        """Call the innermost open span of this thread ``compile <what>`` from now on."""
        if not self.on:
            return
        self.compiled.append(what)
        track = self._tracks[threading.get_ident()]
        if track.open:
            track.open[-1].name = f"compile {what}"
            track.warm_up = True

    def parts(self, thread: str, steady: bool = True) -> list[Part]:
        """Return the times of a thread's spans, each below the one that it is part of.

        Parameters
        ----------
        thread
            :data:`MAIN` or :data:`BESIDE`.
        steady
            True for representative spans, False for those kept separately.
        """
        sums: dict[SpanPath, array[float]] = {}
        for track in self._tracks.values():
            if track.title == thread:
                for path, values in (track.steady if steady else track.apart).items():
                    sums.setdefault(path, array("d")).extend(values)
        found = [Part(p, len(x), statistics.median(x), sum(x)) for p, x in sums.items()]
        # Spans end before those around them, which should stand first.
        return [part for top in _children(found, ()) for part in _below(found, top)]

    def timeline(self) -> list[tuple[str, list[Event], int]]:
        """Return (thread, events, how many more there were) for each thread, the main one first."""
        return [(track.title, track.events, track.dropped) for track in self._tracks.values()]


def _children(parts: list[Part], path: SpanPath) -> list[Part]:
    """Return the parts of a span, in the order of their first occurrence."""
    return [part for part in parts if part.path[:-1] == path]


def _below(parts: list[Part], top: Part) -> list[Part]:
    """Return a part and all that is in it."""
    within = [each for part in _children(parts, top.path) for each in _below(parts, part)]
    return [top, *within]


#: A recorder that records nothing.
OFF = Recorder(on=False)

"""Threads that share one potential: each gets what it would get alone."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pytest
from _backends import INSTALLED
from _cases import System, build, crystal, draw, molecule
from _compare import same

from multifit.inference.potential import Potential
from multifit.tree import map_leaves

BACKENDS = ("numpy", *INSTALLED)
THREADS = 8
MODEL = build(sel=(16, 24))
PARAMS = draw(MODEL)


def _systems() -> list[System]:
    """Return structures of two kinds whose distances, sizes and neighbours differ."""
    rng = np.random.default_rng(7)
    found = []
    for k in range(12):
        for system in (molecule(), crystal()):
            # Some are much closer together than others: series and tables have to grow.
            scale = 1.0 - 0.06 * (k % 7)
            cell = None if system.cell is None else scale * system.cell
            coord = scale * system.coord + rng.normal(0, 0.05, system.coord.shape)
            found.append(System(coord, system.atype, cell))
    return found


def _together(tasks: Sequence[Callable[[], Any]]) -> list[Any]:
    """Return what the tasks return, which begin at the same time, each in a thread."""
    found: list[Any] = [None] * len(tasks)
    gate = threading.Barrier(len(tasks))

    def work(k: int) -> None:
        gate.wait()
        try:
            found[k] = tasks[k]()
        except Exception as exc:  # shown by the comparison
            found[k] = exc

    threads = [threading.Thread(target=work, args=(k,)) for k in range(len(tasks))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for each in found:
        if isinstance(each, Exception):
            raise each
    return found


def _predict(potential: Potential, systems: Sequence[System], **more: Any) -> list[dict[str, Any]]:
    return [potential.predict(s.coord, s.atype, s.cell, **more) for s in systems]


@pytest.mark.parametrize("backend", BACKENDS)
def test_threads_get_what_they_would_get_alone(backend: str) -> None:
    systems = _systems()
    want = _predict(Potential(MODEL, PARAMS, backend, embedding="direct"), systems)
    for _ in range(3 if backend in ("numpy", "torch") else 1):
        shared = Potential(MODEL, PARAMS, backend)
        own = [systems[k::THREADS] for k in range(THREADS)]
        got = _together([partial(_predict, shared, s) for s in own])
        for k in range(THREADS):
            for one, other in zip(got[k], want[k::THREADS], strict=True):
                same(one, other, rtol=1e-8)


@pytest.mark.parametrize("skin", [0.0, 0.5])
def test_threads_with_frames_in_parts_and_kept_lists(skin: float) -> None:
    start = crystal()
    rng = np.random.default_rng(1)
    runs = [
        [start.moved(start.coord + 0.02 * k * rng.normal(size=start.coord.shape)) for k in range(6)]
        for _ in range(THREADS)
    ]
    want = [_predict(Potential(MODEL, PARAMS, embedding="direct"), run) for run in runs]
    for _ in range(3):
        shared = Potential(MODEL, PARAMS, atoms_at_once=4)
        got = _together([partial(_predict, shared, run, skin=skin) for run in runs])
        for mine, its in zip(got, want, strict=True):
            for one, other in zip(mine, its, strict=True):
                same(one, other, rtol=1e-8)


def test_parameters_that_are_replaced_meanwhile_are_of_a_whole_call() -> None:
    """A call that began with one set of parameters ends with it, whatever others set."""
    systems = _systems()[:8]
    sets = [PARAMS, map_leaves(lambda x: 1.01 * x, PARAMS)]
    want = [
        _predict(Potential(MODEL, params, atoms_at_once=4, embedding="direct"), systems)
        for params in sets
    ]
    shared = Potential(MODEL, PARAMS, atoms_at_once=4)
    done = threading.Event()

    def replace() -> None:
        k = 0
        while not done.is_set():
            k += 1
            shared.set_params(sets[k % 2])

    changer = threading.Thread(target=replace)
    changer.start()
    try:
        got = _together([partial(_predict, shared, systems)] * 4)
    finally:
        done.set()
        changer.join()
    for mine in got:
        for one, first, second in zip(mine, *want, strict=True):
            near = min((first, second), key=lambda w: abs(w["energy"][0] - one["energy"][0]))
            same(one, near, rtol=1e-8)

"""Predictions in threads, forked children and spawned processes: the same numbers, or a refusal."""

from __future__ import annotations

import multiprocessing
import os
import pickle
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _cli_files import frames, write_model

import multifit
from multifit.backend import Backend, get_backend, use
from multifit.errors import BackendError

NUMPY = get_backend("numpy")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("forks") / "model.dp"
    write_model(path)
    return path


def energy(potential: multifit.Potential, shift: float = 0.0) -> Any:
    coord, system = frames(1)
    out = potential.predict(coord[0] + shift, system.atype, system.cell)
    return out["energy"], out["force"]


def loaded(text: bytes) -> Any:
    return energy(pickle.loads(text))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")
def test_numpy_works_in_a_forked_child(model: Path) -> None:
    potential = multifit.load(model)
    want = energy(potential)
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    child = context.Process(target=lambda: queue.put(energy(potential)))
    child.start()
    got = queue.get()
    child.join(60)
    assert child.exitcode == 0
    for a, b in zip(got, want, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")
def test_a_framework_with_threads_is_refused_there_at_once(model: Path) -> None:
    class Threaded:
        """NumPy, as if it had threads; a fork of a process with real ones may not come to this."""

        name = "threaded"
        forks = False

        def __getattr__(self, name: str) -> Any:
            return getattr(NUMPY, name)

    backend: Backend = Threaded()  # type: ignore[assignment]
    potential = multifit.Potential(*parts(model), backend=backend)
    energy(potential)

    def attempt(queue: Any) -> None:
        for act in (lambda: energy(potential), lambda: use(backend)):
            try:
                act()
            except BackendError as exc:
                queue.put(str(exc))

    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    child = context.Process(target=attempt, args=(queue,))
    child.start()
    child.join(60)
    assert child.exitcode == 0
    said = {queue.get(), queue.get()}
    assert len(said) == 1
    assert "threaded cannot compute in a forked child" in said.pop()
    energy(potential)  # the parent goes on


def parts(model: Path) -> tuple[Any, Any]:
    potential = multifit.load(model)
    return potential.model, potential.params


def test_spawned_processes_and_threads_have_the_same_numbers(model: Path) -> None:
    potential = multifit.load(model)
    want = energy(potential)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        got = pool.submit(loaded, pickle.dumps(potential)).result(60)
    for a, b in zip(got, want, strict=True):
        np.testing.assert_array_equal(a, b)
    shifts = [0.01 * k for k in range(8)]
    alone = [energy(potential, shift) for shift in shifts]
    with ThreadPoolExecutor(8) as pool_of_threads:
        together = list(pool_of_threads.map(lambda shift: energy(potential, shift), shifts * 4))
    for k, found in enumerate(together):
        for a, b in zip(found, alone[k % 8], strict=True):
            np.testing.assert_array_equal(a, b)


def test_adapters_are_checked_without_starting_them() -> None:
    from multifit.backend import _discovery

    class Lazy:
        def __getattr__(self, name: str) -> Any:
            raise AssertionError(name)

    assert _discovery._conforms(replace(NUMPY))  # type: ignore[type-var]
    assert not _discovery._conforms(Lazy())

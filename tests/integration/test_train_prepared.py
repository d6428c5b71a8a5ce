"""Batches whose geometry is computed before the step: the same numbers, made once if they fit."""

from __future__ import annotations

import gc
import json
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _backends import TRAINABLE
from _cases import assemble, build, crystal, draw, molecule, series
from _compare import same
from _water import curve, fit, labelled, recipe, write

from multifit import config
from multifit import models as mdl
from multifit.backend import get_backend
from multifit.train import Start
from multifit.train.setup.setup import set_up
from multifit.train.start.begin import begin
from multifit.train.step import device_batches
from multifit.train.step.device_batches import DeviceBatches
from multifit.tree import map_leaves

NUMPY = get_backend("numpy")
FRAME = np.array([0])

OPTIONS: dict[str, dict[str, Any]] = {
    "one side": {},
    "two sides, excluded": {"type_one_side": False, "exclude_types": ((0, 1),)},
    "hidden pairs, no slots": {"pair_exclude_types": ((1, 1),), "sel": (0, 12)},
    "densities of states": {"numb_dos": 3},
}


@pytest.mark.parametrize("name", ["numpy", *TRAINABLE])
@pytest.mark.parametrize("count", [0, 48], ids=["direct", "series"])
@pytest.mark.parametrize("key", OPTIONS)
def test_what_is_prepared_on_numpy_changes_nothing(key: str, count: int, name: str) -> None:
    backend, model = get_backend(name), build(**OPTIONS[key])
    params, systems = draw(model), [crystal(), molecule()]
    batch, _ = assemble(model, systems, True)
    if count:
        batch["plan"] = series(model, systems, count)
    ready = mdl.prepared(NUMPY.xp, model, params, batch)
    assert "tables" not in ready
    assert mdl.prepared(NUMPY.xp, model, params, ready) is ready
    outputs = []
    for given in (batch, ready):
        arrays = [map_leaves(backend.asarray, x) for x in (params, given)]
        outputs.append(map_leaves(backend.to_numpy, mdl.evaluate(backend, model, *arrays)))
    same(outputs[1], outputs[0], rtol=1e-12)


def batches(folder: Path, backend: str = "numpy", limit: int | None = None) -> DeviceBatches:
    """Return the batches of a run that has not begun, whose caches keep ``limit`` bytes."""
    given = recipe(training__training_data__batch_size=1)
    if limit is not None:
        given["training"]["memory"] = limit / 1e6
    (folder / "input.json").write_text(json.dumps(given))
    setup = set_up(config.load(folder / "input.json"), get_backend(backend), folder)
    run, _ = begin(setup, Start(), folder)
    (task,) = setup.tasks
    source, params = task.data.training.source, run.numpy_params(task)
    return DeviceBatches(source, setup.backend, params, run.planners[task.name])


def test_a_frame_is_prepared_once(tmp_path: Path) -> None:
    write(tmp_path / "data", labelled(4))
    found = batches(tmp_path)
    first = found.draw(((0, FRAME),))
    assert "geometry" in first.batch
    assert found.draw(((0, FRAME),)) is first
    assert found.draw(((0, np.array([1])),)) is not first
    # Batches of several frames hardly come again.
    both = np.array([0, 1])
    assert found.draw(((0, both),)) is not found.draw(((0, both),))


def test_a_series_that_grows_makes_kept_batches_anew(tmp_path: Path) -> None:
    write(tmp_path / "data", labelled(4))
    found = batches(tmp_path)
    first = found.draw(((0, FRAME),))
    found.planner.include(np.full((2, 2), 0.5))
    assert first.plan is not found.planner.plan
    second = found.draw(((0, FRAME),))
    assert second is not first
    assert second.plan is found.planner.plan
    assert second.batch["plan"] is found.planner.plan.device
    # The one that was drawn before is made anew when it is used.
    assert found.renewed(first, found.planner.plan).plan is found.planner.plan
    used = found.source.cache.pool.used
    assert found.draw(((0, FRAME),)).plan is found.planner.plan
    assert found.source.cache.pool.used == used


def test_what_does_not_fit_is_not_kept(tmp_path: Path) -> None:
    write(tmp_path / "data", labelled(4))
    whole = batches(tmp_path)
    one, tables = device_batches._nbytes(whole.draw(((0, FRAME),))), _tables(whole)
    found = batches(tmp_path, limit=one + 4 * tables)
    first = found.draw(((0, FRAME),))
    assert found.draw(((0, np.array([1])),)) is not found.draw(((0, np.array([1])),))
    assert found.draw(((0, FRAME),)) is first
    # The other frames keep their neighbours, which cost more time for their memory.
    assert found.source.cache.pool.used == one + 3 * tables


def _tables(found: DeviceBatches) -> int:
    """Return the bytes of the neighbours of a frame."""
    return found.source.load(0, FRAME)[0][0].nbytes


def _held(folder: Path, limit: int) -> tuple[int, int]:
    """Return the bytes that all frames drawn twice leave in memory, and those that are counted."""
    found = batches(folder, limit=limit)
    found.draw(((0, FRAME),))  # what is made once
    gc.collect()
    tracemalloc.start()
    for _ in range(2):
        for k in range(1, found.source.systems[0].nframes):
            found.draw(((0, np.array([k])),))
    gc.collect()
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return held, found.source.cache.pool.used


def test_what_is_held_is_within_ten_percent_of_the_budget(tmp_path: Path) -> None:
    limit = 800_000
    write(tmp_path / "data", labelled(24))
    nothing, none = _held(tmp_path, 0)
    held, counted = _held(tmp_path, limit)
    assert none == 0
    assert 0 < counted <= limit
    assert held - nothing < 1.1 * counted


def test_neighbours_take_the_place_of_batches(tmp_path: Path) -> None:
    write(tmp_path / "data", labelled(4))
    whole = batches(tmp_path)
    one, tables = device_batches._nbytes(whole.draw(((0, FRAME),))), _tables(whole)
    found = batches(tmp_path, limit=one + 2 * tables)
    pool = found.source.cache.pool
    assert pool.used == 4 * tables  # the statistics have seen all frames
    first = found.draw(((0, FRAME),))
    assert pool.used <= one + 2 * tables
    assert found.draw(((0, FRAME),)) is not first


@pytest.mark.parametrize("backend", TRAINABLE[:2])
def test_runs_that_keep_nothing_are_the_same(backend: str, tmp_path: Path) -> None:
    write(tmp_path / "data", labelled(3))
    outputs = []
    for memory in (None, "200 kB", 0):
        given = recipe(steps=8, training__training_data__batch_size=1, training__memory=memory)
        out = fit(tmp_path, given, output=tmp_path / str(memory), backend=backend)
        outputs.append(curve(out)[1])
    np.testing.assert_array_equal(outputs[1], outputs[0])
    np.testing.assert_array_equal(outputs[2], outputs[0])


def test_pairs_outside_of_the_intervals_wait_for_these_to_grow(tmp_path: Path) -> None:
    write(tmp_path / "data", labelled(4))
    found = batches(tmp_path)
    planner = found.planner
    planner.nearest = np.full((2, 2), 3.0)  # as if only pairs farther apart had been seen
    drawn = found.draw(((0, FRAME),))
    assert not drawn.ready
    assert found.source.cache.batch((0, 0)) is None
    basis = planner.plan_for(drawn.work.nearest, lambda: found.params)
    now = found.renewed(drawn, basis)
    assert now.ready
    assert now.plan is basis
    assert (planner.nearest < 3.0).all()
    assert found.draw(((0, FRAME),)) is now


def test_a_batch_that_has_become_too_large_makes_way(tmp_path: Path) -> None:
    write(tmp_path / "data", labelled(1))
    one = device_batches._nbytes(batches(tmp_path).draw(((0, FRAME),)))
    found = batches(tmp_path, limit=one)
    first = found.draw(((0, FRAME),))
    assert found.draw(((0, FRAME),)) is first
    planner = found.planner
    planner.restore({"nearest": planner.nearest, "counts": {"near": 264, "far": 264}})
    assert found.draw(((0, FRAME),)) is not first
    assert found.source.cache.batch((0, 0)) is None
    assert found.source.cache.pool.used == 0

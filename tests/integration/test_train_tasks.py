"""A run of two tasks that share a descriptor, built by hand and trained by the loop's functions."""

from __future__ import annotations

import contextlib
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _backends import TRAINABLE
from _compare import same
from _water import dos_recipe, labelled, recipe, write, write_spectra
from rich.console import Console

from multifit import config
from multifit.backend import get_backend
from multifit.train import Start
from multifit.train.loop import run as loop_module
from multifit.train.loop.after_step import after_step
from multifit.train.profile.recorder import OFF
from multifit.train.report.progress import Display
from multifit.train.setup.setup import Setup, set_up
from multifit.train.setup.task import Task
from multifit.train.start.begin import begin
from multifit.train.start.prepare import prepare
from multifit.train.start.run import Run
from multifit.train.start.saver import Saver
from multifit.train.step.task_sampler import TaskSampler
from multifit.tree import flatten, map_leaves, unflatten

STEPS = 12
ALIASES = {"spectra.descriptor": "water.descriptor"}


def task_of(folder: Path, name: str, given: dict[str, Any], backend: str, **more: Any) -> Setup:
    """Return the setup of a run of one task, which has a name."""
    path = folder / f"{name}.json"
    path.write_text(json.dumps(given))
    setup = set_up(config.load(path), get_backend(backend), folder)
    return replace(setup, tasks=(replace(setup.tasks[0], name=name, **more),))


def two_tasks(folder: Path, backend: str = "numpy") -> Setup:
    """Return the setup of two tasks, energies and densities of states of other frames."""
    write(folder / "data", labelled(6))
    write(folder / "valid", labelled(2))
    write_spectra(folder / "spectra", labelled(5))
    held_out = {"training__validation_data": {"systems": "valid"}, "training__disp_freq": 2}
    first = task_of(folder, "water", recipe(steps=100, **held_out), backend)
    second = task_of(folder, "spectra", dos_recipe("spectra"), backend, probability=2.0)
    return replace(first, tasks=(*first.tasks, *second.tasks), aliases=ALIASES)


def parameters(run: Run, task: Task) -> dict[str, np.ndarray]:
    """Return the flat parameters of a task."""
    return {name: np.array(x) for name, x in flatten(run.numpy_params(task)).items()}


def call_step(step: Any, *args: Any) -> Any:
    """Call a step that compiles, without waiting for signals."""
    return step(*args)


@pytest.mark.parametrize("backend", TRAINABLE)
def test_two_tasks_train_one_descriptor(tmp_path: Path, backend: str) -> None:
    setup = two_tasks(tmp_path, backend)
    run, _ = begin(setup, Start(), tmp_path / "out")
    assert not any(name.startswith("spectra.descriptor") for name in run.trainable | run.frozen)
    before = [parameters(run, task) for task in setup.tasks]
    text, metrics, drawn = io.StringIO(), [], []
    with contextlib.ExitStack() as stack:
        display = stack.enter_context(Display(Console(file=text, width=200), STEPS, 0))
        loop = prepare(Saver(run, display.warn), display, OFF, None, stack, call_step)
        for number in range(1, STEPS + 1):
            others = {name: np.array(x) for name, x in run.to_numpy(run.trainable).items()}
            k, found, lr = loop_module._advance(loop, number)
            drawn.append(k)
            metrics.append(found)
            other = setup.tasks[1 - k].parameter("fitting")
            for name, x in run.to_numpy(run.trainable).items():
                assert np.array_equal(x, others[name]) == name.startswith(other), name
            assert not after_step(loop, number, setup.tasks[k], found, lr)
    assert set(drawn) == {0, 1}
    assert all(np.isfinite(each["rmse"]) for each in metrics)
    after = [parameters(run, task) for task in setup.tasks]
    for name, x in after[0].items():
        if name.startswith("descriptor."):
            np.testing.assert_array_equal(x, after[1][name], err_msg=name)
            trained = f"water.{name}" in run.trainable
            assert np.array_equal(x, before[0][name]) != trained, name
    head, _, *rows = (tmp_path / "out/lcurve.out").read_text().splitlines()
    assert "rmse_f_water_val" in head.split()
    assert "rmse_global_dos_spectra_trn" in head.split()
    assert len(rows) == 1 + STEPS // 2
    assert "water trn" in text.getvalue()
    assert run.state.validation_sampler["water"]["step"] == len(rows)


def test_a_step_of_one_task_is_that_of_a_run_of_its_own(tmp_path: Path) -> None:
    both = two_tasks(tmp_path, "torch")
    alone = replace(both, tasks=(replace(both.tasks[1], name=""),), aliases={})
    run, _ = begin(replace(both, aliases={}), Start(), tmp_path / "both")
    single, _ = begin(alone, Start(), tmp_path / "alone")
    display = Display(Console(file=io.StringIO()), STEPS, 0, quiet=True)
    with contextlib.ExitStack() as stack:
        loops = [
            prepare(Saver(each, display.warn), display, OFF, None, stack, call_step)
            for each in (single, run)
        ]
        for number in (1, 2):
            given = next(loops[0].inputs)
            for k, loop in enumerate(loops):
                inputs = iter([given._replace(task=k)])
                loop_module._advance(replace(loop, inputs=inputs), number)
    one, two = parameters(single, alone.tasks[0]), parameters(run, run.setup.tasks[1])
    same(two, one, rtol=1e-12)


def test_draws_go_on_where_they_were(tmp_path: Path) -> None:
    tasks = two_tasks(tmp_path).tasks
    whole = TaskSampler(tasks, 7)
    draws = [whole.next() for _ in range(40)]
    numbers = [draw.task for draw in draws]
    assert 0 < numbers.count(0) < numbers.count(1)
    first = TaskSampler(tasks, 7)
    for _ in range(15):
        first.next()
    again = TaskSampler(tasks, 3)
    again.restore(unflatten(flatten(map_leaves(np.copy, first.state()))))
    for draw in draws[15:]:
        task, ((system, frames),) = again.next()
        ((known, rows),) = draw.picks
        assert (task, system, frames.tolist()) == (draw.task, known, rows.tolist())


@pytest.mark.parametrize("names", [("", "a"), ("a", "a")])
def test_tasks_that_cannot_be_told_apart_are_refused(tmp_path: Path, names: Any) -> None:
    both = two_tasks(tmp_path)
    tasks = [replace(task, name=name) for task, name in zip(both.tasks, names, strict=True)]
    with pytest.raises(ValueError, match="tasks need distinct names"):
        replace(both, tasks=tuple(tasks))


def test_the_only_task_has_no_prefix(tmp_path: Path) -> None:
    task = replace(two_tasks(tmp_path).tasks[0], name="")
    tree = {"descriptor": {"w": 1}}
    assert task.parameters(tree, {}) is tree
    assert (task.parameter("x"), task.metric("rmse"), task.titled("so")) == ("x", "rmse", "so")
    assert task.file(tmp_path / "model.dp") == tmp_path / "model.dp"
    named = replace(task, name="a")
    assert (named.parameter("x"), named.metric("rmse"), named.titled("so")) == (
        "a.x",
        "rmse_a",
        "a: so",
    )
    assert named.file(tmp_path / "model.dp") == tmp_path / "model-a.dp"

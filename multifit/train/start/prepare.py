"""The objects for the training loop: compiled steps, batches, validation and curves."""

from __future__ import annotations

import contextlib
import functools
import itertools
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...tree import Flat
from ..profile.recorder import Recorder
from ..report.lcurve import LearningCurve, tensorboard
from ..report.progress import Display
from ..setup.setup import Setup
from ..setup.task import Task, by_task
from ..step.compilations import announced
from ..step.device_batches import DeviceBatches
from ..step.measure import LastStep
from ..step.prefetch import StepInput, prefetch
from ..step.shared_step import SharedStep
from ..step.step import Objective, scalars, train_step
from ..step.task_sampler import TaskSampler
from ..validation.full_validation import FullValidation
from ..validation.validate import FRAMES, MetricEvaluator, Validator
from .run import Run, names_of
from .saver import Saver

#: f(name of the compiled function, number of atoms, in_step=True if the next step waits for it)
Tell = Callable[..., None]


@dataclass(frozen=True)
class TaskStep:
    """The training step of a task."""

    task: Task
    call: Callable[..., Any]  #: as :func:`multifit.train.step.step.train_step` returns it
    names: frozenset[str]  #: of the parameters that the task uses
    batches: DeviceBatches
    #: f(parameters): takes part in a step without a batch; None unless the step is shared.
    abstain: Callable[[Flat], None] | None = None

    @property
    def shared(self) -> bool:
        """True if the gradient of an update is that of several batches."""
        return self.abstain is not None

    def of(self, flat: Flat) -> Flat:
        """Return the parameters of the task out of those of a run."""
        return {name: x for name, x in flat.items() if name in self.names}


@dataclass(frozen=True)
class LoopObjects:
    """Everything that the training loop needs."""

    run: Run
    display: Display
    recorder: Recorder
    steps: list[TaskStep]
    inputs: Generator[StepInput]
    validators: list[Validator]  #: of the tasks that have validation data
    full: list[FullValidation]
    curve: LearningCurve | None  #: of process 0, which alone writes
    saver: Saver
    board: Any | None  #: the TensorBoard writer, if requested
    #: What this process tells the others in the next step; their sums are among its metrics.
    votes: dict[str, np.ndarray] = field(default_factory=dict)


def prepare(
    saver: Saver,
    display: Display,
    recorder: Recorder,
    last: LastStep | None,
    stack: contextlib.ExitStack,
    patient: Callable[..., Any],
) -> LoopObjects:
    """Return the objects for the loop; the stack closes files and ends the thread.

    Parameters
    ----------
    last
        Keeps the last step, to be measured after the run; None without a profile.
    patient
        f(step, *args): calls a step that compiles, so that signals can end it.
    """
    run = saver.run
    setup, training = run.setup, run.setup.config.training
    after, tasks = run.state.step, run.setup.tasks
    seed, writes = setup.processes.share(setup.seeds["training"]), setup.processes.rank == 0
    sampler = TaskSampler(tasks, seed, setup.processes)
    if run.state.sampler:
        sampler.restore(run.state.sampler)

    def tell(what: str, natoms: int, in_step: bool = True) -> None:
        recorder.compiling(what)
        display.compiling(what, natoms, in_step)

    with recorder.span("prepare the validation"):
        validators = prepare_validation(run, seed, tell) if writes else []
    full = [
        FullValidation(setup, each.task, run.output, after, display.warn) for each in validators
    ]
    steps = [prepare_step(run, task, recorder, last, tell, patient) for task in tasks]
    board, curve = None, None
    if training.tensorboard and writes:
        board = tensorboard(run.output / training.tensorboard_log_dir)
        stack.callback(board.close)
    names = [task.metric(name) for task in tasks for name in task.loss.metric_names]
    if writes:
        path, both = run.output / training.disp_file, bool(validators)
        curve = LearningCurve(path, names, both, after, display.warn)
        saver.tables = [curve.file, *(each.file for each in full if each.file is not None)]
        for note in filter(None, (table.note for table in saver.tables)):
            display.say(note)
    values = (_scalars(setup, number) for number in itertools.count(after + 1))
    inputs = prefetch([step.batches for step in steps], sampler, values)
    stack.enter_context(contextlib.closing(inputs))
    return LoopObjects(run, display, recorder, steps, inputs, validators, full, curve, saver, board)


def _scalars(setup: Setup, number: int) -> dict[str, np.ndarray]:
    """Return the scalars of a step: its rate, and the corrections of its update."""
    return scalars(setup.adam, setup.rate_of(number), -(-number // setup.config.training.acc_freq))


def prepare_step(
    run: Run,
    task: Task,
    recorder: Recorder,
    last: LastStep | None,
    tell: Tell,
    patient: Callable[..., Any],
) -> TaskStep:
    """Return the compiled training step of a task, and its batches."""
    setup, training = run.setup, run.setup.config.training

    def select(params: Any) -> Any:
        return task.parameters(params, setup.aliases)

    objective = Objective(setup.backend, task.model, task.loss, select)
    options = setup.adam, training.ema_decay if training.enable_ema else None
    step: Callable[..., Any]
    abstain = None
    if setup.processes.size > 1 or training.acc_freq > 1:
        step = SharedStep(objective, *options, setup.processes, training.acc_freq)
        abstain = step.abstain
    else:
        step = train_step(objective, *options)
    if last is not None:
        step = last.watched(objective, step)
    tell_of_step = functools.partial(tell, task.titled("the training step"))
    call = announced(setup.backend, step, tell_of_step, patient)
    names = names_of(setup, task, {**run.frozen, **run.trainable})
    source, planner = task.data.training.source, run.planners[task.name]
    batches = DeviceBatches(source, setup.backend, run.numpy_params(task), planner, recorder)
    return TaskStep(task, call, frozenset(names), batches, abstain)


def prepare_validation(run: Run, seed: int, tell: Tell) -> list[Validator]:
    """Return the validators of the tasks that have validation data.

    They continue an earlier run, unless the validation data have changed.
    """
    setup, found = run.setup, []
    states: Mapping[str, Any] = by_task(setup.tasks, run.state.validation_sampler)
    for k, task in enumerate(setup.tasks):
        data = task.data.validation
        if data is None:
            continue
        for system, frames in data.source.spread_frames(FRAMES):
            data.source.batcher.reserve(data.source.load(system, frames)[0])
        announce = functools.partial(tell, task.titled("the validation"), in_step=False)
        planner = run.planners[task.name]
        evaluator = MetricEvaluator(setup.backend, task.model, task.loss, planner, announce)
        sampler, state = data.sampler(seed + 1 + 2 * k), states[task.name]
        nframes = [system.nframes for system in data.source.systems]
        if state and np.array_equal(state["nframes"], nframes):
            sampler.restore(state)
        found.append(Validator(task, evaluator, data, sampler))
    return found

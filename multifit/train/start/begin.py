"""The start of a run: its first state, from nothing, a checkpoint or another model."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...batching.batch import Batcher
from ...descriptors import Planner
from ...errors import FileFormatError
from ...tree import Tree, tie
from ..setup.memory import check_memory
from ..setup.potential import fitted_bias, why_no_bias
from ..setup.setup import Setup, survey
from ..setup.stat_file import StatFile
from ..setup.statistics import collect_statistics, init_params
from ..setup.task import Task, by_task, nested
from . import checkpoint as ckpt
from .finetune import finetune, init_model
from .first_state import first_state
from .origin import Origin, continued_origin, new_origin, run_input
from .restart import restart
from .run import Run, initial_moments, split_parameters
from .state_checks import ADVICE

#: Names of parameters and their values.
Statistics = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Start:
    """The file that a run starts from, or none."""

    restart: Path | None = None
    init_model: Path | None = None
    finetune: Path | None = None

    def files(self) -> dict[str, Path | None]:
        """Return the file by what it is."""
        return {
            "checkpoint": self.restart,
            "initial_model": self.init_model,
            "pretrained_model": self.finetune,
        }


def begin(setup: Setup, start: Start, output: Path) -> tuple[Run, list[str]]:
    """Return the run at its first step, and messages about it."""
    check_memory(setup)
    found, notes = _all_statistics(setup, start, output)
    make = functools.partial(_state, setup, start, output, found)
    state, more = first_state(setup.processes, make)
    notes += more
    for task in setup.tasks:
        notes += _bias_note(setup, task)
    origin = _origin(setup, start, state)
    state.input = run_input(setup)
    trainable, frozen = split_parameters(setup, state.params)
    moments = initial_moments(setup, state.moments, trainable)
    planners, series = {}, by_task(setup.tasks, state.series)
    tables = by_task(setup.tasks, state.tables)
    for task in setup.tasks:
        planner = survey(setup, task)
        if series[task.name]:
            _restore(planner, series[task.name], start)
        _restore(task.data.training.source.batcher, tables[task.name], start)
        planner.refine(task.parameters(state.params, setup.aliases))
        planners[task.name] = planner
    state.params, state.moments = {}, {}  # their memory is needed for those of the backend
    fresh = start == Start()
    run = Run(setup, state, output, trainable, frozen, moments, planners, origin, fresh)
    return run, notes


def _state(
    setup: Setup, start: Start, output: Path, statistics: Mapping[str, Statistics]
) -> tuple[ckpt.State, list[str]]:
    """Return the first state of a run, and messages about it.

    Parameters
    ----------
    statistics
        Of each task, by its name.
    """
    if start.restart is not None:
        return restart(setup, ckpt.find(start.restart, output), output)
    found, notes = {}, []
    for task in setup.tasks:
        found[task.name], more = _parameters(setup, task, start, statistics.get(task.name, {}))
        notes += more
    return ckpt.State(tie(nested(found), setup.aliases)), notes


def _bias_note(setup: Setup, task: Task) -> list[str]:
    """Return a message if ``change_bias_after_training`` will have no effect."""
    why = why_no_bias(task) if setup.config.training.change_bias_after_training else ""
    text = f"warning: change_bias_after_training has no effect, because {why}"
    return [task.titled(text)] if why else []


def _origin(setup: Setup, start: Start, state: ckpt.State) -> Origin:
    """Return the origin of the run's models."""
    if start.restart is not None and setup.processes.rank == 0:
        return continued_origin(setup, state.provenance, state.step, state.input)
    given = {"init-model": start.init_model, "finetune": start.finetune}
    return new_origin(setup, {how: path for how, path in given.items() if path is not None})


def _restore(what: Planner | Batcher, state: Tree, start: Start) -> None:
    """Continue with the plan, or the widths of tables, of a checkpoint."""
    try:
        what.restore(state)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError) as exc:
        raise FileFormatError(
            f"{start.restart} holds the state of a training, whose series or tables are not those "
            f"of the descriptor ({exc}); {ADVICE}"
        ) from exc


def _parameters(
    setup: Setup, task: Task, start: Start, statistics: Statistics
) -> tuple[Tree, list[str]]:
    """Return the first parameters of a task's model, and messages about them."""
    if start.init_model is not None:
        params, more = init_model(task.model, start.init_model)
        return params, [f"starting from the parameters of {start.init_model}", *more]
    params = init_params(setup, task, statistics)
    if start.finetune is None:
        return params, []
    params, more = finetune(task.model, params, start.finetune)
    why = why_no_bias(task)
    if why:
        what = f"types keep their bias, because {why}"
    elif getattr(task.loss, "shift_agnostic", 0):
        what = "types keep their bias, for shift_agnostic labels have no place in energy"
    else:
        params["out_bias"] = fitted_bias(setup, task, params)
        what = f"{task.model.output.title} per type fitted to the data"
    return params, [f"fine-tuning {start.finetune}, {what}", *more]


def _all_statistics(
    setup: Setup, start: Start, output: Path
) -> tuple[dict[str, Statistics], list[str]]:
    """Return the statistics of each task if the run needs them, and messages about them.

    What process 0 is told to start from counts, as it makes the first state.
    """
    found: dict[str, Statistics] = {}
    notes: list[str] = []
    if setup.processes.share(start.restart is None and start.init_model is None):
        for task in setup.tasks:
            found[task.name], more = _statistics(setup, task, output)
            notes += more
    return found, notes


def _statistics(setup: Setup, task: Task, output: Path) -> tuple[Statistics, list[str]]:
    """Return the statistics of the training data, and their origin if from elsewhere.

    If they are from elsewhere, process 0 alone has them.
    """
    given, processes = setup.config.training.stat_file, setup.processes
    path = None if given is None or processes.rank else output / given
    stored = StatFile(path, setup, task)
    known = stored.read()
    if processes.share(known is not None):
        return known or {}, [f"statistics read from {stored.path}"]
    found = collect_statistics(setup, task)
    stored.write(found)
    return found, []

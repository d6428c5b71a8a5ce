"""Models ready for training, from settings and data."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ... import models as mdl
from ... import statistics as stat
from ...backend import Backend
from ...batching.batch import Batcher
from ...batching.shapes import MOST
from ...config import Config, TrainingDataSection, ValidationDataSection, check_types
from ...data import System, batch_sizes, open_systems, system_probabilities
from ...descriptors import Planner
from ...distributed import Processes, Solo
from ...evaluation.labels import require_comparable
from ...loss import LossConfig
from ...neighbors.statistics import neighbor_statistics
from ...optim.adam import Adam
from ...optim.learning_rate import LearningRate, learning_rate
from .build import build_loss, build_model
from .dos_grid import build_grid
from .labels import check_labels
from .source import Source
from .task import Dataset, Task, TaskData

#: Maximum number of shapes of validation batches; each is compiled once.
VALIDATION_SHAPES = 2

#: The sections of the input in error messages.
TRAINING_DATA, VALIDATION_DATA = "training.training_data", "training.validation_data"


@dataclass(frozen=True)
class Setup:
    """Everything that a run needs except the values of parameters.

    Attributes
    ----------
    aliases
        The names of parameters that tasks share → those of their owners
        (:func:`multifit.tree.tie`).
    processes
        Those of the run, of which this is one.
    """

    config: Config
    backend: Backend
    tasks: tuple[Task, ...]
    adam: Adam
    rate: LearningRate
    numb_steps: int
    aliases: Mapping[str, str] = field(default_factory=dict)
    processes: Processes = field(default_factory=Solo)

    def __post_init__(self) -> None:
        """Raise an error for indistinguishable tasks."""
        names = [task.name for task in self.tasks]
        if len(set(names)) < len(names) or ("" in names and len(names) > 1):
            raise ValueError(f"tasks need distinct names, but these have {names}")


def _sel_factor(sel: str) -> float:
    _, _, factor = sel.partition(":")
    return float(factor) if factor else 1.1


def build_optimizer(config: Config) -> Adam:
    """Return the settings of the optimizer that the input describes."""
    o = config.optimizer
    return Adam(
        beta1=o.adam_beta1,
        beta2=o.adam_beta2,
        weight_decay=o.weight_decay,
        decoupled=o.type == "AdamW",
        max_norm=config.training.gradient_max_norm or 0.0,
    )


def set_up(
    config: Config, backend: Backend, base: Path, processes: Processes | None = None
) -> Setup:
    """Open the data and return a consistent setup.

    Parameters
    ----------
    base
        The folder of the input file, against which paths are resolved.
    processes
        Those of the run; None for this one alone.

    Raises
    ------
    ConfigError, DataError
        If settings and data do not fit together.
    """
    training, section = config.training, config.training.training_data
    systems = open_systems(section.systems, config.model.type_map, base=base)
    type_map = config.model.type_map or systems[0].type_map
    if config.model.ntypes is None:
        check_types(config, type_map)
    sel = config.model.descriptor.sel
    if isinstance(sel, str):
        masked = config.model.fitting_net.use_aparam_as_mask
        found = neighbor_statistics(systems, config.model.descriptor.rcut, masked=masked)
        sel = stat.choose_sel(found.fullest, _sel_factor(sel))
    model = build_model(config, type_map, tuple(sel), build_grid(config, systems, base))
    sizes = batch_sizes(systems, section.batch_size, TRAINING_DATA)
    processes = processes or Solo()
    together = [size * processes.size for size in sizes]
    steps = training.numb_steps or _steps_of_epochs(training.numb_epoch or 0.0, systems, together)
    rate = learning_rate(scaled_rate(config, processes.size), steps)
    loss = build_loss(config, rate.start_lr)
    dataset = functools.partial(_dataset, model, loss, backend)
    second, given = None, training.validation_data
    if given is not None:
        held_out = open_systems(given.systems, type_map, base=base)
        of_these = batch_sizes(held_out, given.batch_size, VALIDATION_DATA)
        second = dataset("validation", held_out, of_these, given, VALIDATION_SHAPES)
    first = dataset("training", systems, sizes, section, processes=processes.size)
    task = Task("", model, loss, TaskData(first, second))
    adam = build_optimizer(config)
    return Setup(config, backend, (task,), adam, rate, steps, processes=processes)


def scaled_rate(config: Config, processes: int) -> dict[str, Any]:
    """Return the section of the learning rate, scaled with the number of processes on request.

    DeePMD-kit's TensorFlow scales by default, its PyTorch never does: here the input has to ask.
    """
    section = config.learning_rate
    given = section.model_dump()
    how = section.scale_by_worker if "scale_by_worker" in section.model_fields_set else "none"
    factor = {"none": 1.0, "linear": float(processes), "sqrt": processes**0.5}[how]
    for key in ("start_lr", "stop_lr"):
        if given[key] is not None:
            given[key] *= factor
    return given


def _dataset(
    model: mdl.Model,
    loss: LossConfig,
    backend: Backend,
    kind: str,
    systems: Sequence[System],
    sizes: Sequence[int],
    section: TrainingDataSection | ValidationDataSection,
    most: int = MOST,
    processes: int = 1,
) -> Dataset:
    """Return systems as a source of batches, after checks.

    Parameters
    ----------
    kind
        ``"training"`` or ``"validation"``.
    most
        Maximum number of shapes of its batches.
    processes
        Number of processes that share the frames of a step.
    """
    _check(kind, systems, model, loss)
    needs = model.descriptor.requires()
    # Each source has a separate batcher, because of threads: runs stay reproducible.
    batcher = Batcher(needs, model.pair_exclude_types, backend.static_shapes)
    source = Source(systems, batcher, model, loss)
    source.check_atoms()
    source.plan(sizes, most)
    rule, given = section.auto_prob, section.sys_probs
    together = [size * processes for size in sizes]  # one step of all is one batch
    probabilities = system_probabilities(systems, together, rule, given, f"training.{kind}_data")
    return Dataset(source, sizes, probabilities.tolist(), getattr(section, "numb_btch", 1))


def _check(kind: str, systems: Sequence[System], model: mdl.Model, loss: LossConfig) -> None:
    """Raise DataError if labels are missing, or have another size than the model's outputs."""
    check_labels(kind, systems, loss)
    require_comparable(model, systems)


def _steps_of_epochs(epochs: float, systems: Sequence[System], sizes: Sequence[int]) -> int:
    """Return the number of steps in this number of passes over all frames."""
    batches = sum(s.nframes / size for s, size in zip(systems, sizes, strict=True) if size)
    return max(1, round(epochs * batches))


def survey(setup: Setup, task: Task) -> tuple[Planner, str]:
    """Return the planner of a task's descriptor, and a note on its neighbours.

    Returns
    -------
    planner
        With a plan that covers the frames used for statistics.
    note
        Message about neighbours beyond ``sel``; empty if there are none.
    """
    source, sizes = task.data.training.source, task.data.training.sizes
    ntypes = task.model.ntypes
    nearest, dropped, looked = np.full((ntypes, ntypes), np.inf), 0, 0
    fullest = np.zeros(ntypes, dtype=np.int64)
    section = setup.config.model
    for k, frames in source.first_frames(sizes, section.data_stat_nbatch):
        ready, _ = source.load(k, frames)
        source.batcher.reserve(ready)
        nearest = np.minimum(nearest, np.min([frame.nearest for frame in ready], axis=0))
        dropped += sum(frame.dropped for frame in ready)
        looked += len(ready)
        fullest = np.max(np.stack([fullest, *(np.asarray(f.fullest) for f in ready)]), axis=0)
    note = ""
    if dropped:
        enough = fullest.tolist()
        note = (
            f"warning: sel {list(source.batcher.sel)} is too small: in {looked} frames "
            f"{dropped} neighbours were dropped, the farthest first; {enough} would keep them all"
        )
    enabled = not task.loss.needs_hessian
    planner = task.model.descriptor.planner(
        setup.backend, section.embedding, enabled=enabled, train=True
    )
    planner.include(nearest)
    return planner, note

"""Models ready for training, from settings and data."""

from __future__ import annotations

import functools
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ... import models as mdl
from ... import statistics as stat
from ...backend import Backend
from ...batching.batch import Batcher
from ...batching.shapes import MOST
from ...config import Config, TrainingDataSection, ValidationDataSection, check_types
from ...data import System, batch_sizes, mixed_size, open_systems, system_probabilities
from ...descriptors import Planner
from ...distributed import Processes, Solo, as_json, from_json
from ...errors import ConfigError
from ...evaluation.labels import require_comparable
from ...loss import LossConfig
from ...optim.adam import Adam
from ...optim.learning_rate import LearningRate, learning_rate
from ...survey import Scope, combine
from .budget import Budget, find_budget
from .build import build_loss, build_model, with_frame_weights
from .dos_grid import build_grid
from .frame_cache import FrameCache
from .labels import check_labels
from .look import Look, scope_of
from .parts import own_part
from .pool import Pool
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
    budget: Budget
    aliases: Mapping[str, str] = field(default_factory=dict)
    processes: Processes = field(default_factory=Solo)

    @cached_property
    def seeds(self) -> dict[str, Any]:
        """The seeds of a new run: those of the input, and random ones where it has none."""
        model, training = self.config.model, self.config.training
        given = {
            "descriptor": model.descriptor.seed,
            "fitting_net": model.fitting_net.seed,
            "training": training.seed,
        }
        return {key: _drawn(x) for key, x in given.items()}

    def rate_of(self, number: int) -> float:
        """Return the learning rate of a step from 1: the same for all steps of an update."""
        every = self.config.training.acc_freq
        return self.rate.at((number - 1) // every * every)

    def __post_init__(self) -> None:
        """Raise an error for indistinguishable tasks."""
        names = [task.name for task in self.tasks]
        if len(set(names)) < len(names) or ("" in names and len(names) > 1):
            raise ValueError(f"tasks need distinct names, but these have {names}")


def _drawn(seed: Any) -> Any:
    """Return a seed, random if there is none; of several parts each."""
    if isinstance(seed, tuple):
        return tuple(map(_drawn, seed))
    return secrets.randbits(31) if seed is None else seed


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
    config: Config,
    backend: Backend,
    base: Path,
    look: Look | None = None,
    processes: Processes | None = None,
) -> Setup:
    """Open the data and return a consistent setup.

    Parameters
    ----------
    base
        The folder of the input file, against which paths are resolved.
    look
        How all frames are looked at; by default without a word.
    processes
        Those of the run; None for this one alone.

    Raises
    ------
    ConfigError, DataError
        If settings and data do not fit together.
    """
    training, section = config.training, config.training.training_data
    processes = processes or Solo()
    budget = find_budget(training.memory, processes.mates)
    systems = _open(section, config.model.type_map, base)
    type_map = config.model.type_map or systems[0].type_map
    if config.model.ntypes is None:
        check_types(config, type_map)
    sizes = batch_sizes(systems, section.batch_size, TRAINING_DATA)
    mixed = mixed_size(section.batch_size)
    together = [(mixed or size) * processes.size for size in sizes]
    steps = training.numb_steps or _steps_of_epochs(training.numb_epoch or 0.0, systems, together)
    rate = learning_rate(scaled_rate(config, processes.size), steps)
    second, given = None, training.validation_data
    held_out = [] if given is None else _open(given, type_map, base)
    loss = with_frame_weights(build_loss(config, rate.start_lr), [*systems, *held_out])
    look = Look() if look is None else look
    sels = [
        _chosen(part, systems, scope_of(config, loss), look)
        for _, part in config.model.descriptor.parts()
    ]
    model = build_model(config, type_map, sels, build_grid(config, systems, base))
    dataset = functools.partial(_dataset, model, loss, backend, Pool(budget.caches))
    if given is not None:
        of_these = batch_sizes(held_out, given.batch_size, VALIDATION_DATA)
        second = dataset("validation", held_out, of_these, given, VALIDATION_SHAPES)
    first = dataset("training", systems, sizes, section, processes=processes.size)
    scope = scope_of(config, loss)._replace(limit=look.limit)
    first = _looked_at(first, scope, look)
    second = None if second is None else _looked_at(second, scope, look)
    task = Task("", model, loss, TaskData(first, second))
    adam = build_optimizer(config)
    return Setup(config, backend, (task,), adam, rate, steps, budget, processes=processes)


def _chosen(part: Any, systems: Sequence[System], scope: Scope, look: Look) -> tuple[int, ...]:
    """Return the numbers of neighbours of a part of the descriptor, counted in the data if asked.

    Parameters
    ----------
    part
        Its section of the input.
    """
    given = part.numbers
    if not isinstance(given, str) and not any(isinstance(n, str) for n in given):
        return tuple(given)
    # As in DeePMD-kit of all frames, and excluded pairs count.
    scope = scope._replace(rcut=part.rcut, shells=part.shells, exclude=())
    whole = combine(systems, look.at(systems, scope), scope.rcut)
    most = (whole.together, *whole.inner) if part.mixed_types else whole.fullest
    rules = [given] * len(most) if isinstance(given, str) else given
    return tuple(
        stat.choose_sel([n], _sel_factor(rule))[0] if isinstance(rule, str) else rule
        for rule, n in zip(rules, most, strict=True)
    )


def _looked_at(data: Dataset, scope: Scope, look: Look) -> Dataset:
    """Return a dataset with what its systems hold."""
    systems, needs = data.source.systems, data.source.model.descriptor.requires()
    within = [look.at_part(systems, scope, each) for each in needs.each]
    return replace(data, found=look.at(systems, scope), within=within)


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


def _open(
    section: TrainingDataSection | ValidationDataSection,
    type_map: Sequence[str] | None,
    base: Path,
) -> list[System]:
    """Return the systems that a section of data names."""
    return open_systems(
        section.systems,
        type_map,
        base=base,
        reading=section.reading,
        patterns=section.rglob_patterns,
        grouping=section.grouping,
    )


def _dataset(
    model: mdl.Model,
    loss: LossConfig,
    backend: Backend,
    pool: Pool,
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
    pool
        Memory of the caches.
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
    source = Source(systems, batcher, model, loss, FrameCache(pool))
    source.check_atoms()
    rule, given = section.auto_prob, section.sys_probs
    together = [size * processes for size in sizes]  # one step of all is one batch
    probabilities = system_probabilities(systems, together, rule, given, f"training.{kind}_data")
    mixed, number = mixed_size(section.batch_size), getattr(section, "numb_btch", 1)
    if mixed:
        _check_mixed(kind, loss)
        source.plan_mixed(mixed, probabilities.tolist(), most)
    else:
        source.plan(sizes, most)
    return Dataset(source, sizes, probabilities.tolist(), number, mixed=mixed)


def _check_mixed(kind: str, loss: LossConfig) -> None:
    """Raise ConfigError if frames with different numbers of atoms cannot be in one batch."""
    if loss.needs_hessian:
        raise ConfigError(
            f"training.{kind}_data.batch_size 'mixed:N' does not go together with Hessians: the "
            "frames of their batches have the same number of atoms; give a number"
        )


def _check(kind: str, systems: Sequence[System], model: mdl.Model, loss: LossConfig) -> None:
    """Raise DataError if labels are missing, or have another size than the model's outputs."""
    check_labels(kind, systems, loss)
    require_comparable(model, systems)


def _steps_of_epochs(epochs: float, systems: Sequence[System], sizes: Sequence[int]) -> int:
    """Return the number of steps in this number of passes over all frames."""
    batches = sum(s.nframes / size for s, size in zip(systems, sizes, strict=True) if size)
    return max(1, round(epochs * batches))


def survey(setup: Setup, task: Task) -> Planner:
    """Return the planner of a task's descriptor, with a plan that covers the training data.

    Each process of the run reads its part of the first frames, and all learn the same from them.
    """
    source, sizes = task.data.training.source, task.data.training.sizes
    section, ntypes = setup.config.model, task.model.ntypes
    # Systems that are never drawn do not count.
    drawn = zip(task.data.training.found, sizes, strict=False)
    nearest = [np.full((ntypes, ntypes), np.inf), *(one.nearest for one, size in drawn if size)]
    pieces = source.first_frames(sizes, section.data_stat_nbatch)
    for k, frames in own_part(pieces, setup.processes):
        ready, _ = source.load(k, frames)
        source.batcher.reserve(ready)
        nearest += [frame.nearest for frame in ready]
    planner = task.model.descriptor.planner(
        setup.backend, section.embedding, enabled=not task.loss.needs_hessian, train=True
    )
    closest = np.min([nearest[0], *(x for x in nearest if not planner.covers(x))], axis=0)
    for widths, other in setup.processes.gather([source.batcher.state(), as_json(closest)]):
        source.batcher.restore(widths)
        closest = np.minimum(closest, from_json(other))
    if np.isfinite(closest).any():
        planner.include(closest)
    return planner

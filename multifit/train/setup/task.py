"""Tasks: the models that a run trains, each with its loss and its data.

The name of a task is part of the names of its parameters, files and columns. A single task has
no name, so that there are no prefixes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ... import models as mdl
from ...data import Draws, MixedSampler, Sampler
from ...loss import LossConfig
from ...survey import SystemSurvey
from ...tree import Tree, at, untie
from .source import Source


@dataclass(frozen=True)
class Dataset:
    """Systems as a source of batches, and the sampling of batches."""

    source: Source
    sizes: Sequence[int]  #: frames in a batch of each system
    probabilities: Sequence[float]  #: of each system
    numb_btch: int = 1  #: batches of one validation
    found: Sequence[SystemSurvey] = ()  #: what each system holds
    #: the neighbours within the cutoff of each part of the descriptor, or of the only one
    within: Sequence[Sequence[SystemSurvey]] = ()
    mixed: int = 0  #: frames in a batch of all systems; 0 if a batch is of one

    def sampler(self, seed: int, processes: int = 1) -> Draws:
        """Return a sampler that begins, of the frames of all processes together."""
        systems, chances = self.source.systems, np.asarray(self.probabilities)
        if self.mixed:
            labels = self.source.loss.labels
            return MixedSampler(systems, self.mixed * processes, chances, seed, labels)
        return Sampler(systems, [size * processes for size in self.sizes], chances, seed)


@dataclass(frozen=True)
class TaskData:
    """The data of a task."""

    training: Dataset
    validation: Dataset | None = None


@dataclass(frozen=True)
class Task:
    """A model with its loss and its data.

    Attributes
    ----------
    name
        Empty for the only task of a run.
    probability
        Frequency of steps of this task, relative to the others.
    """

    name: str
    model: mdl.Model
    loss: LossConfig
    data: TaskData
    probability: float = 1.0

    def parameters(self, params: Tree, aliases: Mapping[str, str]) -> Tree:
        """Return the model's parameters out of those of a run.

        Parameters
        ----------
        params
            As :func:`multifit.tree.tie` returns them: shared ones are under their owner's name.
        aliases
            The names of shared parameters → those of their owners.
        """
        if not self.name:
            return params
        mine = {k: x for k, x in aliases.items() if k.startswith(f"{self.name}.")}
        found: Tree = at(untie(params, mine), self.name)
        return found

    def parameter(self, name: str) -> str:
        """Return the name that a parameter of the model has in a run."""
        return f"{self.name}.{name}" if self.name else name

    def metric(self, name: str) -> str:
        """Return the name that a metric of the loss has in a run."""
        return f"{name}_{self.name}" if self.name else name

    def file(self, path: Path) -> Path:
        """Return the path of a file that each task has."""
        return path.with_stem(f"{path.stem}-{self.name}") if self.name else path

    def titled(self, text: str) -> str:
        """Return a message about the task."""
        return f"{self.name}: {text}" if self.name else text


def by_task(tasks: Sequence[Task], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values by the name of a task from a nested dict; those of the only task are it."""
    return {task.name: values.get(task.name, {}) if task.name else values for task in tasks}


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the nested dict that :func:`by_task` came from."""
    found: dict[str, Any] = values[""] if "" in values else dict(values)
    return found

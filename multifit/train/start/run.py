"""The state of a run in progress."""

from __future__ import annotations

import dataclasses
import logging
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ... import files
from ... import models as mdl
from ...descriptors import Planner
from ...errors import FileFormatError, TrainingError
from ...inference.provenance import KEY, without_folders
from ...nn.stacking import stacked, unstacked
from ...optim import adam as opt
from ...support import parts_of
from ...tree import Flat, Tree, flatten, map_leaves, unflatten, walk
from ..setup.checkpoint_files import file_name, set_aside
from ..setup.setup import Setup
from ..setup.task import Task, nested
from . import checkpoint as ckpt
from .origin import Origin

log = logging.getLogger(__name__)


@dataclass
class Run:
    """A run in progress: parameters on the backend, and the rest of its state.

    Attributes
    ----------
    trainable, frozen
        The parameters of all tasks; shared ones occur once.
    moments
        The optimizer's, of the trainable ones.
    planners
        The planner of each task's descriptor, by the task's name.
    origin
        The provenance of its models.
    untrained
        True if its first parameters were random.
    """

    setup: Setup
    state: ckpt.State
    output: Path
    trainable: Flat
    frozen: Flat
    moments: dict[str, Flat]
    planners: dict[str, Planner]
    origin: Origin
    untrained: bool = False

    def params(self, task: Task) -> Tree:
        """Return the nested parameters of a task, on the backend; those of many nets stacked."""
        return task.parameters(unflatten({**self.frozen, **self.trainable}), self.setup.aliases)

    def numpy_params(self, task: Task) -> Tree:
        """Return the nested parameters of a task as NumPy arrays."""
        return self._on_host(task, self.trainable)

    def averaged_params(self, task: Task) -> Tree:
        """Return the moving averages of the parameters of a task as NumPy arrays."""
        return self._on_host(task, self.moments["ema"])

    def _on_host(self, task: Task, trainable: Flat) -> Tree:
        flat = self.to_numpy({**self.frozen, **trainable})
        return task.parameters(unflatten(flat), self.setup.aliases)

    def update(self, trainable: Flat, moments: Mapping[str, Flat]) -> None:
        """Replace parameters of a task, and their moments, by those of the next step."""
        self.trainable = _replaced(self.trainable, trainable)
        self.moments = {key: _replaced(self.moments[key], flat) for key, flat in moments.items()}

    def to_numpy(self, flat: Flat) -> Flat:
        """Return a flat dict with NumPy arrays, one for each net."""
        return unstacked({key: self.setup.backend.to_numpy(x) for key, x in flat.items()})

    def content(self, task: Task, params: Tree) -> dict[str, Any]:
        """Return the content of a model file of a task."""
        script = without_folders(self.setup.config.model.model_dump(mode="json"))
        nodes = script["descriptor"].get("list", [script["descriptor"]])
        sections = self.setup.config.model.descriptor.parts()
        parts = parts_of(task.model.descriptor)
        for node, (_, section), part in zip(nodes, sections, parts, strict=True):
            section.with_numbers(node, part.requires().slots)
        del script["embedding"]  # the evaluation method is not part of the model
        script["type_map"] = list(task.model.type_map)
        content = ckpt.model_content(
            task.model, params, script, self.setup.backend.name, task.loss.coefficients
        )
        return {**content, KEY: self.origin.content(task, self.state.step)}

    def save(self) -> Path:
        """Write the checkpoint of this step, and return its path.

        Checkpoints of later steps belong to an abandoned run and are renamed.
        """
        training = self.setup.config.training
        path = self.write_checkpoint((self.output / training.save_ckpt).parent)
        set_aside(self.output, training.save_ckpt, self.state.step)
        return path

    def write_checkpoint(self, folder: Path) -> Path:
        """Write the checkpoint of this step into a folder, and return its path."""
        path, content = self._checkpoint(folder)
        files.write(path, content)
        log.info("wrote %s", path)
        return path

    def try_save(self) -> str:
        """Write a checkpoint on trial, of which nothing stays, and return a warning.

        Returns
        -------
        note
            That the disk has little room for checkpoints; empty if it has enough.

        Raises
        ------
        TrainingError
            If no checkpoint can be written.
        """
        path, content = self._checkpoint(
            (self.output / self.setup.config.training.save_ckpt).parent
        )
        try:
            size = files.try_write(path, content)
            free = shutil.disk_usage(path.parent).free
        except FileFormatError as exc:
            raise TrainingError(f"the first checkpoint cannot be written: {exc}") from exc
        # Besides those that are kept, one that is being written and the model.
        number = self.setup.config.training.max_ckpt_keep + 2
        if free >= number * size:
            return ""
        return (
            f"warning: the disk of {path.parent} has {free / 1e6:.0f} MB left, and a checkpoint "
            f"takes {size / 1e6:.1f} MB: make room, or lower training.max_ckpt_keep"
        )

    def _checkpoint(self, folder: Path) -> tuple[Path, dict[str, Any]]:
        """Return the path and the content of the checkpoint of this step in a folder."""
        (task,) = self.setup.tasks  # a file holds one model
        prefix = Path(self.setup.config.training.save_ckpt).name
        # Not kept: the arrays can be views of those of the backend.
        state = dataclasses.replace(
            self.state,
            moments={key: self.to_numpy(flat) for key, flat in self.moments.items()},
            tables=nested({task.name: task.data.training.source.batcher.state()}),
            series=nested({key: each.state() for key, each in self.planners.items()}),
        )
        content = self.content(task, self.numpy_params(task))
        return folder / file_name(prefix, state.step), ckpt.checkpoint_content(content, state)


def _replaced(old: Flat, new: Flat) -> Flat:
    """Return new entries, and the old ones that they do not replace."""
    return {**{name: x for name, x in old.items() if name not in new}, **new}


def split_parameters(setup: Setup, params: Tree) -> tuple[Flat, Flat]:
    """Return the trained and the other parameters, flat, on the backend.

    Parameters
    ----------
    params
        Those of all tasks, nested, tied and as NumPy arrays; those of many nets are stacked.
    """
    flat = flatten(params)
    names = {
        task.parameter(each) for task in setup.tasks for each in mdl.trainable_names(task.model)
    }
    trainable = {key: x for key, x in flat.items() if key in names}
    if not trainable:
        raise TrainingError("nothing is trainable: set trainable in descriptor or fitting_net")
    frozen = {key: x for key, x in flat.items() if key not in names}
    if not setup.aliases:  # which name single nets
        trainable, frozen = stacked(trainable), stacked(frozen)
    return map_leaves(setup.backend.asarray, trainable), map_leaves(setup.backend.asarray, frozen)


def initial_moments(setup: Setup, known: Mapping[str, Flat], trainable: Flat) -> dict[str, Flat]:
    """Return the optimizer's moments, from a checkpoint if it has them."""
    backend = setup.backend
    host = {key: backend.to_numpy(x) for key, x in trainable.items()}
    zeros = opt.init(host)
    fresh = {"m": zeros["m"], "v": zeros["v"]}
    if setup.config.training.enable_ema:
        fresh["ema"] = host
    if setup.config.training.acc_freq > 1:
        fresh["sum"] = zeros["m"]
    # A parameter that was frozen before has no moments.
    known = {moment: {**flat, **stacked(flat)} for moment, flat in known.items()}
    return {
        moment: {key: backend.asarray({**flat, **known.get(moment, {})}[key]) for key in flat}
        for moment, flat in fresh.items()
    }


def names_of(setup: Setup, task: Task, flat: Flat) -> set[str]:
    """Return the names of a task's parameters in a flat dict, including shared ones."""
    names = unflatten({key: key for key in flat})
    return {key for _, key in walk(task.parameters(names, setup.aliases))}

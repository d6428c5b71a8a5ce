"""The first lines printed by a run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ... import models as mdl
from ...config import notes as config_notes
from ...console.words import counted
from ...tree import flatten
from ..setup.dos_grid import about_grid
from ..setup.labels import missing
from ..setup.setup import Setup
from ..setup.task import Task
from .data_notes import data_notes
from .data_table import data_table

if TYPE_CHECKING:
    from rich.table import Table

#: Types that are listed one by one.
LISTED = 12


def introduction(setup: Setup, notes: Sequence[str]) -> Iterator[str | Table]:
    """Yield a description of the model and the data: lines, and a table of each task's data.

    Parameters
    ----------
    notes
        Further notes.
    """
    for task in setup.tasks:
        yield from map(task.titled, _about(setup, task))
        table = data_table(task)
        if table is not None:
            yield table
        yield from map(task.titled, data_notes(task))
    yield str(setup.budget)
    yield from config_notes(setup.config, setup.processes.size)
    yield from notes


def _about(setup: Setup, task: Task) -> Iterator[str]:
    """Yield the lines on a task."""
    model, data = task.model, task.data
    systems = data.training.source.systems
    frames = sum(system.nframes for system in systems)
    flat, names = flatten(mdl.init(model, 0, 0)), set(mdl.trainable_names(model))
    count = sum(np.size(x) for name, x in flat.items() if name in names)
    version = setup.backend.describe()["version"]
    yield (
        f"{setup.backend.name} {version}: {count:,} trainable parameters, "
        f"{types_in_words(model.type_map)}, {_neighbours(model)}"
    )
    many = setup.processes.size
    shared = f" of {many} processes, which share the frames of each" if many > 1 else ""
    yield (
        f"training on {counted(frames, 'frame')} in {counted(len(systems), 'system')}, "
        f"{counted(setup.numb_steps, 'step')}{shared}"
    )
    if data.training.mixed:
        number = counted(data.training.mixed * many, "frame")
        differ = len({frozenset(task.loss.labels).intersection(s.labels) for s in systems}) > 1
        among = " among those with the same labels" if differ else ""
        yield f"each of the {number} of a batch is drawn from a system by its probability{among}"
    every = setup.config.training.acc_freq
    if every > 1:
        left = setup.numb_steps % every
        last = f"; without effect: the last {counted(left, 'step')}" if left else ""
        yield f"{every} steps make one update of the parameters (acc_freq){last}"
    yield from missing("", systems, task.loss)
    if data.validation is not None:
        yield from missing("the validation data ", data.validation.source.systems, task.loss)
    yield from about_grid(setup.config, model, systems)


def types_in_words(names: Sequence[str]) -> str:
    """Return the names of the types, of many only the first."""
    if len(names) <= LISTED:
        return f"types {' '.join(names)}"
    return f"{len(names)} types: {' '.join(names[: LISTED - 1])} …"


def sel_in_words(slots: Sequence[int]) -> str:
    """Return ``sel``, of many types only its range."""
    if len(slots) <= LISTED:
        return f"sel {list(slots)}"
    least, most = min(slots), max(slots)
    return f"sel {least}" if least == most else f"sel {least} to {most}"


def _neighbours(model: mdl.Model) -> str:
    """Return ``sel`` and ``rcut`` of the descriptor, or of each of its parts."""
    needs = model.descriptor.requires()
    parts = getattr(model.descriptor, "list", None)
    named = [("", needs)]
    if parts is not None:
        named = [(part.name, own) for part, own in zip(parts, needs.parts, strict=True)]
    texts = []
    for name, own in named:
        for each in own.each:
            cutoffs = [each.rcut, *(radius for radius, _ in each.shells)]
            text = f"{sel_in_words(each.slots)}, rcut {' and '.join(map(str, cutoffs))} Å"
            texts.append(" ".join(filter(None, (name, each.block, text))))
    return "; ".join(texts)

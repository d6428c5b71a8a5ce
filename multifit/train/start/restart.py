"""The state of a run continued from a checkpoint."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ... import models as mdl
from ...console.words import counted
from ...errors import FileFormatError, TrainingError
from ...files import OLD
from ...inference.provenance import without_folders
from ..setup.checkpoint_files import existing
from ..setup.dos_grid import lost_energies
from ..setup.setup import Setup
from . import changes
from . import checkpoint as ckpt
from .finetune import require_davg
from .mismatch import require_same
from .origin import run_input


def restart(setup: Setup, paths: Sequence[Path], output: Path) -> tuple[ckpt.State, list[str]]:
    """Return the state of a checkpoint, and the differences from the run that wrote it.

    Parameters
    ----------
    paths
        The first one counts that is not damaged.
    output
        The folder of the run.
    """
    (task,) = setup.tasks  # a file holds one model
    path, theirs, state, warnings = _first_good(paths)
    require_same(task.model, theirs, path)
    require_davg(task.model, state.params, path)
    _require_bias(task.model, theirs, path)
    notes = [*warnings, f"continuing {path} from step {state.step}"]
    if state.step >= setup.numb_steps:
        notes.append(f"nothing is left to train: the run has {setup.numb_steps} steps")
    notes += _later(setup, output, state.step)
    systems = task.data.training.source.systems
    nframes = np.array([system.nframes for system in systems], dtype=np.int64)
    state.sampler, warning = changes.other_frames(state.sampler, nframes)
    if state.input:  # checkpoints of the first version have none
        before = without_folders(state.input)
        notes += changes.notes(before, run_input(setup), resized=bool(warning))
    notes += [warning] if warning else []
    return state, notes + lost_energies(task.model, theirs)


def _first_good(paths: Sequence[Path]) -> tuple[Path, mdl.Model, ckpt.State, list[str]]:
    """Return the first checkpoint that is not damaged, and warnings about those that are.

    Raises
    ------
    FileFormatError
        If there is none; the error is that of the first.
    """
    errors: list[FileFormatError] = []
    for path in paths:
        try:
            theirs, state, _ = ckpt.read(path)
        except FileFormatError as exc:
            errors.append(exc)
            continue
        return (
            path,
            theirs,
            state,
            [f"warning: {_fault(exc)}; the checkpoint before it is tried" for exc in errors],
        )
    raise errors[0]


def _later(setup: Setup, output: Path, step: int) -> list[str]:
    """Return a message about later checkpoints, which the first one of this run puts aside."""
    found = [each for each, _ in existing(output, setup.config.training.save_ckpt) if each > step]
    if not found:
        return []
    steps = f"step{'s' * (len(found) > 1)} {', '.join(map(str, found))}"
    return [
        f"{counted(len(found), 'later checkpoint')} ({steps}) will be kept with {OLD} added to "
        f"{'the name' if len(found) == 1 else 'their names'}"
    ]


def _fault(exc: FileFormatError) -> str:
    """Return the first part of an error, without its remedy."""
    return re.split(r"[:;] (?:restore|restart) ", str(exc), maxsplit=1)[0]


def _require_bias(model: mdl.Model, theirs: mdl.Model, path: Path) -> None:
    """Raise TrainingError if the fixed biases differ from those of the checkpoint."""
    mine, before = model.fixed_bias, theirs.fixed_bias
    if np.array_equal(mine, before, equal_nan=True):
        return
    if model.output.components:
        others = ~((mine == before) | (np.isnan(mine) & np.isnan(before))).all(axis=1)
        names = ", ".join(model.type_map[a] for a in np.flatnonzero(others))
        what = f"is not what {path} was trained with for {names}"
    else:
        what = f"fixes {_fixed(model)}, but {path} was trained with {_fixed(theirs)}"
    raise TrainingError(
        f"model.preset_out_bias {what}: change it back, or use --init-model to begin a new run "
        "with it"
    )


def _fixed(model: mdl.Model) -> str:
    """Return the biases fixed by the settings, with their types."""
    unit = model.output.unit
    fixed = [a for a, value in enumerate(model.fixed_bias[:, 0]) if not np.isnan(value)]
    given = (f"{model.type_map[a]} at {model.fixed_bias[a, 0]:g} {unit}" for a in fixed)
    return ", ".join(given) or f"no {model.output.title}"

"""Validation on all validation data, and the best models by a given error (``validating``)."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ...data import System
from ...errors import DataError
from ...evaluation.metrics import Errors
from ...evaluation.predictions import at_once, compare, first_frames
from ...inference.potential import Potential
from ...outputs import OUTPUTS, quantities
from ...tree import Tree
from ..report.rows import RowFile, Tell, open_rows
from ..setup import checkpoint_files as ckpt
from ..setup.outputs import BEST_CKPT, best_folder
from ..setup.setup import Setup
from ..setup.task import Task

#: letter of ``validation_metric`` → its quantity
QUANTITIES = {letter: key for row in OUTPUTS.values() for letter, key in row.validation}
MEANS = ("MAE", "RMSE")
COLUMNS = tuple(f"{letter}:{mean}" for letter in QUANTITIES for mean in MEANS)

_HEAD = "# step " + " ".join(f"{column:>12}" for column in COLUMNS) + "\n"
_NOTE = "# E and V per atom in eV, F in eV/Å; nan without a label\n"


class ModelFiles(Protocol):
    """A writer of model files, now or when it is possible."""

    def write(self, path: Path, content: dict[str, Any]) -> object:
        """Write a file."""
        ...

    def remove(self, path: Path) -> object:
        """Remove a file if it is there."""
        ...


@dataclass
class FullValidation:
    """The schedule of full validations of a task, their file, and the best models so far.

    Parameters
    ----------
    output
        The folder of the run.
    after
        The step that a restart continues from; later lines of the file are dropped.
    tell
        Called with one sentence if something happens to the file.
    """

    setup: Setup
    task: Task
    output: Path
    after: int
    tell: Tell = print
    file: RowFile | None = field(default=None, init=False)  #: None without full validation
    _best: list[tuple[float, Path]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Start the file, or continue it."""
        self._settings = self.setup.config.validating
        self._potential: Potential | None = None
        if not self._settings.full_validation:
            return
        if self._settings.full_val_start != 1:
            self._check_metric()
        path = self.task.file(self.output / self._settings.full_val_file)
        self.file = open_rows(
            "validating.full_val_file",
            path,
            _HEAD + _NOTE,
            1 + len(COLUMNS),
            self.after,
            self.tell,
        )
        if self._settings.save_best:
            ckpt.set_aside(self._folder, self._prefix, self.after)
        for row in self.file.kept:
            remove = functools.partial(Path.unlink, missing_ok=True)
            self._remember(int(row.split()[0]), self._value(row), remove)

    @property
    def _systems(self) -> Sequence[System]:
        assert self.task.data.validation is not None
        return self.task.data.validation.source.systems

    @property
    def _folder(self) -> Path:
        return best_folder(self.setup.config, self.output)

    @property
    def _prefix(self) -> str:
        return str(self.task.file(Path(BEST_CKPT)))

    def _check_metric(self) -> None:
        """Raise if there is no label for the metric of the best models."""
        metric, systems = self._settings.validation_metric, self._systems
        label = quantities()[QUANTITIES[metric[0]]].label
        if not any(label in system.labels for system in systems):
            raise DataError(
                f"validating.validation_metric is {metric!r}, but no validation system has "
                f"{label} ({', '.join(system.name for system in systems)}); add it to the data or "
                "choose another metric"
            )

    def _value(self, row: str) -> float:
        place = COLUMNS.index(self._settings.validation_metric) + 1
        return float(row.split()[place])

    def _path(self, step: int) -> Path:
        return self._folder / ckpt.file_name(self._prefix, step)

    def _remember(self, step: int, value: float, remove: Callable[[Path], object]) -> bool:
        """Return True if a model is among the best, and forget the one it replaces."""
        if not math.isfinite(value):
            return False
        entry = (value, self._path(step))
        self._best = sorted([*self._best, entry])
        if self._settings.save_best:
            for _, path in self._best[self._settings.max_best_ckpt :]:
                remove(path)
        self._best = self._best[: self._settings.max_best_ckpt]
        return entry in self._best

    def due(self, step: int) -> bool:
        """Return True if all validation data are to be evaluated after this step."""
        start, steps = self._settings.full_val_start, self.setup.numb_steps
        first = start * steps if start < 1 else start
        wanted = self._settings.full_validation and start != 1 and step >= first
        # The last model is the final one, and therefore always compared.
        return wanted and (step % self._settings.validation_freq == 0 or step == steps)

    def rehearse(self, params: Tree) -> None:
        """Evaluate the first frames of each system as a validation of this run will.

        Whatever fails then fails before the first step. They are as many as are evaluated at once,
        so that nothing is compiled for them alone; nothing is written.

        Parameters
        ----------
        params
            Nested, as NumPy arrays.
        """
        potential = self._with(params)
        for system in self._systems:
            frames = first_frames(system, at_once(potential, system))
            self._compare(potential, system, frames)

    def _with(self, params: Tree) -> Potential:
        """Return the model with these parameters, nested NumPy arrays."""
        if self._potential is None:
            embedding = self.setup.config.model.embedding
            backend = self.setup.backend
            self._potential = Potential(self.task.model, params, backend, embedding=embedding)
        self._potential.set_params(params)
        return self._potential

    def _compare(
        self, potential: Potential, system: System, frames: np.ndarray | None = None
    ) -> Errors:
        return compare(potential, system, frames, coefficients=self.task.loss.coefficients)

    def run(self, step: int, params: Tree, content: dict[str, Any], models: ModelFiles) -> str:
        """Evaluate a model, keep it if it is among the best, and return a message.

        Parameters
        ----------
        params
            Nested, as NumPy arrays.
        content
            Content of its file.
        models
            Writes the file, and removes those that are no longer among the best.
        """
        assert self.file is not None
        potential = self._with(params)
        errors = sum((self._compare(potential, x) for x in self._systems), Errors())
        row = f"{step:6d} " + " ".join(f"{x:12.6e}" for x in _numbers(errors))
        self.file.add(row + "\n")
        metric, value = self._settings.validation_metric, self._value(row)
        best = self._remember(step, value, models.remove)
        if best and self._settings.save_best:
            models.write(self._path(step), content)
        said = f"all validation data at step {step}: {metric} {value:.4e}"
        return self.task.titled(f"{said}, among the best" if best else said)


def _numbers(errors: Errors) -> list[float]:
    """Return the errors in the order of :data:`COLUMNS`, NaN without a label."""
    return [
        (errors.mae if mean == "MAE" else errors.rmse)(key)
        if key in errors.number
        else float("nan")
        for key in QUANTITIES.values()
        for mean in MEANS
    ]

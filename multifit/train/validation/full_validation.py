"""Validation on all validation data, and the best models by a given error (``validating``)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ... import files
from ...data import System
from ...errors import DataError, TrainingError
from ...evaluation.metrics import Errors
from ...evaluation.predictions import compare
from ...inference.potential import Potential
from ...outputs import OUTPUTS, quantities
from ...tree import Tree
from ..report.lcurve import is_row, rewrite
from ..setup import checkpoint_files as ckpt
from ..setup.outputs import BEST_CKPT, best_folder
from ..setup.setup import Setup
from ..setup.task import Task

#: letter of ``validation_metric`` → its quantity
QUANTITIES = {letter: key for row in OUTPUTS.values() for letter, key in row.validation}
MEANS = ("MAE", "RMSE")
COLUMNS = tuple(f"{letter}:{mean}" for letter in QUANTITIES for mean in MEANS)

_HEAD = "# step " + " ".join(f"{column:>12}" for column in COLUMNS)
_NOTE = "# E and V per atom in eV, F in eV/Å; nan without a label"


@dataclass
class FullValidation:
    """The schedule of full validations of a task, their file, and the best models so far.

    Parameters
    ----------
    output
        The folder of the run.
    after
        The step that a restart continues from; later lines of the file are dropped.
    """

    setup: Setup
    task: Task
    output: Path
    after: int
    _best: list[tuple[float, Path]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Start the file, or continue it."""
        self._settings = self.setup.config.validating
        self._potential: Potential | None = None
        self._file = self.task.file(self.output / self._settings.full_val_file)
        if not self._settings.full_validation:
            return
        if self._settings.full_val_start != 1:
            self._check_metric()
        try:
            kept = _rows(self._file, self.after)
            self._file.parent.mkdir(parents=True, exist_ok=True)
            rewrite(self._file, "\n".join([_HEAD, _NOTE, *kept]) + "\n")
        except OSError as exc:
            raise self._error(exc) from exc
        if self._settings.save_best:
            ckpt.set_aside(self._folder, self._prefix, self.after)
        for row in kept:
            self._remember(int(row.split()[0]), self._value(row))

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

    def _error(self, exc: OSError) -> TrainingError:
        return TrainingError(
            f"validating.full_val_file {self._file} cannot be written ({exc.strerror}); check "
            "the free space and the permissions of its folder, or name another"
        )

    def _value(self, row: str) -> float:
        place = COLUMNS.index(self._settings.validation_metric) + 1
        return float(row.split()[place])

    def _path(self, step: int) -> Path:
        return self._folder / ckpt.file_name(self._prefix, step)

    def _remember(self, step: int, value: float) -> bool:
        """Return True if a model is among the best, and forget the one it replaces."""
        if not math.isfinite(value):
            return False
        entry = (value, self._path(step))
        self._best = sorted([*self._best, entry])
        if self._settings.save_best:
            for _, path in self._best[self._settings.max_best_ckpt :]:
                path.unlink(missing_ok=True)
        self._best = self._best[: self._settings.max_best_ckpt]
        return entry in self._best

    def due(self, step: int) -> bool:
        """Return True if all validation data are to be evaluated after this step."""
        start, steps = self._settings.full_val_start, self.setup.numb_steps
        first = start * steps if start < 1 else start
        wanted = self._settings.full_validation and start != 1 and step >= first
        # The last model is the final one, and therefore always compared.
        return wanted and (step % self._settings.validation_freq == 0 or step == steps)

    def run(self, step: int, params: Tree, content: dict[str, Any]) -> str:
        """Evaluate a model, keep it if it is among the best, and return a message.

        Parameters
        ----------
        params
            Nested, as NumPy arrays.
        content
            Content of its file.
        """
        if self._potential is None:
            self._potential = Potential(
                self.task.model,
                params,
                self.setup.backend,
                embedding=self.setup.config.model.embedding,
            )
        self._potential.set_params(params)
        weighted = self.task.loss.coefficients
        each = (compare(self._potential, x, coefficients=weighted) for x in self._systems)
        errors = sum(each, Errors())
        row = f"{step:6d} " + " ".join(f"{x:12.6e}" for x in _numbers(errors))
        try:
            with self._file.open("a", encoding="utf-8") as file:
                file.write(row + "\n")
        except OSError as exc:
            raise self._error(exc) from exc
        metric, value = self._settings.validation_metric, self._value(row)
        best = self._remember(step, value)
        if best and self._settings.save_best:
            path = self._path(step)
            path.parent.mkdir(parents=True, exist_ok=True)
            files.write(path, content)
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


def _rows(path: Path, step: int) -> list[str]:
    """Return the lines of an earlier run up to a step, without truncated ones."""
    if not step or not path.exists():
        return []
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    whole = [line for line in lines if is_row(line, 1 + len(COLUMNS))]
    return [line for line in whole if int(line.split()[0]) <= step]

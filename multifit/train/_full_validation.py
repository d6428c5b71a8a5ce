"""Validation on all validation data, and the best models by a chosen error (``validating``)."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .. import files
from ..comparison import compare
from ..evaluation import Errors
from ..potential import Potential
from ..tree import Tree
from ._setup import Setup

#: letter of ``validation_metric`` → the quantity it stands for
QUANTITIES = {"E": "energy_per_atom", "F": "force", "V": "virial_per_atom"}
MEANS = ("MAE", "RMSE")
COLUMNS = tuple(f"{letter}:{mean}" for letter in QUANTITIES for mean in MEANS)


@dataclass
class FullValidation:
    """When it is due, what it writes, and the best models so far.

    Parameters
    ----------
    output
        The folder of the run.
    after
        The step that a restart continues from; later lines of the file are dropped.
    """

    setup: Setup
    output: Path
    after: int
    _best: list[tuple[float, Path]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Begin the file, or continue it."""
        self._settings = self.setup.config.validating
        self._potential: Potential | None = None
        self._file = self.output / self._settings.full_val_file
        if not self._settings.full_validation:
            return
        kept = _rows(self._file, self.after)
        head = "# step " + " ".join(f"{column:>12}" for column in COLUMNS)
        note = "# E and V per atom in eV, F in eV/Å; nan without a label"
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._file.write_text("\n".join([head, note, *kept]) + "\n", encoding="utf-8")
        for row in kept:
            self._remember(int(row.split()[0]), self._value(row))

    def _value(self, row: str) -> float:
        place = COLUMNS.index(self._settings.validation_metric) + 1
        return float(row.split()[place])

    def _path(self, step: int) -> Path:
        folder = self._settings.save_best_dir
        parent = (self.output / self.setup.config.training.save_ckpt).parent
        return (parent if folder is None else self.output / folder) / f"best.ckpt-{step}.dp"

    def _remember(self, step: int, value: float) -> bool:
        """Return whether a model is among the best, and forget the one that no longer is."""
        entry = (value, self._path(step))
        self._best = sorted([*self._best, entry])
        for _, path in self._best[self._settings.max_best_ckpt :]:
            path.unlink(missing_ok=True)
        self._best = self._best[: self._settings.max_best_ckpt]
        return entry in self._best

    def due(self, step: int) -> bool:
        """Return whether all validation data are to be evaluated after this step."""
        start = self._settings.full_val_start
        first = start * self.setup.numb_steps if start < 1 else start
        wanted = self._settings.full_validation and start != 1 and step >= first
        return wanted and step % self._settings.validation_freq == 0

    def run(self, step: int, params: Tree, content: dict[str, Any]) -> str:
        """Evaluate a model, keep it if it is among the best, and return what to say.

        Parameters
        ----------
        params
            Nested, as NumPy arrays.
        content
            What its file holds.
        """
        assert self.setup.validation is not None
        if self._potential is None:
            self._potential = Potential(self.setup.model, params, self.setup.backend)
        self._potential.set_params(params)
        systems = self.setup.validation.systems
        errors = sum((compare(self._potential, system) for system in systems), Errors())
        row = f"{step:6d} " + " ".join(f"{x:12.6e}" for x in _numbers(errors))
        with self._file.open("a", encoding="utf-8") as file:
            file.write(row + "\n")
        metric, value = self._settings.validation_metric, self._value(row)
        best = self._remember(step, value)
        if best and self._settings.save_best:
            path = self._path(step)
            path.parent.mkdir(parents=True, exist_ok=True)
            files.write(path, content)
        return f"all validation data at step {step}: {metric} {value:.4e}" + (
            ", among the best" if best else ""
        )


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
    """Return the lines of an earlier run up to a step."""
    if not step or not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if not line.startswith("#") and int(line.split()[0]) <= step]

"""The deviation of several models during a run, written as DeePMD-kit's pair style writes it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...errors import EngineError
from ...inference.deviation import (
    Spread,
    force_deviation,
    over_atoms,
    over_components,
    row,
    virial_deviation,
)
from ._atoms import atoms_of
from ._forces import Found, ModelForces
from ._ranks import Ranks
from ._style import Style

if TYPE_CHECKING:
    from ._attach import Attachment

#: Columns of the file.
COLUMNS = (
    *("step", "max_devi_v", "min_devi_v", "avg_devi_v", "max_devi_f", "min_devi_f", "avg_devi_f"),
)


class ModelDeviation:
    """Deviations of further models from the one that drives a simulation.

    Parameters
    ----------
    others
        The further models.
    ranks
        The processes; the first one writes the file.
    style
        Says how often, where and what is written, and when a run stops.
    """

    def __init__(self, others: Sequence[ModelForces], ranks: Ranks, style: Style) -> None:
        self._others, self._ranks, self._style = others, ranks, style
        names = [f"{name:>{11 if name == 'step' else 19}}" for name in COLUMNS]
        self._write("w", "#" + "".join(names) + f"{'atm_devi_f(N)':>19}" * style.atomic + "\n")

    def __call__(self, step: int, attached: Attachment, found: Found) -> None:
        """Evaluate the models in an output step, and write a line; on all processes.

        Raises
        ------
        EngineError
            If the deviation of forces is larger than ``stop_at``.
        """
        style, ranks = self._style, self._ranks
        if step % style.out_freq:
            return
        atoms = atoms_of(attached.lmp)
        every = [found]
        for other in self._others:
            other.parameters.update(attached.lmp)
            every.append(other.evaluate(atoms))
        forces = force_deviation(np.stack([each.force for each in every]), style.relative)
        parts = ranks.gather((atoms.ident[: atoms.nlocal].copy(), forces))
        largest, text = 0.0, ""
        if parts is not None:
            idents, values = (np.concatenate(part) for part in zip(*parts, strict=True))
            f = values[np.argsort(idents)]
            virials = np.stack([each.virial for each in every])
            v = over_components(_of_virials(virials, max(len(f), 1), style.relative_v))
            spread = over_atoms(f)
            text = row(step, _floats(v), _floats(spread), atoms=f if style.atomic else None)
            largest = float(spread.maximum)
        self._write("a", text)
        largest = float(ranks.share(largest))
        if style.stop_at is not None and largest > style.stop_at:
            raise EngineError(
                f"the model deviation of forces is {largest:g} in step {step}, above stop_at "
                f"{style.stop_at:g}: the models do not know these structures; label some and train "
                "again, or raise stop_at"
            )

    def _write(self, mode: str, text: str) -> None:
        """Write to the file, on the first process; raise an error on all if that fails."""
        problem = None
        if self._ranks.rank == 0:
            try:
                with Path(self._style.out_file).open(mode, encoding="utf-8") as file:
                    file.write(text)
            except OSError as exc:
                problem = f"{self._style.out_file} cannot be written: {exc.strerror}"
        problem = self._ranks.share(problem)
        if problem is not None:
            raise EngineError(problem)


def _floats(spread: Spread) -> list[float]:
    return [float(x) for x in spread]


def _of_virials(virial: np.ndarray, natoms: int, level: float | None) -> np.ndarray:
    """Return the deviation of each component, (9,) in eV per atom, or relative to its mean + level.

    Parameters
    ----------
    virial
        Of each model, eV, (nmodels, 3, 3).
    """
    found = virial_deviation(virial, natoms)
    if level is not None:  # DeePMD-kit divides by each component, and not by the norm of all
        found = found / (np.abs(virial.mean(axis=0) / natoms).ravel() + level)
    return found

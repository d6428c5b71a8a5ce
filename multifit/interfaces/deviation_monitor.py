"""Deviation between models along a simulation with ASE, for active learning."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ConfigError, DataError, EngineError
from ..files import old_name
from ..inference.deviation import (
    ABSOLUTE,
    Deviations,
    Levels,
    check_models,
    deviations,
    header,
    rows,
)
from ..inference.ensemble import Ensemble
from . import require

log = logging.getLogger("multifit")


class DeviationMonitor:
    """An observer that writes the deviation between models, and ends runs that leave the data.

    The calculator of the atoms, usually the first model, drives the simulation. The models are
    evaluated only when the observer is called; they share the neighbours.

    Parameters
    ----------
    ensemble
        At least two energy models.
    atoms
        The ``ase.Atoms`` of the simulation.
    path
        The file with a row for each call, as of ``multifit model-devi``; replaced if it exists.
    stop
        eV/Å (or relative): the largest deviation of a force with which the simulation goes on.
        Above it, the structure is written and :class:`multifit.errors.EngineError` is raised.
    select
        eV/Å (or relative): structures with a larger deviation of a force are appended to a file, to
        be labelled.
    levels
        For relative deviations.
    dynamics
        Its ``nsteps`` is the number of the step; by default the calls are counted.
    skin
        As for :meth:`multifit.Potential.predict`.
    fparam, aparam
        Parameters of the frame and of the atoms, if the models have them.

    Attributes
    ----------
    selected : pathlib.Path
        The file with the selected structures and the last one of a stopped run: ``path`` with
        ``_selected.xyz`` instead of its extension, in the format extxyz. One of an earlier
        simulation is kept with ``.old``, ``.old2``, … added to its name.
    last : multifit.inference.deviation.Deviations or None
        The result of the last call.

    Raises
    ------
    EngineError
        In a call, if the deviation is above ``stop``.

    Examples
    --------
    >>> ensemble = Ensemble(["a.dp", "b.dp", "c.dp"])  # doctest: +SKIP
    >>> atoms.calc = MultifitCalculator(ensemble.potentials[0])  # doctest: +SKIP
    >>> dyn = Langevin(atoms, 0.5 * fs, temperature_K=300, friction=0.01)  # doctest: +SKIP
    >>> monitor = DeviationMonitor(
    ...     ensemble, atoms, "md.out", stop=0.5, dynamics=dyn
    ... )  # doctest: +SKIP
    >>> dyn.attach(monitor, interval=10)  # doctest: +SKIP
    """

    def __init__(
        self,
        ensemble: Ensemble,
        atoms: Any,
        path: str | Path = "md.out",
        *,
        stop: float | None = None,
        select: float | None = None,
        levels: Levels = ABSOLUTE,
        dynamics: Any = None,
        skin: float = 1.0,
        fparam: Sequence[float] | np.ndarray | None = None,
        aparam: np.ndarray | None = None,
    ) -> None:
        require("ase", "ase")
        check_models(ensemble)
        for name, level in {"stop": stop, "select": select}.items():
            if level is not None and not level > 0:
                raise ConfigError(f"{name} is {level}, but must be a deviation above 0")
        self.ensemble, self.atoms, self.path = ensemble, atoms, Path(path)
        self.stop, self.select, self.levels = stop, select, levels
        self.dynamics = dynamics
        self.selected = self.path.with_name(f"{self.path.stem}_selected.xyz")
        self.last: Deviations | None = None
        self._given: dict[str, Any] = {"fparam": fparam, "aparam": aparam, "skin": skin}
        self._calls = 0
        ensemble.potentials[0].type_indices([str(symbol) for symbol in atoms.symbols])
        self._write(header(), "w")
        self._keep_earlier()

    def __call__(self) -> None:
        """Evaluate all models, and write a row."""
        atoms = self.atoms
        outputs = self.ensemble.predict(
            atoms.positions,
            [str(symbol) for symbol in atoms.symbols],
            atoms.cell.array if atoms.pbc.any() else None,
            pbc=atoms.pbc,
            **self._given,
        )
        step = self._calls if self.dynamics is None else int(self.dynamics.nsteps)
        self._calls += 1
        found = self.last = deviations(outputs, self.levels)
        self._write(rows(found, [step]), "a")
        largest = float(found.force.maximum[0])
        # A deviation that is not a number is not small.
        above = [level is not None and not largest <= level for level in (self.select, self.stop)]
        if any(above):
            self._save(step, found)
        if above[1]:
            unit = "eV/Å" if self.levels.force is None else "relative to its magnitude"
            raise EngineError(
                f"step {step}: the force on atom {int(found.atoms[0].argmax())} deviates by "
                f"{largest:.3g} between the models ({unit}), more than stop = {self.stop:g}; label "
                f"the structure in {self.selected} and train the models again"
            )

    def _write(self, text: str, mode: str) -> None:
        """Write or append text to the file, so that a killed simulation leaves all rows."""
        try:
            with self.path.open(mode, encoding="utf-8") as file:
                file.write(text)
        except OSError as exc:
            raise DataError(
                f"{self.path} cannot be written ({exc.strerror or exc}); check its folder"
            ) from exc

    def _keep_earlier(self) -> None:
        """Rename structures that an earlier simulation selected: they may not be labelled yet."""
        if not self.selected.exists():
            return
        old = old_name(self.selected)
        try:
            self.selected.replace(old)
        except OSError as exc:
            raise DataError(
                f"{self.selected} cannot be renamed to {old.name} ({exc.strerror or exc}); move it "
                "away"
            ) from exc
        log.warning("%s of an earlier simulation is kept as %s", self.selected, old.name)

    def _save(self, step: int, found: Deviations) -> None:
        """Append the structure with its deviations to the file of selected structures."""
        from ase.io import write

        atoms = self.atoms.copy()
        atoms.calc = None
        atoms.info |= {"step": step, "max_devi_f": float(found.force.maximum[0])}
        atoms.arrays["force_deviation"] = found.atoms[0]
        write(self.selected, atoms, format="extxyz", append=True)

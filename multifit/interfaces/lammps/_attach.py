"""A model as the forces of a LAMMPS instance, through ``fix external``."""

from __future__ import annotations

import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...backend import Backend
from ...errors import EngineError, MultifitError, UnsupportedError
from ...inference.potential import Potential
from .._backend import as_potential
from ._atoms import SKIN, atoms_of
from ._elements import check_masses, types_of
from ._forces import Found, ModelForces
from ._library import ranks_of
from ._parameters import Parameters
from ._ranks import Ranks

#: The identifier of the fix in LAMMPS.
FIX = "multifit"

#: Components of a virial in LAMMPS' order.
VOIGT = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))


class Attachment:
    """The forces of a model in a LAMMPS instance; made by :func:`attach`.

    LAMMPS calls it in every step, on every process. It cannot raise an error there, because
    LAMMPS would go on: it stops the run, and :meth:`check` raises the error.

    Attributes
    ----------
    forces
        The model and its pairs.
    atom_virial
        True to compute virials of atoms in each step, as ``compute stress/atom`` needs.
    observers
        Functions called after each step with (step, attachment, results), on all processes.
    """

    def __init__(self, lmp: Any, forces: ModelForces, ranks: Ranks, atom_virial: bool) -> None:
        self.lmp, self.forces, self.ranks = lmp, forces, ranks
        self.atom_virial = atom_virial
        self.observers: list[Callable[[int, Attachment, Found], None]] = []
        self._error: BaseException | None = None
        self._checked = False
        self._computes: list[str] = []

    @property
    def potential(self) -> Potential:
        """The model."""
        return self.forces.potential

    def command(self, line: str) -> None:
        """Run a command of LAMMPS, and raise the error that it met in a step.

        Raises
        ------
        MultifitError
            If the simulation does not fit the model, or LAMMPS stops with an error.
        """
        self._look_at_computes()
        run_command(self.lmp, line)
        self.check()

    def check(self) -> None:
        """Raise the error that stopped the last run, if there was one."""
        if self._error is not None:
            raise self._error

    def __call__(
        self, caller: Any, step: int, nlocal: int, tag: np.ndarray, x: np.ndarray, f: np.ndarray
    ) -> None:
        """Set the forces of the local atoms; LAMMPS calls it."""
        f[:] = 0.0
        if self._error is not None:  # LAMMPS finishes the step that it is in
            return
        try:
            self._step(step, f)
        except BaseException as exc:  # ctypes would print it and go on
            if self.ranks.size > 1 and not isinstance(exc, MultifitError):
                # A defect, which only this process may have met; the others would wait for it.
                # In one piece: the end of all processes would cut off what follows the first.
                sys.stderr.write(traceback.format_exc())
                sys.stderr.flush()
                self.ranks.abort(1)
            self._error = exc
            self.lmp.force_timeout()

    def _step(self, step: int, force: np.ndarray) -> None:
        """Evaluate the model, and hand the results to LAMMPS."""
        atoms = atoms_of(self.lmp)
        if not self._checked:
            self._check_masses()
        self.forces.parameters.update(self.lmp)
        found = self.forces.evaluate(atoms, atom_virial=self.atom_virial)
        force[:] = found.force
        self._hand_over(found)
        for observe in self.observers:
            observe(step, self, found)

    def _check_masses(self) -> None:
        """Compare the masses of the types, which every process has, with their elements."""
        masses = self.lmp.numpy.extract_atom("mass")
        if masses is not None and not int(self.lmp.extract_setting("rmass_flag")):
            check_masses(self.forces.kinds, masses, self.potential.type_map)
        self._checked = True

    def _look_at_computes(self) -> None:
        """Compute virials of atoms from now on if a compute of LAMMPS needs them.

        Only the command ``info`` tells the styles of computes, and LAMMPS takes no command in a
        run.
        """
        known = self.lmp.available_ids("compute")
        if self.atom_virial or known == self._computes:
            return
        self._computes, found = known, False
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "computes"
            run_command(self.lmp, f"info computes out overwrite {path}")
            if self.ranks.rank == 0:  # which alone writes
                found = "stress/atom" in path.read_text(encoding="utf-8", errors="replace")
        self.atom_virial = bool(self.ranks.share(found))

    def _hand_over(self, found: Found) -> None:
        """Set energies and virials in LAMMPS."""
        lmp = self.lmp
        # Those of all atoms, on each process: LAMMPS does not sum them.
        lmp.fix_external_set_energy_global(FIX, found.energy)
        lmp.fix_external_set_virial_global(FIX, _voigt(found.virial[None])[0].tolist())
        if len(found.force):
            lmp.numpy.fix_external_set_energy_peratom(FIX, found.atom_energy)
            # A compute that asks for virials that are not computed gets no numbers, rather than
            # zeros.
            each = np.full((len(found.force), 6), np.nan)
            if found.atom_virial is not None:
                each = _voigt(found.atom_virial)
            lmp.numpy.fix_external_set_virial_peratom(FIX, each)


def attach(
    lmp: Any,
    model: str | Path | Potential,
    types: Sequence[str] = (),
    *,
    backend: str | Backend | None = None,
    fparam: Sequence[float] = (),
    aparam: Sequence[float] = (),
    fparam_from_compute: str | None = None,
    atom_virial: bool = False,
    skin: float = SKIN,
    reach: float = 0.0,
) -> Attachment:
    """Make a model the forces of a LAMMPS instance; to be called on all its processes.

    It replaces ``pair_style`` and ``pair_coeff``, and adds a fix with the ID ``multifit``. Fixes
    that change forces (``setforce``, ``langevin``, …) have to be defined after it.

    Parameters
    ----------
    lmp
        A ``lammps.lammps`` with a box and ``units metal``;
        :func:`multifit.interfaces.lammps.open_lammps` makes one.
    model
        A model file, or a loaded model of energies.
    types
        The element of each atom type in turn, as in ``pair_coeff * * O H``; by default, types are
        those of the model.
    backend
        By default, the fastest one for the number of atoms.
    fparam, aparam
        Parameters of the frame, and of each atom, as far as the model has them.
    fparam_from_compute
        The ID of a compute of LAMMPS that gives fparam in each step.
    atom_virial
        True to compute virials of atoms in each step, as ``compute stress/atom`` needs them. The
        :meth:`~Attachment.command` of the result sees such a compute itself; without both, its
        values are not numbers.
    skin
        Å; how far pairs are listed beyond the cutoff.
    reach
        Å; a cutoff that ghosts have to cover if it is larger than the model's.

    Returns
    -------
    Attachment
        Use its :meth:`~Attachment.command` for runs, or :meth:`~Attachment.check` after them.

    Raises
    ------
    EngineError
        If LAMMPS' units, atoms or types do not fit the model.

    Examples
    --------
    >>> lmp = open_lammps(["-log", "none"])  # doctest: +SKIP
    >>> lmp.command("units metal")  # doctest: +SKIP
    >>> lmp.command("read_data water.lmp")  # doctest: +SKIP
    >>> run = attach(lmp, "model.dp", ["O", "H"])  # doctest: +SKIP
    >>> run.command("fix 1 all nve")  # doctest: +SKIP
    >>> run.command("run 100")  # doctest: +SKIP
    """
    units = lmp.extract_global("units")
    if units != "metal":
        raise EngineError(
            f"LAMMPS uses units {units}, but the model is in Å and eV; write units metal, and give "
            "positions, masses, time steps and pressures in these units"
        )
    potential = as_potential(model, backend, int(lmp.get_natoms()) or None)
    check_model(potential)
    kinds = types_of(types, int(lmp.extract_setting("ntypes")), potential.type_map)
    ranks = ranks_of(lmp)
    parameters = Parameters(potential.model.fitting, fparam, aparam, fparam_from_compute)
    forces = ModelForces(potential, kinds, ranks, parameters, skin)
    made = Attachment(lmp, forces, ranks, atom_virial)
    if lmp.has_id("fix", FIX):
        run_command(lmp, f"unfix {FIX}")
    for line in (
        f"pair_style zero {max(potential.rcut, reach)} nocoeff",
        "pair_coeff * *",
        f"fix {FIX} all external pf/callback 1 1",
        f"fix_modify {FIX} energy yes virial yes",
    ):
        run_command(lmp, line)
    lmp.set_fix_external_callback(FIX, made, None)
    return made


def check_model(potential: Potential) -> None:
    """Raise an error for a model that has no forces, or none in domains.

    Raises
    ------
    EngineError
        If it predicts something else than energies.
    """
    model = potential.model
    if not model.output.derivatives:
        raise EngineError(
            f"the model predicts a {model.output.title}, and no energies and forces; a simulation "
            "needs a model of energies"
        )
    if model.fitting.use_aparam_as_mask:
        raise UnsupportedError(
            "use_aparam_as_mask marks absent atoms, which LAMMPS does not have; use predict"
        )


def run_command(lmp: Any, line: str) -> None:
    """Run a command of LAMMPS.

    Raises
    ------
    EngineError
        If LAMMPS stops with an error: its message.
    """
    try:
        lmp.command(line)
    except MultifitError:
        raise
    except Exception as exc:  # LAMMPS has no class for its errors
        if type(exc).__name__ == "MPIAbortException":  # met by this process alone
            ranks_of(lmp).abort(2)
        raise EngineError(f"LAMMPS: {_message(exc)}") from exc


def _message(exc: Exception) -> str:
    """Return LAMMPS' message without its prefix and the place in its source."""
    text = " ".join(str(exc).split()).removeprefix("ERROR: ").removeprefix("ERROR on proc 0: ")
    text = text.partition(" (src/")[0].replace(" For more information see ", "; see ")
    text = text.replace(".; see", "; see")
    if "boost neigh_modify one" in text:
        text += (
            "; write neigh_modify one 10000 page 100000 before the run: one is the number of "
            "neighbours that an atom may have, and page at least ten times as large"
        )
    return text


def _voigt(virial: np.ndarray) -> np.ndarray:
    """Return symmetric virials (n, 3, 3) as LAMMPS has them, (n, 6)."""
    return np.stack([0.5 * (virial[:, a, b] + virial[:, b, a]) for a, b in VOIGT], axis=1)

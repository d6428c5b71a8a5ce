"""A LAMMPS input file with ``pair_style multifit``, from its first line to its last."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from ...errors import EngineError, MultifitError
from ...inference.loading import load
from .._backend import default_backend
from ._attach import FIX, Attachment, attach, check_model, run_command
from ._deviation import ModelDeviation
from ._elements import types_of
from ._forces import ModelForces
from ._library import open_lammps, ranks_of
from ._parameters import Parameters
from ._ranks import Alone, Ranks
from ._script import Script
from ._style import STYLES, Style, is_ours, parse_coeff, parse_style

#: Exit code of a process whose error another one prints.
FAILED = 2

#: Fixes, by the beginning of their styles, that do not change forces: only these may be defined
#: before ``pair_coeff``, because fixes act in the order of their definition.
PASSIVE = (
    *("nve", "nvt", "npt", "nph", "ave/", "print", "balance", "momentum", "deposit", "halt"),
    *("store/", "vector", "dt/reset", "recenter", "box/relax", "evaporate", "temp/", "deform"),
    *("press/", "property/atom", "viscosity", "thermal/conductivity", "ehex", "controller"),
)


#: Commands that move atoms or use forces.
RUNS = ("run", "minimize", "rerun", "temper", "neb", "prd", "tad", "hyper", "dynamical_matrix")


class Driver:
    """The state of a run of an input file.

    Parameters
    ----------
    lmp
        LAMMPS.
    ranks
        Its processes.
    backend
        The name of a backend; by default, the fastest one for the number of atoms.
    """

    def __init__(self, lmp: Any, ranks: Ranks, backend: str | None) -> None:
        self._lmp, self._ranks, self._backend = lmp, ranks, backend
        self._style: Style | None = None
        self._attached: Attachment | None = None
        self._reach = 0.0  #: the largest cutoff of the models, Å
        self._fixes: dict[str, str] = {}
        self._restored = ""  #: the restart file of a run with a model, until the model is given
        self._stresses: set[str] = set()  #: computes that need virials of atoms

    def run(self, path: str) -> int:
        """Run an input file, and return its exit code."""
        return Script(
            self._lmp,
            self._ranks,
            {"pair_style": self._pair_style, "pair_coeff": self._pair_coeff},
            {
                "fix": self._fix,
                "unfix": self._unfix,
                "compute": self._compute,
                "uncompute": self._uncompute,
                "clear": self._clear,
                "neigh_modify": self._neigh_modify,
                "special_bonds": self._special_bonds,
                "read_restart": self._read_restart,
            },
            self._check,
            dict.fromkeys(RUNS, self._require_forces),
        ).run(path)

    def _check(self) -> None:
        """Raise the error that stopped a run."""
        if self._attached is not None:
            self._attached.check()

    def _pair_style(self, words: list[str]) -> bool:
        """Start a pair style of ours; return False for any other."""
        if not words or not is_ours(words[0]):
            if any(is_ours(word) for word in words):
                raise EngineError(
                    f"pair_style {words[0]} with {' or '.join(STYLES)} is not supported: the model "
                    "must be the only pair style"
                )
            self._detach()
            self._restored = ""
            return False
        self._detach()
        self._style = parse_style(words[1:])
        potentials = [load(path) for path in self._style.models]
        check_model(potentials[0])
        # Without pair_coeff, LAMMPS does not run: it misses coefficients. Ghosts reach as far as
        # any of the models sees.
        self._reach = max(each.rcut for each in potentials)
        run_command(self._lmp, f"pair_style zero {self._reach}")
        return True

    def _pair_coeff(self, words: list[str]) -> bool:
        """Attach the model, if the pair style is ours."""
        if self._style is None:
            return False
        elements = parse_coeff(words)
        self._check_fixes()
        natoms = int(self._lmp.get_natoms()) or None
        backend = self._backend or default_backend(natoms)
        style = self._style
        first = load(style.models[0], backend)
        self._attached = attach(
            self._lmp,
            first,
            elements,
            fparam=style.fparam,
            aparam=style.aparam,
            fparam_from_compute=style.fparam_from_compute,
            atom_virial=bool(self._stresses),
            reach=self._reach,
        )
        if len(style.models) > 1:
            # Without elements, the types are the first model's; another may have its own order.
            known = first.type_map
            named = elements or list(known[: int(self._lmp.extract_setting("ntypes"))])
            self._attached.observers.append(self._deviation(named, backend))
        self._announce(backend)
        return True

    def _deviation(self, elements: Sequence[str], backend: str) -> ModelDeviation:
        """Return what compares the further models with the first one."""
        assert self._style is not None
        assert self._attached is not None
        style, ntypes = self._style, int(self._lmp.extract_setting("ntypes"))
        others = []
        for path in style.models[1:]:
            potential = load(path, backend)
            check_model(potential)
            parameters = Parameters(
                potential.model.fitting, style.fparam, style.aparam, style.fparam_from_compute
            )
            kinds = types_of(elements, ntypes, potential.type_map)
            others.append(ModelForces(potential, kinds, self._ranks, parameters))
        return ModelDeviation(others, self._ranks, style)

    def _announce(self, backend: str) -> None:
        """Print what drives the simulation, as LAMMPS prints."""
        assert self._style is not None
        number, further = self._ranks.size, len(self._style.models) - 1
        run_command(
            self._lmp,
            f'print "multifit: {self._style.models[0]} on {backend}, '
            f"{number} process{'es' * (number > 1)}"
            + f", deviation of {further + 1} models to {self._style.out_file}" * (further > 0)
            + '"',
        )

    def _check_fixes(self) -> None:
        """Raise an error for fixes that would act before the model's forces are there."""
        for name, style in self._fixes.items():
            if not style.startswith(PASSIVE):
                raise EngineError(
                    f"fix {name} ({style}) is defined before pair_coeff: it would act on forces "
                    "that lack those of the model; move it after pair_coeff"
                )

    def _detach(self) -> None:
        """Remove the model, if there is one."""
        if self._attached is not None and self._lmp.has_id("fix", FIX):
            run_command(self._lmp, f"unfix {FIX}")
        self._style = self._attached = None

    def _fix(self, words: list[str]) -> None:
        if len(words) > 2:
            self._fixes[words[0]] = words[2]

    def _unfix(self, words: list[str]) -> None:
        self._fixes.pop(words[0], None)

    def _compute(self, words: list[str]) -> None:
        if len(words) > 2 and "stress/atom" in words[2]:
            self._stresses.add(words[0])
            self._set_atom_virial()

    def _uncompute(self, words: list[str]) -> None:
        self._stresses.discard(words[0])
        self._set_atom_virial()

    def _set_atom_virial(self) -> None:
        if self._attached is not None:
            self._attached.atom_virial = bool(self._stresses)

    def _neigh_modify(self, words: list[str]) -> None:
        if "exclude" in words:
            self._warn("neigh_modify exclude has no effect on the forces of a model")

    def _special_bonds(self, words: list[str]) -> None:
        self._warn("special_bonds has no effect on the forces of a model")

    def _read_restart(self, words: list[str]) -> None:
        if self._lmp.extract_global("pair_style") == "zero":
            self._restored = words[0]

    def _require_forces(self) -> None:
        """Raise an error if a run would move the atoms of a restart file without the model."""
        if self._restored and self._attached is None:
            raise EngineError(
                f"the restart file {self._restored} holds no model, so that its atoms would have "
                "no forces; write pair_style multifit and pair_coeff after read_restart"
            )

    def _warn(self, text: str) -> None:
        run_command(self._lmp, f'print "multifit: warning: {text}"')

    def _clear(self, words: list[str]) -> None:
        """Forget what LAMMPS has forgotten."""
        self._style = self._attached = None
        self._restored = ""
        self._fixes.clear()
        self._stresses.clear()


def run_file(path: str, arguments: Sequence[str] = (), backend: str | None = None) -> int:
    """Run an input file of LAMMPS in which ``pair_style multifit`` may stand.

    To be called on all processes of a run.

    Parameters
    ----------
    path
        The input file.
    arguments
        Options of ``lmp``: ``["-var", "T", "300"]``.
    backend
        The name of a backend; by default, the fastest one for the number of atoms.

    Returns
    -------
    int
        The exit code: that of the command ``quit``, or 0.

    Raises
    ------
    MultifitError
        If LAMMPS meets an error, or the model does not fit.
    """
    lmp = open_lammps(arguments)
    ranks: Ranks = Alone()
    try:
        ranks = ranks_of(lmp)
        return Driver(lmp, ranks, backend).run(path)
    except Exception as exc:
        if ranks.gathered():
            if ranks.rank and isinstance(exc, MultifitError):
                return FAILED  # the first process says what is wrong
            raise
        # The others wait for this process, and would do so forever.
        print(f"multifit: error: {exc}", file=sys.stderr, flush=True)
        ranks.abort(FAILED)
        raise
    finally:
        lmp.close()

r"""Deviations between the outputs of models, as DeePMD-kit defines them.

For models k = 1 … n with forces F, virials Ξ and energies E of N atoms,

.. math::

   σ_i = \sqrt{\tfrac1n \sum_k |F_i^k - \bar F_i|^2}, \qquad
   σ_{αβ} = \tfrac1N \sqrt{\tfrac1n \sum_k (Ξ^k_{αβ} - \barΞ_{αβ})^2}, \qquad
   σ_E = \tfrac1N \sqrt{\tfrac1n \sum_k (E^k - \bar E)^2}.

Labels, if given, replace the means: these are errors instead of deviations. Relative deviations are
σ_i / (‖F_i‖ + f) and σ_αβ / (‖Ξ‖/N + v) with the mean or the label in the denominator and levels f
in eV/Å and v in eV (Eqs. 71 and 72 of the paper of DeePMD-kit v2, arXiv:2304.09409).

A row of ``md.out`` has the step and the maximum, the minimum and the average of each. The average
of the virial is the root of the mean square over components, that of forces the mean over atoms.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..errors import ConfigError
from .ensemble import Ensemble

#: Names of the columns after the step.
COLUMNS = tuple(f"{kind}_devi_{key}" for key in "vf" for kind in ("max", "min", "avg"))
ENERGY, ATOMS = "devi_e", "atm_devi_f(N)"


class Spread(NamedTuple):
    """The largest, the smallest and the average deviation, each of any shape."""

    maximum: np.ndarray
    minimum: np.ndarray
    average: np.ndarray


@dataclass(frozen=True)
class Levels:
    """Levels of relative deviations; None for absolute ones."""

    force: float | None = None  #: eV/Å
    virial: float | None = None  #: eV per atom


ABSOLUTE = Levels()


def check_models(ensemble: Ensemble, errors: bool = False) -> None:
    """Raise an error unless models have deviations.

    Parameters
    ----------
    errors
        True for errors with respect to labels, which a single model has, too.

    Raises
    ------
    ConfigError
        If the models have no forces, or there is only one.
    """
    output = ensemble.potentials[0].model.output
    if not output.derivatives:
        raise ConfigError(
            f"the models predict a {output.title}, but deviations are those of energies and "
            "forces; give energy models"
        )
    if len(ensemble) < 2 and not errors:
        raise ConfigError("one model has no deviation; give at least two models")


def force_deviation(
    forces: np.ndarray, level: float | None = None, label: np.ndarray | None = None
) -> np.ndarray:
    """Return the deviation of the force on each atom in eV/Å, (…, natoms).

    The atoms of a domain are enough: each has its own deviation. Forces on them must be complete.

    Parameters
    ----------
    forces
        Of each model, (nmodels, …, natoms, 3) in eV/Å.
    level
        For relative deviations; eV/Å.
    label
        Forces (…, natoms, 3) to compare with, for errors instead of deviations.
    """
    centre = np.mean(forces, axis=0) if label is None else label
    square = np.square(np.asarray(forces) - centre)
    found: np.ndarray = np.sqrt(square.mean(axis=0).sum(axis=-1))
    return found if level is None else found / (np.linalg.norm(centre, axis=-1) + level)


def virial_deviation(
    virials: np.ndarray,
    natoms: np.ndarray | int,
    level: float | None = None,
    label: np.ndarray | None = None,
) -> np.ndarray:
    """Return the deviation of the nine components of the virial per atom in eV, (…, 9).

    Parameters
    ----------
    virials
        Of each model, (nmodels, …, 3, 3) in eV.
    natoms
        Number of atoms, one or (…).
    level
        For relative deviations; eV.
    label
        Virials (…, 3, 3) to compare with, for errors instead of deviations.
    """
    number = np.asarray(natoms, dtype=np.float64)[..., None]
    each = _nine(virials) / number
    centre = np.mean(each, axis=0) if label is None else _nine(label) / number
    found: np.ndarray = np.sqrt(np.mean(np.square(each - centre), axis=0))
    if level is None:
        return found
    return np.asarray(found / (np.linalg.norm(centre, axis=-1, keepdims=True) + level))


def energy_deviation(
    energies: np.ndarray, natoms: np.ndarray | int, label: np.ndarray | None = None
) -> np.ndarray:
    """Return the deviation of the energy per atom in eV, (…).

    Parameters
    ----------
    energies
        Of each model, (nmodels, …) in eV.
    natoms
        Number of atoms, one or (…).
    label
        Energies (…) to compare with, for errors instead of deviations.
    """
    each = np.asarray(energies)
    centre = np.mean(each, axis=0) if label is None else label
    found: np.ndarray = np.sqrt(np.mean(np.square(each - centre), axis=0)) / natoms
    return found


def over_atoms(deviation: np.ndarray, real: np.ndarray | None = None) -> Spread:
    """Return the spread of (…, natoms) over atoms.

    Parameters
    ----------
    real
        Mask of the atoms that count, (…, natoms); all by default. At least one must.
    """
    mask = np.ones(deviation.shape, dtype=bool) if real is None else real
    return Spread(
        np.max(deviation, axis=-1, where=mask, initial=-np.inf),
        np.min(deviation, axis=-1, where=mask, initial=np.inf),
        np.mean(deviation, axis=-1, where=mask),
    )


def over_components(deviation: np.ndarray) -> Spread:
    """Return the spread of (…, 9) over components."""
    average = np.linalg.norm(deviation, axis=-1) / 3.0
    return Spread(deviation.max(axis=-1), deviation.min(axis=-1), np.asarray(average))


@dataclass(frozen=True)
class Deviations:
    """The deviations of frames."""

    virial: Spread  #: eV per atom, (nframes,) each
    force: Spread  #: eV/Å, (nframes,) each
    energy: np.ndarray  #: eV per atom, (nframes,)
    atoms: np.ndarray  #: of the force on each atom, eV/Å, (nframes, natoms)


def deviations(
    outputs: Sequence[dict[str, np.ndarray]],
    levels: Levels = ABSOLUTE,
    labels: dict[str, np.ndarray] | None = None,
    real: np.ndarray | None = None,
) -> Deviations:
    """Return the deviations between models for frames of equal numbers of atoms.

    Parameters
    ----------
    outputs
        Of each model, as :meth:`multifit.inference.ensemble.Ensemble.predict` returns them.
    levels
        For relative deviations of forces and virials.
    labels
        ``energy``, ``force`` and ``virial`` to compare with, for errors instead of deviations. The
        errors of missing ones are not a number.
    real
        Mask of real atoms, (nframes, natoms); all by default.
    """
    stacked = {
        key: np.stack([out[key] for out in outputs]) for key in ("energy", "force", "virial")
    }
    truth: dict[str, np.ndarray | None] = dict.fromkeys(stacked)
    if labels is not None:
        truth = {key: labels.get(key, np.full(x.shape[1:], np.nan)) for key, x in stacked.items()}
    shape = stacked["force"].shape[1:-1]
    mask = np.ones(shape, dtype=bool) if real is None else real
    natoms = mask.sum(axis=-1)
    atoms = force_deviation(stacked["force"], levels.force, truth["force"])
    return Deviations(
        over_components(
            virial_deviation(stacked["virial"], natoms, levels.virial, truth["virial"])
        ),
        over_atoms(atoms, mask),
        energy_deviation(stacked["energy"], natoms, truth["energy"]),
        atoms,
    )


def header(title: str | None = None, *, energy: bool = True, atoms: bool = False) -> str:
    """Return the lines above the rows, with the line end.

    Parameters
    ----------
    title
        A line above the names, such as the name of the system.
    energy, atoms
        As for :func:`row`: whether there is a column for the energy, and columns for atoms.
    """
    names = [*COLUMNS, *[ENERGY] * energy, *[ATOMS] * atoms]
    above = "" if title is None else f"# {title}\n"
    return f"{above}# {'step':10s}{''.join(f'{name:19s}' for name in names)}\n"


def row(
    step: int,
    virial: Sequence[float] | Spread,
    force: Sequence[float] | Spread,
    energy: float | None = None,
    atoms: Sequence[float] | np.ndarray | None = None,
) -> str:
    """Return a row of ``md.out``, with the line end.

    DeePMD-kit's pair style for LAMMPS writes the same rows without the energy.

    Parameters
    ----------
    virial, force
        Maximum, minimum and average, numbers.
    energy
        Left out if None, as the deviations ``atoms`` (natoms,) of the force on each atom are.
    """
    values = [*virial, *force, *([] if energy is None else [energy])]
    values += [] if atoms is None else list(atoms)
    return f"{step:12d}{''.join(f'{value:19.6e}' for value in values)}\n"


def rows(found: Deviations, steps: Sequence[int] | np.ndarray, *, atoms: bool = False) -> str:
    """Return a row for each frame; with ``atoms``, also the deviation of each atom."""
    return "".join(
        row(
            int(step),
            [float(x[f]) for x in found.virial],
            [float(x[f]) for x in found.force],
            float(found.energy[f]),
            found.atoms[f] if atoms else None,
        )
        for f, step in enumerate(steps)
    )


def _nine(virials: np.ndarray) -> np.ndarray:
    """Return (…, 9) from (…, 3, 3)."""
    x = np.asarray(virials)
    return x.reshape(*x.shape[:-2], 9)

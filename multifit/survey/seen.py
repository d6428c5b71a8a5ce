"""Summary of all systems of a data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..data import System, snapshot, where
from ..neighbors.search import Pairs, find_pairs
from .scan import Scope, SystemSurvey, joined_ranges


@dataclass(frozen=True, eq=False)
class Survey:
    """Summary of the frames of all systems.

    Attributes
    ----------
    type_map
        Names of the types.
    rcut
        Cutoff in Å.
    nframes
        Number of frames looked at.
    nearest
        Smallest distance of each pair of types in Å, ∞ for none within the cutoff,
        (ntypes, ntypes).
    nearest_at
        The set and frame with this distance, empty for none, [ntypes][ntypes].
    fullest
        The most neighbours of each type around one atom, (ntypes,).
    fullest_at
        The set and frame with so many, empty for a type that is never a neighbour, (ntypes,).
    together, together_at
        The most neighbours of all types around one atom, and the set and frame with so many.
    inner, inner_at
        The same within each of the shorter cutoffs, (shells,).
    natoms
        Most atoms of each type in one frame, (ntypes,); 0 for types that do not occur.
    energy_per_atom
        Lowest and highest energy per atom in eV; None without energies.
    force
        Largest component of a force in eV/Å; None without forces.
    fparam, aparam
        Lowest and highest value of each component, (2, numb); (2, 0) without.
    """

    type_map: tuple[str, ...]
    rcut: float
    nframes: int
    nearest: np.ndarray
    nearest_at: tuple[tuple[str, ...], ...]
    fullest: tuple[int, ...]
    fullest_at: tuple[str, ...]
    together: int
    together_at: str
    inner: tuple[int, ...]
    inner_at: tuple[str, ...]
    natoms: tuple[int, ...]
    energy_per_atom: tuple[float, float] | None
    force: float | None
    fparam: np.ndarray
    aparam: np.ndarray

    @property
    def elements(self) -> tuple[str, ...]:
        """The names of the types that occur, in the order of ``type_map``."""
        return tuple(
            name for name, number in zip(self.type_map, self.natoms, strict=True) if number
        )

    @property
    def distance(self) -> float:
        """The smallest distance of two atoms in Å; ∞ if no two are within the cutoff."""
        return float(self.nearest.min(initial=np.inf))


def combine(systems: Sequence[System], found: Sequence[SystemSurvey], rcut: float) -> Survey:
    """Return what all systems hold together.

    Parameters
    ----------
    systems
        At least one; all have the same ``type_map``.
    found
        The survey of each system.
    rcut
        Its cutoff in Å.
    """
    names = systems[0].type_map
    ntypes = len(names)
    nearest, which = np.full((ntypes, ntypes), np.inf), np.full((ntypes, ntypes), -1)
    for k, one in enumerate(found):
        which = np.where(one.nearest < nearest, k, which)
        nearest = np.minimum(one.nearest, nearest)
    at = tuple(
        tuple(
            "" if k < 0 else where(systems[k], int(found[k].nearest_frame[a, b]))
            for b, k in enumerate(row)
        )
        for a, row in enumerate(which.tolist())
    )
    fullest, places = _peaks(systems, [one.most for one in found])
    (together,), (crowded,) = _peaks(systems, [one.together[:, None] for one in found])
    inner, crowds = _peaks(systems, [one.inner for one in found])
    energies = [one.energy / one.atoms.sum(axis=1) for one in found if one.energy.size]
    per_atom = np.concatenate(energies) if energies else None
    forces = [float(one.force.max()) for one in found if one.force.size]
    return Survey(
        type_map=names,
        rcut=rcut,
        nframes=sum(one.nframes for one in found),
        nearest=nearest,
        nearest_at=at,
        fullest=fullest,
        fullest_at=places,
        together=together,
        together_at=crowded,
        inner=inner,
        inner_at=crowds,
        natoms=tuple(np.max([one.atoms.max(axis=0) for one in found], axis=0).tolist()),
        energy_per_atom=None if per_atom is None else (per_atom.min(), per_atom.max()),
        force=max(forces, default=None),
        fparam=joined_ranges(_same_size([one.fparam for one in found])),
        aparam=joined_ranges(_same_size([one.aparam for one in found])),
    )


def _peaks(
    systems: Sequence[System], most: Sequence[np.ndarray]
) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Return the largest number of each column, and the set and frame with it, empty for 0.

    Parameters
    ----------
    most
        Numbers of each frame, (nframes, columns) for each system.
    """
    columns = [fullest_frame([one[:, k] for one in most]) for k in range(most[0].shape[1])]
    return (
        tuple(number for _, _, number in columns),
        tuple(where(systems[k], index) if number else "" for k, index, number in columns),
    )


def fullest_frame(most: Sequence[np.ndarray]) -> tuple[int, int, int]:
    """Return the system and frame in which an atom has the most neighbours, and their number.

    Parameters
    ----------
    most
        The most neighbours around one atom of each frame, (nframes,) for each system.
    """
    peaks = [int(each.max()) for each in most]
    k = int(np.argmax(peaks))
    return k, int(np.argmax(most[k])), peaks[k]


def _same_size(ranges: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return the ranges with as many components as the first that has any."""
    size = next((each.shape[1] for each in ranges if each.size), 0)
    return [each for each in ranges if each.shape[1] == size]


# ------------------------------------------------------------------------ the atoms themselves


def closest_atoms(systems: Sequence[System], found: Sequence[SystemSurvey], scope: Scope) -> str:
    """Return the two closest atoms and their frame in words; empty if none are in reach."""
    k = int(np.argmin([one.nearest.min(initial=np.inf) for one in found]))
    one = found[k]
    if not np.isfinite(one.nearest).any():
        return ""
    index = int(one.nearest_frame.ravel()[one.nearest.argmin()])
    real, kinds, pairs, place = _pairs(systems[k], index, scope)
    at = int(np.argmin(pairs.distance))
    i, j = int(pairs.i[at]), int(pairs.j[at])
    names = systems[k].type_map
    return f"{names[kinds[i]]}–{names[kinds[j]]}, atoms {real[i]} and {real[j]} (from 0) in {place}"


def fullest_atom(
    systems: Sequence[System], found: Sequence[SystemSurvey], scope: Scope, b: int
) -> str:
    """Return the atom with the most neighbours of a type in words; empty if none has any."""
    k, index, most = fullest_frame([one.most[:, b] for one in found])
    if not most:
        return ""
    real, kinds, pairs, place = _pairs(systems[k], index, scope)
    i = int(np.bincount(pairs.i[kinds[pairs.j] == b], minlength=len(real)).argmax())
    return f"{systems[k].type_map[kinds[i]]}, atom {real[i]} in {place}"


def _pairs(system: System, index: int, scope: Scope) -> tuple[np.ndarray, np.ndarray, Pairs, str]:
    """Return the real atoms of a frame, their types, their pairs, and the frame's name."""
    arrays = system.load(np.array([index]), ["aparam"] if scope.masked else ())
    one = snapshot(system, index, arrays, 0, scope.masked)
    real = np.flatnonzero(one.atype >= 0)
    pairs = find_pairs(one.coord[real], one.cell, one.pbc, scope.rcut, where=one.where)
    return real, one.atype[real], pairs, one.where

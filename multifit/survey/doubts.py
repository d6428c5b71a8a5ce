"""Signs of wrong units in data: distances, energies and forces that no real data have.

The limits are wide, so that hot and dense frames, isolated atoms and clusters pass: a warning is an
error of the data in all likelihood, but data without a warning may still be wrong.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ..data import System, where
from .scan import SystemSurvey

#: Covalent radii in Å: B. Cordero et al., Dalton Trans. 2008, 2832 (low spin; C sp3).
_RADII = """
    H 0.31 He 0.28 Li 1.28 Be 0.96 B 0.84 C 0.76 N 0.71 O 0.66 F 0.57 Ne 0.58 Na 1.66
    Mg 1.41 Al 1.21 Si 1.11 P 1.07 S 1.05 Cl 1.02 Ar 1.06 K 2.03 Ca 1.76 Sc 1.7 Ti 1.6
    V 1.53 Cr 1.39 Mn 1.39 Fe 1.32 Co 1.26 Ni 1.24 Cu 1.32 Zn 1.22 Ga 1.22 Ge 1.2 As 1.19
    Se 1.2 Br 1.2 Kr 1.16 Rb 2.2 Sr 1.95 Y 1.9 Zr 1.75 Nb 1.64 Mo 1.54 Tc 1.47 Ru 1.46
    Rh 1.42 Pd 1.39 Ag 1.45 Cd 1.44 In 1.42 Sn 1.39 Sb 1.39 Te 1.38 I 1.39 Xe 1.4 Cs 2.44
    Ba 2.15 La 2.07 Ce 2.04 Pr 2.03 Nd 2.01 Pm 1.99 Sm 1.98 Eu 1.98 Gd 1.96 Tb 1.94 Dy 1.92
    Ho 1.92 Er 1.89 Tm 1.9 Yb 1.87 Lu 1.87 Hf 1.75 Ta 1.7 W 1.62 Re 1.51 Os 1.44 Ir 1.41
    Pt 1.36 Au 1.36 Hg 1.32 Tl 1.45 Pb 1.46 Bi 1.48 Po 1.4 At 1.5 Rn 1.5 Fr 2.6 Ra 2.21
    Ac 2.15 Th 2.06 Pa 2 U 1.96 Np 1.9 Pu 1.87 Am 1.8 Cm 1.69
"""
RADII = {name: float(r) for name, r in zip(_RADII.split()[::2], _RADII.split()[1::2], strict=True)}

#: Elements whose atoms are not bonded, so that they are far apart in Å, too.
UNBONDED = frozenset(("He", "Ne", "Ar", "Kr", "Xe", "Rn"))

#: Smallest plausible distance: in Å, and as a fraction of the sum of covalent radii.
SHORT, FRACTION = 0.5, 0.4

#: A closest pair of plausible data, as fractions of the sum of covalent radii.
BOND = (0.8, 1.1)

#: Å in a Bohr, and in a nm.
BOHR, NM = 0.529177, 10.0

#: eV per atom that no frame is away from a fit to all frames: more than any energy of cohesion.
FAR = 15.0

#: Forces in eV/Å that most frames do not have unless atoms are very close.
STRONG, CLOSE = 50.0, 0.6

#: Forces in eV/Å, and times the median of all frames, that no frame has unless atoms are close.
ABSURD, TIMES = 1e3, 1e3

#: Repetitions of the fit of energies.
ROUNDS = 30


def doubts(systems: Sequence[System], found: Sequence[SystemSurvey]) -> Iterator[str]:
    """Yield a sentence for each kind of doubtful value, naming its frame and a likely reason.

    Parameters
    ----------
    systems
        At least one; all have the same ``type_map``.
    found
        The survey of each.
    """
    yield from _distances(systems, found)
    yield from _energies(systems, found)
    yield from _forces(systems, found)
    yield from _single_forces(systems, found)


def is_short(names: Sequence[str], nearest: np.ndarray) -> np.ndarray:
    """Return True for distances of two types that are too short to be real, (ntypes, ntypes)."""
    return np.asarray(nearest < shortest(names))


def shortest(names: Sequence[str]) -> np.ndarray:
    """Return the smallest plausible distance of two types in Å, (ntypes, ntypes)."""
    return np.asarray(np.maximum(SHORT, FRACTION * _bonds(names)))


def _bonds(names: Sequence[str]) -> np.ndarray:
    """Return the sum of covalent radii of two types in Å, 0 for unknown ones, (ntypes, ntypes)."""
    radii = np.array([RADII.get(name, np.nan) for name in names])
    bonds: np.ndarray = np.nan_to_num(radii[:, None] + radii)
    return bonds


def _distances(systems: Sequence[System], found: Sequence[SystemSurvey]) -> Iterator[str]:
    """Yield warnings about pairs that are too close, or all too far."""
    names = systems[0].type_map
    bonds, ratio, place = _bonds(names), np.inf, (0, 0, 0)
    for k, one in enumerate(found):
        with np.errstate(divide="ignore"):
            relative = one.nearest / bonds
        # Without a radius, Å instead.
        relative = np.where(bonds > 0, relative, one.nearest)
        if relative.min() < ratio:
            ratio = float(relative.min())
            place = (k, *divmod(int(relative.argmin()), len(names)))
    k, a, b = place
    short = [i for i, one in enumerate(found) if is_short(names, one.nearest).any()]
    if short:
        if k not in short:
            k = short[0]
        yield _too_short(systems, found, short, k)
    # No more than a question: crystals of model potentials have such distances, too.
    elif np.isfinite(ratio) and bonds[a, b] and not {names[a], names[b]} & UNBONDED:
        low, high = BOND
        if low < ratio * BOHR < high and ratio > 1.5:
            r = found[k].nearest[a, b]
            yield (
                f"no two atoms are nearer than {r:.2f} Å ({names[a]}–{names[b]} in "
                f"{where(systems[k], int(found[k].nearest_frame[a, b]))}), about 1.9 times a bond: "
                "are coordinates and cells in Bohr instead of Å?"
            )


def _too_short(
    systems: Sequence[System], found: Sequence[SystemSurvey], short: Sequence[int], k: int
) -> str:
    """Return the warning about atoms that are too close, those of system ``k`` first."""
    names, one = systems[0].type_map, found[k]
    distance = np.where(is_short(names, one.nearest), one.nearest, np.inf)
    a, b = divmod(int(distance.argmin()), len(names))
    r, bond = one.nearest[a, b], _bonds(names)[a, b]
    others = f", and atoms are as close in {len(short) - 1} more" if len(short) > 1 else ""
    others += f" system{'s' * (len(short) > 2)}" if others else ""
    scaled = NM * r / bond if bond else 0.0
    hint = (
        "are coordinates and cells in nm instead of Å?"
        if BOND[0] * 0.8 < scaled < 1.5 * BOND[1]
        else "check the frame, and that its coordinates and cell are in Å"
    )
    return (
        f"warning: {names[a]} and {names[b]} are only {r:.3g} Å apart in "
        f"{where(systems[k], int(one.nearest_frame[a, b]))}{others}: {hint}"
    )


def _energies(systems: Sequence[System], found: Sequence[SystemSurvey]) -> Iterator[str]:
    """Yield a warning about energies per atom far from a fit of one energy for each element."""
    having = [k for k, one in enumerate(found) if one.energy.size]
    if not having:
        return
    atoms = np.concatenate([found[k].atoms for k in having]).astype(np.float64)
    energy = np.concatenate([found[k].energy for k in having])
    number = atoms.sum(axis=1)
    off = np.abs(_residuals(atoms / number[:, None], energy / number))
    far = np.flatnonzero(off > FAR)
    if not far.size:
        return
    owner = np.repeat(having, [found[k].nframes for k in having])
    first = np.concatenate([np.arange(found[k].nframes) for k in having])
    worst = int(far[np.argmax(off[far])])
    k, frame = int(owner[worst]), int(first[worst])
    among = {systems[i].name for i in owner[far].tolist()}
    count = f"{far.size} frame{'s' * (far.size != 1)}"
    yield (
        f"warning: the energies of {count} in {len(among)} system{'s' * (len(among) != 1)} are up "
        f"to {off[worst]:.3g} eV/atom away from those of similar frames, the farthest in "
        f"{where(systems[k], frame)} ({energy[worst]:.6g} eV for {int(number[worst])} atoms): are "
        "they in Hartree or kcal/mol instead of eV, or energies per atom beside total ones?"
    )


def _residuals(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return y − x b for the b with the smallest sum of absolute residuals.

    Least squares with repeated weights: unlike a plain fit, it is not drawn to the wrong frames.
    """
    weight, left = np.ones(len(y)), y
    for _ in range(ROUNDS):
        root = np.sqrt(weight)
        b, *_ = np.linalg.lstsq(x * root[:, None], y * root, rcond=1e-8)
        left = y - x @ b
        weight = 1.0 / np.maximum(np.abs(left), 1e-3)
    return np.asarray(left)


def _forces(systems: Sequence[System], found: Sequence[SystemSurvey]) -> Iterator[str]:
    """Yield a warning about systems with strong forces in most frames, though no atoms are close.

    Weak forces are no sign of wrong units: frames may be relaxed.
    """
    distant = _distant(systems[0].type_map, found)
    strong = [k for k in distant if np.median(found[k].force) > STRONG]
    if not strong:
        return
    k = max(strong, key=lambda k: float(np.median(found[k].force)))
    more = f" and {len(strong) - 1} more system{'s' * (len(strong) > 2)}" * (len(strong) > 1)
    yield (
        f"warning: most frames of {systems[k].name}{more} have forces of about "
        f"{np.median(found[k].force):.3g} eV/Å, though no atoms are close: are they in another "
        "unit, such as kcal/mol/Å or meV/Å?"
    )


def _distant(names: Sequence[str], found: Sequence[SystemSurvey]) -> list[int]:
    """Return the systems with forces in which no atoms are close."""
    bonds = CLOSE * _bonds(names)
    return [k for k, one in enumerate(found) if one.force.size and (one.nearest > bonds).all()]


def _single_forces(systems: Sequence[System], found: Sequence[SystemSurvey]) -> Iterator[str]:
    """Yield a warning about frames with forces that no other frame has.

    The squares of a few such forces outweigh the loss of all other frames.
    """
    forces = np.concatenate([one.force for one in found])
    if not forces.size:
        return
    usual = float(np.median(forces))
    limit, count, worst = max(ABSURD, TIMES * usual), 0, (0.0, 0, 0)
    for k in _distant(systems[0].type_map, found):
        one = found[k]
        frame = int(one.force.argmax())
        count += int((one.force > limit).sum())
        worst = max(worst, (float(one.force[frame]), k, frame))
    if not count:
        return
    force, k, frame = worst
    what = "1 frame has forces" if count == 1 else f"{count} frames have forces"
    yield (
        f"warning: {what} above {limit:.3g} eV/Å though no atoms are close, the largest "
        f"{force:.3g} eV/Å in {where(systems[k], frame)} (half of all frames have at most "
        f"{usual:.2g}): correct or remove them, as they outweigh all others in the loss"
    )

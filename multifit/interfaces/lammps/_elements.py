"""Elements of the types of LAMMPS: which ones a model knows, and whether masses confirm them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...errors import EngineError, did_you_mean

#: Word for a type whose atoms the model does not see.
NO_ELEMENT = "NULL"

#: Standard atomic weights in g/mol, hydrogen first (IUPAC 2021, abridged).
TABLE = (
    "H 1.008 He 4.0026 Li 6.94 Be 9.0122 B 10.81 C 12.011 N 14.007 O 15.999 F 18.998 Ne 20.180 "
    "Na 22.990 Mg 24.305 Al 26.982 Si 28.085 P 30.974 S 32.06 Cl 35.45 Ar 39.95 K 39.098 Ca 40.078 "
    "Sc 44.956 Ti 47.867 V 50.942 Cr 51.996 Mn 54.938 Fe 55.845 Co 58.933 Ni 58.693 Cu 63.546 "
    "Zn 65.38 Ga 69.723 Ge 72.630 As 74.922 Se 78.971 Br 79.904 Kr 83.798 Rb 85.468 Sr 87.62 "
    "Y 88.906 Zr 91.224 Nb 92.906 Mo 95.95 Tc 97 Ru 101.07 Rh 102.91 Pd 106.42 Ag 107.87 "
    "Cd 112.41 In 114.82 Sn 118.71 Sb 121.76 Te 127.60 I 126.90 Xe 131.29 Cs 132.91 Ba 137.33 "
    "La 138.91 Ce 140.12 Pr 140.91 Nd 144.24 Pm 145 Sm 150.36 Eu 151.96 Gd 157.25 Tb 158.93 "
    "Dy 162.50 Ho 164.93 Er 167.26 Tm 168.93 Yb 173.05 Lu 174.97 Hf 178.49 Ta 180.95 W 183.84 "
    "Re 186.21 Os 190.23 Ir 192.22 Pt 195.08 Au 196.97 Hg 200.59 Tl 204.38 Pb 207.2 Bi 208.98 "
    "Th 232.04 Pa 231.04 U 238.03"
)
WEIGHT = dict(zip(TABLE.split()[::2], map(float, TABLE.split()[1::2]), strict=True))

#: Relative deviation up to which a mass is that of an element. Isotopes deviate more.
SAME_MASS = 0.02


def types_of(elements: Sequence[str], ntypes: int, type_map: Sequence[str]) -> np.ndarray:
    """Return the model's type of each type of LAMMPS, (ntypes + 1,) int64, as LAMMPS counts from 1.

    Parameters
    ----------
    elements
        The name of each type in turn, as in ``pair_coeff * * O H``; none if the types are the
        model's own, in its order. ``NULL`` is a type that the model does not see.
    ntypes
        Number of types in LAMMPS.
    type_map
        Names of the model's types.

    Raises
    ------
    EngineError
        If a type has no element, or one that the model lacks.
    """
    names = list(elements) or list(type_map[:ntypes])
    if len(names) != ntypes:
        what = "pair_coeff names" if elements else "the model has only"
        raise EngineError(
            f"LAMMPS has {ntypes} atom types, but {what} {len(names)} "
            f"element{'s' * (len(names) != 1)} ({' '.join(names)}); write "
            "pair_coeff * * with one element for each type"
        )
    for number, name in enumerate(names, start=1):
        if name not in type_map and name != NO_ELEMENT:
            raise EngineError(
                f"pair_coeff says that type {number} is {name!r}, but the model knows "
                f"{', '.join(type_map)}{did_you_mean(name, type_map)}"
            )
    index = {name: number for number, name in enumerate(type_map)} | {NO_ELEMENT: -1}
    return np.array([-1, *(index[name] for name in names)], dtype=np.int64)


def check_masses(kinds: np.ndarray, masses: np.ndarray, type_map: Sequence[str]) -> None:
    """Raise an error if the mass of a type is that of another element of the model.

    Isotopes and changed masses are accepted.

    Parameters
    ----------
    kinds
        From :func:`types_of`.
    masses
        g/mol, (ntypes + 1,); the first is not used.
    type_map
        Names of the model's types.
    """
    for number, (kind, mass) in enumerate(zip(kinds[1:], masses[1:], strict=True), start=1):
        if kind < 0 or type_map[kind] not in WEIGHT or _is(type_map[kind], mass):
            continue
        other = next((name for name in type_map if name in WEIGHT and _is(name, mass)), None)
        if other is not None:
            raise EngineError(
                f"atom type {number} has the mass {mass:g} of {other}, but pair_coeff says that it "
                f"is {type_map[kind]}; name the elements in the order of the types"
            )


def _is(name: str, mass: float) -> bool:
    return bool(abs(mass - WEIGHT[name]) <= SAME_MASS * WEIGHT[name])

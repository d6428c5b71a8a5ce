"""Electron configurations of the elements, as input of a type embedding (``use_econf_tebd``).

An element is a vector of 118 numbers, two for each of 59 orbitals: (−1, −1) for an empty one,
(−1, 1) for one with a single electron, (1, 1) for a pair, all divided by the length √118. Subshells
are filled in Madelung's order, apart from the known exceptions, and the orbitals of a subshell
with single electrons first; pairs precede single electrons.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from itertools import pairwise

import numpy as np

from ..errors import ConfigError

_ELEMENTS = (
    "H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se "
    "Br Kr Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy "
    "Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf "
    "Es Fm Md No Lr Rf Db Sg Bh Hs Mt Ds Rg Cn Nh Fl Mc Lv Ts Og"
)
_SUBSHELLS = "1s 2s 2p 3s 3p 3d 4s 4p 4d 4f 5s 5p 5d 5f 6s 6p 6d 7s 7p"
_MADELUNG = "1s 2s 2p 3s 3p 4s 3d 4p 5s 4d 5p 6s 4f 5d 6p 7s 5f 6d 7p"

#: Elements in the order of their numbers, from 1.
ELEMENTS = tuple(_ELEMENTS.split())

#: Subshells in the order of the vector, and in the order in which they are filled.
SUBSHELLS, MADELUNG = tuple(_SUBSHELLS.split()), tuple(_MADELUNG.split())

ORBITALS = {"s": 1, "p": 3, "d": 5, "f": 7}

#: Numbers of a vector.
WIDTH = 2 * sum(ORBITALS[shell[1]] for shell in SUBSHELLS)

#: Element → the electrons of the subshells in which it differs from Madelung's order.
EXCEPTIONS = {
    "Cr": {"3d": 5, "4s": 1},
    "Cu": {"3d": 10, "4s": 1},
    "Nb": {"4d": 4, "5s": 1},
    "Mo": {"4d": 5, "5s": 1},
    "Ru": {"4d": 7, "5s": 1},
    "Rh": {"4d": 8, "5s": 1},
    "Pd": {"4d": 10, "5s": 0},
    "Ag": {"4d": 10, "5s": 1},
    "La": {"4f": 0, "5d": 1},
    "Ce": {"4f": 1, "5d": 1},
    "Gd": {"4f": 7, "5d": 1},
    "Pt": {"5d": 9, "6s": 1},
    "Au": {"5d": 10, "6s": 1},
    "Ac": {"5f": 0, "6d": 1},
    "Th": {"5f": 0, "6d": 2},
    "Pa": {"5f": 2, "6d": 1},
    "U": {"5f": 3, "6d": 1},
    "Np": {"5f": 4, "6d": 1},
    "Cm": {"5f": 7, "6d": 1},
    "Ds": {"6d": 9, "7s": 1},
    "Rg": {"6d": 10, "7s": 1},
}

EMPTY, SINGLE, PAIR = (-1.0, -1.0), (-1.0, 1.0), (1.0, 1.0)


def unknown_elements(names: Sequence[str]) -> list[str]:
    """Return the names that are not elements."""
    return [name for name in names if name not in ELEMENTS]


def configurations(names: Sequence[str]) -> np.ndarray:
    """Return the vectors of some elements, (n, 118).

    Raises
    ------
    ConfigError
        If a name is not that of an element.
    """
    wrong = unknown_elements(names)
    if wrong:
        raise ConfigError(
            f"use_econf_tebd needs the names of elements in type_map, but {wrong[0]!r} is none"
        )
    return np.array([_vector(name) for name in names]).reshape(len(names), WIDTH)


@cache
def _vector(name: str) -> tuple[float, ...]:
    electrons = _electrons(name)
    found: list[float] = []
    for shell in SUBSHELLS:
        orbitals = ORBITALS[shell[1]]
        pairs = max(0, electrons[shell] - orbitals)
        single = electrons[shell] - 2 * pairs
        for kind, count in ((PAIR, pairs), (SINGLE, single), (EMPTY, orbitals - pairs - single)):
            found += kind * count
    return tuple(x / math.sqrt(WIDTH) for x in found)


def _electrons(name: str) -> dict[str, int]:
    """Return the electrons of each subshell of an element."""
    number = ELEMENTS.index(name) + 1
    room = [0]
    for shell in MADELUNG:
        room.append(room[-1] + 2 * ORBITALS[shell[1]])
    filled = [min(max(number - low, 0), high - low) for low, high in pairwise(room)]
    return dict(zip(MADELUNG, filled, strict=True)) | EXCEPTIONS.get(name, {})

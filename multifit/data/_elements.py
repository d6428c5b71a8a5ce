"""From a system's own numbering of the elements to the model's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..errors import DataError, did_you_mean
from ._contents import Contents
from ._stored import Array

#: Placeholder in a numbering for an element that the model lacks and no atom has.
UNUSED = -2


def union_of_elements(systems: Sequence[Contents]) -> tuple[str, ...]:
    """Return the element names of all systems in order of appearance, or generic names.

    If no system names its elements, the types are called ``Type_0``, ``Type_1``, ….
    """
    names = dict.fromkeys(name for each in systems for name in each.elements or ())
    if names:
        return tuple(names)
    count = max((max(each.seen) for each in systems), default=-1) + 1
    return tuple(f"Type_{number}" for number in range(count))


def check_species(system: Contents, known: Sequence[str]) -> None:
    """Raise DataError for species in a file of atoms that are neither known nor elements.

    Parameters
    ----------
    system
        From a file of atoms.
    known
        Names that are known: the model's type_map, or the elements given for species.
    """
    from ase.data import atomic_numbers

    names = system.elements or ()
    odd = [name for name in names if name not in known and name not in atomic_numbers]
    if not odd:
        return
    first = next((w for number, w in system.seen.items() if names[number] in odd), system.source)
    guesses = {name: _guess(name, [k for k in known if k in atomic_numbers]) for name in odd}
    table = ", ".join(f'"{name}": "{guess}"' for name, guess in guesses.items())
    many = len(odd) > 1
    raise DataError(
        f"{first}: {', '.join(map(repr, odd))} {'are no elements' if many else 'is no element'}; "
        f"name the element{'s' * many} of {'these' if many else 'this'} species in the section of "
        f'the data, "species": {{{table}}}, or with --species '
        + " ".join(f"{name}={guess}" for name, guess in guesses.items())
    )


def _guess(species: str, preferred: Sequence[str]) -> str:
    """Return the element with which the name of a species begins, or ``…``."""
    from ase.data import atomic_numbers

    starts = [species[:length].capitalize() for length in (2, 1)]
    starts = [start for start in starts if start in atomic_numbers and start != "X"]
    return next((start for start in starts if start in preferred), (starts or ["…"])[0])


def numbering(system: Contents, type_map: Sequence[str]) -> Array:
    """Return t (k + 1,) with t[own type] = the model's type; the last, t[−1], is −1: no atom.

    Without names in the system, its numbers are those of the model.

    Raises
    ------
    DataError
        If an atom has a type that the system does not name, or one that the model lacks.
    """
    own = type_map if system.elements is None else system.elements
    source = "the model's type_map" if system.elements is None else f"{system.name}/type_map.raw"
    if system.source:
        check_species(system, type_map)
    for number, where in system.seen.items():
        if number >= len(own):
            raise DataError(
                f"{where} has type {number}, but {source} names only {len(own)} types "
                f"({', '.join(own)}), numbered from 0"
            )
        if own[number] not in type_map:
            told = "" if system.source else f" ({source})"
            raise DataError(
                f"{where} is of element {own[number]!r}{told}, which the model's type_map "
                f"[{', '.join(type_map)}] lacks{did_you_mean(own[number], type_map)}; "
                f"add it there or leave {'such frames' if system.source else 'this system'} out"
            )
    known = {name: number for number, name in reversed(list(enumerate(type_map)))}
    return np.array([*(known.get(name, UNUSED) for name in own), -1], dtype=np.int64)

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
    for number, where in system.seen.items():
        if number >= len(own):
            raise DataError(
                f"{where} has type {number}, but {source} names only {len(own)} types "
                f"({', '.join(own)}), numbered from 0"
            )
        if own[number] not in type_map:
            raise DataError(
                f"{where} is of element {own[number]!r} ({source}), which the model's type_map "
                f"[{', '.join(type_map)}] lacks{did_you_mean(own[number], type_map)}; "
                "add it there or leave this system out"
            )
    known = {name: number for number, name in reversed(list(enumerate(type_map)))}
    return np.array([*(known.get(name, UNUSED) for name in own), -1], dtype=np.int64)

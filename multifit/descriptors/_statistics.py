"""Mean and deviation of the environment matrix, by the type of the centre.

Source: the definitions of DeePMD-kit's NumPy core (semantics, not code).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any, Protocol

import array_api_compat.numpy as xp
import numpy as np

from ..errors import FileFormatError, UnsupportedError
from ..files import parameter
from ..neighbors.frame import Frame, for_parts
from ..neighbors.requirements import Requirements
from ..statistics import Sums, no_sums
from ..tree import Tree
from ._environment import Environment, environment


class HasEnvironment(Protocol):
    """The settings of a descriptor that statistics of the environment depend on."""

    @property
    def ntypes(self) -> int:
        """Number of atom types."""
        ...

    @property
    def nnei(self) -> int:
        """Number of neighbour slots of an atom."""
        ...

    @property
    def sel(self) -> tuple[int, ...]:
        """Numbers of slots, as given."""
        ...

    @property
    def environment(self) -> Environment:
        """The radial settings."""
        ...

    @property
    def excluded(self) -> frozenset[tuple[int, int]]:
        """The excluded pairs of types, in both orders."""
        ...

    @property
    def set_davg_zero(self) -> bool:
        """True if the mean is 0."""
        ...


def environment_sums(config: HasEnvironment, frames: Iterable[Frame]) -> Sums:
    """Return the sums of R's radial and angular parts for each centre type, (ntypes, 2).

    Empty slots count as zeros, as they do in the model.
    """
    n = config.ntypes
    sums = no_sums(n, 2)
    for frame in frames:
        atoms = np.bincount(frame.atype[frame.atype >= 0], minlength=n)
        number = atoms[:, None] * config.nnei * np.array([1.0, 3.0])
        total, squares = np.zeros((n, 2)), np.zeros((n, 2))
        for b, table in frame.tables.items():
            rij, centre = table.rij.T[None, :, :], frame.atype[table.i]
            rows, _ = environment(xp, config.environment, rij, np.ones_like(rij[:, 0, :]))
            seen = np.array([(a, b) not in config.excluded for a in range(n)])[centre]
            for sums_of, values in ((total, rows[0]), (squares, rows[0] * rows[0])):
                each = [np.bincount(centre, seen * value, minlength=n) for value in values]
                sums_of += np.stack([each[0], each[1] + each[2] + each[3]], axis=1)
        sums = sums + Sums(number, total, squares)
    return sums


def environment_statistics(
    config: HasEnvironment, sums: Sums, protect: float = 0.01
) -> tuple[np.ndarray, np.ndarray]:
    """Return davg and dstd, (ntypes, ntypes, 4): those of the centre for every neighbour type."""
    n = config.ntypes
    davg = np.zeros((n, n, 4))
    if not config.set_davg_zero:
        davg[:, :, 0] = sums.mean()[:, :1]
    std = sums.deviation(protect)
    dstd = np.repeat(std, [1, 3], axis=1)
    return davg, np.broadcast_to(dstd[:, None, :], (n, n, 4)).copy()


def settings_of(config: HasEnvironment) -> dict[str, Any]:
    """Return the settings that the statistics depend on, as in JSON."""
    return {
        "environment": asdict(config.environment),
        "sel": config.sel,
        "exclude": sorted(config.excluded),
        "davg_zero": config.set_davg_zero,
    }


class PartSums(tuple[Any, ...]):
    """The sums of each part of a descriptor."""

    def __add__(self, other: tuple[Any, ...]) -> PartSums:
        return PartSums(mine + its for mine, its in zip(self, other, strict=True))


def part_sums(parts: Iterable[Any], whole: Requirements, frames: Sequence[Frame]) -> PartSums:
    """Return the sums of each part of a descriptor, from the neighbours that it needs.

    Parameters
    ----------
    parts
        Settings with ``sums``, in the order of ``whole.parts``.
    """
    given = zip(parts, for_parts(frames, whole, whole.parts), strict=True)
    return PartSums(part.sums(own) for part, own in given)


def nonzero_mean(config: HasEnvironment, params: Tree) -> int | None:
    """Return the first type with a mean ≠ 0 where the settings require 0, or None."""
    wrong = np.asarray(params["davg"])[:, :, 0].any(axis=1)
    return int(np.argmax(wrong)) if config.set_davg_zero and wrong.any() else None


def one_for_all_slots(
    node: dict[str, Any], name: str, ntypes: int, slots: int, where: str
) -> np.ndarray:
    """Return (ntypes, 4) from a statistic with a row for each slot, (ntypes, slots, 4).

    Parameters
    ----------
    node
        The section of a model file with the statistic, ``davg`` or ``dstd``.
    where
        Name of the section in messages.
    """
    full = parameter(node, name, (ntypes, slots, 4), where)
    one = full[:, 0, :]
    if name == "dstd" and not (one > 0).all():
        raise FileFormatError(
            f"{where}.dstd is {one.min():g} for a type, but must be > 0: the environment is "
            "divided by it; restore the file from a copy"
        )
    alike = one[:, 1:] == (0.0 if name == "davg" else one[:, 1:2])
    if np.any(full != full[:, :1, :]) or not alike.all():
        raise UnsupportedError(
            f"{where}.{name} differs between slots for neighbours, or between directions; "
            "multifit reads models whose statistics depend on the type of the centre alone"
        )
    return one.copy()

"""One frame, in the form for the neighbour search."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from ._stored import Array
from ._system import System, where


class Snapshot(NamedTuple):
    """One frame of a system: the arguments of ``multifit.batching.batch.Batcher.frame``."""

    coord: Array  #: (natoms, 3) in Å
    cell: Array | None  #: (3, 3) in Å
    pbc: tuple[bool, bool, bool]
    atype: Array  #: (natoms,), −1 for virtual atoms
    where: str  #: the frame's name in messages


def real_types(atype: Array, aparam: Array) -> Array:
    """Return the types of atoms, −1 for those whose aparam, one number for each, is 0."""
    return np.where(np.reshape(aparam, np.shape(atype)) != 0.0, atype, -1)


def snapshot(
    system: System, frame: int, arrays: Mapping[str, Array], row: int, masked: bool = False
) -> Snapshot:
    """Return a frame of a system.

    Parameters
    ----------
    system
        The system.
    frame
        Number of the frame within the system.
    arrays
        Result of :meth:`System.load` for some frames.
    row
        Index of this one among them.
    masked
        True if ``aparam`` marks real atoms (``use_aparam_as_mask``).
    """
    atype = system.atype(np.array([frame]))[0]
    return Snapshot(
        arrays["coord"][row],
        arrays["cell"][row] if "cell" in arrays else None,
        system.pbc,
        real_types(atype, arrays["aparam"][row]) if masked else atype,
        where(system, frame),
    )

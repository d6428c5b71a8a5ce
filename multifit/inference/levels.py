"""Energies of predicted densities of states: the grid, Fermi levels and gaps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .. import dos
from ..errors import DataError
from ..neighbors.arguments import numbers
from .parts import Outputs
from .structure import Structure


def levels(
    grid: dos.Grid,
    total: np.ndarray,
    structures: Sequence[Structure],
    electrons: float | np.ndarray | None,
) -> Outputs:
    """Return the energies of densities of states, and with electrons Fermi levels etc.

    Parameters
    ----------
    total
        Densities of states, (nframes, numb_dos).
    structures
        The frames, (nframes,).
    electrons
        As for :meth:`multifit.Potential.predict`.

    Raises
    ------
    DataError
        If the numbers of electrons do not fit the frames, or are negative or not finite.
    """
    energies = {"energies": grid.array}
    if electrons is None and grid.electrons is None:
        return energies
    if electrons is None:
        number = np.concatenate([dos.electrons_of(grid, s.atype[None]) for s in structures])
    else:
        number = numbers("electrons", electrons)
        if number.size not in (1, len(structures)):
            raise DataError(
                f"electrons has {number.size} numbers, but must be one, or one for each of the "
                f"{len(structures)} frames"
            )
        if not (np.isfinite(number).all() and (number >= 0).all()):
            raise DataError("electrons must be finite numbers ≥ 0")
        number = np.broadcast_to(number.reshape(-1), (len(structures),))
    return energies | dos.levels(grid, total, number)._asdict()

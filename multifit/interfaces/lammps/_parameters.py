"""Parameters of the frame and of the atoms that a model takes besides positions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...errors import EngineError
from ...fitting import Fitting


class Parameters:
    """fparam and aparam of a simulation.

    Parameters
    ----------
    fitting
        Settings of the model's fitting net.
    fparam, aparam
        Numbers for the frame, and for each atom; empty if none.
    compute
        The ID of a compute of LAMMPS whose value is fparam.

    Raises
    ------
    EngineError
        If they are not those of the model.
    """

    def __init__(
        self,
        fitting: Fitting,
        fparam: Sequence[float] = (),
        aparam: Sequence[float] = (),
        compute: str | None = None,
    ) -> None:
        self._compute, self._size = compute, fitting.numb_fparam
        if compute is not None and not fitting.numb_fparam:
            raise EngineError(
                f"fparam_from_compute {compute} is given, but the model takes no fparam"
            )
        given_f = None if compute is not None else fparam
        if not (compute is not None or (not len(fparam) and fitting.default_fparam is not None)):
            _check("fparam", given_f or (), fitting.numb_fparam)
        _check("aparam", aparam, fitting.numb_aparam)
        self.fparam = np.array(fparam, dtype=np.float64) if len(fparam) else None
        self._aparam = np.array(aparam, dtype=np.float64) if len(aparam) else None

    def of(self, nlocal: int) -> np.ndarray | None:
        """Return aparam of the local atoms, (nlocal, numb_aparam)."""
        if self._aparam is None:
            return None
        return np.tile(self._aparam, (nlocal, 1))

    def update(self, lmp: Any) -> None:
        """Read the value of the compute; on all processes together."""
        if self._compute is None:
            return
        if not lmp.has_id("compute", self._compute):
            raise EngineError(f"LAMMPS has no compute {self._compute} (fparam_from_compute)")
        value = lmp.numpy.extract_compute(self._compute, 0, 0 if self._size == 1 else 1)
        found = np.array(value, dtype=np.float64).reshape(-1)
        if found.size != self._size:
            raise EngineError(
                f"compute {self._compute} has {found.size} values, but the model takes "
                f"{self._size} as fparam (fparam_from_compute); choose a compute with as many"
            )
        self.fparam = found


def _check(name: str, given: Sequence[float], size: int) -> None:
    """Raise an error if the number of parameters is not the model's."""
    if len(given) != size:
        wants = f"takes {size}" if size else "takes none"
        raise EngineError(
            f"{len(given)} numbers are given as {name}, but the model {wants}; write "
            f"{name} and the numbers in the line of pair_style"
            if size
            else f"{name} is given, but the model {wants}; leave it out"
        )

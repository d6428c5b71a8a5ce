"""Inputs of a model besides atoms: fparam for each frame, aparam for each atom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ..errors import DataError
from ._stored import Array
from ._system import System


def parameters(
    system: System,
    arrays: Mapping[str, Array],
    numb_fparam: int,
    numb_aparam: int,
    default_fparam: Sequence[float] | None = None,
) -> tuple[Array | None, Array | None]:
    """Return fparam (n, numb_fparam) and aparam (n, natoms, numb_aparam), None if not used.

    Parameters
    ----------
    system
        System of the frames.
    arrays
        Result of :meth:`System.load` for n frames and the keys ``fparam`` and ``aparam``.
    numb_fparam, numb_aparam
        Numbers of parameters of the model for each frame and for each atom.
    default_fparam
        Default if the system has no fparam.

    Raises
    ------
    DataError
        If the system lacks parameters of the model, or has another number of them.
    """
    fparam = arrays.get("fparam")
    if fparam is None and numb_fparam and default_fparam is not None:
        row = np.asarray(default_fparam, dtype=np.float64)
        fparam = np.tile(row, (len(arrays["coord"]), 1))
    return (
        _checked(system, "fparam", "frame", fparam, numb_fparam),
        _checked(system, "aparam", "atom", arrays.get("aparam"), numb_aparam),
    )


def _checked(system: System, kind: str, owner: str, value: Array | None, n: int) -> Array | None:
    if not n:
        return None
    if value is None:
        raise DataError(
            f"{system.name} has no {kind}, but the model takes {n} for each {owner} "
            f"(numb_{kind}); put {kind}.npy into each of its sets"
        )
    if value.shape[-1] != n:
        raise DataError(
            f"{system.name} has {value.shape[-1]} {kind} for each {owner}, but the model takes {n} "
            f"(numb_{kind}); use data and a model that agree"
        )
    return value

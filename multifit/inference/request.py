"""Requests: the requested outputs, and a check that a model and a backend have them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..errors import DataError
from ..models import Model
from ..support import Asked, require_all


@dataclass(frozen=True)
class Request:
    """Outputs requested besides energies, forces and virials."""

    atom_virial: bool = False
    hessian: bool = False
    skin: float = 0.0  #: Å; structures are those of a trajectory


def check_request(
    model: Model, backend: str, request: Request, electrons: float | np.ndarray | None = None
) -> None:
    """Raise an error if a request does not fit the model or the backend.

    Raises
    ------
    DataError
        If the model has no such outputs, or the skin is not a distance.
    UnsupportedError
        If the backend does not have them.
    """
    if (request.atom_virial or request.hessian) and not model.output.derivatives:
        raise DataError(
            f"the model predicts a {model.output.title}, of which it has no derivatives; leave out "
            "atom_virial and hessian"
        )
    if electrons is not None and model.grid is None:
        raise DataError(
            "electrons was given, but the model does not know the energies of a density of "
            "states; leave it out"
        )
    if not (math.isfinite(request.skin) and request.skin >= 0):
        raise DataError(f"skin is {request.skin}, but must be a finite number of Å ≥ 0")
    if request.hessian:  # the only row of the table that a request can ask for
        require_all(Asked(hessian=True), backend)

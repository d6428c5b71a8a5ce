"""A domain of a simulation engine: local atoms and ghosts, and the engine's own pairs."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..backend import Backend
from ..data import real_types
from ..errors import DataError
from ..models import Model
from ..neighbors.pairs import PairList, pair_list
from .structure import parameters, type_indices


@dataclass(frozen=True)
class Domain:
    """The atoms of one domain and the pairs that start at local atoms."""

    pairs: PairList
    atype: np.ndarray  #: (nlocal + nghost,), local atoms first; −1 is a virtual atom
    nlocal: int
    fparam: np.ndarray | None = None  #: (numb_fparam,)
    aparam: np.ndarray | None = None  #: of the local atoms at least, (n, numb_aparam)

    @property
    def nghost(self) -> int:
        """Number of ghosts."""
        return len(self.atype) - self.nlocal


def check_halo(reach: Any, needed: float, rcut: float) -> None:
    """Raise an error if the ghosts do not extend far enough.

    Parameters
    ----------
    reach
        Thickness of the engine's layer of ghosts, Å.
    needed
        Thickness that the model needs, Å.
    """
    try:
        halo = float(reach)
    except (TypeError, ValueError):
        halo = math.nan
    if not halo >= needed:
        raise DataError(
            f"halo is {reach} Å, but the model needs ghosts as far as {needed:g} Å "
            f"({needed / rcut:.0f} × rcut); let the engine communicate farther"
        )


def domain(
    model: Model,
    backend: Backend,
    rij: Any,
    i: Any,
    j: Any,
    atype: Any,
    nlocal: Any,
    fparam: Any = None,
    aparam: Any = None,
) -> Domain:
    """Return a domain; parameters and errors as of :meth:`multifit.Potential.evaluate_pairs`."""
    rij, i, j, atype, fparam, aparam = on_host(
        backend, rij=rij, i=i, j=j, atype=atype, fparam=fparam, aparam=aparam
    )
    types = type_indices(model.type_map, atype)
    n = _count(nlocal, len(types))
    masked = model.fitting.use_aparam_as_mask
    extra = parameters(model.fitting, fparam, aparam, 1, len(types) if masked else n)
    fparam, aparam = (None if x is None else x[0] for x in extra)
    if masked:
        types = real_types(types, aparam)
    needs = model.descriptor.requires()
    hops = needs.hops
    pairs = pair_list(rij, i, j, n, len(types), hops)
    if hops > 1 and (pairs.j >= n).any() and not (pairs.i >= n).any():
        raise DataError(
            f"the descriptor {model.descriptor.name} passes messages over {hops} hops, but no pair "
            f"starts at a ghost; list the pairs of all ghosts that are within "
            f"{needs.reach - needs.rcut:g} Å of local atoms, too"
        )
    return Domain(pairs, types, n, fparam, aparam)


def _count(nlocal: Any, nall: int) -> int:
    """Return the number of local atoms."""
    try:
        n = operator.index(nlocal)
    except TypeError as exc:
        raise DataError(f"nlocal must be an integer, not {nlocal!r}") from exc
    if not 0 <= n <= nall:
        raise DataError(f"nlocal is {n}, but must be from 0 to the {nall} atoms of atype")
    return n


def on_host(backend: Backend, **arrays: Any) -> list[Any]:
    """Return arrays of the backend as NumPy arrays, and anything else unchanged.

    Raises
    ------
    DataError
        If one is neither (which).
    """
    return [_on_host(backend, name, x) for name, x in arrays.items()]


def _on_host(backend: Backend, name: str, x: Any) -> Any:
    """Return an array of the backend as a NumPy array, and anything else unchanged."""
    if x is None or isinstance(x, np.ndarray | np.generic | Sequence | int | float):
        return x
    try:
        return backend.to_numpy(x)
    except (TypeError, ValueError, AttributeError, RuntimeError) as exc:
        raise DataError(
            f"{name} is a {type(x).__module__}.{type(x).__name__}, but must be an array of NumPy "
            f"or of the backend {backend.name}"
        ) from exc

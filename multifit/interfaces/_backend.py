"""The backend that an engine runs on if the user names none."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

from ..backend import Backend, UnusableError, available, get_backend, is_installed
from ..errors import BackendError
from ..inference.loading import load
from ..inference.potential import Potential

#: From the fastest to the slowest per step of molecular dynamics, as measured on a CPU. Paddle
#: takes as long as NumPy, which is always there.
FASTEST = ("jax", "torch", "tensorflow", "numpy")

#: Up to so many atoms, a step takes the same time on NumPy as on JAX, which first compiles for
#: seconds.
FEW_ATOMS = 48


def default_backend(natoms: int | None = None) -> str:
    """Return the name of the backend for molecular dynamics: the fastest that is installed.

    The variable ``MULTIFIT_BACKEND`` takes precedence.

    Parameters
    ----------
    natoms
        Number of atoms of the system; None if it is not known, or varies.
    """
    named = os.environ.get("MULTIFIT_BACKEND")
    if named:
        return named
    if natoms is not None and natoms <= FEW_ATOMS:
        return "numpy"
    for name in FASTEST:
        if name not in available() or not is_installed(name):
            continue
        try:
            get_backend(name)
        except UnusableError as exc:
            warnings.warn(f"{exc.reason}: using the next backend", stacklevel=2)
        else:
            return name
    raise BackendError(
        "no backend is usable, not even numpy; reinstall multifit: pip install multifit"
    )


def as_potential(
    model: str | Path | Potential,
    backend: str | Backend | None = None,
    natoms: int | None = None,
) -> Potential:
    """Return a model file as a potential on a backend; a potential is returned unchanged.

    Parameters
    ----------
    model
        A model file or checkpoint, or a loaded potential.
    backend
        A name or an adapter; by default :func:`default_backend`.
    natoms
        As for :func:`default_backend`.

    Raises
    ------
    BackendError
        If a potential is given together with another backend than its own.
    """
    if not isinstance(model, Potential):
        return load(model, default_backend(natoms) if backend is None else backend)
    if backend is not None and get_backend(backend).name != model.backend.name:
        raise BackendError(
            f"the potential is on {model.backend.name}, not on {get_backend(backend).name}; "
            "leave out backend, or give the name of the model file"
        )
    return model

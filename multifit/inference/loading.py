"""Loading a model file for use from Python."""

from __future__ import annotations

from pathlib import Path

from ..backend import Backend, get_backend
from .model_file import read_model, read_uncertainty
from .potential import Potential
from .seen import Watch, from_content


def load(
    path: str | Path,
    backend: str | Backend = "numpy",
    *,
    embedding: str = "auto",
    atoms_at_once: int | None = None,
) -> Potential:
    """Return the model of a ``.dp``, ``.json`` or ``.yaml`` file, on a backend.

    Parameters
    ----------
    path
        A file of multifit or DeePMD-kit.
    backend
        ``numpy``, ``torch``, ``jax``, …
    embedding, atoms_at_once
        As for :class:`Potential`.

    Raises
    ------
    FileFormatError
        If the file is missing, damaged or not a model.
    BackendError
        If the backend is unknown or not installed.
    """
    adapter = get_backend(backend)
    model, params, content = read_model(path)
    known = read_uncertainty(path, model, content)
    potential = Potential(
        model,
        params,
        adapter,
        embedding=embedding,
        atoms_at_once=atoms_at_once,
        uncertainty=known,
    )
    potential.runner.watch = Watch(model, from_content(model, content))
    return potential

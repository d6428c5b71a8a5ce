"""The parameters of a model, as held by native objects of a framework."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..backend import Backend
from ..support import require_model
from ..tree import Tree, flatten
from ._settings import Model, trainable_names

Array = Any


def native_parameters(
    backend: Backend, model: Model, params: Tree
) -> Iterator[tuple[str, Array, bool]]:
    """Yield the dotted name of each parameter, its array, and True if it is trainable.

    Parameters
    ----------
    params
        As a nested dict of NumPy arrays, from :func:`multifit.models.init`.

    Raises
    ------
    UnsupportedError
        If the backend does not support the model.
    """
    require_model(model, backend.name)
    trainable = set(trainable_names(model))
    for name, value in flatten(params).items():
        yield name, backend.asarray(value), name in trainable

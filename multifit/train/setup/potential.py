"""The model of a task as a potential, and the bias that fits it to the training data."""

from __future__ import annotations

import numpy as np

from ...backend import get_backend
from ...evaluation.bias import shifted_bias
from ...inference.potential import Potential
from ...support import can_run
from ...tree import Tree
from .setup import Setup
from .task import Task


def potential(setup: Setup, task: Task, params: Tree) -> Potential:
    """Return the model on the run's backend, or on NumPy if that would require compilation."""
    backend = setup.backend
    if backend.static_shapes and backend.on_cpu and can_run(task.model, "numpy"):
        backend = get_backend("numpy")
    return Potential(task.model, params, backend, embedding=setup.config.model.embedding)


def fitted_bias(setup: Setup, task: Task, params: Tree) -> np.ndarray:
    """Return the output bias that best fits the model to the training data."""
    return shifted_bias(
        potential(setup, task, params),
        task.data.training.source.systems,
        setup.config.model.data_bias_nsample,
        task.loss.coefficients,
        task.loss.labels,
    )

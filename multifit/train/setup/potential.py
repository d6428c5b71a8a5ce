"""The model of a task as a potential, and the bias that fits it to the training data."""

from __future__ import annotations

import numpy as np

from ...backend import get_backend
from ...evaluation.bias import shifted_bias
from ...evaluation.bias_data import known_atoms
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


def why_no_bias(task: Task) -> str:
    """Return why the training data cannot tell a bias, empty if they can."""
    model, systems = task.model, task.data.training.source.systems
    if model.fitting.tot_ener_zero:
        return "the total energy of the model is always 0 (tot_ener_zero)"
    wanted = known_atoms(model, task.loss.labels)
    if any(system.labels.intersection(wanted) for system in systems):
        return ""
    return f"no training system has {' or '.join(f'{key}.npy' for key in wanted)}"


def fitted_bias(setup: Setup, task: Task, params: Tree) -> np.ndarray:
    """Return the output bias that best fits the model to the training data.

    It is that of the parameters if :func:`why_no_bias` has a reason.
    """
    return shifted_bias(
        potential(setup, task, params),
        task.data.training.source.systems,
        setup.config.model.data_bias_nsample,
        task.loss.coefficients,
        task.loss.labels,
    )

"""Validation: a few batches for the learning curve, always the same frames for the best."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ... import models as mdl
from ...backend import Backend, get_backend
from ...data import Draws
from ...descriptors import Planner
from ...loss import LossConfig, compute_loss
from ...tree import Tree, map_leaves
from ..setup.source import HostBatch
from ..setup.task import Dataset, Task
from ..step.compilations import CompiledShapes, atoms
from ..step.step import prediction

#: Frames for the error that selects the best model.
FRAMES = 64


@dataclass
class MetricEvaluator:
    """Metrics of a batch without a gradient; the loss itself is cheap and computed in NumPy.

    Parameters
    ----------
    tell
        Called with the number of atoms before a batch of a new shape is compiled.
    """

    backend: Backend
    model: mdl.Model
    loss: LossConfig
    planner: Planner
    tell: Callable[[int], None] | None = None

    def __post_init__(self) -> None:
        """Compile the prediction once."""
        # The loss of a few frames is cheap, and not worth compiling.
        self._numpy = get_backend("numpy")
        self._shapes = CompiledShapes(self.backend.static_shapes)
        self._predict = self.backend.compile(prediction(self.backend, self.model, self.loss))

    def predictions(self, params: Tree, work: HostBatch) -> dict[str, np.ndarray]:
        """Return the outputs of the model for one batch as NumPy arrays."""
        arrays = map_leaves(self.backend.as_input, work.batch)
        plan = self.planner.plan_for(
            work.nearest, lambda: map_leaves(self.backend.to_numpy, params)
        )
        if plan is not None:
            arrays["plan"] = plan.device
        if self._shapes.is_new(arrays) and self.tell is not None:
            self.tell(atoms(self.backend, arrays))
        out = self._predict(params, arrays)
        return {key: self.backend.to_numpy(value) for key, value in out.items()}

    def metrics(self, params: Tree, work: HostBatch, lr: float) -> dict[str, float]:
        """Return the metrics of one batch; ``params`` are nested, arrays of the backend."""
        found = self.predictions(params, work)
        places = mdl.compared_atoms(self._numpy, self.model, work.batch)
        # Non-finite values are left to the caller, so NumPy's warning is not needed.
        with np.errstate(over="ignore", invalid="ignore"):
            _, metrics = compute_loss(
                self._numpy, self.loss, np.asarray(lr), found, work.label, places
            )
        return {name: float(value) for name, value in metrics.items()}


@dataclass(frozen=True)
class Validator:
    """Errors of a task on its validation data."""

    task: Task
    evaluator: MetricEvaluator
    data: Dataset
    sampler: Draws

    def batch_metrics(self, params: Tree, lr: float) -> dict[str, float]:
        """Return the mean metrics of the next ``numb_btch`` batches.

        Parameters
        ----------
        params
            Nested, arrays of the backend.
        """
        source, number = self.data.source, self.data.numb_btch
        works = [source.work(self.sampler.picks()) for _ in range(number)]
        return self._mean(params, works, lr)

    def score(self, params: Tree) -> float:
        """Return √loss with the prefactors' limits, over a fixed set of frames."""
        works = [
            self.data.source.work(((k, frames),))
            for k, chosen in self.data.source.spread_frames(FRAMES)
            for frames in _batches(chosen, self.data.sizes[k])
        ]
        return self._mean(params, works, 0.0)["rmse"]

    def _mean(self, params: Tree, works: Sequence[HostBatch], lr: float) -> dict[str, float]:
        """Return means weighted by atoms, of those batches that have the label."""
        rows = [self.evaluator.metrics(params, work, lr) for work in works]
        weights = np.array([work.batch["natoms"].sum() for work in works])
        means = {}
        for name in rows[0]:
            values = np.array([row[name] for row in rows])
            known = ~np.isnan(values)
            if known.any():
                means[name] = float(np.average(values[known], weights=weights[known]))
            else:
                means[name] = float("nan")
        return means


def _batches(frames: np.ndarray, size: int) -> list[np.ndarray]:
    """Return frames in batches of one size, so that compilers know the shape; the rest is left out.

    Fewer frames than one batch are a batch.
    """
    whole = len(frames) // size if size else 0
    return np.split(frames[: whole * size], whole) if whole else [frames]

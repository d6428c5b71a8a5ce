"""A model on a backend: compiled functions, and parameters on the device."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from .. import models as mdl
from ..backend import Backend, use
from ..batching.batch import Layout
from ..batching.types import Batch, each_table
from ..descriptors import Plan
from ..nn.stacking import stacked
from ..tree import Tree, flatten, map_leaves, unflatten

#: Numbers in the largest array of derivatives for a Hessian (64 MB).
TANGENTS_AT_ONCE = 1 << 23


class Parameters(NamedTuple):
    """The parameters of a model; immutable, replaced as a whole."""

    host: Tree  #: nested NumPy arrays
    device: Tree  #: the same, of the backend; those of many nets of a kind are one array


@dataclass(frozen=True)
class FixedPlan:
    """A descriptor's plan, completed for parameters that are not trained."""

    source: Plan
    params: Parameters
    plan: Plan

    def serves(self, plan: Plan, params: Parameters) -> bool:
        """Return True if it was made of this plan and these parameters."""
        return self.source is plan and self.params is params


class Evaluator:
    """Evaluator of batches; can be shared by threads.

    Parameters
    ----------
    model
        The settings.
    params
        The parameters as a nested dict of NumPy arrays.
    backend
        The adapter.
    embedding
        One of :data:`multifit.descriptors.EMBEDDINGS`.
    """

    def __init__(
        self, model: mdl.Model, params: Tree, backend: Backend, embedding: str = "auto"
    ) -> None:
        use(backend)
        self.model, self.backend = model, backend
        self._planner = model.descriptor.planner(backend, embedding)
        #: Held while the plan and its parameters are read or replaced.
        self._lock = threading.Lock()
        self._current = self._parameters(params)
        self._fixed: FixedPlan | None = None
        #: The mean over a frame is unknown in a part of it.
        fitting = replace(model.fitting, tot_ener_zero=False)
        self._unbalanced = replace(model, fitting=fitting)
        self._functions = {
            "": backend.compile(self._outputs),
            "atom_virial": backend.compile(self._outputs_with_atom_virial),
            "hessian": backend.compile(self._outputs_with_hessian),
            "unbalanced": backend.compile(self._unbalanced_energies),
        }

    def set_params(self, params: Tree) -> None:
        """Set other parameters (nested NumPy arrays) of the same model, without recompilation."""
        use(self.backend)
        new = self._parameters(params)
        with self._lock:
            self._planner.refine(params)
            self._current = new

    def _parameters(self, params: Tree) -> Parameters:
        """Return the parameters for functions, where nets of many types are in one array."""
        together = unflatten(stacked(flatten(params)))
        return Parameters(params, map_leaves(self.backend.asarray, together))

    @property
    def current(self) -> Parameters:
        """The current parameters."""
        return self._current

    def _outputs(self, params: Tree, batch: Batch) -> dict[str, Any]:
        return mdl.evaluate(self.backend, self.model, params, batch)

    def _outputs_with_atom_virial(self, params: Tree, batch: Batch) -> dict[str, Any]:
        return mdl.evaluate(self.backend, self.model, params, batch, atom_virial=True)

    def _outputs_with_hessian(self, params: Tree, batch: Batch) -> dict[str, Any]:
        return mdl.evaluate_hessian(self.backend, self.model, params, batch)

    def _unbalanced_energies(self, params: Tree, batch: Batch) -> dict[str, Any]:
        return mdl.evaluate(self.backend, self._unbalanced, params, batch, forces=False)

    def start(
        self, batch: Tree, nearest: np.ndarray, params: Parameters, what: str = ""
    ) -> dict[str, Any]:
        """Return the outputs for a batch on the device, possibly still being computed.

        Parameters
        ----------
        batch
            As arrays of the backend.
        nearest
            The smallest distance of each pair of types in Å, (ntypes, ntypes).
        params
            Value of :attr:`current` at the start of the call to which the batch belongs.
        what
            ``atom_virial`` to include these; ``unbalanced`` for atomic energies alone, without
            subtracting a mean (``tot_ener_zero``).
        """
        plan = self._plan(params, nearest)
        given = batch if plan is None else {**batch, "plan": plan}
        out: dict[str, Any] = self._functions[what](params.device, given)
        return out

    def _plan(self, params: Parameters, nearest: np.ndarray) -> Tree | None:
        """Return the descriptor's plan for a batch, as arrays of the backend, or None."""
        with self._lock:
            known = self._planner.covers(nearest)
            plan = self._planner.plan_for(nearest, lambda: params.host)
            if not known and params is not self._current:
                self._planner.refine(self._current.host)
                plan = self._planner.plan
            if plan is None:
                return None
            if self._fixed is None or not self._fixed.serves(plan, params):
                self._fixed = FixedPlan(plan, params, self._planner.fixed(plan, params.host))
            return self._fixed.plan.device

    def fetched(self, out: dict[str, Any]) -> dict[str, np.ndarray]:
        """Return outputs as NumPy arrays, once they are computed."""
        return {key: self.backend.to_numpy(value) for key, value in out.items()}

    def hessians(
        self, params: Parameters, batch: Tree, layout: Layout, nframes: int, natoms: int
    ) -> np.ndarray:
        """Return the Hessians of a batch, a few columns at a time, so that memory is bounded."""
        pairs = sum(math.prod(table["mask"].shape) for table in each_table(batch["tables"]))
        numbers = 3 * self.model.pair_width * pairs
        size = min(natoms, max(1, TANGENTS_AT_ONCE // max(numbers, 1)))
        every = mdl.directions(natoms)
        columns = []
        for start in range(0, natoms, size):
            some = np.zeros((natoms, size))  # the last ones move nothing: one shape for compilers
            part = every[:, start : start + size]
            some[:, : part.shape[1]] = part
            moved = {**batch, "directions": self.backend.as_input(some)}
            out = self._functions["hessian"](params.device, moved)["hessian"]
            flat = self.backend.to_numpy(out)[:, :, : 3 * part.shape[1]]
            columns.append(layout.gather(flat, nframes, natoms))
        return np.concatenate(columns, axis=3).reshape(nframes, 3 * natoms, 3 * natoms)

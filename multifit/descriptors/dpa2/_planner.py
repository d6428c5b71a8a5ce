"""The planner of dpa2: series of its first block, and how many atoms are a piece of predictions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ...backend import Backend
from ...tree import Tree
from .. import _pieces as pieces
from .._protocol import Plan, Planner


class Dpa2Planner:
    """A planner whose plans have that of ``repinit``, and ``rows`` and ``first`` of pieces.

    Parameters
    ----------
    inner
        The planner of ``repinit``, from its parameters.
    widest
        Numbers of an atom in the widest array of the layers, and of the first block; None for no
        pieces.
    """

    def __init__(self, inner: Planner, backend: Backend, widest: tuple[int, int] | None) -> None:
        self.inner = inner
        sizes = zip(("rows", "first"), widest or (), strict=False)
        host = {name: np.zeros(pieces.atoms_of(backend, numbers)) for name, numbers in sizes}
        device = {name: backend.asarray(x) for name, x in host.items()}
        self._pieces = Plan(host, device) if host else None
        self._known: tuple[Plan | None, Plan | None] = (None, self._pieces)

    def _of(self, params: Tree) -> Tree:
        own = params["descriptor"]
        return {"descriptor": {**own["repinit"], "type_embedding": own["type_embedding"]}}

    def _whole(self, series: Plan | None) -> Plan | None:
        """Return the plan with that of ``repinit``: the same object while that is the same."""
        known, found = self._known
        if series is not known:
            found = self._with(series)
            self._known = series, found
        return found

    def _with(self, series: Plan | None) -> Plan | None:
        if series is None:
            return self._pieces
        host, device = self._pieces or Plan({}, {})
        return Plan({**host, "repinit": series.host}, {**device, "repinit": series.device})

    @property
    def plan(self) -> Plan | None:
        """The current plan; None if there is nothing to plan."""
        return self._whole(self.inner.plan)

    def covers(self, nearest: np.ndarray) -> bool:
        """Return True if the plan covers pairs of these distances in Å, (ntypes, ntypes)."""
        return self.inner.covers(nearest)

    def include(self, nearest: np.ndarray) -> None:
        """Extend the plan to pairs of these distances in Å, ∞ for none, (ntypes, ntypes)."""
        self.inner.include(nearest)

    def refine(self, params: Tree) -> None:
        """Make the plan accurate for these parameters of the model (nested NumPy arrays)."""
        self.inner.refine(self._of(params))

    def plan_for(self, nearest: np.ndarray, params: Callable[[], Tree]) -> Plan | None:
        """Return a plan that covers a batch: include, refine if extended, and return."""
        return self._whole(self.inner.plan_for(nearest, lambda: self._of(params())))

    def fixed(self, plan: Plan, params: Tree) -> Plan:
        """Return a plan with everything that is constant while parameters are not trained."""
        if "repinit" not in plan.host:
            return plan
        series = Plan(plan.host["repinit"], plan.device["repinit"])
        return self._with(self.inner.fixed(series, self._of(params))) or plan

    def state(self) -> dict[str, Any]:
        """Return numbers and lists from which :meth:`restore` resumes."""
        return self.inner.state()

    def restore(self, state: Mapping[str, Any]) -> None:
        """Resume from what :meth:`state` returned."""
        self.inner.restore(state)

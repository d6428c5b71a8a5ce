"""The planner of dpa2: that of its first block, whose nets may be evaluated as series."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...tree import Tree
from .._protocol import Plan, Planner


@dataclass
class BlockPlanner:
    """The planner of a block, from the parameters of the whole descriptor."""

    inner: Planner
    name: str

    def _of(self, params: Tree) -> Tree:
        own = params["descriptor"]
        return {"descriptor": {**own[self.name], "type_embedding": own["type_embedding"]}}

    @property
    def plan(self) -> Plan | None:
        """The current plan; None if the block is evaluated without one."""
        return self.inner.plan

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
        return self.inner.plan_for(nearest, lambda: self._of(params()))

    def fixed(self, plan: Plan, params: Tree) -> Plan:
        """Return a plan with everything that is constant while parameters are not trained."""
        return self.inner.fixed(plan, self._of(params))

    def state(self) -> dict[str, Any]:
        """Return numbers and lists from which :meth:`restore` resumes."""
        return self.inner.state()

    def restore(self, state: Mapping[str, Any]) -> None:
        """Resume from what :meth:`state` returned."""
        self.inner.restore(state)

"""The plans of all parts of a hybrid as one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...tree import Tree
from .._protocol import Plan, Planner

#: Key of the states of the parts.
STATES = "parts"

Plans = tuple[Plan | None, ...]


@dataclass
class PartPlanners:
    """The planners of the parts.

    Parameters
    ----------
    planners, cutoffs
        Of each part; a pair beyond the cutoff of a part (Å) does not concern it.
    """

    planners: Sequence[Planner]
    cutoffs: Sequence[float]

    def __post_init__(self) -> None:
        """Start without a plan."""
        self._known: tuple[Plans, Plan | None] = ((), None)

    @property
    def plan(self) -> Plan | None:
        """The plans of the parts, under their numbers; None if none has one."""
        return self._joined([planner.plan for planner in self.planners])

    def covers(self, nearest: np.ndarray) -> bool:
        """Return True if the plans of all parts cover pairs of these distances in Å."""
        pairs = zip(self.planners, self._of(nearest), strict=True)
        return all(planner.covers(own) for planner, own in pairs)

    def include(self, nearest: np.ndarray) -> None:
        """Extend the plans to pairs of these distances in Å, (ntypes, ntypes)."""
        for planner, own in zip(self.planners, self._of(nearest), strict=True):
            planner.include(own)

    def refine(self, params: Tree) -> None:
        """Make the plans accurate for these parameters of the model."""
        for k, planner in enumerate(self.planners):
            planner.refine(_of_part(params, k))

    def plan_for(self, nearest: np.ndarray, params: Callable[[], Tree]) -> Plan | None:
        """Return the plans that cover a batch, or None.

        Raises
        ------
        UnsupportedError
            As the planners of the parts do.
        """
        found = []
        for k, own in enumerate(self._of(nearest)):
            found.append(self.planners[k].plan_for(own, lambda k=k: _of_part(params(), k)))  # type: ignore[misc]
        return self._joined(found)

    def fixed(self, plan: Plan, params: Tree) -> Plan:
        """Return the plans with everything that is constant while parameters are not trained."""
        found: list[Plan | None] = []
        for k, planner in enumerate(self.planners):
            name = str(k)
            own = Plan(plan.host[name], plan.device[name]) if name in plan.host else None
            found.append(None if own is None else planner.fixed(own, _of_part(params, k)))
        return _side_by_side(found)

    def state(self) -> dict[str, Any]:
        """Return the states of the parts."""
        return {STATES: [planner.state() for planner in self.planners]}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Resume from a :meth:`state`; ignore that of another number of parts."""
        given = state.get(STATES, ())
        if len(given) == len(self.planners):
            for planner, own in zip(self.planners, given, strict=True):
                planner.restore(own)

    def _of(self, nearest: np.ndarray) -> list[np.ndarray]:
        """Return the distances that concern each part."""
        return [np.where(nearest < rcut, nearest, np.inf) for rcut in self.cutoffs]

    def _joined(self, plans: Sequence[Plan | None]) -> Plan | None:
        """Return the plans as one: the same object while they are the same."""
        known, found = self._known
        if len(known) != len(plans) or any(a is not b for a, b in zip(known, plans, strict=True)):
            found = _side_by_side(plans) if any(plan is not None for plan in plans) else None
            self._known = tuple(plans), found
        return found


def _side_by_side(plans: Sequence[Plan | None]) -> Plan:
    """Return the plans of the parts that have one, under their numbers."""
    named = {str(k): plan for k, plan in enumerate(plans) if plan is not None}
    return Plan(
        {k: plan.host for k, plan in named.items()}, {k: plan.device for k, plan in named.items()}
    )


def _of_part(params: Tree, k: int) -> Tree:
    """Return the parameters of a model whose descriptor is the k-th part."""
    return {"descriptor": params["descriptor"]["list"][str(k)]}

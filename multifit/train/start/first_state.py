"""The first state of a run: process 0 makes it, and all take it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...distributed import Processes
from ...tree import Flat, flatten, unflatten
from .checkpoint import State
from .state_checks import MOMENTS

#: What State has besides arrays.
PLAIN = ("step", "series", "tables", "best", "stale")

#: What separates the name of a group of arrays from the name of an array in it.
_BAR = "|"


def first_state(
    processes: Processes, make: Callable[[], tuple[State, list[str]]]
) -> tuple[State, list[str]]:
    """Return the first state of all processes, and in process 0 the messages about it.

    Parameters
    ----------
    make
        Makes them; called in process 0 only, while the others wait.
    """
    if processes.size == 1:
        return make()
    state, notes = make() if processes.rank == 0 else (State({}), [])
    plain = processes.share({name: getattr(state, name) for name in PLAIN})
    arrays = processes.share_arrays(_arrays(state))
    if processes.rank == 0:
        return state, notes
    groups: dict[str, Flat] = {}
    for name, array in arrays.items():
        group, _, key = name.partition(_BAR)
        groups.setdefault(group, {})[key] = array
    found = State(
        params=unflatten(groups["params"]),
        moments={m: groups[m] for m in MOMENTS if m in groups},
        sampler=groups.get("sampler", {}),
        validation_sampler=groups.get("validation", {}),
        **plain,
    )
    return found, []


def _arrays(state: State) -> dict[str, np.ndarray]:
    """Return the arrays of a state by group and name."""
    groups: dict[str, Any] = {
        "params": flatten(state.params) if state.params else {},
        **state.moments,
        "sampler": flatten(state.sampler) if state.sampler else {},
        "validation": flatten(state.validation_sampler) if state.validation_sampler else {},
    }
    return {f"{group}{_BAR}{key}": x for group, flat in groups.items() for key, x in flat.items()}

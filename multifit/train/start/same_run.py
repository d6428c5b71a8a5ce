"""All processes of a run must have the same input, data and versions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ...backend import Backend
from ...config import Config
from ...data import System
from ...distributed import Processes
from ...errors import TrainingError
from ..setup.setup import Setup
from ..setup.stat_file import LABELS
from .changes import changes
from .origin import fingerprint


def require_same_input(config: Config, backend: Backend, processes: Processes) -> None:
    """Raise unless all processes have the same input and versions.

    Raises
    ------
    TrainingError
        Naming the process that differs from process 0, and what is different.
    """
    if processes.size > 1:
        version = f"{backend.name} {backend.describe()['version']}"
        _compare(processes, {"backend": version, "input": _input(config)}, _other_input)


def require_same_data(setup: Setup) -> None:
    """Raise unless all processes have the same data, as :func:`require_same_input` does."""
    if setup.processes.size > 1:
        _compare(setup.processes, _data(setup), _other_data)


def _compare(
    processes: Processes,
    about: Mapping[str, Any],
    differences: Callable[[Mapping[str, Any], Mapping[str, Any]], Iterator[str]],
) -> None:
    first, *others = processes.gather(about)
    for rank, other in enumerate(others, start=1):
        difference = next(differences(first, other), None)
        if difference is not None:
            raise TrainingError(f"process {rank} differs from process 0: {difference}")


def _data(setup: Setup) -> dict[str, Any]:
    """Return a description of all systems."""
    data = {}
    for task in setup.tasks:
        for kind, given in (("training", task.data.training), ("validation", task.data.validation)):
            if given is not None:
                data[task.titled(kind)] = [_described(x) for x in given.source.systems]
    return data


def _input(config: Config) -> dict[str, Any]:
    found: dict[str, Any] = config.model_dump(mode="json")
    found.pop("backend", None)  # named by its version already, and possibly by an option
    return found


def _described(system: System) -> dict[str, Any]:
    """Return the size of a system, and a hash of some of its frames."""
    return {
        "name": system.name,
        "frames": system.nframes,
        "atoms": system.natoms,
        "types": list(system.type_map),
        "hash": fingerprint(system, LABELS),
    }


def _other_input(first: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is different in another process, in words that end with the remedy."""
    if first["backend"] != other["backend"]:
        yield (
            f"it runs {other['backend']}, not {first['backend']}; start all from the same "
            "installation with the same backend"
        )
    for change in changes(first["input"], other["input"]):
        yield f"{change.in_other('in its input')}; start all with the same input"
    if first["input"] != other["input"]:
        yield "its input has other keys; start all with the same input"


def _other_data(first: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is different in the data of another process, as :func:`_other_input` does."""
    for kind, systems in first.items():
        theirs = other.get(kind, [])
        if len(systems) != len(theirs):
            yield (
                f"it found {len(theirs)} {kind} systems, not {len(systems)}; let all read the same "
                "data"
            )
        for mine, its in zip(systems, theirs, strict=False):
            for key in ("frames", "atoms", "types", "hash"):
                if mine[key] != its[key]:
                    yield f"{_system(key, mine, its, kind)}; let all read the same data"


def _system(key: str, mine: Mapping[str, Any], its: Mapping[str, Any], kind: str) -> str:
    where = f"its {kind} system {its['name']}"
    if key == "hash":
        return f"{where} has other coordinates, types or labels"
    return f"{where} has {_count(its[key])} {key}, not {_count(mine[key])}"


def _count(value: Any) -> str:
    return " ".join(value) if isinstance(value, list) else str(value)

"""The origin of a run's model: what is known at its start, and what is added with each file."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ... import files
from ...data import System, add_arrays
from ...inference import provenance as record
from ...inference.seen import Seen
from ...survey import combine
from ..setup.setup import Setup
from ..setup.task import Task
from .changes import changes

#: Frames of a system whose numbers are in its fingerprint, and systems that are listed.
FRAMES, LISTED = 8, 50

#: Restarts that are remembered.
RESTARTS = 100


@dataclass
class Origin:
    """The origin of the model of a run.

    Attributes
    ----------
    known
        What is known at the start, as in files.
    began
        By :func:`time.monotonic`.
    before
        Seconds of the runs that this one continues.
    metrics
        The newest row of ``lcurve.out``: its step, the metrics of training and of validation.
    seen
        The task → what its model was trained on.
    """

    known: dict[str, Any]
    began: float
    before: float = 0.0
    metrics: dict[str, Any] = field(default_factory=dict)
    seen: dict[str, Any] = field(default_factory=dict)

    def note(self, step: int, training: Mapping[str, float], validation: Any) -> None:
        """Keep the metrics of a step."""
        self.metrics = {"step": step, "training": _plain(training)}
        if validation is not None:
            self.metrics["validation"] = _plain(validation)

    def content(self, task: Task, step: int) -> dict[str, Any]:
        """Return the entry of a model file of a task, after a number of steps."""
        seconds = self.before + time.monotonic() - self.began
        return {
            "@class": record.CLASS,
            "@version": record.VERSION,
            **self.known,
            "data": self.known["data"][task.name],
            "steps": step,
            "finished": record.now(),
            "seconds": round(seconds, 1),
            "metrics": self.metrics,
            "seen": self.seen.get(task.name, {}),
        }


def _plain(metrics: Mapping[str, float]) -> dict[str, float | None]:
    """Return metrics as JSON has them: None for what is not a number."""
    return {key: float(x) if math.isfinite(x) else None for key, x in metrics.items()}


def run_input(setup: Setup) -> dict[str, Any]:
    """Return the whole input with all defaults, without the folders of absolute paths."""
    found: dict[str, Any] = record.without_folders(setup.config.model_dump(mode="json"))
    return found


def new_origin(setup: Setup, parents: Mapping[str, Path]) -> Origin:
    """Return the origin of a run that begins with step 1.

    Parameters
    ----------
    parents
        How → the model that it starts from.
    """
    known = {
        "software": record.software(setup.backend),
        "input": run_input(setup),
        "seeds": dict(setup.seeds),
        "data": {task.name: _data(task) for task in setup.tasks},
        "started": record.now(),
    }
    for how, path in parents.items():
        known["parent"] = record.parent(how, path, files.read(path))
    seen = {task.name: _seen(task) for task in setup.tasks}
    return Origin(known, time.monotonic(), seen=seen)


def continued_origin(setup: Setup, before: Mapping[str, Any], step: int, old: Any) -> Origin:
    """Return the origin of a run that continues a checkpoint.

    Parameters
    ----------
    before
        The entry of the checkpoint; empty in those of earlier versions.
    step
        Of the checkpoint.
    old
        The input of the run that wrote it.
    """
    origin = new_origin(setup, {})
    now = origin.known
    differ = [str(change) for change in changes(old, now["input"])]
    earlier = before.get("restarts")
    entry = {"step": step, "time": now["started"], "changed": differ}
    restarts = [*(earlier if isinstance(earlier, list) else []), entry][-RESTARTS:]
    origin.known = now | {key: before[key] for key in ("started", "parent") if key in before}
    # Parameters and the order of frames are those of the first run.
    origin.known |= {"restarts": restarts, "seeds": before.get("seeds", {})}
    seconds = before.get("seconds")
    usable = isinstance(seconds, int | float) and 0 <= seconds < math.inf
    origin.before = float(seconds) if usable else 0.0  # type: ignore[arg-type]
    return origin


def _seen(task: Task) -> dict[str, Any]:
    """Return what the model is trained on; nothing if not all frames were looked at."""
    data = task.data.training
    if not data.found:
        return {}
    drawn = [
        (system, one)
        for system, one, p in zip(data.source.systems, data.found, data.probabilities, strict=True)
        if p
    ]
    if not drawn or any(one.nframes < system.nframes for system, one in drawn):
        return {}
    systems, found = zip(*drawn, strict=True)
    rcut = task.model.descriptor.requires().rcut
    known = combine(systems, found, rcut)
    fparam = known.fparam if known.fparam.size else None
    return Seen(np.array(known.natoms) > 0, known.nearest, fparam).to_content(known.type_map)


def _data(task: Task) -> dict[str, Any]:
    """Return the fingerprints of a task's data."""
    given = {"training": task.data.training, "validation": task.data.validation}
    labels = [label for label in task.loss.labels if label != "hessian"]  # too large
    return {
        kind: _described(each.source.systems, labels)
        for kind, each in given.items()
        if each is not None
    }


def _described(systems: Sequence[System], labels: Sequence[str]) -> dict[str, Any]:
    """Return the sizes and the fingerprints of systems: of all together, and of the first ones."""
    prints = [fingerprint(system, labels) for system in systems]
    together = hashlib.sha256("".join(prints).encode()).hexdigest()[:32]
    listed = [
        {
            "name": record.without_folders(system.name),
            "frames": int(system.nframes),
            "atoms": int(system.natoms),
            "fingerprint": text,
        }
        for system, text in zip(systems[:LISTED], prints, strict=False)
    ]
    frames = sum(int(system.nframes) for system in systems)
    return {
        "systems": len(systems),
        "frames": frames,
        "fingerprint": together,
        "listed": listed,
    }


def fingerprint(system: System, labels: Sequence[str]) -> str:
    """Return a hash of a system: its size, and the numbers of some frames from first to last.

    Names and dates of files do not enter, so that copies have the same one.
    """
    few = np.linspace(0, system.nframes - 1, min(FRAMES, system.nframes)).astype(np.int64)
    frames = np.unique(few)
    digest = hashlib.sha256(f"{system.nframes} {system.natoms} {system.pbc};".encode())
    arrays = {"types": system.atype(frames), **system.load(frames, labels)}
    add_arrays(digest, sorted(arrays.items()))
    return digest.hexdigest()[:32]

"""Batches on the device, preprocessed as far as possible without trained parameters."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import array_api_compat.numpy as xp

from ... import models as mdl
from ...backend import Backend
from ...batching.types import Batch, map_arrays
from ...data import Picks
from ...descriptors import Plan, Planner
from ...tree import Tree, map_leaves, walk
from ..profile.recorder import OFF, Recorder
from ..setup.source import HostBatch, Source


@dataclass(frozen=True)
class DeviceBatch:
    """A batch whose arrays are those of the backend."""

    work: HostBatch  #: its origin, as NumPy arrays
    batch: Batch
    label: dict[str, Any]
    plan: Plan | None  #: the plan for which it was made
    ready: bool = True  #: False if it was not prepared


@dataclass
class DeviceBatches:
    """Makes the batches of a source on the device, and keeps those of one frame if they fit.

    On a CPU, everything that depends on positions, and not on trained parameters, is computed
    here rather than in every step.

    Parameters
    ----------
    params
        Nested NumPy arrays; only what is never trained matters.
    """

    source: Source
    backend: Backend
    params: Tree
    planner: Planner
    recorder: Recorder = OFF

    def draw(self, picks: Picks) -> DeviceBatch:
        """Return the batch of some frames, for the current plan."""
        alone = _alone(picks)
        known = None if alone is None else self.source.cache.batch(alone)
        if known is None:
            return self._made(self.source.work(picks, self.recorder))
        return self.renewed(known, self.planner.plan)

    def renewed(self, prepared: DeviceBatch, plan: Plan | None) -> DeviceBatch:
        """Return the batch for a plan; unchanged if it was made for it."""
        if prepared.ready and prepared.plan is plan:
            return prepared
        return self._made(prepared.work)

    def _made(self, work: HostBatch) -> DeviceBatch:
        """Return the batch on the device, and keep it if it has one frame."""
        made = self._prepare(work)
        alone = _alone(work.picks)
        if made.ready and alone is not None:
            self.source.cache.keep_batch(alone, made, _nbytes(made))
        return made

    def _prepare(self, work: HostBatch) -> DeviceBatch:
        span, plan, host = self.recorder.span, self.planner.plan, work.batch
        if not self.planner.covers(work.nearest):
            # Polynomials would be of points far outside: the loop lets the intervals grow first.
            return DeviceBatch(work, host, {}, plan, ready=False)
        if self.backend.on_cpu and not self.source.loss.needs_hessian:
            with span("geometry of the pairs"):
                if plan is not None:
                    host = {**host, "plan": plan.host}
                host = mdl.prepared(xp, self.source.model, self.params, host)
                host.pop("plan", None)
        with span("copy to the device"):
            batch = map_arrays(self.backend.as_input, host)
            label = map_leaves(self.backend.as_input, work.label)
        if plan is not None:
            batch["plan"] = plan.device
        return DeviceBatch(work, batch, label, plan)


def _alone(picks: Picks) -> tuple[int, int] | None:
    """Return the system and the frame of a batch of one frame; None for other batches."""
    (system, frames), *others = picks
    return None if others or len(frames) > 1 else (system, int(frames[0]))


def _nbytes(prepared: DeviceBatch) -> int:
    """Return the memory that a batch holds, on the host and on the device."""
    own = {key: x for key, x in prepared.batch.items() if key != "plan"}
    trees = (prepared.work.batch, prepared.work.label, own, prepared.label)
    return sum(8 * math.prod(x.shape) for tree in trees for _, x in walk(tree))

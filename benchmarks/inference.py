"""Time energies and forces, neighbour list included, at several sizes, each in its own process."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .peer_models import CHILDREN, convert
from .processes import Outcome, run
from .programs import FRAMEWORK, TITLE, Peer
from .results import PRODUCTS, InferenceCase, InferenceRun, Point, median, usual
from .systems import types, write_frames

#: Atoms beyond which a prediction is in parts, whose products are not timed alone.
AT_ONCE = 512

#: Calls longer than this, in ms, are timed in one round only.
LONG = 2000.0


@dataclass(frozen=True)
class Predictor:
    """A program that predicts with a model file."""

    run: InferenceRun
    python: str
    task: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """Sizes that are timed, and the time for each.

    Attributes
    ----------
    sizes
        (atoms, frames in a call), small ones first.
    seconds
        To spend in a process.
    limit_s
        A size at which a call would take longer is left out.
    """

    sizes: tuple[tuple[int, int], ...]
    rounds: int
    seconds: float
    limit_s: float


def predictors(
    backends: Sequence[str], peers: Sequence[Peer], model: Path, environment: Mapping[str, str]
) -> tuple[list[Predictor], list[str]]:
    """Return the programs and notes on those that are left out; converts the model for peers."""
    found, notes = [], []
    for name in backends:
        made = InferenceRun(f"multifit {TITLE[name]}", name, True)
        task = {"program": "multifit", "backend": name, "model": str(model), "options": {}}
        found.append(Predictor(made, sys.executable, task))
    if "numpy" in backends:
        task = {"program": "products", "backend": "numpy", "model": str(model), "options": {}}
        found.append(Predictor(InferenceRun(PRODUCTS, "numpy", True), sys.executable, task))
    for peer in peers:
        for compressed in (False, True):
            name = peer.name + (", compressed" if compressed else "")
            path = convert(peer, model, compressed, environment)
            if isinstance(path, Path):
                made = InferenceRun(name, FRAMEWORK[peer.backend], False)
                task = {"program": "deepmd-kit", "model": str(path)}
                found.append(Predictor(made, peer.python, task))
            elif path is not None:
                notes.append(f"inference of {name}: {path}")
    return found, notes


def time_case(
    case: InferenceCase,
    programs: Sequence[Predictor],
    plan: Plan,
    *,
    system: Path,
    folder: Path,
    environment: Mapping[str, str],
) -> None:
    """Run the programs in turn and add what they need to the case."""
    case.runs = [program.run for program in programs]
    main = usual([n for n, _ in plan.sizes])
    for wanted, frames in plan.sizes:
        path = folder / f"frames-{wanted}.npz"
        atoms = write_frames(system, wanted, path)
        for round_number in range(plan.rounds):
            for program in programs:
                point = program.run.point(atoms, frames)
                if program.run.name == PRODUCTS and atoms * frames > AT_ONCE:
                    point.note = "—"
                if _is_due(program.run, point, round_number, plan.limit_s):
                    first = (wanted, frames, round_number) == (main, 1, 0)
                    save = first and program.run.name != PRODUCTS
                    outputs = str(folder / f"{program.run.name}.npz") if save else ""
                    task = {"input": str(path), "frames": frames, "outputs": outputs}
                    _time(program, point, {**task, **_spending(plan)}, plan, environment)
    path.unlink()
    _compare(case, programs, system, folder, environment)


def _spending(plan: Plan) -> dict[str, float]:
    """Return what a process may spend on calls that count, and on those before."""
    return {"seconds": plan.seconds, "patience": plan.limit_s}


def _is_due(made: InferenceRun, point: Point, round_number: int, limit_s: float) -> bool:
    """Return whether a program shall be run at that size; leaves a note if not."""
    if point.note:
        return False
    if round_number:
        return (median(point.call_ms) or 0.0) < LONG
    smaller = [p for p in made.points if p.atoms * p.frames < point.atoms * point.frames]
    failed = [p for p in smaller if p.note]
    if failed:
        point.note = "—" if failed[0].note == "—" or ">" in failed[0].note else "— (failed before)"
        return False
    rates = [median(p.call_ms) / (p.atoms * p.frames) for p in smaller if p.call_ms]  # type: ignore[operator]
    expected = rates[-1] * point.atoms * point.frames / 1e3 if rates else 0.0
    if expected > limit_s:
        point.note = f"> {limit_s:.0f} s"
        return False
    return True


def _time(
    program: Predictor,
    point: Point,
    task: dict[str, Any],
    plan: Plan,
    environment: Mapping[str, str],
) -> None:
    """Run a program once at one size."""
    made = program.run
    outcome = _child(program.python, {**program.task, **task}, environment, plan)
    result = _result(outcome)
    if result is None:
        point.note = outcome.failure or "no result"
        print(outcome.tail(12), flush=True)
    else:
        point.call_ms += result["call_ms"]
        point.memory_mb.append(outcome.memory_mb)
        if outcome.gpu_mb is not None:
            point.gpu_mb.append(outcome.gpu_mb)
        made.device = result["device"] or made.device
    size = f"{point.frames} × {point.atoms:,} atoms"
    middle = median(point.call_ms)
    last = point.note if middle is None else f"{middle:.1f} ms, {max(point.memory_mb):.0f} MB"
    print(f"  {made.name}: {size}: {last}", flush=True)


def _child(
    python: str, task: dict[str, Any], environment: Mapping[str, str], plan: Plan
) -> Outcome:
    command = [python, str(CHILDREN / "predict.py"), json.dumps(task)]
    return run(command, CHILDREN, environment, 120.0 + 6 * plan.limit_s)


def _result(outcome: Outcome) -> dict[str, Any] | None:
    lines = [line for _, line in outcome.lines if line.startswith("RESULT ")]
    return dict(json.loads(lines[-1][7:])) if lines and not outcome.failure else None


def _compare(
    case: InferenceCase,
    programs: Sequence[Predictor],
    system: Path,
    folder: Path,
    environment: Mapping[str, str],
) -> None:
    """Add each program's largest deviation from our direct evaluation, at the usual size."""
    ours = next((p for p in programs if p.run.ours), None)
    if ours is None or not _has_direct():
        return
    natoms = len(types(system))
    path, outputs = folder / "reference-frames.npz", folder / "reference.npz"
    sizes = [point.atoms for point in case.runs[0].points]
    write_frames(system, usual(sizes) if sizes else natoms, path)
    task = {**ours.task, "backend": "numpy", "options": {"embedding": "direct"}}
    task |= {
        "input": str(path),
        "frames": 1,
        "seconds": 0.0,
        "patience": 0.0,
        "outputs": str(outputs),
    }
    outcome = _child(sys.executable, task, environment, Plan((), 1, 0.0, 600.0))
    if _result(outcome) is None:
        print(f"  no reference: {outcome.failure}\n{outcome.tail(12)}", flush=True)
        return
    with np.load(outputs) as want:
        for program in programs:
            stored = folder / f"{program.run.name}.npz"
            if stored.exists():
                with np.load(stored) as got:
                    atoms = want["force"].shape[1]
                    energy = np.abs(got["energy"] - want["energy"]).max() / atoms
                    program.run.energy_error = float(energy)
                    program.run.force_error = float(np.abs(got["force"] - want["force"]).max())


def _has_direct() -> bool:
    """Return whether the installed multifit can evaluate embedding nets without their series."""
    import multifit

    return "embedding" in inspect.signature(multifit.load).parameters

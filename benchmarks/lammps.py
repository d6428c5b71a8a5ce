"""Molecular dynamics in LAMMPS: ours beside deepmd-kit's own pair style, on the same input."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .inference import Plan
from .peer_models import convert
from .processes import Outcome, run
from .programs import TITLE, Peer
from .results import InferenceCase, InferenceRun, Point
from .systems import write_frames

#: Names the environment that has ``lmp`` and ``dp``:
#: pip install "deepmd-kit[lmp]" tensorflow-cpu nvidia-cuda-runtime-cu12
VARIABLE = "MULTIFIT_PEER_LAMMPS"

#: Atoms times steps in a run, and the fewest steps.
WORK, FEWEST = 20_000, 5

INPUT = """\
units metal
read_data ${data}
mass 1 15.999
mass 2 1.008
pair_style deepmd ${model}
pair_coeff * * O H
velocity all create 330 23456789
timestep 0.0005
fix 1 all nve
thermo_style custom step pe etotal press
thermo 100
run 3
run ${steps}
"""


@dataclass(frozen=True)
class Engine:
    """A program that runs the input: its command, its model and its environment."""

    run: InferenceRun
    command: tuple[str, ...]
    model: str
    environment: Mapping[str, str]


def engines(
    backends: Sequence[str],
    ranks: Sequence[int],
    model: Path,
    environment: Mapping[str, str],
    variables: Mapping[str, str],
) -> tuple[list[Engine], list[str]]:
    """Return the programs, and a note for each that is left out."""
    found, notes = [], []
    for number in ranks:
        for name in backends:
            title = f"multifit {TITLE[name]}" + (f", {number} processes" * (number > 1))
            mpi = (str(Path(sys.executable).with_name("mpirun")), "-n", str(number))
            command = (sys.executable, "-m", "multifit", "lammps", "--backend", name, "in.water")
            found.append(
                Engine(
                    InferenceRun(title, name, True),
                    (*mpi, *command) if number > 1 else command,
                    str(model),
                    {**environment, **_threads(number)},
                )
            )
    folder = variables.get(VARIABLE)
    if not folder:
        return found, [f"deepmd-kit in LAMMPS: {VARIABLE} names no environment"]
    place = Path(folder)
    libraries = os.pathsep.join(map(str, place.glob("lib/python*/site-packages/nvidia/*/lib")))
    mine = {**environment, **_threads(1), "LD_LIBRARY_PATH": libraries}
    peer = Peer("tf", str(place / "bin" / "python"))
    for compressed in (False, True):
        path = convert(peer, model, compressed, mine)
        title = "deepmd-kit's pair style" + (", compressed" if compressed else "")
        if isinstance(path, Path):
            made = InferenceRun(title, "tensorflow", False)
            found.append(Engine(made, (str(place / "bin/lmp"), "-in", "in.water"), str(path), mine))
        else:
            notes.append(f"{title}: {path}")
    return found, notes


def _threads(ranks: int) -> dict[str, str]:
    """Return the variables that give all programs the same threads."""
    cores = str(max(1, len(os.sched_getaffinity(0)) // ranks))
    names = ("OMP_NUM_THREADS", "DP_INTRA_OP_PARALLELISM_THREADS", "NPROC")
    return dict.fromkeys(names, cores) | {"DP_INTER_OP_PARALLELISM_THREADS": "1"}


def time_case(
    case: InferenceCase, programs: Sequence[Engine], plan: Plan, *, system: Path, folder: Path
) -> None:
    """Run the programs in turn at each size, and add what a step needs to the case."""
    case.runs = [program.run for program in programs]
    (folder / "in.water").write_text(INPUT)
    for wanted, _ in plan.sizes:
        frames = folder / "frames.npz"
        atoms = write_frames(system, wanted, frames)
        data = folder / f"water-{wanted}.lmp"
        write_data(frames, data)
        for _ in range(plan.rounds):
            for program in programs:
                point = program.run.point(atoms)
                if not point.note:
                    _time(program, point, data, plan)
        data.unlink()


def _time(program: Engine, point: Point, data: Path, plan: Plan) -> None:
    """Run a program once at one size."""
    steps = max(FEWEST, WORK // point.atoms)
    given = {"data": data.name, "model": program.model, "steps": str(steps)}
    options = [word for name, value in given.items() for word in ("-var", name, value)]
    command = [*program.command, *options, "-log", "none"]
    outcome = run(command, data.parent, program.environment, 120.0 + 10 * plan.limit_s)
    ms = step_ms(outcome)
    if ms is None:
        point.note = outcome.failure or "no result"
        print(outcome.tail(12), flush=True)
        return
    point.call_ms.append(ms)
    point.memory_mb.append(outcome.memory_mb)
    print(f"  {program.run.name}: {point.atoms:,} atoms: {ms:.1f} ms/step", flush=True)


def step_ms(outcome: Outcome) -> float | None:
    """Return the milliseconds of a step of the last run that LAMMPS reports."""
    pattern = re.compile(r"Loop time of ([\d.e+-]+) on \d+ procs for (\d+) steps")
    found = [m for _, line in outcome.lines if (m := pattern.match(line))]
    if outcome.failure or len(found) < 2:
        return None
    return 1e3 * float(found[-1][1]) / int(found[-1][2])


def write_data(frames: Path, path: Path) -> None:
    """Write the first frame as LAMMPS has it: lattice vectors as a lower triangle."""
    with np.load(frames) as stored:
        coord, cell, types = stored["coord"][0], stored["cell"][0], stored["types"]
    turn, upper = np.linalg.qr(cell.T)
    signs = np.sign(np.diag(upper))
    coord, cell = coord @ (turn * signs), (upper * signs[:, None]).T
    lines = ["water", "", f"{len(coord)} atoms", "2 atom types"]
    lines += [f"0 {cell[k, k]:.12f} {axis}lo {axis}hi" for k, axis in enumerate("xyz")]
    lines += [f"{cell[1, 0]:.12f} {cell[2, 0]:.12f} {cell[2, 1]:.12f} xy xz yz", "", "Atoms", ""]
    lines += [
        f"{n} {kind + 1} {x:.10f} {y:.10f} {z:.10f}"
        for n, (kind, (x, y, z)) in enumerate(zip(types, coord, strict=True), start=1)
    ]
    path.write_text("\n".join(lines) + "\n")

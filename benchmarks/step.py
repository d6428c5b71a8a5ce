"""Time a training step of multifit beside deepmd-kit's, on the same input and data.

The input is the water example of DeePMD-kit (se_e2_a 25-50-100, fitting 240-240-240, float64, one
frame of 192 atoms in a batch), or with ``--task dos`` its example of densities of states (fitting
120-120-120, atomic labels, one frame in a batch). The programs run in turn, so that a machine that
slows down slows all. What is printed for each: the median time of a step (from the programs' own
output, the first interval left out), its spread, and the time from the command to the first step.

    MULTIFIT_PEER_PYTHON=/path/to/python python benchmarks/step.py [--task dos] [--systems DIR ...]

deepmd-kit is left out without MULTIFIT_PEER_PYTHON, the interpreter of an environment that has it;
its backends need different ones, which MULTIFIT_PEER_PYTHON_PT, …_JAX, …_PD name.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
WATER = HERE.parent / "examples" / "water" / "data"
SILICON = HERE.parent / "examples" / "dos" / "data"

ENERGY_MODEL = {
    "type_map": ["O", "H"],
    "descriptor": {
        "type": "se_e2_a",
        "sel": [46, 92],
        "rcut_smth": 0.5,
        "rcut": 6.0,
        "neuron": [25, 50, 100],
        "axis_neuron": 16,
        "type_one_side": True,
        "seed": 1,
    },
    "fitting_net": {"neuron": [240, 240, 240], "resnet_dt": True, "seed": 1},
}
#: Our backends, and what deepmd-kit calls them.
SAME = {"jax": "jax", "torch": "pt", "tensorflow": "tf", "paddle": "pd"}

ENERGY_LOSS = {"type": "ener", "start_pref_e": 0.02, "limit_pref_e": 1}
ENERGY_LOSS |= {"start_pref_f": 1000, "limit_pref_f": 1, "start_pref_v": 0, "limit_pref_v": 0}

#: Slots for neighbours in DeePMD-kit's example of bulk silicon.
BULK = 90


@dataclass
class Program:
    """A command, and how its output tells the time of its steps."""

    name: str
    command: list[str]
    pattern: str  #: one number for each display interval, …
    scale: float  #: … times this is milliseconds per step
    steps: list[float] = field(default_factory=list)
    first: list[float] = field(default_factory=list)


def programs(backends: Sequence[str], peers: Sequence[str], interval: int) -> list[Program]:
    """Return the programs that can be run here."""
    found = [
        Program(
            f"multifit {name}",
            [sys.executable, "-m", "multifit", "train", "input.json", "--backend", name],
            r"([0-9.]+) ms/step",
            1.0,
        )
        for name in backends
    ]
    for name in peers:
        default = os.environ.get("MULTIFIT_PEER_PYTHON") if name == "tf" else None
        python = os.environ.get(f"MULTIFIT_PEER_PYTHON_{name.upper()}", default)
        if python is None:
            print(f"no interpreter is named for deepmd-kit's {name}: it is left out")
            continue
        command = [python, "-m", "deepmd", f"--{name}", "train", "input.json"]
        wall = r"total wall time = ([0-9.]+) s"
        found.append(Program(f"deepmd-kit {name}", command, wall, 1000.0 / interval))
    return found


def enlarged(folder: Path) -> Path:
    """Return a system of 192 atoms: 2 × 2 × 1 of our own cells."""
    source = WATER / "liquid_300K"
    atype = np.loadtxt(source / "type.raw", dtype=int)
    coord = np.load(source / "set.000" / "coord.npy").reshape(-1, len(atype), 3)
    box = np.load(source / "set.000" / "box.npy").reshape(-1, 3, 3)
    force = np.load(source / "set.000" / "force.npy").reshape(-1, len(atype), 3)
    energy = np.load(source / "set.000" / "energy.npy").reshape(-1)
    images = [(i, j, 0) for i in range(2) for j in range(2)]
    shifted = [coord + (np.asarray(image) @ box)[:, None, :] for image in images]
    target = folder / "system"
    (target / "set.000").mkdir(parents=True)
    (target / "type.raw").write_text("\n".join(map(str, np.tile(atype, 4))))
    (target / "type_map.raw").write_text("O\nH\n")
    n = len(coord)
    arrays = {
        "coord": np.concatenate(shifted, axis=1).reshape(n, -1),
        "box": (box * np.array([2.0, 2.0, 1.0])[:, None]).reshape(n, 9),
        "force": np.tile(force, (1, 4, 1)).reshape(n, -1),
        "energy": energy * 4,
    }
    for name, values in arrays.items():
        np.save(target / "set.000" / f"{name}.npy", values.astype(np.float64))
    return target


def largest(folder: Path) -> Path:
    """Return the system with the most atoms."""
    systems = [path.parent for path in folder.glob("*/type.raw")]
    return max(systems, key=lambda path: len((path / "type.raw").read_text().split()))


def dos_sections(system: Path) -> tuple[dict[str, object], dict[str, object]]:
    """Return the model and the loss of DeePMD-kit's DOS example, for the types of a system."""
    types = (system / "type_map.raw").read_text().split()
    natoms = len((system / "type.raw").read_text().split())
    columns = np.load(system / "set.000" / "atom_dos.npy", mmap_mode="r").shape[1]
    descriptor = {**ENERGY_MODEL["descriptor"], "axis_neuron": 8, "rcut_smth": 1.8}  # type: ignore[dict-item]
    descriptor["sel"] = [BULK] if len(types) == 1 else "auto"
    fitting = {"type": "dos", "numb_dos": columns // natoms, "neuron": [120, 120, 120], "seed": 1}
    terms = {"dos": 0.0, "cdf": 0.0, "ados": 1.0, "acdf": 0.0}
    loss = {f"{when}_pref_{name}": x for name, x in terms.items() for when in ("start", "limit")}
    model = {"type_map": types, "descriptor": descriptor, "fitting_net": fitting}
    return model, {"type": "dos", **loss}


def write_input(
    folder: Path, task: str, systems: Sequence[Path], steps: int, interval: int
) -> None:
    """Write the input that all programs get."""
    model, loss = dos_sections(systems[0]) if task == "dos" else (ENERGY_MODEL, ENERGY_LOSS)
    training = {
        "training_data": {"systems": [str(path) for path in systems], "batch_size": 1},
        "numb_steps": steps,
        "seed": 10,
        "disp_freq": interval,
        "save_freq": steps,
    }
    rate = {"type": "exp", "decay_steps": 5000, "start_lr": 0.001, "stop_lr": 3.51e-8}
    content = {"model": model, "learning_rate": rate, "loss": loss, "training": training}
    (folder / "input.json").write_text(json.dumps(content, indent=1))


def run(program: Program, folder: Path) -> None:
    """Run a program once and add its times."""
    folder.mkdir()
    (folder / "input.json").write_bytes((folder.parent / "input.json").read_bytes())
    began = time.monotonic()
    process = subprocess.Popen(
        program.command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    first, times, output = None, [], []
    for line in process.stdout:
        output.append(line)
        if first is None and re.search(r"first step after|[Bb]atch +[01]: trn", line):
            first = time.monotonic() - began
        times += [float(x) * program.scale for x in re.findall(program.pattern, line)]
    if process.wait() != 0 or len(times) < 3:
        raise SystemExit(f"{program.name} failed:\n{''.join(output[-30:])}")
    program.steps += times[1:]
    program.first.append(first if first is not None else float("nan"))


def report(found: Sequence[Program]) -> None:
    """Print a line for each program, with ratios to deepmd-kit: its best, and the same backend."""
    medians = {p.name: statistics.median(p.steps) for p in found}
    peers = {name: value for name, value in medians.items() if name.startswith("deepmd")}
    print(f"\n{'program':<22} {'ms/step':>8} {'min':>8} {'max':>8} {'first step, s':>14}  ratio")
    for program in found:
        median = medians[program.name]
        ratio = f"{min(peers.values()) / median:.2f} × deepmd-kit's fastest" if peers else ""
        same = peers.get(f"deepmd-kit {SAME.get(program.name.removeprefix('multifit '))}")
        if same is not None:
            ratio += f", {same / median:.2f} × its own {SAME[program.name.split()[-1]]}"
        print(
            f"{program.name:<22} {median:8.1f} {min(program.steps):8.1f} "
            f"{max(program.steps):8.1f} {min(program.first):14.1f}  {ratio}"
        )


def main() -> None:
    """Run the programs in turn, and report."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--task", choices=("ener", "dos"), default="ener")
    parser.add_argument("--systems", nargs="+", type=Path, help="data (default: our own)")
    parser.add_argument("--backends", nargs="+", default=list(SAME))
    parser.add_argument("--peers", nargs="+", default=["tf"], help="deepmd-kit's: tf, pt, jax, pd")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=120)
    parser.add_argument("--interval", type=int, default=20)
    args = parser.parse_args()
    found = programs(args.backends, args.peers, args.interval)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        if args.systems:
            systems = [p.resolve() for p in args.systems]
        else:
            systems = [largest(SILICON)] if args.task == "dos" else [enlarged(folder)]
        write_input(folder, args.task, systems, args.steps, args.interval)
        for number in range(args.rounds):
            for k, program in enumerate(found):
                run(program, folder / f"{number}-{k}")
                print(
                    f"round {number + 1}: {program.name} {program.steps[-1]:.1f} ms/step",
                    flush=True,
                )
    report(found)


if __name__ == "__main__":
    main()

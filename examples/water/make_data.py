"""Make the water data of this folder: molecular dynamics with the GFN1-xTB tight-binding model.

Liquid water is 16 molecules in small, differently strained triclinic boxes; the clusters are 7
molecules without a cell. Each trajectory starts from molecules of random orientation on a grid, is
relaxed loosely (FIRE), equilibrated (Langevin), and then sampled. Validation frames come from
trajectories of their own, with other boxes and seeds. The result is DeePMD's NumPy layout, one
folder per system, and a README that records how it was made.

Requirements (about 15 minutes on two cores)::

    pip install tblite==0.8.0 ase==3.29.0
    OMP_NUM_THREADS=1 python make_data.py --jobs 2

Finished trajectories are kept under ``--work``, so that an interrupted run goes on where it
stopped.
"""

import argparse
import multiprocessing
import os
import platform
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault(
    "OMP_NUM_THREADS", "1"
)  # one trajectory per process is the better parallelism

import numpy as np
from ase import Atoms, units
from ase.build import molecule
from ase.geometry import get_distances
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import thermalize_momenta
from ase.optimize import FIRE
from tblite.ase import TBLite

METHOD = "GFN1-xTB"
ACCURACY = 0.2  # of the self-consistent charges; tblite's own default is 1.0
TYPE_MAP = ("O", "H")
DENSITY = 1.0  # g/cm³ before the box is strained
STRAIN = 0.03  # largest component of the random symmetric strain of a box
TIMESTEP = 0.8  # fs
FRICTION = 0.02  # 1/fs
RELAX_FORCE, RELAX_STEPS = 1.0, 40  # eV/Å; loose: only contacts and crude angles have to go

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Trajectory:
    """One independent run: where its frames go and how it is made.

    `equilibrate` is the number of steps thrown away, `every` the number of steps between frames.
    """

    folder: str
    temperature: float
    seed: int
    frames: int
    molecules: int = 16
    periodic: bool = True
    equilibrate: int = 250
    every: int = 8


def plan() -> list[Trajectory]:
    """Return every trajectory of the data set, the long ones first."""
    liquids = [(300.0, (11, 12)), (450.0, (21, 22)), (600.0, (31, 32))]
    runs = [
        Trajectory(f"liquid_{temperature:.0f}K", temperature, seed, frames=42)
        for temperature, seeds in liquids
        for seed in seeds
    ]
    runs += [
        Trajectory("liquid_valid", temperature, seed, frames=16)
        for temperature, seed in [(300.0, 101), (450.0, 102), (600.0, 103)]
    ]
    gas = {"molecules": 7, "periodic": False, "equilibrate": 500, "every": 20}
    runs += [
        Trajectory("cluster", temperature, seed, frames=30, **gas)
        for temperature, seed in [(300.0, 41), (300.0, 42), (450.0, 51), (450.0, 52)]
    ]
    runs += [
        Trajectory("cluster_valid", temperature, seed, frames=20, **gas)
        for temperature, seed in [(300.0, 141), (450.0, 151)]
    ]
    return runs


def grid_of_molecules(run: Trajectory, rng: np.random.Generator) -> Atoms:
    """Return randomly turned molecules on a cubic grid at `DENSITY`, oxygen atoms first."""
    length = (run.molecules * 18.015 / (DENSITY * 0.602214)) ** (1 / 3)
    points = int(np.ceil(run.molecules ** (1 / 3) - 1e-9))
    sites = np.argwhere(np.ones((points,) * 3))
    rng.shuffle(sites)
    water = molecule("H2O")
    water.positions -= water.positions[0]
    atoms = Atoms(cell=[length] * 3, pbc=run.periodic)
    for site in sites[: run.molecules]:
        turned = water.copy()
        turned.euler_rotate(*rng.uniform(0, 360, 3), center=(0, 0, 0))
        turned.translate((site + 0.5) * length / points + rng.normal(scale=0.05, size=3))
        atoms += turned
    if run.periodic:
        strain = rng.uniform(-STRAIN, STRAIN, (3, 3))
        atoms.set_cell(atoms.cell[:] @ (np.eye(3) + (strain + strain.T) / 2), scale_atoms=True)
    else:
        atoms.cell = None
    return atoms[np.argsort([TYPE_MAP.index(s) for s in atoms.symbols], kind="stable")]


def calculator() -> TBLite:
    """Return the energy model."""
    return TBLite(method=METHOD, accuracy=ACCURACY, verbosity=0)


def labels(atoms: Atoms) -> Arrays:
    """Return a frame's arrays in DeePMD's names and units (Å, eV, eV/Å).

    The virial is −V·stress (eV): positive when the system pushes outwards, so that
    pressure = tr(virial)/(3V) without the kinetic part.
    """
    frame = {
        "coord": atoms.positions.reshape(-1).copy(),
        "energy": np.float64(atoms.get_potential_energy()),
        "force": atoms.get_forces().reshape(-1).astype(np.float32),
    }
    if atoms.pbc.all():
        stress = atoms.get_stress(voigt=False)
        frame["box"] = atoms.cell[:].reshape(-1).copy()
        frame["virial"] = (-atoms.get_volume() * stress).reshape(-1).astype(np.float32)
    return frame


def sample(run: Trajectory) -> Arrays:
    """Run one trajectory and return its frames, stacked: first axis `run.frames`."""
    rng = np.random.default_rng(run.seed)
    atoms = grid_of_molecules(run, rng)
    atoms.calc = calculator()
    FIRE(atoms, logfile=None, maxstep=0.05).run(fmax=RELAX_FORCE, steps=RELAX_STEPS)
    thermalize_momenta(atoms, temperature_K=run.temperature, rng=rng)
    dynamics = Langevin(
        atoms,
        TIMESTEP * units.fs,
        temperature_K=run.temperature,
        friction=FRICTION / units.fs,
        fixcm=False,
        rng=rng,
    )
    dynamics.run(run.equilibrate)
    frames = []
    for _ in range(run.frames):
        dynamics.run(run.every)
        frames.append(labels(atoms))
    return {name: np.stack([frame[name] for frame in frames]) for name in frames[0]}


def sample_to_file(run: Trajectory, path: Path) -> Path:
    """Run one trajectory unless `path` already has it; return `path`."""
    if not path.exists():
        frames = sample(run)
        partial = path.with_suffix(".partial.npz")
        np.savez(partial, **frames)
        partial.replace(path)
    return path


def sample_all(runs: list[Trajectory], work: Path, jobs: int) -> dict[str, Arrays]:
    """Run all trajectories in `jobs` processes; return each folder's frames in order."""
    work.mkdir(parents=True, exist_ok=True)
    paths = [work / f"{run.folder}-{run.seed}.npz" for run in runs]
    # "spawn": OpenMP runtimes do not survive a fork.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        pending = [pool.submit(sample_to_file, *task) for task in zip(runs, paths, strict=True)]
        for done in as_completed(pending):
            print("finished", done.result().stem, flush=True)
    folders: dict[str, list[Arrays]] = {}
    for run, path in zip(runs, paths, strict=True):
        with np.load(path) as stored:
            folders.setdefault(run.folder, []).append(dict(stored))
    return {
        folder: {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        for folder, parts in folders.items()
    }


def atom_types(frames: Arrays) -> np.ndarray:
    """Return the type of every atom of a water system, oxygen (0) first."""
    natoms = frames["coord"].shape[1] // 3
    return np.repeat([0, 1], [natoms // 3, natoms - natoms // 3])


def write_system(folder: Path, frames: Arrays) -> None:
    """Write one system in DeePMD's NumPy layout."""
    (folder / "set.000").mkdir(parents=True, exist_ok=True)
    (folder / "type.raw").write_text("".join(f"{kind}\n" for kind in atom_types(frames)))
    (folder / "type_map.raw").write_text("".join(f"{symbol}\n" for symbol in TYPE_MAP))
    if "box" not in frames:
        (folder / "nopbc").touch()
    for name, values in frames.items():
        np.save(folder / "set.000" / f"{name}.npy", values)


def as_atoms(frames: Arrays, index: int) -> Atoms:
    """Return one stored frame as ASE atoms, with the calculator."""
    symbols = [TYPE_MAP[kind] for kind in atom_types(frames)]
    atoms = Atoms(symbols, frames["coord"][index].reshape(-1, 3))
    if "box" in frames:
        atoms.set_cell(frames["box"][index].reshape(3, 3))
        atoms.pbc = True
    atoms.calc = calculator()
    return atoms


def shortest_distances(frames: Arrays) -> tuple[float, float, float]:
    """Return the smallest O-H, O-O and H-H distances (Å) in all frames of a system."""
    kinds = atom_types(frames)
    smallest = np.full((2, 2), np.inf)
    for index in range(len(frames["coord"])):
        atoms = as_atoms(frames, index)
        _, distance = get_distances(atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
        np.fill_diagonal(distance, np.inf)
        for a, b in ((0, 1), (0, 0), (1, 1)):
            smallest[a, b] = min(smallest[a, b], distance[np.ix_(kinds == a, kinds == b)].min())
    return float(smallest[0, 1]), float(smallest[0, 0]), float(smallest[1, 1])


def check_recomputed(folders: dict[str, Arrays]) -> list[str]:
    """Recompute a random frame of every system; return one line with the differences for each."""
    rng = np.random.default_rng(0)
    lines = []
    for folder, frames in folders.items():
        if not all(np.isfinite(values).all() for values in frames.values()):
            raise SystemExit(
                f"{folder} has values that are not finite: remove it from --work and run again"
            )
        index = int(rng.integers(len(frames["energy"])))
        again = labels(as_atoms(frames, index))
        worst = {name: np.abs(again[name] - frames[name][index]).max() for name in again}
        unit = {"energy": "eV", "force": "eV/Å", "virial": "eV"}
        differences = [f"{name} {worst[name]:.0e} {unit[name]}" for name in unit if name in worst]
        lines.append(f"{folder}, frame {index}: {', '.join(differences)}")
    return lines


def check_derivatives(frames: Arrays, index: int = 0, step: float = 1e-3) -> list[str]:
    """Compare force and virial of a periodic frame with central differences of the energy.

    With coordinates and cell stretched by (1 + ε), virial = −dE/dε; this fixes the sign.
    """
    atoms = as_atoms(frames, index)
    force = frames["force"][index].reshape(-1, 3)
    virial = frames["virial"][index].reshape(3, 3)
    lines = []
    for atom, axis in ((0, 0), (len(atoms) - 1, 2)):
        energies = []
        for sign in (1, -1):
            moved = as_atoms(frames, index)
            moved.positions[atom, axis] += sign * step
            energies.append(moved.get_potential_energy())
        slope = -(energies[0] - energies[1]) / (2 * step)
        lines.append(
            f"force of atom {atom} along {'xyz'[axis]}: {force[atom, axis]:.5f}, {slope:.5f} eV/Å"
        )
    for row, column in ((0, 0), (0, 1)):
        energies = []
        for sign in (1, -1):
            strain = np.zeros((3, 3))
            strain[row, column] += sign * step / 2
            strain[column, row] += sign * step / 2
            moved = as_atoms(frames, index)
            moved.set_cell(atoms.cell[:] @ (np.eye(3) + strain), scale_atoms=True)
            energies.append(moved.get_potential_energy())
        slope = -(energies[0] - energies[1]) / (2 * step)
        name = "xyz"[row] + "xyz"[column]
        lines.append(f"virial {name}: {virial[row, column]:.4f}, {slope:.4f} eV")
    return lines


def table_of_systems(folders: dict[str, Arrays]) -> str:
    """Return a Markdown table with the statistics of every system."""
    rows = [
        "| system | frames | atoms | E std per atom (meV) | force rms, max (eV/Å) "
        "| pressure mean (GPa) | shortest O-H, O-O, H-H (Å) |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for folder, frames in folders.items():
        natoms = len(atom_types(frames))
        spread = 1000 * frames["energy"].std() / natoms
        force = frames["force"].astype(np.float64)
        pressure = "-"
        if "virial" in frames:
            volume = np.abs(np.linalg.det(frames["box"].reshape(-1, 3, 3)))
            trace = frames["virial"].reshape(-1, 3, 3).trace(axis1=1, axis2=2)
            pressure = f"{(trace / (3 * volume)).mean() / units.GPa:.2f}"
        shortest = ", ".join(f"{value:.2f}" for value in shortest_distances(frames))
        rows.append(
            f"| {folder} | {len(force)} | {natoms} | {spread:.2f} "
            f"| {np.sqrt((force**2).mean()):.2f}, {np.abs(force).max():.1f} "
            f"| {pressure} | {shortest} |"
        )
    return "\n".join(rows)


def table_of_trajectories(runs: list[Trajectory]) -> str:
    """Return a Markdown table of all trajectories with their seeds."""
    rows = [
        "| system | seed | T (K) | molecules | steps before | steps between | frames |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    rows += [
        f"| {run.folder} | {run.seed} | {run.temperature:.0f} | {run.molecules} "
        f"| {run.equilibrate} | {run.every} | {run.frames} |"
        for run in runs
    ]
    return "\n".join(rows)


def readme(runs: list[Trajectory], folders: dict[str, Arrays]) -> str:
    """Return the text of the data's README: how it was made, what is in it, what was checked."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("tblite", "ase", "numpy"))
    recomputed = "\n".join(f"- {line}" for line in check_recomputed(folders))
    periodic = next(frames for frames in folders.values() if "virial" in frames)
    derivatives = "\n".join(f"- {line}" for line in check_derivatives(periodic))
    return f"""# Water, GFN1-xTB

Written by `examples/water/make_data.py`; do not edit. Made with {packages},
Python {platform.python_version()}. The model is a quick stand-in for ab-initio data: good for
trying the program, not for predicting water.

{METHOD}, accuracy {ACCURACY}; FIRE to {RELAX_FORCE} eV/Å or {RELAX_STEPS} steps, then Langevin with
a time step of {TIMESTEP} fs and a friction of {FRICTION} per fs; boxes at {DENSITY} g/cm³ with a
random symmetric strain of at most {STRAIN:.0%} per component.

Units are Å, eV and eV/Å; virial = −V·stress (eV), positive when the system pushes outwards, so that
pressure = tr(virial)/(3V) without the kinetic part. `force` and `virial` are float32, the rest is
float64. All O come first, then all H; types are those of `type_map.raw`. Coordinates are not
wrapped into the cell. Clusters have `nopbc` and neither box nor virial. `liquid_valid` and
`cluster_valid` are independent trajectories, for validation only.

{table_of_systems(folders)}

## Trajectories

{table_of_trajectories(runs)}

## Checks

Stored frames recomputed from their coordinates, largest difference:

{recomputed}

First periodic frame, stored value and central difference of the energy:

{derivatives}
"""


def main() -> None:
    """Make the data set."""
    here = Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(description="Make the water data of this folder.")
    parser.add_argument("--out", type=Path, default=here / "data", help="where the systems go")
    parser.add_argument(
        "--work", type=Path, default=Path("water-trajectories"), help="finished runs"
    )
    parser.add_argument("--jobs", type=int, default=2, help="trajectories at the same time")
    options = parser.parse_args()
    runs = plan()
    folders = sample_all(runs, options.work, options.jobs)
    for folder, frames in folders.items():
        write_system(options.out / folder, frames)
    text = readme(runs, folders)
    (options.out / "README.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()

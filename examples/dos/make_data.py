"""Make the DOS data of this folder: silicon clusters and their orbitals in GFN2-xTB.

The clusters are pieces of the diamond lattice whose open bonds end in hydrogen. Each trajectory
starts from such a piece, is relaxed loosely (FIRE), equilibrated (Langevin), and then sampled. The
orbitals of every sampled frame become a density of states (DOS) by Gaussian broadening, and the
DOS of its atoms by Mulliken's weights. Validation frames come from trajectories of their own, and
one cluster is in no training system. The result is DeePMD's NumPy layout, one folder per system,
and a README that records how it was made and what was checked in the files as written.

Requirements (about 15 minutes on two cores)::

    pip install tblite==0.8.0 ase==3.29.0
    OMP_NUM_THREADS=1 python make_data.py --jobs 2

Finished trajectories are kept under ``--work`` with their orbitals, so that an interrupted run goes
on where it stopped, and another grid or broadening takes no new dynamics.
"""

import argparse
import itertools
import multiprocessing
import os
import platform
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from importlib.metadata import version
from math import erf
from pathlib import Path

os.environ.setdefault(
    "OMP_NUM_THREADS", "1"
)  # one trajectory per process is the better parallelism

import numpy as np
from ase import Atoms, units
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import thermalize_momenta
from ase.optimize import FIRE
from tblite.ase import TBLite
from tblite.interface import Calculator

METHOD = "GFN2-xTB"
ACCURACY = 0.2  # of the charges that labels are computed with; 1.0, tblite's own, for the dynamics
TYPE_MAP = ("Si", "H")
VALENCE = (4, 1)  # electrons of an atom of each type that the model treats
LATTICE = 5.431  # Å, silicon
BOND = 1.48  # Å, Si-H
BROKEN = {"Si": 3.1, "H": 2.1}  # Å; an atom farther than this from a silicon atom has no bond to it
TIMESTEP = 1.0  # fs
FRICTION = 0.02  # 1/fs
RELAX_FORCE, RELAX_STEPS = 0.2, 40  # eV/Å; loose: the dynamics does the rest
SIGMA = 0.4  # eV, standard deviation of the Gaussian that stands for a level
GRID = np.linspace(-26.0, -1.0, 101)  # eV; spacing σ/1.6, at which sums and integrals are the same

Arrays = dict[str, np.ndarray]
Ball = tuple[tuple[float, float, float], float]

#: The silicon atoms of a cluster: lattice sites in any of some balls (centre, radius), in quarters
#: of the lattice constant. Around a site or bond they are chains and stars, around a hole at
#: (2, 2, 2) they are cages, and cages that share a ring make larger pieces of the crystal.
CLUSTERS: dict[str, tuple[Ball, ...]] = {
    "SiH4": (((0, 0, 0), 0.1),),
    "Si2H6": (((0.5, 0.5, 0.5), 1.0),),
    "Si3H8": (((0.5, 0.5, 0.5), 1.0), ((1.5, 1.5, 0.5), 1.0)),
    "Si5H12": (((0, 0, 0), 1.8),),
    "Si6H12": (((2.5, 2.5, 2.5), 1.7),),
    "Si8H18": (((0.5, 0.5, 0.5), 2.2),),
    "Si10H16": (((2, 2, 2), 2.0),),
    "Si14H20": (((2, 2, 2), 2.0), ((3, 3, 3), 2.0)),
    "Si18H24": (((2, 2, 2), 2.0), ((3, 3, 3), 2.0), ((4, 4, 2), 2.0)),
}
TRAINED = ("SiH4", "Si2H6", "Si3H8", "Si5H12", "Si6H12", "Si8H18", "Si10H16", "Si14H20")
TEMPERATURES = (300.0, 600.0, 900.0)  # K
VALIDATED = {
    "Si5H12": TEMPERATURES,
    "Si10H16": TEMPERATURES,
    "Si18H24": (300.0, 600.0, 450.0),  # at 900 K a Si-Si bond tore, and the model did not converge
}


@dataclass(frozen=True)
class Trajectory:
    """One independent run: where its frames go and how it is made.

    `equilibrate` is the number of steps thrown away, `every` the number of steps between frames.
    """

    folder: str
    cluster: str
    temperature: float
    seed: int
    frames: int
    equilibrate: int = 200
    every: int = 25


def plan() -> list[Trajectory]:
    """Return every trajectory of the data set, the long ones first."""
    runs = [
        trajectory(cluster, cluster, temperature, 10 * number + step, frames=14)
        for number, cluster in enumerate(TRAINED, start=1)
        for step, temperature in enumerate(TEMPERATURES, start=1)
    ]
    runs += [
        trajectory(f"{cluster}_valid", cluster, temperature, 100 + 10 * number + step, frames=5)
        for number, (cluster, temperatures) in enumerate(VALIDATED.items(), start=1)
        for step, temperature in enumerate(temperatures, start=1)
    ]
    return sorted(runs, key=lambda run: -len(cluster_atoms(run.cluster)))


def trajectory(folder: str, cluster: str, temperature: float, seed: int, frames: int) -> Trajectory:
    """Return a run of a cluster; small ones run longer, as their frames show fewer atoms."""
    every = 60 if len(cluster_atoms(cluster)) < 20 else 25
    return Trajectory(folder, cluster, temperature, seed, frames, every=every)


def cluster_atoms(name: str) -> Atoms:
    """Return a piece of the diamond lattice with hydrogen on its open bonds, silicon first."""
    bonds = np.array([(1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1)])
    even = [site for site in itertools.product(range(-8, 9, 2), repeat=3) if sum(site) % 4 == 0]
    sites = np.concatenate([even, np.array(even) + 1])
    inside = np.zeros(len(sites), dtype=bool)
    for centre, radius in CLUSTERS[name]:
        inside |= np.linalg.norm(sites - np.array(centre), axis=1) < radius + 1e-6
    sites = sites[inside]
    taken = {tuple(site) for site in sites}
    hydrogen = []
    for site in sites:
        # The two halves of the lattice have their bonds in opposite directions.
        for bond in bonds if site[0] % 2 == 0 else -bonds:
            if tuple(site + bond) not in taken:
                hydrogen.append(site * LATTICE / 4 + bond * BOND / np.sqrt(3))
    symbols = ["Si"] * len(sites) + ["H"] * len(hydrogen)
    return Atoms(symbols, np.concatenate([sites * LATTICE / 4, hydrogen]))


def orbitals(atoms: Atoms) -> Arrays:
    """Return the levels (eV), their Mulliken weights and the Fermi level (eV) of a frame.

    The weight of orbital n on atom A is w_nA = Σ_{μ of A} C_μn (S C)_μn, so that Σ_A w_nA = 1;
    `weights` is (norbitals, natoms). The Fermi level is the middle of the gap.
    """
    model = Calculator(METHOD, atoms.numbers, atoms.positions / units.Bohr)
    model.set("verbosity", 0)
    model.set("accuracy", ACCURACY)
    model.set("save-integrals", 1)
    result = model.singlepoint()
    levels = result.get("orbital-energies") * units.Hartree
    coefficients = result.get("orbital-coefficients")
    populations = coefficients * (result.get("overlap-matrix") @ coefficients)
    weights = np.zeros((len(levels), len(atoms)))
    # tblite counts functions by shell, and shells by atom.
    atom = model.get("shell-map")[model.get("orbital-map")]
    np.add.at(weights.T, atom, populations)
    occupied = round(result.get("orbital-occupations").sum()) // 2
    return {
        "levels": levels,
        "weights": weights,
        "efermi": np.float64((levels[occupied - 1] + levels[occupied]) / 2),
    }


def snapshot(atoms: Atoms) -> Arrays:
    """Return a frame's centred coordinates (Å) as they are stored, and the orbitals for them."""
    centred = atoms.positions - atoms.positions.mean(axis=0)
    coord = centred.reshape(-1).astype(np.float32)
    stored = Atoms(atoms.symbols, coord.reshape(-1, 3).astype(np.float64))
    return {"coord": coord, **orbitals(stored)}


def sample(run: Trajectory) -> Arrays:
    """Run one trajectory and return its frames, stacked: first axis `run.frames`."""
    rng = np.random.default_rng(run.seed)
    atoms = cluster_atoms(run.cluster)
    atoms.calc = TBLite(method=METHOD, verbosity=0)
    FIRE(atoms, logfile=None).run(fmax=RELAX_FORCE, steps=RELAX_STEPS)
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
        frames.append(snapshot(atoms))
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
    """Run all trajectories in `jobs` processes; return each folder's frames in order of seeds."""
    work.mkdir(parents=True, exist_ok=True)
    paths = [work / f"{run.folder}-{run.seed}.npz" for run in runs]
    # "spawn": OpenMP runtimes do not survive a fork.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        pending = [pool.submit(sample_to_file, *task) for task in zip(runs, paths, strict=True)]
        for done in as_completed(pending):
            print("finished", done.result().stem, flush=True)
    folders: dict[str, list[Arrays]] = {}
    for run, path in sorted(zip(runs, paths, strict=True), key=lambda pair: pair[0].seed):
        with np.load(path) as stored:
            folders.setdefault(run.folder, []).append(dict(stored))
    return {
        folder: {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        for folder, parts in folders.items()
    }


def broadened(frames: Arrays) -> Arrays:
    """Return the DOS of the atoms of every frame and of all of them, in electrons per eV.

    DOS_A(E) = Σ_n 2 w_nA g(E − ε_n) over all orbitals, two electrons in each, with g a Gaussian of
    standard deviation `SIGMA`; `atom_dos` is (nframes, natoms, numb_dos), `dos` its sum over atoms.
    """
    distance = (GRID - frames["levels"][..., np.newaxis]) / SIGMA
    gaussians = np.exp(-(distance**2) / 2) / (SIGMA * np.sqrt(2 * np.pi))
    atom_dos = 2 * np.einsum("fna,fne->fae", frames["weights"], gaussians)
    return {"dos": atom_dos.sum(axis=1), "atom_dos": atom_dos}


def atom_types(folder: str) -> np.ndarray:
    """Return the type of every atom of a system, silicon (0) first."""
    symbols = cluster_atoms(folder.removesuffix("_valid")).get_chemical_symbols()
    return np.array([TYPE_MAP.index(symbol) for symbol in symbols])


def write_system(folder: Path, frames: Arrays) -> None:
    """Write one system in DeePMD's NumPy layout, and its energies (eV) beside the types."""
    (folder / "set.000").mkdir(parents=True, exist_ok=True)
    (folder / "type.raw").write_text("".join(f"{kind}\n" for kind in atom_types(folder.name)))
    (folder / "type_map.raw").write_text("".join(f"{symbol}\n" for symbol in TYPE_MAP))
    (folder / "nopbc").touch()
    np.save(folder / "energies.npy", GRID)
    labels = {"coord": frames["coord"], "efermi": frames["efermi"]}
    for name, values in broadened(frames).items():
        labels[name] = values.reshape(len(values), -1).astype(np.float32)
    for name, values in labels.items():
        np.save(folder / "set.000" / f"{name}.npy", values)


def read_system(folder: Path) -> Arrays:
    """Return what `write_system` wrote: types, energies, and the arrays of all frames."""
    frames = {path.stem: np.load(path) for path in sorted((folder / "set.000").glob("*.npy"))}
    types = np.loadtxt(folder / "type.raw", dtype=int)
    return {"types": types, "energies": np.load(folder / "energies.npy"), **frames}


def electrons_below(energies: np.ndarray, dos: np.ndarray, level: float) -> float:
    """Return the integral of one frame's DOS up to `level` (eV), by the trapezoidal rule."""
    areas = (dos[1:] + dos[:-1]) / 2 * np.diff(energies)
    return float(np.interp(level, energies, np.concatenate([[0.0], np.cumsum(areas)])))


def broadened_electrons(levels: np.ndarray, level: float) -> float:
    """Return the electrons that broadened levels have below `level` (eV)."""
    shares = [(1 + erf((level - centre) / (SIGMA * np.sqrt(2)))) / 2 for centre in levels]
    return 2 * float(np.sum(shares))


def distances(system: Arrays) -> np.ndarray:
    """Return the distance (Å) of every two atoms, (nframes, natoms, natoms); inf to itself."""
    positions = system["coord"].reshape(len(system["coord"]), -1, 3).astype(np.float64)
    distance = np.linalg.norm(positions[:, :, np.newaxis] - positions[:, np.newaxis], axis=-1)
    distance[:, range(len(system["types"])), range(len(system["types"]))] = np.inf
    return distance


def bonds_kept(system: Arrays) -> bool:
    """Return whether in every frame silicon atoms have four bonds and hydrogen atoms one."""
    types, distance = system["types"], distances(system)
    reach = np.where(types == 0, BROKEN["Si"], BROKEN["H"])
    to_silicon = distance[:, :, types == 0] < reach[np.newaxis, :, np.newaxis]
    to_hydrogen = distance[:, :, types == 1] < np.where(types == 0, BROKEN["H"], 0.0)[:, np.newaxis]
    bonds = to_silicon.sum(axis=2) + to_hydrogen.sum(axis=2)
    return bool((bonds == np.where(types == 0, 4, 1)).all())


def lumo(frames: Arrays) -> np.ndarray:
    """Return the lowest empty level (eV) of every frame."""
    empty = frames["levels"] > frames["efermi"][:, np.newaxis]
    return np.where(empty, frames["levels"], np.inf).min(axis=1)


def off_when_computed_again(system: Arrays, rng: np.random.Generator) -> float:
    """Return the largest difference (1/eV) of a random frame's atoms to a new computation."""
    index = int(rng.integers(len(system["coord"])))
    symbols = [TYPE_MAP[kind] for kind in system["types"]]
    positions = system["coord"][index].reshape(-1, 3).astype(np.float64)
    frame = {
        name: values[np.newaxis] for name, values in orbitals(Atoms(symbols, positions)).items()
    }
    again = broadened(frame)["atom_dos"].reshape(-1)
    return float(np.abs(again - system["atom_dos"][index]).max())


def check_written(folder: Path, frames: Arrays) -> str:
    """Check the files of one system; return a line of a Markdown table with what was found."""
    system = read_system(folder)
    energies, dos = system["energies"], system["dos"].astype(np.float64)
    atoms = system["atom_dos"].reshape(len(dos), len(system["types"]), len(energies))
    electrons = np.array(VALENCE)[system["types"]].sum()
    below = [
        electrons_below(energies, row, level)
        for row, level in zip(dos, system["efermi"], strict=True)
    ]
    exact = [
        broadened_electrons(levels, level)
        for levels, level in zip(frames["levels"], system["efermi"], strict=True)
    ]
    off_sum = np.abs(atoms.sum(axis=1, dtype=np.float64) - dos).max()
    off_count = np.abs(np.array(below) - electrons).max()
    off_integral = np.abs(np.array(below) - exact).max()
    off_again = off_when_computed_again(system, np.random.default_rng(0))
    edge = np.abs(dos[:, 0]).max()
    above = energies[-1] - lumo(frames)
    checks = {
        "values that are not finite": all(np.isfinite(x).all() for x in system.values()),
        "energies that do not increase": bool((np.diff(energies) > 0).all()),
        "atoms that do not add up to the total": off_sum < 1e-5,
        "integrals that are not those of the Gaussians": off_integral < 1e-3 * electrons,
        "a wrong number of electrons below the Fermi level": off_count < 4e-3 * electrons,
        "a DOS that does not begin at zero": edge < 1e-6,
        "less than 3 eV above the gap": above.min() > 3.0,
        "a broken bond": bonds_kept(system),
        "a frame that comes out otherwise when computed again": off_again < 1e-3,
    }
    wrong = [what for what, holds in checks.items() if not holds]
    if wrong:
        raise SystemExit(f"{folder.name} has {', '.join(wrong)}")
    return (
        f"| {folder.name} | {off_sum:.0e} | {electrons} ± {off_count:.0e} | {off_integral:.0e} "
        f"| {edge:.0e} | {above.min():.1f} to {above.max():.1f} | {off_again:.0e} |"
    )


def table_of_checks(out: Path, folders: dict[str, Arrays]) -> str:
    """Check every system as written; return a Markdown table with what was found."""
    rows = [
        "| system | Σ atoms − total (1/eV) | electrons below the Fermi level "
        "| integral − that of Gaussians | DOS at the lower end (1/eV) "
        "| upper end above the LUMO (eV) | one frame computed again (1/eV) |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    rows += [check_written(out / folder, frames) for folder, frames in folders.items()]
    return "\n".join(rows)


def table_of_systems(out: Path, folders: dict[str, Arrays]) -> str:
    """Return a Markdown table with the statistics of every system."""
    rows = [
        "| system | frames | atoms | lowest level (eV) | Fermi level (eV) | gap (eV) "
        "| shortest Si-H, Si-Si, H-H (Å) | most neighbours in 6 Å, Si, H |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for folder, frames in folders.items():
        system = read_system(out / folder)
        types, distance = system["types"], distances(system)
        gap = 2 * (lumo(frames) - frames["efermi"])
        blocks = [distance[:, types == a][:, :, types == b] for a, b in ((0, 1), (0, 0), (1, 1))]
        shortest = ", ".join(
            f"{block.min():.2f}" if np.isfinite(block.min()) else "-" for block in blocks
        )
        most = [int((distance < 6.0)[:, :, types == kind].sum(axis=2).max()) for kind in (0, 1)]
        rows.append(
            f"| {folder} | {len(gap)} | {len(types)} | {frames['levels'].min():.2f} "
            f"| {frames['efermi'].mean():.2f} ± {frames['efermi'].std():.2f} "
            f"| {gap.mean():.2f} ± {gap.std():.2f}, at least {gap.min():.2f} "
            f"| {shortest} | {most[0]}, {most[1]} |"
        )
    return "\n".join(rows)


def table_of_trajectories(runs: list[Trajectory]) -> str:
    """Return a Markdown table of all trajectories with their seeds."""
    rows = [
        "| system | seed | T (K) | steps before | steps between | frames |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    rows += [
        f"| {run.folder} | {run.seed} | {run.temperature:.0f} "
        f"| {run.equilibrate} | {run.every} | {run.frames} |"
        for run in sorted(runs, key=lambda run: run.seed)
    ]
    return "\n".join(rows)


def readme(runs: list[Trajectory], out: Path, folders: dict[str, Arrays]) -> str:
    """Return the text of the data's README: how it was made, what is in it, what was checked."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("tblite", "ase", "numpy"))
    negative = min(values["weights"].min() for values in folders.values())
    return f"""# Density of states of silicon clusters, {METHOD}

Written by `examples/dos/make_data.py`; do not edit. Made with {packages},
Python {platform.python_version()}. The model is a quick stand-in for ab-initio data: good for
trying the program, not for predicting silicon.

{METHOD}, accuracy 1.0 for trajectories and {ACCURACY} for labels; FIRE to {RELAX_FORCE} eV/Å or
{RELAX_STEPS} steps, then Langevin with a time step of {TIMESTEP} fs and a friction of {FRICTION}
per fs. Clusters are pieces of the diamond lattice with hydrogen on their open bonds. `Si5H12_valid`
and `Si10H16_valid` are independent trajectories, for validation only; `Si18H24_valid` is larger
than everything in training, and cooler: at 900 K one of its Si-Si bonds tore.

| file | shape | what it is |
| --- | --- | --- |
| `energies.npy` | ({len(GRID)},) | E (eV), {GRID[0]:g} to {GRID[-1]:g} in steps of \
{GRID[1] - GRID[0]:g}, the same for all systems; zero as {METHOD} has it |
| `set.000/coord.npy` | (frames, 3 atoms) | positions (Å) around their mean; all Si come first, \
then all H |
| `set.000/dos.npy` | (frames, {len(GRID)}) | DOS (electrons per eV) |
| `set.000/atom_dos.npy` | (frames, atoms × {len(GRID)}) | DOS of every atom, atom after atom |
| `set.000/efermi.npy` | (frames,) | Fermi level (eV), the middle of the gap |

DOS(E) = Σₙ 2 g(E − εₙ) over all orbitals, with g a Gaussian of standard deviation {SIGMA} eV; its
integral up to the Fermi level is the number of valence electrons, {VALENCE[0]} of Si and \
{VALENCE[1]} of H.
Atom A has the part of orbital n that Mulliken gives it, Σ C_μn (SC)_μn over the functions μ of A,
which may be slightly negative (here not below {negative:.3f}). The atoms add up to the total.
`coord`, `dos` and `atom_dos` are float32, the rest is float64; orbitals are those of the stored
positions. There is no cell (`nopbc`), and types are those of `type_map.raw`.

{table_of_systems(out, folders)}

## Trajectories

{table_of_trajectories(runs)}

## Checks

Of the files as written, the worst of all frames. The Fermi level of a narrow gap has tails of the
Gaussians on both sides, so that the number of electrons below it is a little less exact than the
integral. In all frames every Si has four bonds and every H one (Si-Si below {BROKEN["Si"]} Å, Si-H
below {BROKEN["H"]} Å).

{table_of_checks(out, folders)}
"""


def main() -> None:
    """Make the data set."""
    here = Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(description="Make the DOS data of this folder.")
    parser.add_argument("--out", type=Path, default=here / "data", help="where the systems go")
    parser.add_argument("--work", type=Path, default=Path("dos-trajectories"), help="finished runs")
    parser.add_argument("--jobs", type=int, default=2, help="trajectories at the same time")
    options = parser.parse_args()
    runs = plan()
    folders = sample_all(runs, options.work, options.jobs)
    for folder, frames in folders.items():
        write_system(options.out / folder, frames)
    text = readme(runs, options.out, folders)
    (options.out / "README.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()

"""``multifit md``: ensembles, files, restarts and refusals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _cases import build, crystal, draw, molecule
from _cli_files import dos_model, write_model
from _compare import same

from multifit.cli import main
from multifit.errors import MultifitError

pytest.importorskip("ase")

from _soft import MODEL, POTENTIAL, atoms_of
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.io import read, write

from multifit import files as mf_files
from multifit.interfaces import md
from multifit.interfaces.md import _start


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with a model and two structures, which is the current one."""
    monkeypatch.delenv("MULTIFIT_BACKEND", raising=False)
    monkeypatch.chdir(tmp_path)
    write_model(tmp_path / "model.dp", MODEL, POTENTIAL.runner.evaluator.current.device)
    for name, system in (("crystal.xyz", crystal()), ("molecule.xyz", molecule())):
        atoms = atoms_of(system)
        atoms.calc = None
        write(name, atoms, format="extxyz")
    return tmp_path


def run(*arguments: str, structure: str = "crystal.xyz", steps: int = 20, code: int = 0) -> None:
    """Run ``multifit md`` on NumPy."""
    fixed = ["md", "model.dp", structure, "--steps", str(steps), "--interval", "5"]
    assert main([*fixed, "--backend", "numpy", *arguments]) == code


def rows(name: str = "md") -> dict[str, np.ndarray]:
    return md.Files(Path(name)).rows()


def test_a_run_writes_trajectory_log_state_and_picture(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("--ensemble", "nve", "--temperature", "200")
    log = rows()
    assert list(log["step"]) == [0, 5, 10, 15, 20]
    same(log["time_fs"], log["step"] * 0.5)
    same(log["temperature_K"][0], 200.0, rtol=1e-5)
    same(log["total_eV"], log["potential_eV"] + log["kinetic_eV"], atol=2e-8)
    assert np.ptp(log["total_eV"]) / 6 < 1e-4
    frames = read("md.xyz", ":")
    assert [frame.info["step"] for frame in frames] == [0, 5, 10, 15, 20]
    last = frames[-1]
    found = POTENTIAL.predict(last.positions, last.symbols, last.cell.array)
    same(last.get_forces(), found["force"][0], atol=1e-6)
    same(last.get_potential_energy(), log["potential_eV"][-1], atol=2e-8)
    same(last.get_kinetic_energy(), log["kinetic_eV"][-1], atol=1e-5)
    volume, mass = last.get_volume(), last.get_masses().sum()
    same(log["density_g_cm3"][-1], mass / volume * 1.66053907, rtol=1e-5)
    ideal = -np.mean(last.get_stress(include_ideal_gas=True)[:3]) / 6.241509e-7
    same(log["pressure_bar"][-1], ideal, rtol=1e-3)
    assert (folder / "md.png").read_bytes().startswith(b"\x89PNG")
    printed = capsys.readouterr().out
    assert "change of the total energy:" in printed
    assert "wrote md.xyz, md.log, md.png, md.restart.h5" in printed


ENSEMBLES: dict[str, dict[str, Any]] = {
    "nve": {"ensemble": "nve"},
    "bussi": {"ensemble": "nvt"},
    "langevin": {"ensemble": "nvt", "friction": 10.0},
    "isotropic": {"ensemble": "npt", "pressure": 500.0},
    "full": {"ensemble": "npt", "cell": "full"},
}


def simulated(name: str, steps: int, restart: bool = False, **options: Any) -> md.Outcome:
    """Run a crystal without the command line, which draws a picture."""
    settings = md.Settings(steps=steps, interval=5, **options)
    atoms = md.load(POTENTIAL, Path("crystal.xyz"), settings)
    return md.simulate(atoms, settings, md.Files(Path(name)), restart=restart)


@pytest.mark.parametrize("name", ENSEMBLES)
def test_a_restart_continues_as_if_nothing_had_happened(folder: Path, name: str) -> None:
    options = ENSEMBLES[name]
    simulated("whole", 24, **options)
    simulated("parts", 12, **options)
    # A killed run leaves rows behind its last state, and half of one.
    for ending in (".log", ".xyz"):
        with (folder / f"parts{ending}").open("a") as file:
            file.write("15 7.5 half a ro")
    outcome = simulated("parts", 24, restart=True, **options)
    assert (outcome.first, outcome.last, outcome.finished) == (12, 24, True)
    whole, parts = rows("whole"), rows("parts")
    assert list(parts["step"]) == [0, 5, 10, 15, 20]
    same(parts, whole, rtol=1e-7)
    one, two = read("whole.xyz", ":"), read("parts.xyz", ":")
    assert len(one) == len(two) == 5
    same(two[-1].positions, one[-1].positions, atol=1e-7)
    same(two[-1].cell.array, one[-1].cell.array, atol=1e-7)
    moves = np.ptp(whole["density_g_cm3"]) > 0
    assert moves == (name in ("isotropic", "full"))
    if name == "full":
        angles = [frame.cell.cellpar()[3:] for frame in (one[0], one[-1])]
        assert np.abs(angles[1] - angles[0]).max() > 1e-6


class Free(Calculator):
    """Atoms without forces: their kinetic energy is a thermostat's alone."""

    implemented_properties = ["energy", "forces"]  # noqa: RUF012

    def calculate(self, *args: Any) -> None:
        super().calculate(*args)
        self.results = {"energy": 0.0, "forces": np.zeros((len(self.atoms), 3))}


@pytest.mark.parametrize("name", ["bussi", "langevin"])
def test_thermostats_sample_the_canonical_distribution(folder: Path, name: str) -> None:
    given = {"friction": 200.0} if name == "langevin" else {"tau_t": 5.0}
    settings = md.Settings(steps=1500, interval=1500, temperature=400, **given)
    atoms = atoms_of(molecule())
    atoms.calc = Free()
    found: list[float] = []
    files = md.Files(Path("free"))
    md.simulate(atoms, settings, files, watch=lambda step, kelvin: found.append(kelvin))
    free = 15 if name == "langevin" else 12  # Langevin dynamics moves the centre of mass, too
    assert abs(np.mean(found) - 400) < 25
    # The variance of a sum of squares of `free` normal numbers.
    assert abs(np.std(found) / (400 * np.sqrt(2 / free)) - 1) < 0.2
    assert "pressure_bar" not in rows("free")
    momentum = np.abs(atoms.get_momenta().sum(axis=0)).max()
    assert (momentum < 1e-9) == (name == "bussi")


def test_the_seed_decides(folder: Path) -> None:
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        run("--seed", seed, "--output", name, steps=5)
    same(rows("b"), rows("a"), rtol=0)
    assert rows("c")["potential_eV"][1] != rows("a")["potential_eV"][1]


def test_velocities_of_the_structure_are_kept(folder: Path) -> None:
    run("--ensemble", "nve", steps=10)
    run("--ensemble", "nve", "--output", "next", steps=5, structure="md.xyz")
    same(rows("next")["kinetic_eV"][0], rows()["kinetic_eV"][-1], rtol=1e-5)
    run("--new-velocities", "--output", "new", steps=5, structure="md.xyz")
    same(rows("new")["temperature_K"][0], 300.0, rtol=1e-5)


def test_minimization_comes_first(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_start, "MINIMIZATION", 10)
    start = atoms_of(crystal())
    start.set_cell(0.8 * start.cell.array, scale_atoms=True)
    energy = start.get_potential_energy()
    start.calc = None
    write("crystal.xyz", start, format="extxyz")
    run("--minimize", "--temperature", "1", steps=5)
    assert rows()["potential_eV"][0] < energy - 1e-3
    assert "minimized the energy in 10 steps" in capsys.readouterr().out


def test_files_are_not_overwritten(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(steps=5)
    before = (folder / "md.log").read_bytes()
    run(steps=5, code=2)
    error = capsys.readouterr().err
    assert "md.xyz exists; continue that run with --restart, replace it with --force" in error
    assert (folder / "md.log").read_bytes() == before
    run("--force", "--seed", "2", steps=5)
    assert (folder / "md.log").read_bytes() != before
    run("--restart", "--minimize", steps=9, code=2)
    assert "leave out --minimize and --new-velocities" in capsys.readouterr().err
    run("--force", steps=5, structure="md.xyz", code=2)
    assert "the run would overwrite md.xyz" in capsys.readouterr().err


def test_a_finished_run_says_so(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(steps=10)
    assert "already" not in capsys.readouterr().out
    run("--restart", steps=10)
    assert "already reached step 10; a larger --steps extends it" in capsys.readouterr().out
    run("--output", ".", steps=5, code=2)
    assert "--output is ., a folder; add a name" in capsys.readouterr().err


def test_a_time_limit_stops_the_run_and_keeps_it(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("--time-limit", "1e-9", code=75)
    assert "stopped at step 0 of 20; --restart continues" in capsys.readouterr().out
    run("--restart")
    assert list(rows()["step"]) == [0, 5, 10, 15, 20]
    run("--restart")  # nothing is left to do
    assert list(rows()["step"]) == [0, 5, 10, 15, 20]


@pytest.mark.skipif(os.name != "posix", reason="signals as on Unix")
def test_a_signal_saves_the_step_and_exits(folder: Path) -> None:
    code = "import sys; from multifit.cli import main; sys.exit(main(sys.argv[1:]))"
    arguments = ["md", "model.dp", "crystal.xyz", "--steps", "1000000", "--backend", "numpy"]
    running = subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stderr=subprocess.PIPE, text=True
    )
    try:
        end = time.monotonic() + 60
        while not (folder / "md.restart.h5").exists() and time.monotonic() < end:
            assert running.poll() is None
            time.sleep(0.05)
        running.send_signal(signal.SIGINT)
        _, error = running.communicate(timeout=60)
    finally:
        running.kill()
    assert running.returncode == 130, error
    state = mf_files.read("md.restart.h5")
    steps = rows()["step"]
    assert list(steps) == list(range(0, int(state["step"]) + 1, 10))


def test_an_exploded_run_names_the_step_and_keeps_its_files(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("--ensemble", "nve", "--max-temperature", "301", "--temperature", "300", steps=400, code=2)
    error = capsys.readouterr().err
    assert "multifit: error: the simulation fails at step" in error
    assert "K exceeds 301 K; the files are kept up to step" in error
    assert len(rows()["step"]) == len(read("md.xyz", ":")) >= 1
    assert "Traceback" not in error


def test_energies_that_are_not_finite_stop_the_run(folder: Path) -> None:
    atoms = md.load(POTENTIAL, Path("crystal.xyz"), md.Settings(steps=20))
    calculate = atoms.calc.calculate

    def broken(*args: Any, **kwargs: Any) -> None:
        calculate(*args, **kwargs)
        if len(calls := [*calls_made, 1]) > 7:
            atoms.calc.results["forces"] = np.full((6, 3), np.nan)
        calls_made[:] = calls

    calls_made: list[int] = []
    atoms.calc.calculate = broken
    with pytest.raises(
        MultifitError, match=r"fails at step 7: .*; the files are kept up to step 5"
    ):
        md.simulate(atoms, md.Settings(steps=20, interval=5), md.Files(Path("nan")))
    assert list(rows("nan")["step"]) == [0, 5]


def _nan(folder: Path) -> None:
    text = (folder / "crystal.xyz").read_text().split("\n")
    text[2] = "O nan 0.0 0.0"
    (folder / "crystal.xyz").write_text("\n".join(text))


def _overlap(folder: Path) -> None:
    atoms = read("crystal.xyz")
    atoms.positions[4] = atoms.positions[2] + [0.1, 0, 0]
    write("crystal.xyz", atoms, format="extxyz")


def _other_element(folder: Path) -> None:
    write("crystal.xyz", Atoms("OHe", positions=np.eye(3)[:2]), format="extxyz")


def _parameters(folder: Path) -> None:
    write_model(folder / "model.dp", build(numb_fparam=2))


def _spectra(folder: Path) -> None:
    write_model(folder / "model.dp", dos_model(), draw(dos_model()))


def _text(folder: Path) -> None:
    (folder / "crystal.xyz").write_text("not a structure\n")


BAD = {
    "nan": (_nan, [], "crystal.xyz: the position of atom 0 is not finite"),
    "overlap": (_overlap, [], "crystal.xyz: atoms 2 and 4 are only 0.100 Å apart"),
    "element": (_other_element, [], "crystal.xyz: atom 1 is 'He', but the model knows O, H"),
    "fparam": (_parameters, [], "the model needs fparam (2 numbers); give --fparam"),
    "dos": (_spectra, [], "densities of states, but dynamics needs forces"),
    "text": (_text, [], "crystal.xyz cannot be read by ASE"),
    "missing": (lambda folder: (folder / "crystal.xyz").unlink(), [], "crystal.xyz does not exist"),
    "timestep": (None, ["--timestep", "-1"], "timestep is -1.0, but must be > 0"),
    "infinite": (None, ["--temperature", "nan"], "temperature is nan; give a finite number"),
    "friction": (
        None,
        ["--ensemble", "npt", "--friction", "1"],
        "friction is for the ensemble nvt",
    ),
    "cell": (None, ["--cell", "full"], "the cell only changes in the ensemble npt"),
    "folder": (None, ["--output", "nowhere/md"], "the folder nowhere does not exist"),
    "restart": (None, ["--restart"], "md.restart.h5 does not exist: there is no run to continue"),
    "limit": (None, ["--time-limit", "0"], "--time-limit is 0.0, but must be > 0"),
    "aparam": (None, ["--aparam", "none.npy"], "none.npy does not exist"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_sentence(
    folder: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil, options, message = BAD[name]
    if spoil is not None:
        spoil(folder)
    run(*options, code=2)
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert not (folder / "md.log").exists()


def test_molecules_have_no_constant_pressure(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("--ensemble", "npt", structure="molecule.xyz", code=2)
    assert "molecule.xyz is not periodic in three directions" in capsys.readouterr().err


def test_a_restart_has_the_same_forces(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(steps=5)
    write_model(folder / "model.dp", build(), draw(build(), 9))
    run("--restart", code=2)
    assert "md.restart.h5 was saved with another model; continue with the same" in (
        capsys.readouterr().err
    )
    write_model(folder / "model.dp", build(numb_fparam=1))
    run("--fparam", "0.5", "--force", steps=5)
    run("--fparam", "0.5", "--restart", steps=10)
    run("--fparam", "0.6", "--restart", steps=15, code=2)
    assert "was saved with another fparam" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--ensemble", "nvt", "--pressure", "1"], "pressure has no effect in the ensemble nvt"),
        (["--ensemble", "nve", "--tau-p", "5"], "tau_p has no effect in the ensemble nve, but"),
        (["--ensemble", "nve", "--tau-t", "5"], "only in nvt and npt"),
        (["--friction", "5", "--tau-t", "100"], "tau_t has no effect beside friction"),
    ],
)
def test_settings_without_effect_are_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    run(*options, code=2)
    assert message in capsys.readouterr().err


def test_a_restart_is_of_the_same_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(steps=5)
    run("--restart", "--temperature", "310", code=2)
    assert "was saved with temperature = 300.0, not 310.0" in capsys.readouterr().err
    run("--restart", structure="molecule.xyz", code=2)
    assert "md.restart.h5 is of other atoms" in capsys.readouterr().err
    (folder / "md.xyz").unlink()
    run("--restart", code=2)
    assert "md.xyz is missing, so that the run cannot be continued" in capsys.readouterr().err
    (folder / "md.restart.h5").write_bytes((folder / "model.dp").read_bytes())
    run("--restart", code=2)
    assert "is not the state of a run" in capsys.readouterr().err


def test_parameters_reach_the_model(folder: Path) -> None:
    write_model(folder / "model.dp", build(numb_fparam=2))
    run("--fparam", "0.1", "0.2", "--output", "a", "--max-temperature", "1e9", steps=0)
    run("--fparam", "0.1", "0.9", "--output", "b", "--max-temperature", "1e9", steps=0)
    assert rows("a")["potential_eV"][0] != rows("b")["potential_eV"][0]

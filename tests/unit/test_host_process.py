"""What multifit leaves alone in the process of a program that uses it."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest
from _cli_files import frames, write_model, write_system

import multifit
from multifit.backend import KNOWN

ROOT = Path(multifit.__file__).parent
MODULES = sorted(
    ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__")
    for path in ROOT.rglob("*.py")
    if path.name != "__main__.py"
)
ADAPTERS = [f"multifit_{name}" for name in KNOWN]

#: Notes who asks the C library for the function that changes how it hands out memory.
WATCH = """
import sys
asked = []

def hook(event, args):
    if event.startswith("ctypes.dlsym") and args[1] == "mallopt":
        asked.append(sorted(name for name in sys.modules if name.startswith("multifit_")))

sys.addaudithook(hook)
"""


def _python(code: str, *argv: str) -> list[str]:
    """Return the lines that a fresh interpreter prints."""
    done = subprocess.run(
        [sys.executable, "-c", WATCH + code, *argv],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_importing_every_module_loads_no_backend() -> None:
    code = f"""
import importlib
for name in {MODULES!r}:
    importlib.import_module(name)
print(sorted(set({ADAPTERS!r}) & set(sys.modules)), asked)
"""
    assert _python(code) == ["[] []"]


def test_a_program_that_predicts_keeps_its_way_of_handing_out_memory(tmp_path: Path) -> None:
    write_model(tmp_path / "model.dp")
    code = """
import multifit, multifit.train
from multifit.backend import get_backend

get_backend("numpy")
multifit.load(sys.argv[1]).predict([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]], ["O", "H"])
print(asked)
"""
    assert _python(code, str(tmp_path / "model.dp")) == ["[]"]


@pytest.mark.skipif(sys.platform == "win32", reason="has no resource module")
def test_a_loaded_potential_has_arrays_made_without_page_faults(tmp_path: Path) -> None:
    write_model(tmp_path / "model.dp")
    code = """
import resource
import numpy as np
import multifit

multifit.load(sys.argv[1], "numpy")
for _ in range(3):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    arrays = [np.ones(1 << 18) for _ in range(8)]
    del arrays
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
    pages = 8 * (1 << 18) * 8 // 4096
    (faults,) = _python(code, str(tmp_path / "model.dp"))
    if platform.libc_ver()[0] == "glibc":
        assert int(faults) < pages / 10


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only glibc is asked")
@pytest.mark.parametrize("command", ["test", "change-bias"])
def test_commands_keep_freed_memory_before_they_load_a_backend(
    command: str, tmp_path: Path
) -> None:
    model = tmp_path / "model.dp"
    write_model(model)
    coord, system = frames(1)
    write_system(tmp_path / "data", coord, system, energy=coord[:, 0, 0])
    code = """
from multifit.cli import main
main(sys.argv[1:])
print(asked)
"""
    named = ["-m", str(model)] if command == "test" else [str(model)]
    assert _python(code, command, *named, "-s", str(tmp_path / "data"))[-1] == "[[]]"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only glibc is asked")
def test_training_keeps_freed_memory_before_it_loads_a_backend(tmp_path: Path) -> None:
    (tmp_path / "input.json").write_text(
        '{"model": {"type_map": ["O"], "descriptor": {"type": "se_e2_a", "sel": [4]},'
        '"fitting_net": {}}, "learning_rate": {"start_lr": 0.001}, "loss": {},'
        '"training": {"training_data": {"systems": ["none"]}, "numb_steps": 1}}'
    )
    code = """
from multifit.cli import main
main(sys.argv[1:])
print(asked)
"""
    # Training on NumPy is refused, which is enough to see what comes first.
    argv = ["train", str(tmp_path / "input.json"), "-b", "numpy"]
    assert _python(code, *argv)[-1] == "[[]]"

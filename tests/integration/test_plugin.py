"""The example of a third party's descriptor: installed from its folder, trained and tested."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from _backends import TRAINABLE
from _water import labelled, recipe, write

EXAMPLE = Path(__file__).parents[2] / "examples" / "plugin_descriptor"
DESCRIPTOR = {"type": "gaussians", "rcut": 3.6, "sel": [30, 40], "number": 5, "seed": 1}


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Install the example beside multifit, and return the environment in which it is found."""
    pytest.importorskip("setuptools")
    folder = tmp_path_factory.mktemp("plugin")
    shutil.copytree(EXAMPLE, folder / "source")
    target = folder / "installed"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    done = subprocess.run(
        [*pip, "--target", str(target), str(folder / "source")],
        capture_output=True,
        text=True,
        check=False,
    )
    if "No module named pip" in done.stderr:
        pytest.skip("pip is not installed")
    assert done.returncode == 0, done.stderr
    path = os.pathsep.join(filter(None, [str(target), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path}


def _multifit(plugin: dict[str, str], folder: Path, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "multifit", *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env=plugin,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("backend", TRAINABLE[:1])
def test_the_example_is_trained(plugin: dict[str, str], tmp_path: Path, backend: str) -> None:
    write(tmp_path / "data", labelled())
    given = recipe(steps=30)
    given["model"]["descriptor"] = DESCRIPTOR
    (tmp_path / "input.json").write_text(json.dumps(given))
    said = _multifit(plugin, tmp_path, "train", "input.json", "--backend", backend)
    assert "trained 30 steps" in said
    curve = np.loadtxt(tmp_path / "lcurve.out")
    assert curve[-1, 1] < curve[0, 1]
    assert "gaussians, 5 numbers for each atom" in _multifit(plugin, tmp_path, "show", "model.dp")
    assert "Force" in _multifit(plugin, tmp_path, "test", "-m", "model.dp", "-s", "data")


def test_the_example_is_short() -> None:
    lines = (EXAMPLE / "multifit_gaussians.py").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 60

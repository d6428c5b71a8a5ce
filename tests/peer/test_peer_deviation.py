"""``multifit model-devi`` writes what ``dp model-devi`` writes, and files with an uncertainty load.

Runs where ``MULTIFIT_PEER_PYTHON`` is an interpreter with deepmd-kit 3.2 (``nox -s peer``).
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from _cases import build, draw
from _cli_files import write_labelled, write_model
from _compare import same

from multifit.cli import main
from multifit.inference.uncertainty import KEY, Uncertainty

PEER = os.environ.get("MULTIFIT_PEER_PYTHON", "")
pytestmark = [
    pytest.mark.skipif(not PEER, reason="MULTIFIT_PEER_PYTHON names no Python with deepmd-kit"),
    pytest.mark.timeout(300),
]


def _dp(folder: Path, *arguments: str) -> None:
    """Run ``dp``."""
    code = "import sys; from deepmd.main import main; main(sys.argv[1:])"
    done = subprocess.run(
        [PEER, "-c", code, *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with data and two models, also in the format of TensorFlow."""
    folder, model = tmp_path_factory.mktemp("deviation"), build()
    size = 2 * model.fitting.neuron[-1]
    entry = {KEY: Uncertainty(np.eye(size), np.ones(10)).to_content()}
    for k in range(2):
        params = draw(model, k)
        # Equal for x, y and z, as statistics are: the virial is symmetric.
        params["descriptor"]["davg"][..., 1:] = 0.0
        own = params["descriptor"]["dstd"]
        own[..., 1:] = own[..., 1:2]
        potential = write_model(folder / f"{k}.dp", model, params, model_def_script={}, **entry)
        _dp(folder, "convert-backend", f"{k}.dp", f"{k}.pb")
    write_labelled(folder / "data", potential, 4, energy=0.3, force=0.05, virial=0.6)
    return folder


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--real_error", "-f", "5"),
        ("--atomic", "--relative", "0.5", "--real_error"),
    ],
    ids=["plain", "errors", "relative errors"],
)
def test_the_files_agree(folder: Path, options: tuple[str, ...], tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours.out", tmp_path / "theirs.out"
    models = [str(folder / f"{k}.pb") for k in range(2)]
    data = str(folder / "data")
    _dp(folder, "model-devi", "-m", *models, "-s", data, "-o", str(theirs), *options)
    files = [str(folder / f"{k}.dp") for k in range(2)]
    assert main(["model-devi", "-m", *files, "-s", data, "-o", str(ours), *options]) == 0
    assert ours.read_text().splitlines()[:2] == theirs.read_text().splitlines()[:2]
    # TensorFlow's forces and virials differ by some 1e-9.
    same(np.loadtxt(ours), np.loadtxt(theirs), rtol=3e-6, atol=1e-8)

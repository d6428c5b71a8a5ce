"""What NumPy computes and hands over, statistics and schedules: not one bit changes."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _backends import INSTALLED
from _check import Cell
from _rows import SCHEDULES, TRAINS, cells
from _water import labelled, recipe, write

from multifit import config
from multifit.backend import get_backend
from multifit.optim.adam import Adam
from multifit.optim.learning_rate import learning_rate
from multifit.train import Start
from multifit.train.setup.setup import set_up
from multifit.train.start.begin import begin
from multifit.train.step.step import scalars
from multifit.tree import flatten

STEPS = 40


@cells(SCHEDULES, INSTALLED)
def test_learning_rates(key: str, name: str) -> None:
    backend, adam = get_backend(name), Adam(beta1=0.8, beta2=0.99)
    rate = learning_rate({"start_lr": 1e-3, **SCHEDULES[key]}, STEPS)
    got, want = {}, {}
    for t in range(STEPS):
        for kind, x in scalars(adam, rate.at(t), t + 1).items():
            got[f"{kind} {t}"] = backend.to_numpy(backend.asarray(x))
        want |= {
            f"lr {t}": np.asarray(rate.at(t)),
            f"correction1 {t}": np.asarray(adam.corrections(t + 1)[0]),
            f"correction2 {t}": np.asarray(adam.corrections(t + 1)[1]),
        }
    Cell("learning rates", key, name).check(got, want, "exact")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with data that have every statistic."""
    folder, frames = tmp_path_factory.mktemp("statistics"), labelled()
    rng, (nframes, natoms, _) = np.random.default_rng(2), frames.coord.shape
    write(
        folder / "data",
        frames,
        fparam=rng.normal(size=(nframes, 2)),
        aparam=rng.normal(size=(nframes, natoms)),
        atom_ener=rng.normal(size=(nframes, natoms)),
        dos=rng.normal(size=(nframes, 5)),
        atom_dos=rng.normal(size=(nframes, natoms, 5)),
    )
    return folder


_DOS = {"model__fitting_net__type": "dos", "model__fitting_net__numb_dos": 5}

INPUTS: dict[str, dict[str, Any]] = {
    "energies of frames": {"model__fitting_net__numb_fparam": 2},
    "atomic energies, atom_ener": {
        "loss__start_pref_ae": 1.0,
        "model__fitting_net__numb_aparam": 1,
        "model__fitting_net__atom_ener": [None, -1.5],
        "model__descriptor__set_davg_zero": True,
    },
    "dos of frames": {**_DOS, "loss": {"type": "dos", "limit_pref_cdf": 1.0}},
    "dos of atoms, numb_fparam": {
        **_DOS,
        "loss": {"type": "dos"},
        "model__fitting_net__numb_fparam": 2,
    },
    "preset_out_bias": {"model__preset_out_bias": {"energy": {"H": -1.0}}},
}


@functools.cache
def _start(folder: Path, key: str, name: str) -> dict[str, np.ndarray]:
    """Return all parameters and statistics that a run begins with."""
    settings = config.parse(recipe(**INPUTS[key]))
    setup = set_up(settings, get_backend(name), folder)
    run, _ = begin(setup, Start(), folder / "out")
    return flatten(run.numpy_params(setup.tasks[0]))


@cells(INPUTS, TRAINS)
def test_statistics_and_first_parameters(data: Path, key: str, name: str) -> None:
    got, want = _start(data, key, name), _start(data, key, "numpy")
    assert {name: x.dtype for name, x in got.items()} == {n: x.dtype for n, x in want.items()}
    Cell("statistics and first parameters", key, name).check(got, want, "exact")

"""A model that one backend wrote, read by another: all ordered pairs, and each with itself."""

from __future__ import annotations

import functools
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _backends import INSTALLED
from _cases import build, crystal, draw, molecule
from _check import Cell

from multifit import files
from multifit import models as mdl
from multifit.backend import get_backend
from multifit.dos import Grid
from multifit.inference.loading import load
from multifit.inference.potential import Potential
from multifit.tree import flatten, map_leaves

BACKENDS = ("numpy", *INSTALLED)

_BOTH: dict[str, Any] = {"numb_fparam": 1, "numb_aparam": 1, "dim_case_embd": 2}
#: An uneven grid, of which the file must keep every bit.
_GRID = Grid(tuple(np.cumsum(np.linspace(0.1, 0.7, 9)).tolist()), True, (6.0, 1.0))


def _partly_trained(model: mdl.Model) -> mdl.Model:
    """Return the model with an output layer that is not trained: files say it of each layer."""
    return replace(model, fitting=replace(model.fitting, trainable=(True, True, False)))


MODELS = {
    "energy": _partly_trained(
        build(
            **_BOTH,
            type_one_side=False,
            atom_ener=(None, -1.5),
            layer_name=("a", "b", None),
            activation="silu",
            exclude_types=((1, 1),),
        )
    ),
    "dos": _partly_trained(
        build(
            **_BOTH,
            numb_dos=9,
            grid=_GRID,
            type_one_side=False,
            activation="gelu",
            atom_exclude_types=(0,),
        )
    ),
}


@functools.cache
def _file(kind: str, writer: str) -> Path:
    """Return a model file whose parameters were arrays of a backend."""
    backend, model = get_backend(writer), MODELS[kind]
    potential = Potential(model, draw(model), backend)
    path = Path(tempfile.mkdtemp()) / f"{writer}.dp"
    params = map_leaves(backend.to_numpy, potential.params)
    files.write(path, {"software": "multifit", **mdl.to_content(model, params)})
    return path


@functools.cache
def _reader(kind: str, reader: str) -> Potential:
    """Return one potential of a backend, so that there is one compilation."""
    return load(_file(kind, "numpy"), reader)


def _prediction(potential: Potential) -> dict[str, np.ndarray]:
    rng, found = np.random.default_rng(8), {}
    for kind, system in (("crystal", crystal()), ("molecule", molecule())):
        n = len(system.atype)
        out = potential.predict(
            system.coord, system.atype, system.cell, rng.normal(size=1), rng.normal(size=(n, 1))
        )
        found |= {f"{kind}.{key}": x for key, x in out.items()}
    return found


@pytest.mark.parametrize("reader", BACKENDS)
@pytest.mark.parametrize("writer", BACKENDS)
@pytest.mark.parametrize("kind", MODELS)
def test_a_model_of_one_backend_is_the_same_on_another(kind: str, writer: str, reader: str) -> None:
    found, model = load(_file(kind, writer), reader), MODELS[kind]
    assert found.model == model
    params = map_leaves(found.backend.to_numpy, found.params)
    got, want = flatten(params), flatten(draw(model))
    assert set(got) == set(want)
    for name, x in want.items():
        assert got[name].dtype == x.dtype, name
        assert got[name].tobytes() == x.tobytes(), name
    shared = _reader(kind, reader)
    shared.set_params(params)
    options = f"by {writer}" if kind == "energy" else f"{kind}, by {writer}"
    cell = Cell("files: written by one backend, read by another", options, reader)
    cell.check(_prediction(shared), _prediction(_reader(kind, "numpy")), "derivative")

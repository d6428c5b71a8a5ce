"""A model that one backend wrote, read by another: all ordered pairs, and each with itself."""

from __future__ import annotations

import functools
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from _backends import INSTALLED
from _cases import build, crystal, draw, molecule
from _check import Cell

from multifit import files
from multifit import model as mdl
from multifit.backend import get_backend
from multifit.potential import Potential, load
from multifit.tree import flatten, map_leaves

BACKENDS = ("numpy", *INSTALLED)

_MODEL = build(
    type_one_side=False,
    numb_fparam=1,
    numb_aparam=1,
    dim_case_embd=2,
    atom_ener=(None, -1.5),
    layer_name=("a", "b", None),
    activation="silu",
    exclude_types=((1, 1),),
)
#: Files say of each layer whether it is trained.
MODEL = replace(_MODEL, fitting=replace(_MODEL.fitting, trainable=(True, True, False)))


@functools.cache
def _file(writer: str) -> Path:
    """Return a model file whose parameters were arrays of a backend."""
    backend = get_backend(writer)
    potential = Potential(MODEL, draw(MODEL), backend)
    path = Path(tempfile.mkdtemp()) / f"{writer}.dp"
    params = map_leaves(backend.to_numpy, potential.params)
    files.write(path, {"software": "multifit", "model": mdl.serialize(MODEL, params)})
    return path


@functools.cache
def _reader(reader: str) -> Potential:
    """Return one potential of a backend, so that there is one compilation."""
    return load(_file("numpy"), reader)


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
def test_a_model_of_one_backend_is_the_same_on_another(writer: str, reader: str) -> None:
    found = load(_file(writer), reader)
    assert found.model == MODEL
    params = map_leaves(found.backend.to_numpy, found.params)
    got, want = flatten(params), flatten(draw(MODEL))
    assert set(got) == set(want)
    for name, x in want.items():
        assert got[name].dtype == x.dtype, name
        assert got[name].tobytes() == x.tobytes(), name
    shared = _reader(reader)
    shared.set_params(params)
    cell = Cell("files: written by one backend, read by another", f"by {writer}", reader)
    cell.check(_prediction(shared), _prediction(_reader("numpy")), "derivative")

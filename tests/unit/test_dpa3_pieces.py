"""Predictions of DPA-3 in pieces are those of the whole, on all backends."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from _backends import INSTALLED
from _cases import crystal
from _compare import same

from multifit import models as mdl
from multifit.backend import Repeats, each, get_backend
from multifit.descriptors import _pieces
from multifit.descriptors.dpa3 import Dpa3
from multifit.fitting import Fitting
from multifit.inference.potential import Potential

SMALL: dict[str, Any] = {
    **{"ntypes": 2, "e_rcut": 3.6, "e_rcut_smth": 1.5, "e_sel": 70, "a_rcut": 3.0},
    **{"a_rcut_smth": 1.2, "a_sel": 40, "n_dim": 6, "e_dim": 4, "a_dim": 4, "nlayers": 3},
    **{"axis_neuron": 2, "smooth_edge_update": True},
}

OPTIONS: dict[str, dict[str, Any]] = {
    "at once": {"concat_output_tebd": True},
    "one after the other": {"sequential_update": True, "nlayers": 2},
    "without angles": {"update_angle": False, "precision": "float32"},
    "one layer": {"nlayers": 1},
}


def model_of(options: dict[str, Any]) -> mdl.Model:
    """Return a small model."""
    descriptor = Dpa3(**{**SMALL, **options})
    fitting = Fitting(2, descriptor.dim_out, neuron=(5, 5), mixed_types=True)
    return mdl.Model(("O", "H"), descriptor, fitting)


def _check(options: dict[str, Any], backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Assert that six atoms in pieces of four have the energy and forces of the whole."""
    model, system = model_of(options), crystal()
    params = mdl.init(model, 5, 3)
    args = (system.coord, system.atype, system.cell)
    want = Potential(model, params).predict(*args)
    monkeypatch.setattr(_pieces, "atoms_of", lambda *_: 4)
    got = Potential(model, params, backend).predict(*args)
    exact = options.get("precision") != "float32"
    same(got["energy"], want["energy"], rtol=1e-12 if exact else 1e-6)
    same(got["force"], want["force"], rtol=1e-9 if exact else 1e-4)


@pytest.mark.parametrize("name", OPTIONS)
def test_pieces_give_the_whole(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _check(OPTIONS[name], "numpy", monkeypatch)


@pytest.mark.parametrize("backend", [name for name in INSTALLED if name in ("jax", "tensorflow")])
def test_pieces_give_the_whole_where_a_piece_is_compiled_once(
    backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(get_backend(backend), Repeats)
    _check({"nlayers": 2}, backend, monkeypatch)


def test_pieces_are_so_large_that_the_widest_array_fits_into_the_cache() -> None:
    large, tiny = Dpa3(2), Dpa3(**SMALL)
    plans = [one.planner(get_backend("numpy")).plan for one in (large, tiny)]
    rows = [plan.host["rows"].size for plan in plans if plan is not None]
    assert 1 <= rows[0] < 50 < rows[1]


def test_blocks_are_taken_one_by_one() -> None:
    numpy = get_backend("numpy")
    blocks = {"a": np.arange(6.0).reshape(3, 2), "b": {"c": np.ones((3, 1))}}
    found = each(numpy, lambda block: {"s": block["a"] + block["b"]["c"]}, blocks)
    same(found["s"], blocks["a"] + 1.0)

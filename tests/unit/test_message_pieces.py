"""Predictions of DPA-2 and DPA-3 in pieces are those of the whole, on all backends."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from _backends import INSTALLED
from _cases import build, crystal, draw
from _compare import same

from multifit.backend import Repeats, each, get_backend
from multifit.descriptors import Descriptor, _pieces
from multifit.descriptors.dpa2 import Dpa2
from multifit.descriptors.dpa2._examples import EXAMPLES
from multifit.descriptors.dpa3 import Dpa3
from multifit.inference.potential import Potential

SMALL: dict[str, Any] = {
    **{"ntypes": 2, "e_rcut": 3.6, "e_rcut_smth": 1.5, "e_sel": 70, "a_rcut": 3.0},
    **{"a_rcut_smth": 1.2, "a_sel": 40, "n_dim": 6, "e_dim": 4, "a_dim": 4, "nlayers": 3},
    **{"axis_neuron": 2, "smooth_edge_update": True},
}

SWITCHED_OFF = ("update_h2", "update_g1_has_attn", "update_g2_has_attn", "update_g1_has_drrd")

FIRST, SECOND = (EXAMPLES[0][name] for name in ("repinit", "repformer"))

DESCRIPTORS: dict[str, Descriptor] = {
    "dpa3, at once": Dpa3(**SMALL, concat_output_tebd=True),
    "dpa3, one after the other": Dpa3(**{**SMALL, "nlayers": 2}, sequential_update=True),
    "dpa3, without angles": Dpa3(**SMALL, update_angle=False, precision="float32"),
    "dpa3, one layer": Dpa3(**{**SMALL, "nlayers": 1}),
    "dpa2, three bodies, vectors": Dpa2(**EXAMPLES[0]),
    "dpa2, distances, one map": Dpa2(**EXAMPLES[1]),
    "dpa2, sharp, three layers": Dpa2(
        2, {**FIRST, "use_three_body": False}, {**SECOND, "nlayers": 3}, smooth=False
    ),
    "dpa2, means": Dpa2(
        2, {**FIRST, "set_davg_zero": False, "tebd_input_mode": "strip"}, {**SECOND, "nlayers": 1}
    ),
}

#: Compilers take a while, so few parts.
COMPILED: dict[str, Descriptor] = {
    "dpa2, compiled": Dpa2(2, {**FIRST, "three_body_neuron": (2,)}, {**SECOND, "update_h2": False}),
    "dpa3, compiled": Dpa3(**{**SMALL, "nlayers": 2}, update_angle=False),
}


def _check(name: str, backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Assert that six atoms in pieces of four have the energy and derivatives of the whole."""
    model, system = build(descriptor={**DESCRIPTORS, **COMPILED}[name], mixed_types=True), crystal()
    params, args = draw(model), (system.coord, system.atype, system.cell)
    want = Potential(model, params).predict(*args, atom_virial=True)
    sizes = []

    def small(*_: Any) -> int:
        sizes.append(4)
        return 4

    monkeypatch.setattr(_pieces, "atoms_of", small)
    got = Potential(model, params, backend).predict(*args, atom_virial=True)
    exact = model.descriptor.precision != "float32"
    same(got, want, rtol=1e-12 if exact else 1e-4, atol=1e-12 if exact else 1e-5)
    assert sizes


@pytest.mark.parametrize("name", DESCRIPTORS)
def test_pieces_give_the_whole(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _check(name, "numpy", monkeypatch)


@pytest.mark.parametrize(
    ("backend", "name"),
    [
        (backend, name)
        for backend, name in {"jax": "dpa2, compiled", "tensorflow": "dpa3, compiled"}.items()
        if backend in INSTALLED
    ],
)
def test_pieces_give_the_whole_where_a_piece_is_compiled_once(
    backend: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(get_backend(backend), Repeats)
    _check(name, backend, monkeypatch)


def test_a_piece_has_its_share_of_each_type() -> None:
    pieces = _pieces.Pieces(np, {0: 3, 2: 5}, 3)
    x = np.arange(16.0).reshape(8, 2)
    blocks = pieces.blocks(x)
    assert blocks.shape == (3, 3, 2)
    same(blocks[:, 0], x[:3])
    assert not blocks[2, 2].any()
    same(pieces.joined(blocks), x)


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

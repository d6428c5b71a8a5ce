"""se_e2_a with embedded types, for more types of neighbours than have a table each."""

from __future__ import annotations

import array_api_compat.numpy as xp
import pytest
from _backends import TRAINABLE
from _cases import RCUT, SMOOTH, assemble, build, draw
from _compare import same
from test_gradient_rules import gradient, require_slope
from test_many_types import NUMPY, SEL, outputs, planned, require_derivatives, solid

import multifit.models as mdl
from multifit.backend import get_backend
from multifit.batching.types import MIXED
from multifit.descriptors.se_e2_a import _descriptor, _mixed_geometry
from multifit.descriptors.se_e2_a_tebd import SeE2ATebd
from multifit.tree import Tree

#: How types are embedded, of which atoms, and whether far pairs have a series.
CASES = [
    ("concat", "one side", "series"),
    ("concat", "two sides", "tiles"),
    ("strip", "two sides", "series"),
]

#: JAX compiles for seconds, so it has one of them.
GRADIENTS = [("torch", each) for each in CASES] + [("jax", CASES[-1])]
GRADIENTS = [each for each in GRADIENTS if each[0] in TRAINABLE]


@pytest.fixture(params=CASES, ids="-".join)
def case(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> tuple[mdl.Model, Tree, Tree]:
    """Return a model, its parameters, and a batch with one table, with series for far pairs."""
    mode, sides, far = request.param
    series = far == "series"
    monkeypatch.setattr(_descriptor, "MANY", 4)
    monkeypatch.setattr(_mixed_geometry, "NODES", 99.0)
    descriptor = SeE2ATebd(
        rcut=RCUT,
        rcut_smth=SMOOTH,
        sel=SEL,
        neuron=(3, 6),
        axis_neuron=2,
        resnet_dt=True,
        type_neuron=(4,),
        tebd_input_mode=mode,
        type_one_side=sides == "one side",
    )
    model = build(sel=SEL, descriptor=descriptor)
    params = draw(model)
    batch = planned(model, params, solid()) if series else assemble(model, [solid()])[0]
    known = mdl.prepared(xp, model, params, batch)["geometry"][MIXED]
    assert ("cheb" in known) == series
    return model, params, batch


def test_one_table_gives_the_numbers_of_separate_ones(
    case: tuple[mdl.Model, Tree, Tree], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And all nets in one array those of the nets of the pairs of types that occur."""
    model, params, batch = case
    got = outputs(NUMPY, model, params, batch)
    monkeypatch.setattr(_descriptor, "MANY", 99)
    separate, _ = assemble(model, [solid()])
    assert MIXED not in separate["tables"]
    want = outputs(NUMPY, model, params, separate)
    same(got.pop("force"), want.pop("force"), rtol=1e-9)
    same(got, want, rtol=1e-10)


def test_forces_are_derivatives(case: tuple[mdl.Model, Tree, Tree]) -> None:
    model, params, batch = case
    require_derivatives(model, params, outputs(NUMPY, model, params, batch)["force"])


@pytest.mark.parametrize(("backend", "case"), GRADIENTS, indirect=["case"])
def test_gradients_are_those_of_differences(
    backend: str, case: tuple[mdl.Model, Tree, Tree]
) -> None:
    model, params, batch = case
    got = gradient(get_backend(backend), model, params, batch)
    require_slope(got, model, params, batch)

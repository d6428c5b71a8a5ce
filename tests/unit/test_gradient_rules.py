"""Gradients of losses of forces with many types: by rules of the core, and by differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from _backends import TRAINABLE
from _cases import assemble
from _compare import same
from test_many_types import NUMPY, as_trained, case, outputs, planned, solid

import multifit.models as mdl
from multifit.backend import Rules, get_backend
from multifit.descriptors.se_e2_a import _descriptor, _mixed_geometry
from multifit.nn import columns
from multifit.nn.stacking import stacked
from multifit.tree import Tree, flatten, map_leaves, unflatten

#: Options, whether neighbours are in one table, and whether far ones have a series there.
CASES = {
    "one side": (True, True),
    "two sides": (True, False),
    "excluded, two sides": (True, True),
    "shared layers": (False, False),
}


def loss(out: dict[str, Any]) -> Any:
    """Return a number that depends on energies and forces; a sum of each array is enough."""
    return (out["force"] ** 2).sum() + (out["atom_energy"] ** 2).sum()


def gradient(backend: Any, model: mdl.Model, params: Tree, batch: Tree) -> dict[str, np.ndarray]:
    """Return the derivatives by the trainable parameters, named as they are given."""
    names = set(stacked(dict.fromkeys(mdl.trainable_names(model), np.zeros(1))))
    names |= set(mdl.trainable_names(model))
    flat = {name: backend.asarray(x) for name, x in flatten(params).items()}
    moving = {name: x for name, x in flat.items() if name in names}
    ready = map_leaves(backend.asarray, batch)

    def f(moving: dict[str, Any]) -> tuple[Any, Any]:
        found = loss(mdl.evaluate(backend, model, unflatten({**flat, **moving}), ready))
        return found, found

    _, made = backend.compile(backend.value_and_grad(f))(moving)
    return {name: backend.to_numpy(x) for name, x in made.items()}


def require_slope(got: dict[str, np.ndarray], model: mdl.Model, params: Tree, batch: Tree) -> None:
    """Compare the slope along a random way with the difference of the loss."""
    rng = np.random.default_rng(5)
    way = {key: rng.normal(size=x.shape) for key, x in got.items()}
    slope = sum(float((x * way[key]).sum()) for key, x in got.items())
    flat, step, found = flatten(params), 1e-5, []
    for h in (step, -step):
        moved = {key: x + h * way[key] if key in way else x for key, x in flat.items()}
        found.append(float(loss(outputs(NUMPY, model, unflatten(moved), batch))))
    same(np.array(slope), np.array((found[0] - found[1]) / (2 * step)), rtol=1e-6)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("backend", [name for name in TRAINABLE if name in ("jax", "torch")])
def test_gradients_are_those_of_differences(
    backend: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, series = CASES[name]
    adapter = get_backend(backend)
    assert isinstance(adapter, Rules) == (backend == "jax")
    monkeypatch.setattr(_descriptor, "MANY", 4 if one else 99)
    monkeypatch.setattr(_mixed_geometry, "NODES", 99.0)
    monkeypatch.setattr(columns, "PART", 4)
    model, params = case(name)
    batch = planned(model, params, solid()) if series else assemble(model, [solid()])[0]
    got = gradient(adapter, model, as_trained(params), batch)
    assert any(".all." in key for key in got)
    require_slope(got, model, as_trained(params), batch)

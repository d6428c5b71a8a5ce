"""The Hessian: against differences of forces, on every kind of model, and its symmetry."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from _backends import StrictBackend
from _cases import System, assemble, build, crystal, draw, molecule, parameters
from _compare import same

from multifit import models as mdl
from multifit.autodiff.forward import Dual, Forward
from multifit.backend import get_backend
from multifit.inference import evaluator
from multifit.inference.potential import Potential
from multifit.tree import map_leaves

NUMPY = get_backend("numpy")

MODELS: dict[str, dict[str, Any]] = {
    "tanh": {},
    "two sides, excluded, silut": {
        "activation": "silut:0.1",
        "type_one_side": False,
        "exclude_types": ((0, 1),),
    },
    "cut at sel, softplus": {"activation": "softplus", "sel": (3, 5)},
    "parameters, gelu": {"activation": "gelu", "numb_fparam": 1, "numb_aparam": 2},
    "excluded atoms, sigmoid": {"activation": "sigmoid", "atom_exclude_types": (0,)},
    "float32, silu": {"activation": "silu", "precision": "float32"},
}


def _predict(model: mdl.Model, system: System, **wanted: Any) -> dict[str, np.ndarray]:
    extra = parameters(model, [system])
    chosen = Potential(model, draw(model))
    return chosen.predict(system.coord, system.atype, system.cell, **extra, **wanted)


def _by_differences(model: mdl.Model, system: System, step: float) -> np.ndarray:
    columns = []
    for direction in np.eye(system.coord.size):
        move = step * direction.reshape(system.coord.shape)
        prefetch, behind = (
            _predict(model, system.moved(system.coord + sign * move))["force"]
            for sign in (1.0, -1.0)
        )
        columns.append((behind - prefetch).reshape(-1) / (2.0 * step))
    return np.stack(columns, axis=1)


@pytest.mark.parametrize("options", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize("system", [crystal(), molecule()], ids=["crystal", "molecule"])
def test_it_is_the_slope_of_the_forces(options: dict[str, Any], system: System) -> None:
    model = build(**options)
    single = options.get("precision") == "float32"
    got = _predict(model, system, hessian=True)["hessian"][0]
    want = _by_differences(model, system, 1e-2 if single else 1e-4)
    largest = np.abs(want).max()
    assert largest > 1e-4
    same(got, want, rtol=0.0, atol=largest * (3e-3 if single else 1e-6))
    same(got, got.T, rtol=0.0, atol=largest * (1e-5 if single else 1e-14))


def test_rows_sum_to_zero_where_everything_moves_together() -> None:
    hessian = _predict(build(), crystal(), hessian=True)["hessian"][0]
    total = hessian.reshape(18, 6, 3).sum(axis=1)
    same(total, np.zeros_like(total), rtol=0.0, atol=1e-14 * np.abs(hessian).max() * 100)


def test_a_few_columns_at_a_time_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = _predict(build(), molecule(), hessian=True)["hessian"]
    monkeypatch.setattr(evaluator, "TANGENTS_AT_ONCE", 1)
    same(_predict(build(), molecule(), hessian=True)["hessian"], whole, rtol=0.0)


def test_frames_and_virtual_atoms_do_not_mix() -> None:
    model, chosen = build(), Potential(build(), draw(build()))
    systems = [crystal(), crystal(3)]
    coord = np.stack([each.coord for each in systems])
    atype = np.append(systems[0].atype, -1)
    padded = np.concatenate([coord, np.full((2, 1, 3), 0.7)], axis=1)
    got = chosen.predict(padded, atype, systems[0].cell, hessian=True)["hessian"]
    for k, system in enumerate(systems):
        want = _predict(model, system, hessian=True)["hessian"][0]
        same(got[k, :18, :18], want, rtol=1e-12)
    assert not got[:, 18:, :].any()
    assert not got[:, :, 18:].any()


def test_a_lonely_atom_has_none() -> None:
    lonely = System(np.zeros((1, 3)), np.array([1]), None)
    hessian = _predict(build(), lonely, hessian=True)["hessian"]
    assert hessian.shape == (1, 3, 3)
    assert not hessian.any()


def test_only_the_standard_is_used(strict: StrictBackend) -> None:
    model = build(activation="silut:0.1")
    params = draw(model)
    batch, _ = assemble(model, [crystal()])
    batch["directions"] = mdl.directions(6)
    out = mdl.evaluate_hessian(
        strict, model, map_leaves(strict.asarray, params), map_leaves(strict.asarray, batch)
    )
    same(
        strict.to_numpy(out["hessian"]),
        mdl.evaluate_hessian(NUMPY, model, params, batch)["hessian"],
    )


# Arrays with tangents, one function at a time.


def _chain(xp: Any, x: Any, y: Any) -> Any:
    """Return something of every function, from x (2, 3) and y (3,)."""
    a = xp.maximum(x, y) * xp.tanh(x) - 2.0 / (x * x + y)
    b = xp.where(x < 1.0, xp.exp(-x), xp.log1p(x * x)) + xp.expm1(xp.minimum(x, y))
    c = xp.matmul(xp.concat([a, b], axis=0), xp.matrix_transpose(xp.stack([a, b], axis=1))[1, :, :])
    d = xp.flip(xp.broadcast_to(xp.sum(c, axis=0, keepdims=True), (2, 2)), axis=1)
    return 1.0 - xp.reshape(xp.sqrt(d * d + 1.0), (-1,)) / (1.0 + y[None, :1])


def test_the_chain_rule_of_every_function() -> None:
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(2, 3)), rng.uniform(1.0, 2.0, size=3)
    dx, dy = rng.normal(size=(4, 2, 3)), rng.normal(size=(4, 3))
    out = _chain(Forward(NUMPY.xp), Dual(NUMPY.xp, x, dx), Dual(NUMPY.xp, y, dy))
    same(out.value, _chain(NUMPY.xp, x, y), rtol=0.0)
    step = 1e-6
    for k in range(4):
        prefetch, behind = (
            _chain(NUMPY.xp, x + s * step * dx[k], y + s * step * dy[k]) for s in (1.0, -1.0)
        )
        same(out.tangent[k], (prefetch - behind) / (2 * step), rtol=1e-7)


def test_constants_stay_constants() -> None:
    xp = Forward(NUMPY.xp)
    x = Dual(NUMPY.xp, np.ones((2, 3)))
    y = _chain(xp, x, Dual(NUMPY.xp, np.ones(3)))
    assert y.tangent is None


def test_integers_and_new_constants_stay_plain() -> None:
    xp = Forward(NUMPY.xp)
    index = np.asarray([[2, 0, 1]])
    assert xp.take(index, np.asarray([1]), axis=1).tolist() == [[0]]
    assert xp.permute_dims(index, (1, 0)).shape == (3, 1)
    for made in (xp.full((2,), 3.0, dtype=np.float64), xp.eye(2, dtype=np.float64)):
        assert made.tangent is None


def test_the_mean_has_the_mean_tangent() -> None:
    x = Dual(NUMPY.xp, np.asarray([[1.0, 3.0]]), np.asarray([[[2.0, 6.0]]]))
    found = Forward(NUMPY.xp).mean(x, axis=1)
    assert found.value.tolist() == [2.0]
    assert found.tangent.tolist() == [[4.0]]

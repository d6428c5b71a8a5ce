"""Adam, AdamW, clipping and moving averages: torch.optim is the reference."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from _backends import INSTALLED, StrictBackend
from _compare import same

from multifit.backend import Backend, get_backend
from multifit.optim import adam as opt

STEPS = 30
SHAPES = {"a.w": (3, 2), "a.b": (2,), "c": (1,)}


def _numbers(seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=shape) for name, shape in SHAPES.items()}


def _rate(t: int) -> float:
    return 1e-2 * 0.9**t * (0.1 if t % 7 == 0 else 1.0)


def _run(
    config: opt.Adam, backend: Backend, dtype: str = "float64"
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return parameters and moments after all steps, with gradients drawn anew for each."""
    arrays = {name: backend.asarray(x.astype(dtype)) for name, x in _numbers(0).items()}
    state = {
        moment: {name: backend.asarray(x.astype(dtype)) for name, x in flat.items()}
        for moment, flat in opt.init(_numbers(0)).items()
    }
    for t in range(1, STEPS + 1):
        grads = {name: backend.asarray(x.astype(dtype)) for name, x in _numbers(t).items()}
        scalars = [backend.asarray(np.asarray(x)) for x in (_rate(t), *config.corrections(t))]
        given = (config, arrays, grads, state, *scalars)
        arrays, state = opt.update(backend.xp, *given, kernel=backend.adam)
    return {name: backend.to_numpy(x) for name, x in arrays.items()}, state


def _torch(kind: str, config: opt.Adam) -> dict[str, np.ndarray]:
    torch = pytest.importorskip("torch")
    leaves = {name: torch.tensor(x, requires_grad=True) for name, x in _numbers(0).items()}
    settings = {"betas": (config.beta1, config.beta2), "eps": config.epsilon}
    settings["weight_decay"] = config.weight_decay
    optimizer = getattr(torch.optim, kind)(list(leaves.values()), **settings)
    for t in range(1, STEPS + 1):
        for name, x in _numbers(t).items():
            leaves[name].grad = torch.tensor(x)
        if config.max_norm:
            torch.nn.utils.clip_grad_norm_(list(leaves.values()), config.max_norm)
        for group in optimizer.param_groups:
            group["lr"] = _rate(t)
        optimizer.step()
    return {name: x.detach().numpy() for name, x in leaves.items()}


CASES = {
    "Adam": ("Adam", opt.Adam()),
    "Adam, other betas": ("Adam", opt.Adam(0.8, 0.95, 1e-6)),
    "AdamW": ("AdamW", opt.Adam(weight_decay=0.05, decoupled=True)),
    "Adam with a penalty": ("Adam", opt.Adam(weight_decay=0.05)),
    "AdamW without decay": ("AdamW", opt.Adam(decoupled=True)),
    "Adam, clipped": ("Adam", opt.Adam(max_norm=1.0)),
    "AdamW, clipped now and then": (
        "AdamW",
        opt.Adam(weight_decay=0.01, max_norm=3.0, decoupled=True),
    ),
}


@pytest.mark.parametrize(("kind", "config"), CASES.values(), ids=CASES)
def test_updates_are_those_of_torch(kind: str, config: opt.Adam) -> None:
    got, _ = _run(config, get_backend("numpy"))
    same(got, _torch(kind, config), rtol=1e-12)


@pytest.mark.parametrize("name", INSTALLED)
def test_updates_are_the_same_on_every_backend(name: str) -> None:
    config = opt.Adam(weight_decay=0.05, max_norm=2.0, decoupled=True)
    same(_run(config, get_backend(name)), _run(config, get_backend("numpy")), rtol=1e-12)


def test_updates_need_no_more_than_the_standard(strict: StrictBackend) -> None:
    config = opt.Adam(weight_decay=0.05, max_norm=2.0, decoupled=True)
    same(_run(config, strict), _run(config, get_backend("numpy")), rtol=1e-13)


KERNELS = [name for name in INSTALLED if get_backend(name).adam is not None]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", KERNELS)
def test_a_kernel_takes_gradients_in_any_order(name: str, dtype: str) -> None:
    backend = get_backend(name)
    config, xp = opt.Adam(weight_decay=0.02, decoupled=True), backend.xp

    def updated(kernel: opt.Kernel | None) -> Any:
        rng = np.random.default_rng(2)
        shapes = [(7, 41), (41, 7), (41, 7), (41, 7)]
        drawn = (np.abs(rng.normal(size=shape)).astype(dtype) for shape in shapes)
        g, x, m, v = (backend.asarray(values) for values in drawn)
        state = {"m": {"x": m}, "v": {"x": v}}
        values = (1e-3, *config.corrections(3))
        scalars = [backend.asarray(np.asarray(value)) for value in values]
        grads = {"x": xp.matrix_transpose(g)}
        params, state = opt.update(xp, config, {"x": x}, grads, state, *scalars, kernel=kernel)
        return [backend.to_numpy(y["x"]) for y in (params, state["m"], state["v"])]

    rtol = 1e-13 if dtype == "float64" else 1e-5
    same(updated(backend.adam), updated(None), rtol=rtol)


@pytest.mark.parametrize("name", KERNELS)
def test_a_kernel_without_a_rate_changes_nothing(name: str) -> None:
    backend, config = get_backend(name), opt.Adam()
    x = {"x": backend.asarray(np.ones(5))}
    state = {key: {"x": backend.asarray(np.zeros(5))} for key in ("m", "v")}
    scalars = [backend.asarray(np.asarray(value)) for value in (0.0, *config.corrections(1))]
    got, _ = opt.update(backend.xp, config, x, x, state, *scalars, kernel=backend.adam)
    same(backend.to_numpy(got["x"]), np.ones(5), rtol=0.0)


@pytest.mark.parametrize("name", ["numpy", *INSTALLED])
def test_float32_parameters_stay_float32(name: str) -> None:
    config = opt.Adam(weight_decay=0.01, max_norm=1.0)
    got, state = _run(config, get_backend(name), "float32")
    assert {x.dtype for x in got.values()} == {np.dtype("float32")}
    moments = {get_backend(name).to_numpy(x).dtype for x in state["v"].values()}
    assert moments == {np.dtype("float32")}
    same(got, _run(config, get_backend("numpy"))[0], rtol=1e-5)


@pytest.mark.parametrize("max_norm", [0.1, 5.0, 1e3])
def test_clipping_is_that_of_torch(max_norm: float) -> None:
    torch = pytest.importorskip("torch")
    leaves = [torch.zeros(shape, dtype=torch.float64) for shape in SHAPES.values()]
    for leaf, x in zip(leaves, _numbers(3).values(), strict=True):
        leaf.grad = torch.tensor(x)
    norm = torch.nn.utils.clip_grad_norm_(leaves, max_norm)
    xp = get_backend("numpy").xp
    same(opt.global_norm(xp, _numbers(3)), norm, rtol=1e-14)
    want = dict(zip(SHAPES, (leaf.grad for leaf in leaves), strict=True))
    same(opt.clip(xp, _numbers(3), max_norm), want, rtol=1e-14)


def test_clipping_keeps_zero_gradients() -> None:
    zeros = {name: np.zeros(shape) for name, shape in SHAPES.items()}
    same(opt.clip(get_backend("numpy").xp, zeros, 1.0), zeros, atol=0.0)


def test_a_moving_average_lags_behind() -> None:
    average, params = {"x": np.array([1.0, 0.0])}, {"x": np.array([3.0, 10.0])}
    xp = get_backend("numpy").xp
    same(opt.moving_average(xp, average, params, 0.9), {"x": np.array([1.2, 1.0])}, rtol=1e-15)


def _other_arguments(*args: Any, **options: Any) -> None:
    raise TypeError("takes 12 arguments, not 18")


def _does_nothing(*args: Any, **options: Any) -> None:
    return None


@pytest.mark.parametrize("instead", [None, _other_arguments, _does_nothing])
@pytest.mark.parametrize("name", KERNELS)
def test_without_the_kernel_of_a_framework_the_core_updates(
    name: str, instead: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = get_backend(name)
    owner, kernel = {"torch": ("torch", "_fused_adam_"), "paddle": ("paddle._C_ops", "adam_")}[name]
    if instead is None:
        monkeypatch.delattr(f"{owner}.{kernel}")
    else:
        monkeypatch.setattr(f"{owner}.{kernel}", instead)
    fresh = type(loaded)()
    assert fresh.adam is None
    x = fresh.asarray(np.ones(3))
    state = {moment: {"x": fresh.asarray(np.zeros(3))} for moment in ("m", "v")}
    scalars = (fresh.asarray(np.asarray(n)) for n in (0.1, *opt.Adam().corrections(1)))
    got, _ = opt.update(
        fresh.xp, opt.Adam(), {"x": x}, {"x": x + 0.0}, state, *scalars, kernel=fresh.adam
    )
    same(fresh.to_numpy(got["x"]), np.full(3, 0.9), rtol=1e-6)

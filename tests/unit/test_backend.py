"""Finding adapters, and what each of them must do."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from _backends import INSTALLED, TRAINABLE, StrictBackend
from _compare import same

from multifit import backend as bk
from multifit.backend import Backend, get_backend
from multifit.errors import BackendError, MultifitError, UnsupportedError

EVERY = ("numpy", *INSTALLED)


@pytest.mark.parametrize(("alias", "name"), bk.ALIASES.items())
def test_aliases(alias: str, name: str) -> None:
    assert bk.canonical_name(alias) == name
    assert bk.canonical_name(alias.upper()) == name


def test_an_adapter_is_made_once_and_passes_through() -> None:
    adapter = get_backend("numpy")
    assert get_backend("NP") is adapter
    assert get_backend(adapter) is adapter
    assert get_backend() is adapter


def test_an_unknown_backend_has_a_suggestion() -> None:
    with pytest.raises(BackendError, match=r"unknown backend 'torhc' \(did you mean 'torch'\?\)"):
        get_backend("torhc")


def _point(name: str, value: str) -> importlib.metadata.EntryPoint:
    return importlib.metadata.EntryPoint(name, value, bk.ENTRY_POINTS)


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """Return a registry of adapters that a test may change."""
    points: dict[str, Any] = {}
    monkeypatch.setattr(bk, "_entry_points", lambda: points)
    bk._load.cache_clear()
    yield points
    bk._load.cache_clear()


def test_a_third_party_adds_an_adapter_by_an_entry_point(registered: dict[str, Any]) -> None:
    registered["strict"] = _point("strict", "_backends:StrictBackend")
    assert get_backend("strict").name == "strict"
    assert bk.available() == ("strict",)


def test_a_framework_that_is_not_installed_is_named(registered: dict[str, Any]) -> None:
    registered["torch"] = _point("torch", "no_such_framework:backend")
    with pytest.raises(BackendError, match=r'pip install "multifit\[torch\]"'):
        get_backend("torch")


def test_an_adapter_that_is_none_is_refused(registered: dict[str, Any]) -> None:
    registered["list"] = _point("list", "builtins:list")
    with pytest.raises(BackendError, match="builtins:list does not satisfy"):
        get_backend("list")


def test_a_planned_backend_says_that_it_is_not_there_yet(registered: dict[str, Any]) -> None:
    registered["numpy"] = _point("numpy", "multifit_numpy:backend")
    with pytest.raises(BackendError, match=r"no adapter for backend 'paddle' yet; .* numpy"):
        get_backend("paddle")


def test_backend_errors_are_the_users_to_read() -> None:
    assert issubclass(BackendError, MultifitError)
    assert issubclass(UnsupportedError, MultifitError)


# What each adapter does.


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("dtype", ["float64", "float32", "int64"])
def test_arrays_survive_the_way_there_and_back(name: str, dtype: str) -> None:
    backend = get_backend(name)
    x = np.arange(6).reshape(2, 3).astype(dtype)
    x.flags.writeable = False
    back = backend.to_numpy(backend.asarray(x))
    assert back.dtype == x.dtype
    assert np.array_equal(back, x)
    scalar = backend.asarray(np.asarray(2.5))
    assert tuple(scalar.shape) == ()
    assert float(backend.to_numpy(scalar)) == 2.5


@pytest.mark.parametrize("name", [*EVERY, "strict"])
@pytest.mark.parametrize("shape", [(), (3,), (3, 3)])
def test_segment_sums_are_those_of_a_loop(name: str, shape: tuple[int, ...]) -> None:
    backend: Backend = StrictBackend() if name == "strict" else get_backend(name)
    rng = np.random.default_rng(0)
    x, index = rng.normal(size=(7, *shape)), np.array([4, 0, 0, 2, 4, 4, 0])
    want = np.zeros((6, *shape))
    for k, row in zip(index, x, strict=True):
        want[k] += row
    got = backend.segment_sum(backend.asarray(x), backend.asarray(index), 6)
    same(backend.to_numpy(got), want, rtol=1e-14)


@pytest.mark.parametrize("name", EVERY)
def test_a_segment_sum_of_nothing_is_zero(name: str) -> None:
    backend = get_backend(name)
    none, index = np.zeros((0, 3)), np.zeros(0, dtype=np.int64)
    got = backend.segment_sum(backend.asarray(none), backend.asarray(index), 2)
    same(backend.to_numpy(got), np.zeros((2, 3)), atol=0.0)


@pytest.mark.parametrize("name", TRAINABLE)
def test_gradients_have_the_names_of_the_parameters(name: str) -> None:
    backend = get_backend(name)
    xp = backend.xp

    def f(params: dict[str, Any], factor: Any) -> tuple[Any, dict[str, Any]]:
        value = factor * xp.sum(params["a"] * params["a"])
        return value, {"inner": {"half": 0.5 * value}}

    params = {"a": backend.asarray(np.array([1.0, 2.0])), "idle": backend.asarray(np.ones(3))}
    run = backend.compile(backend.value_and_grad(f))
    (value, aux), grads = run(params, backend.asarray(np.asarray(3.0)))
    same(value, 15.0)
    same(aux["inner"]["half"], 7.5)
    same(grads, {"a": np.array([6.0, 12.0]), "idle": np.zeros(3)})
    assert backend.to_numpy(grads["a"]).dtype == np.float64


def test_numpy_says_that_it_can_not_differentiate() -> None:
    with pytest.raises(UnsupportedError, match="use torch or jax"):
        get_backend("numpy").value_and_grad(lambda p: (p, {}))


@pytest.mark.parametrize("name", EVERY)
def test_a_compiled_function_is_the_same_function(name: str) -> None:
    backend = get_backend(name)
    run = backend.compile(lambda tree: {"y": backend.xp.exp(tree["inner"]["x"])})
    x = np.linspace(-1, 1, 5)
    same(backend.to_numpy(run({"inner": {"x": backend.asarray(x)}})["y"]), np.exp(x), rtol=1e-14)

"""Finding adapters, and what each of them must do."""

from __future__ import annotations

import importlib.metadata
import re
import sys
import tomllib
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _backends import INSTALLED, TRAINABLE, StrictBackend
from _compare import same

from multifit import backend as bk
from multifit.backend import Backend, _discovery, get_backend
from multifit.backend._versions import FRAMEWORKS
from multifit.errors import BackendError, ConfigError, MultifitError, UnsupportedError

ROOT = Path(__file__).parents[2]

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
    monkeypatch.setattr(_discovery, "_entry_points", lambda: points)
    _discovery._load.cache_clear()
    yield points
    _discovery._load.cache_clear()


def test_a_third_party_adds_an_adapter_by_an_entry_point(registered: dict[str, Any]) -> None:
    registered["strict"] = _point("strict", "_backends:StrictBackend")
    assert get_backend("strict").name == "strict"
    assert bk.available() == ("strict",)


def _fails(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """Let the adapter ``an_adapter`` run some code when it is imported."""
    module = types.ModuleType("an_adapter")

    def factory() -> None:
        exec(code, {})

    module.backend = factory  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "an_adapter", module)


def test_a_framework_that_is_not_installed_is_named(
    registered: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    registered["torch"] = _point("torch", "an_adapter:backend")
    _fails(monkeypatch, "raise ModuleNotFoundError(\"No module named 'torch'\")")
    with pytest.raises(bk.UnusableError) as caught:
        get_backend("torch")
    assert str(caught.value) == (
        "backend 'torch' cannot be imported (No module named 'torch'); "
        'install it with: pip install "multifit[torch]"'
    )
    assert not caught.value.installed


@pytest.mark.parametrize("name", ["torch", "jax", "paddle", "tensorflow", "numpy"])
@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import os; os.no_such_function", r"AttributeError: module 'os' has no attribute"),
        (
            "raise OSError('libgpu.so.1: cannot open\\nmore')",
            r"OSError: libgpu\.so\.1: cannot open\)",
        ),
        ("raise ImportError('undefined symbol: _Z3foo')", "ImportError: undefined symbol"),
        ("import jaxlib_is_not_there", "ModuleNotFoundError: No module named 'jaxlib_is_not_th"),
        ("raise RuntimeError", "RuntimeError: no reason given"),
        ("raise ValueError(300 * 'x')", r"ValueError: x{200}…\)"),
        ("assert False", "AssertionError"),
    ],
)
def test_a_broken_framework_is_named(
    registered: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    code: str,
    words: str,
) -> None:
    registered[name] = _point(name, "an_adapter:backend")
    _fails(monkeypatch, code)
    with pytest.raises(bk.UnusableError, match=words) as caught:
        get_backend(name)
    said = str(caught.value)
    assert "\n" not in said
    assert said.startswith(f"backend {name!r} cannot be used: {name} ")
    assert " is broken (" in said
    assert re.search('; (repair|install) it with: pip install .*"$', said)
    assert caught.value.installed


def test_the_errors_of_an_adapter_itself_pass_through(
    registered: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    registered["torch"] = _point("torch", "an_adapter:backend")
    _fails(monkeypatch, "from multifit.errors import ConfigError; raise ConfigError('no cuda')")
    with pytest.raises(ConfigError, match=r"^no cuda$"):
        get_backend("torch")


def test_a_broken_adapter_of_a_third_party(
    registered: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    registered["other"] = _point("other", "an_adapter:backend")
    _fails(monkeypatch, "raise OSError('no driver')")
    words = r"'other' cannot be imported \(OSError: no driver\); install the package that it"
    with pytest.raises(BackendError, match=words):
        get_backend("other")


class _Version:
    """Stands for an imported framework of some version."""

    def __init__(self, version: str) -> None:
        self.__version__ = version


@pytest.mark.parametrize(
    ("name", "version", "good"),
    [
        ("torch", "2.5.1+cu124", False),
        ("torch", "2.6.0rc1+cpu", True),
        ("torch", "2.10", True),
        ("jax", "0.4.38", False),
        ("jax", "0.5.0.dev20250101", True),
        ("paddle", "3.0.0", False),
        ("paddle", "0.0.0", True),
        ("tensorflow", "2.9.3", False),
        ("tensorflow", "2.19.0", True),
        ("numpy", "1.26.4", False),
        ("numpy", "a branch", True),
    ],
)
@pytest.mark.parametrize("breaks", [True, False])
def test_the_version_decides_whether_a_framework_is_too_old(
    registered: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    version: str,
    good: bool,
    breaks: bool,
) -> None:
    registered[name] = _point(name, "an_adapter:backend")
    _fails(monkeypatch, "import os; os.no_such_function" if breaks else "")
    monkeypatch.setitem(sys.modules, FRAMEWORKS[name].module, _Version(version))
    needed = FRAMEWORKS[name].needed
    words = rf"cannot be used: {name} {re.escape(version)} is too old \(needs {needed}\); upgrade"
    if good:
        words = "is broken" if breaks else "does not satisfy"
    with pytest.raises(BackendError, match=words):
        get_backend(name)


def test_the_versions_are_those_of_pyproject() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"] | {"numpy": project["dependencies"]}
    for name in bk.KNOWN:
        framework = FRAMEWORKS[name]
        assert f"{framework.distributions[0]}>={framework.needed}" in extras[name]


def test_the_next_framework_is_taken_and_that_is_said(
    registered: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_discovery, "is_installed", lambda name: True)
    monkeypatch.setitem(sys.modules, "jax", _Version("0.4.1"))
    monkeypatch.setitem(sys.modules, "torch", _Version("2.1"))
    _fails(monkeypatch, "")
    registered |= {name: _point(name, "an_adapter:backend") for name in ("jax", "torch")}
    with pytest.raises(BackendError) as caught:
        bk.choose_training_backend(None)
    old = "jax 0.4.1 is too old (needs 0.5) and torch 2.1 is too old (needs 2.6)"
    assert str(caught.value).startswith(f"no backend can train: {old}; upgrade it with: pip inst")
    registered["tensorflow"] = _point("tensorflow", "_backends:StrictBackend")
    told: list[str] = []
    assert bk.choose_training_backend(None, told.append).name == "strict"
    assert told == [f"{old}: going on with tensorflow"]
    with pytest.warns(UserWarning, match="going on with tensorflow"):
        bk.choose_training_backend(None)
    with pytest.raises(BackendError, match=r"'jax' cannot be used: jax 0\.4\.1 is too old"):
        bk.choose_training_backend("jax", told.append)
    assert len(told) == 1


def test_without_any_framework_there_is_what_to_type(
    registered: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    registered["numpy"] = _point("numpy", "multifit_numpy:backend")
    with pytest.raises(
        BackendError, match=r'can train is installed; pip install "multifit\[jax\]"'
    ):
        bk.choose_training_backend(None)
    registered["jax"] = _point("jax", "an_adapter:backend")
    monkeypatch.setattr(_discovery, "is_installed", lambda name: False)
    with pytest.raises(BackendError, match="can train is installed"):
        bk.choose_training_backend(None)


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


def test_an_unknown_backend_is_told_the_other_names() -> None:
    with pytest.raises(
        BackendError, match=r"known are .*torch \(also .*dp = numpy, .*pd = .*pt = "
    ):
        bk.canonical_name("mxnet")

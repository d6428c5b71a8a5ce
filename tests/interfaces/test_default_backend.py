"""The backend that engines run on if none is named."""

from __future__ import annotations

import pytest

from multifit.backend import UnusableError
from multifit.interfaces import _backend
from multifit.interfaces._backend import FASTEST, FEW_ATOMS, default_backend


@pytest.fixture(autouse=True)
def no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MULTIFIT_BACKEND", raising=False)


def test_few_atoms_run_on_numpy_and_many_on_the_fastest(backends: tuple[str, ...]) -> None:
    assert default_backend(FEW_ATOMS) == "numpy"
    fastest = next(name for name in FASTEST if name in backends)
    assert default_backend(FEW_ATOMS + 1) == default_backend() == fastest


def test_the_variable_takes_precedence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MULTIFIT_BACKEND", "paddle")
    assert default_backend() == default_backend(3) == "paddle"


def test_numpy_is_left_if_nothing_else_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_backend, "is_installed", lambda name: name == "numpy")
    assert default_backend() == "numpy"


def test_a_broken_framework_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> object:
        if name != "numpy":
            raise UnusableError(f"{name} is broken", f"{name} is too old", "update it")
        return object()

    monkeypatch.setattr(_backend, "is_installed", lambda name: name in ("jax", "numpy"))
    monkeypatch.setattr(_backend, "get_backend", broken)
    with pytest.warns(UserWarning, match="jax is too old: using the next backend"):
        assert default_backend() == "numpy"

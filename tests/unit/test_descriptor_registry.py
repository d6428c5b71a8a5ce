"""Descriptors of third parties: what is wrong with one is said, and the others go on."""

from __future__ import annotations

import importlib.metadata
import logging
import sys
import types
from collections.abc import Iterator
from typing import Any

import pytest

from multifit import descriptors
from multifit.descriptors import _registry
from multifit.descriptors.se_e2_r import SeE2R
from multifit.errors import ConfigError, UnsupportedError
from multifit.support import FEATURES


@pytest.fixture
def register(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Return a function that registers an object, or code that fails, as somebody's descriptor."""
    points = list(importlib.metadata.entry_points(group=_registry.ENTRY_POINTS))
    known = dict(FEATURES)

    def add(name: str, value: Any) -> None:
        module = types.ModuleType(f"somebodys_{name}")
        if not isinstance(value, str):
            module.found = value  # type: ignore[attr-defined]
            monkeypatch.setitem(sys.modules, module.__name__, module)
        target = value if isinstance(value, str) else f"{module.__name__}:found"
        point = importlib.metadata.EntryPoint(name, target, _registry.ENTRY_POINTS)
        points.append(point)
        _clear()

    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: points)
    _clear()
    yield add
    monkeypatch.undo()
    _clear()
    for name in set(FEATURES) - set(known):
        del FEATURES[name]


def _clear() -> None:
    for cached in (_registry._entry_points, _registry._load, _registry.available):
        cached.cache_clear()


class Other(SeE2R):
    """A descriptor of somebody else."""

    name = "other"  # type: ignore[misc]
    aliases = ()  # type: ignore[misc]


def test_a_third_partys_descriptor_is_one_like_the_others(register: Any) -> None:
    register("other", Other)
    assert descriptors.get_descriptor("other") is Other
    assert "other" in descriptors.available()
    assert FEATURES["other"].title == "descriptor other"


def test_one_that_cannot_be_imported_is_left_out_and_named_when_asked_for(
    register: Any, caplog: pytest.LogCaptureFixture
) -> None:
    register("broken", "no_such_module:found")
    with caplog.at_level(logging.WARNING):
        assert set(descriptors.available()) >= {"se_e2_a", "se_e2_r"}
    says = (
        "the descriptor 'broken' cannot be imported from no_such_module:found "
        "(ModuleNotFoundError: No module named 'no_such_module'); mend or uninstall "
        "no_such_module:found"
    )
    assert says in caplog.text
    with pytest.raises(ConfigError) as caught:
        descriptors.get_descriptor("broken")
    assert str(caught.value) == says


def test_one_without_a_method_is_named(register: Any) -> None:
    register("half", type("Half", (), {"name": "half", "aliases": (), "geometry": None}))
    assert "half" not in descriptors.available()
    says = "'half' of somebodys_half:found lacks apply, backends, "
    with pytest.raises(ConfigError, match=says):
        descriptors.get_descriptor("half")


def test_a_taken_name_stays_with_its_owner(register: Any, caplog: pytest.LogCaptureFixture) -> None:
    register("se_e2_r", Other)
    with caplog.at_level(logging.WARNING):
        assert descriptors.available()["se_e2_r"] is SeE2R
    assert "somebodys_se_e2_r:found is left out: multifit has a descriptor 'se_e2_r'" in caplog.text


def test_a_taken_alias_leaves_the_newcomer_out(
    register: Any, caplog: pytest.LogCaptureFixture
) -> None:
    register("other", type("Taken", (Other,), {"aliases": ("se_a",)}))
    with caplog.at_level(logging.WARNING):
        assert "other" not in descriptors.available()
    assert "descriptor other is left out: se_a is se_e2_a already" in caplog.text


def test_one_that_calls_itself_otherwise_is_refused(register: Any) -> None:
    register("another", Other)
    with pytest.raises(ConfigError, match="calls itself 'other'; register it under that name"):
        descriptors.get_descriptor("another")


def test_an_unknown_name_has_a_near_match() -> None:
    with pytest.raises(UnsupportedError, match=r"no descriptor 'se_e2_q' .did you mean 'se_e2_"):
        descriptors.get_descriptor("se_e2_q")

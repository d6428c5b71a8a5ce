"""Descriptors of third parties: what is wrong with one is said, and the others go on."""

from __future__ import annotations

import importlib.metadata
import logging
import sys
import types
from collections.abc import Iterator
from typing import Any, Literal

import pytest

from multifit import descriptors
from multifit.descriptors import _registry
from multifit.descriptors.se_e2_r import SeE2R
from multifit.errors import ConfigError, FileFormatError, UnsupportedError
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
    own = _registry._entry_points, _registry._load, _registry.available, _registry.sections
    for cached in own:
        cached.cache_clear()


class Other(SeE2R):
    """A descriptor of somebody else."""

    name = "other"  # type: ignore[misc]
    aliases = ()  # type: ignore[misc]


def test_a_third_partys_descriptor_is_one_like_the_others(register: Any) -> None:
    register("other", Other)
    assert descriptors.get_descriptor("other") is Other
    assert "other" in descriptors.available()
    assert FEATURES["descriptor other"].title == "descriptor other"


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
    says = "somebodys_se_e2_r:found is left out: the package multifit has a descriptor 'se_e2_r'"
    assert says in caplog.text


def test_a_taken_alias_leaves_the_newcomer_out(
    register: Any, caplog: pytest.LogCaptureFixture
) -> None:
    register("other", type("Taken", (Other,), {"aliases": ("se_a",)}))
    with caplog.at_level(logging.WARNING):
        assert "other" not in descriptors.available()
    assert "descriptor other is left out: se_a is se_e2_a already" in caplog.text


def test_an_own_alias_cannot_be_taken_as_a_name(
    register: Any, caplog: pytest.LogCaptureFixture
) -> None:
    register("se_a", type("Taken", (Other,), {"name": "se_a"}))
    with caplog.at_level(logging.WARNING):
        assert set(descriptors.available()) == {
            *("se_e2_a", "se_e2_r", "se_e3", "se_atten", "se_atten_v2", "dpa3"),
            *("hybrid", "se_e3_tebd", "dpa2", "se_e2_a_tebd"),
        }
    assert "descriptor se_a is left out: se_a is se_e2_a already" in caplog.text
    assert descriptors.get_descriptor("se_a").name == "se_e2_a"


def test_a_module_that_exits_does_not_end_the_program(
    register: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = types.ModuleType("somebodys_leaver")
    found.__getattr__ = lambda name: sys.exit("no licence")  # type: ignore[method-assign]
    monkeypatch.setitem(sys.modules, found.__name__, found)
    register("leaver", "somebodys_leaver:found")
    assert "leaver" not in descriptors.available()


def test_those_of_this_project_need_no_others(register: Any) -> None:
    register("wire", "no_such_module:found")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_registry, "available", lambda: pytest.fail("all were loaded"))
        assert descriptors.get_descriptor("se_a").name == "se_e2_a"
        assert descriptors.get_descriptor("se_e2_r") is SeE2R


@pytest.mark.parametrize(
    ("section", "says"),
    [
        ({"type": str}, "its type must be Literal['other']"),
        ({"unused": int}, "the class does not use unused"),
        (None, "no section"),
    ],
)
def test_a_section_that_does_not_fit_is_left_out(
    register: Any, caplog: pytest.LogCaptureFixture, section: Any, says: str
) -> None:
    from pydantic import create_model

    from multifit.sections import DescriptorSection

    def make(cls: type) -> Any:
        if section is None:
            raise RuntimeError("no section")
        kinds: Any = {"type": Literal["other"]} | section
        fields: Any = {key: (kind, ...) for key, kind in kinds.items()}
        return create_model("OtherSection", __base__=DescriptorSection, **fields)

    register("other", type("WithSection", (Other,), {"section": classmethod(make)}))
    with caplog.at_level(logging.WARNING):
        assert len(descriptors.sections()) == len(descriptors.available()) - 1
    assert says in caplog.text


def test_one_that_calls_itself_otherwise_is_refused(register: Any) -> None:
    register("another", Other)
    with pytest.raises(ConfigError, match="calls itself 'other'; register it under that name"):
        descriptors.get_descriptor("another")


def test_an_unknown_name_has_a_near_match() -> None:
    with pytest.raises(UnsupportedError, match=r"no descriptor 'se_e2_q' .did you mean 'se_e2_"):
        descriptors.get_descriptor("se_e2_q")


def test_one_without_declared_backends_is_refused(register: Any) -> None:
    register("other", type("Careless", (Other,), {"backends": ["numpy"]}))
    with pytest.raises(ConfigError, match="no frozenset of backends"):
        descriptors.get_descriptor("other")


def test_a_file_without_a_type_is_refused() -> None:
    with pytest.raises(FileFormatError, match="does not say its type"):
        descriptors.deserialize({"type": 3})

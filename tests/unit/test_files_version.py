"""Nodes of a newer or too old version are refused by name."""

from __future__ import annotations

from typing import Any

import pytest

from multifit.errors import FileFormatError
from multifit.files import check_version


@pytest.mark.parametrize(("node", "version"), [({"@version": 2}, 2), ({"@version": 1}, 1), ({}, 1)])
def test_known_versions_are_returned(node: dict[str, Any], version: int) -> None:
    assert check_version(node, range(1, 3), "model.dp") == version


@pytest.mark.parametrize(
    ("version", "words"),
    [
        (3, r"model\.dp: Descriptor se_e2_a has the @version 3.* needs a newer multifit"),
        (0, "older than 1"),
        (True, "not a whole number"),
        ("2", "not a whole number"),
        (None, "not a whole number"),
    ],
)
def test_other_versions_are_refused(version: Any, words: str) -> None:
    node = {"@class": "Descriptor", "type": "se_e2_a", "@version": version}
    with pytest.raises(FileFormatError, match=words):
        check_version(node, range(1, 3), "model.dp")

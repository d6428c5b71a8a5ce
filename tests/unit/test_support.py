"""The support matrix: one case per cell."""

from __future__ import annotations

import pytest
from _backends import INSTALLED, TRAINABLE

from multifit.backend import available, get_backend
from multifit.errors import UnsupportedError
from multifit.support import ALL, FEATURES, markdown, require


@pytest.mark.parametrize("backend", sorted(ALL))
@pytest.mark.parametrize("feature", FEATURES)
def test_every_cell(feature: str, backend: str) -> None:
    row = FEATURES[feature]
    if backend in row.backends:
        require(feature, backend)
        return
    with pytest.raises(UnsupportedError) as caught:
        require(feature, backend)
    text = str(caught.value)
    assert row.title in text
    assert backend in text
    assert all(name in text for name in row.backends)


def test_a_third_partys_backend_is_trusted() -> None:
    require("train", "somebodys")


def test_the_matrix_names_the_registered_backends() -> None:
    assert set(available()) >= ALL
    for row in FEATURES.values():
        assert row.backends <= ALL


def test_the_matrix_knows_who_trains() -> None:
    for name in ("numpy", *INSTALLED):
        assert get_backend(name).can_train == (name in TRAINABLE)


def test_the_table_has_a_row_for_each_feature() -> None:
    lines = markdown().splitlines()
    assert len(lines) == len(FEATURES) + 2
    assert {line.count("|") for line in lines} == {len(ALL) + 2}
    assert "| energy, atomic energy " + "| yes " * len(ALL) + "|" in lines
    assert sum("—" in line for line in lines) == sum(
        len(row.backends) < len(ALL) for row in FEATURES.values()
    )

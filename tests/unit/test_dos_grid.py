"""Energies of a DOS model: what makes a grid, from files, into and out of model files."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from multifit.dos import Grid, even_grid, from_content, read_energies, to_content
from multifit.errors import ConfigError, DataError

finite = st.floats(-1e3, 1e3, allow_nan=False)
rows = st.lists(finite, min_size=2, max_size=20, unique=True).map(lambda x: tuple(sorted(x)))


def fails(kind: type[Exception], *parts: str) -> pytest.RaisesExc:
    return pytest.raises(kind, match="(?s)" + ".*".join(re.escape(part) for part in parts))


def test_a_grid_is_a_value() -> None:
    grid = Grid((-1.0, 0.5), electrons=(4.0, 0.0))
    assert grid == Grid((-1.0, 0.5), False, (4.0, 0.0))
    assert hash(grid) == hash(Grid((-1.0, 0.5), False, (4.0, 0.0)))
    assert len(grid) == 2
    assert grid.array.dtype == np.float64
    np.testing.assert_array_equal(grid.array, [-1.0, 0.5])


@pytest.mark.parametrize(
    ("energies", "electrons", "parts"),
    [
        ((), None, ("at least 2 points", "has 0")),
        ((1.0,), None, ("at least 2 points", "has 1")),
        ((1.0, np.nan, 2.0), None, ("energies[1]", "nan", "finite")),
        ((1.0, 2.0, np.inf), None, ("energies[2]", "inf", "finite")),
        ((1.0, 2.0, 2.0, 1.0), None, ("energies[2]", "2 eV", "not above", "must increase")),
        ((3.0, 2.0), None, ("energies[1]", "2 eV", "3 eV", "must increase")),
        ((1.0, 2.0), (1.0, -0.5), ("electrons[1]", "-0.5", "≥ 0")),
        ((1.0, 2.0), (np.nan,), ("electrons[0]", "nan", "≥ 0")),
    ],
)
def test_what_is_no_grid(
    energies: tuple[float, ...], electrons: tuple[float, ...] | None, parts: tuple[str, ...]
) -> None:
    with fails(ConfigError, *parts):
        Grid(energies, electrons=electrons)
    content = {"energies": list(energies), "fermi_aligned": False, "electrons": electrons}
    with fails(ValueError, *parts) as caught:
        from_content(content)
    assert not isinstance(caught.value, ConfigError)


def test_even_grid() -> None:
    grid = even_grid(-20, 5.0, 251)
    np.testing.assert_array_equal(grid, np.linspace(-20, 5, 251))
    assert type(grid[0]) is float
    for emin, emax in ((1.0, 1.0), (2.0, -2.0), (np.nan, 1.0)):
        with fails(ConfigError, "emin", "must be below emax"):
            even_grid(emin, emax, 5)


@given(rows, st.booleans(), st.none() | st.lists(st.floats(0, 99), max_size=4).map(tuple))
def test_grids_survive_model_files(
    energies: tuple[float, ...], aligned: bool, electrons: tuple[float, ...] | None
) -> None:
    grid = Grid(energies, aligned, electrons)
    content = to_content(grid)
    assert from_content(json.loads(json.dumps(content))) == grid
    arrays = {key: np.array(x) if isinstance(x, list) else x for key, x in content.items()}
    assert from_content(arrays | {"fermi_aligned": np.bool(aligned)}) == grid


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ({"step": 0.1}, ("the keys energies, fermi_aligned, electrons", "step")),
        ({"fermi_aligned": "yes"}, ("fermi_aligned", "'yes'", "true or false")),
        ({"energies": "abc"}, ("energies", "'abc'", "row of numbers")),
        ({"energies": None}, ("energies", "None", "row of numbers")),
        ({"energies": [[1.0, 2.0]]}, ("energies", "row of numbers")),
        ({"energies": [[1.0], [1.0, 2.0]]}, ("energies", "row of numbers")),
        ({"electrons": {"O": 6}}, ("electrons", "{'O': 6}", "row of numbers")),
    ],
)
def test_damaged_content(change: dict[str, object], parts: tuple[str, ...]) -> None:
    with fails(ValueError, *parts):
        from_content(to_content(Grid((0.0, 1.0))) | change)


def test_content_of_another_kind() -> None:
    for content in ([1, 2], None, {}):
        with fails(ValueError, "has the keys"):
            from_content(content)  # type: ignore[arg-type]


class TestFiles:
    def save(self, folder: Path, values: object) -> Path:
        path = folder / "energies.npy"
        np.save(path, np.asarray(values))
        return path

    @pytest.mark.parametrize("kind", [np.float64, np.float32, np.int32, ">f8"])
    def test_any_numbers(self, tmp_path: Path, kind: str) -> None:
        path = self.save(tmp_path, np.array([-2, 0, 3], dtype=kind))
        assert read_energies(path, 3) == read_energies(str(path), 3) == (-2.0, 0.0, 3.0)

    @pytest.mark.parametrize(
        ("values", "parts"),
        [
            ([0.0, 1.0], ("holds 2 energies", "numb_dos is 3", "numb_dos (model.fitting_net")),
            ([[0.0, 1.0, 2.0]], ("shape (1, 3)", "one row")),
            (1.0, ("shape ()", "one row")),
            ([0.0, 1.0, 1.0], ("energy 2", "1 eV", "must increase")),
            ([3.0, 2.0, 1.0], ("energy 1", "2 eV", "3 eV", "must increase")),
            ([0.0, np.nan, 1.0], ("energy 1", "nan", "finite")),
            (["a", "b", "c"], ("<U1", "real numbers")),
            ([0j, 1j, 2j], ("complex128", "real numbers")),
        ],
    )
    def test_wrong_values(self, tmp_path: Path, values: object, parts: tuple[str, ...]) -> None:
        with fails(DataError, str(tmp_path / "energies.npy"), *parts):
            read_energies(self.save(tmp_path, values), 3)

    def test_wrong_files(self, tmp_path: Path) -> None:
        path = tmp_path / "energies.npy"
        with fails(DataError, str(path), "cannot be read (No such file"):
            read_energies(path, 3)
        path.write_text("0 1 2")
        with fails(DataError, str(path), "not a complete .npy file"):
            read_energies(path, 3)
        np.save(path, np.array([{}], dtype=object))
        with fails(DataError, str(path), "pickled"):
            read_energies(path, 3)

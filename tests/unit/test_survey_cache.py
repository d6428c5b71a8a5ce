"""Surveys kept between runs: found again for the same data only."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from _cases import System as Atoms
from _cli_files import write_system

from multifit.data import System, open_systems
from multifit.survey import Cache, Scope, survey_systems

SCOPE = Scope(1.5, ("energy",))


def written(folder: Path) -> Path:
    """Write data with energies."""
    coord = np.array([[0.0, 0, 0], [1.0, 0, 0]])
    coord = coord * np.array([1.0, 1.1, 1.2])[:, None, None]
    write_system(folder, coord, Atoms(coord[0], np.array([0, 1]), None))
    np.save(folder / "set.000/energy.npy", np.array([1.0, 2.0, 3.0]))
    return folder


def opened(folder: Path) -> list[System]:
    return open_systems(str(folder), ["O", "H"])


def test_an_unchanged_system_is_read_from_the_cache(tmp_path: Path) -> None:
    systems, done = opened(written(tmp_path / "data")), list[int]()
    (first,) = survey_systems(systems, SCOPE, None, Cache(tmp_path / "kept"))
    cache = Cache(tmp_path / "kept")
    (again,) = survey_systems(systems, SCOPE, done.append, cache)
    assert (cache.reused, done, cache.problem) == (1, [3], "")
    for name, value in vars(first).items():
        assert np.array_equal(value, vars(again)[name]), name
        assert vars(again)[name].dtype == value.dtype


def test_moved_data_are_known(tmp_path: Path) -> None:
    survey_systems(opened(written(tmp_path / "a")), SCOPE, None, Cache(tmp_path / "kept"))
    cache = Cache(tmp_path / "kept")
    survey_systems(opened(written(tmp_path / "b")), SCOPE, None, cache)
    assert cache.reused == 1


def _move(folder: Path) -> None:
    coord = np.load(folder / "set.000/coord.npy")
    coord[2, 3] += 1e-9
    np.save(folder / "set.000/coord.npy", coord)


CHANGES: dict[str, Callable[[Path], object]] = {
    "coordinates": _move,
    "energies": lambda folder: np.save(folder / "set.000/energy.npy", np.array([1.0, 2.0, 4.0])),
    "types": lambda folder: (folder / "type.raw").write_text("0\n0"),
    "names": lambda folder: (folder / "type_map.raw").write_text("H\nO"),
    "fewer": lambda folder: [
        np.save(path, np.load(path)[:2]) for path in (folder / "set.000").glob("*.npy")
    ],
}


@pytest.mark.parametrize("what", CHANGES)
def test_changed_data_are_looked_at_again(tmp_path: Path, what: str) -> None:
    folder = written(tmp_path / "data")
    survey_systems(opened(folder), SCOPE, None, Cache(tmp_path / "kept"))
    CHANGES[what](folder)
    cache = Cache(tmp_path / "kept")
    survey_systems(opened(folder), SCOPE, None, cache)
    assert cache.reused == 0


@pytest.mark.parametrize(
    "scope",
    [
        Scope(1.4, ("energy",)),
        Scope(1.5),
        SCOPE._replace(exclude=((0, 1),)),
        SCOPE._replace(limit=1),
    ],
)
def test_other_settings_are_another_survey(tmp_path: Path, scope: Scope) -> None:
    systems = opened(written(tmp_path / "data"))
    survey_systems(systems, SCOPE, None, Cache(tmp_path / "kept"))
    cache = Cache(tmp_path / "kept")
    survey_systems(systems, scope, None, cache)
    assert cache.reused == 0


def test_a_damaged_file_is_made_again(tmp_path: Path) -> None:
    systems = opened(written(tmp_path / "data"))
    survey_systems(systems, SCOPE, None, Cache(tmp_path / "kept"))
    (file,) = (tmp_path / "kept").iterdir()
    file.write_bytes(file.read_bytes()[:-40])
    cache = Cache(tmp_path / "kept")
    survey_systems(systems, SCOPE, None, cache)
    assert (cache.reused, cache.problem) == (0, "")
    cache = Cache(tmp_path / "kept")
    survey_systems(systems, SCOPE, None, cache)
    assert cache.reused == 1


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("a file")
    cache = Cache(tmp_path / "kept")
    (found,) = survey_systems(opened(written(tmp_path / "data")), SCOPE, None, cache)
    assert found.nframes == 3
    assert "not kept for the next run" in cache.problem


def test_the_oldest_files_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("multifit.survey.cache.FILES", 2)
    systems = opened(written(tmp_path / "data"))
    for rcut in (1.3, 1.4, 1.5):
        survey_systems(systems, Scope(rcut), None, Cache(tmp_path / "kept"))
    assert len(list((tmp_path / "kept").iterdir())) == 2

"""The most neighbours of each type, and the closest two atoms, of data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from _cases import System
from _cli_files import write_system

from multifit.data import open_systems
from multifit.errors import DataError
from multifit.survey import Scope, Survey, SystemSurvey, combine, survey_systems
from multifit.survey.seen import closest_atoms, fullest_atom


def looked(
    paths: list[Path], names: list[str], rcut: float, on: Callable[[int], None] | None = None
) -> tuple[Survey, list[str], str]:
    """Return the survey of systems, the atoms with the most neighbours, and the closest."""
    systems, scope = open_systems([str(path) for path in paths], names), Scope(rcut)
    found = survey_systems(systems, scope, on)
    around = [fullest_atom(systems, found, scope, b) for b in range(len(names))]
    return combine(systems, found, rcut), around, closest_atoms(systems, found, scope)


def triangle() -> System:
    """Return an O with two H."""
    return System(np.array([[0.0, 0, 0], [1.0, 0, 0], [0.0, 1.0, 0]]), np.array([0, 1, 1]), None)


def test_neighbours_in_the_order_of_the_type_map(
    tmp_path: Path,
) -> None:
    # Two H beyond the cut-off of each other, so that only O sees two of them.
    atoms = System(np.array([[0.0, 0, 0], [1.0, 0, 0], [-1.0, 0, 0]]), np.array([0, 1, 1]), None)
    write_system(tmp_path / "data", atoms.coord[None], atoms)
    found, around, _ = looked([tmp_path / "data"], ["H", "C", "O"], 1.5)
    assert found.fullest == (2, 0, 1)
    assert found.fullest_at[1] == around[1] == ""
    assert around[0] == f"O, atom 0 in {tmp_path}/data/set.000, frame 0"
    assert found.distance == pytest.approx(1.0)
    assert found.elements == ("H", "O")
    assert found.natoms == (2, 0, 1)


def test_virtual_atoms_are_no_neighbours(
    tmp_path: Path,
) -> None:
    coord = np.array([[[0.1, 0, 0], [0.0, 0, 0], [1.0, 0, 0]]])
    virtual = System(coord[0], np.zeros(3, dtype=int), 4.0 * np.eye(3))
    write_system(tmp_path / "data", coord, virtual)
    np.save(tmp_path / "data/set.000/real_atom_types.npy", np.array([[-1, 0, 1]]))
    found, _, closest = looked([tmp_path / "data"], ["O", "H"], 1.5)
    assert found.fullest == found.natoms == (1, 1)
    assert found.distance == pytest.approx(1.0)
    assert "atoms 1 and 2" in closest


def test_the_most_of_all_frames_and_systems_count(tmp_path: Path) -> None:
    apart = triangle().coord * np.array([1.0, 1.0, 2.0, 3.0])[:, None, None]
    for name, coord in (("a", apart * 1.05), ("b", apart[::-1])):
        write_system(tmp_path / name, coord, triangle())
    done: list[int] = []
    paths = [tmp_path / "a", tmp_path / "b"]
    found, around, _ = looked(paths, ["O", "H"], 1.02, done.append)
    assert (found.fullest, done) == ((1, 2), [4, 4])
    assert around == [
        f"H, atom 1 in {tmp_path}/b/set.000, frame 2",
        f"O, atom 0 in {tmp_path}/b/set.000, frame 2",
    ]
    assert found.fullest_at == (f"{tmp_path}/b/set.000, frame 2",) * 2
    assert found.distance == 1.0


def test_atoms_out_of_reach_are_nobodys_neighbours(tmp_path: Path) -> None:
    atoms = System(np.array([[0.0, 0, 0], [1.0, 0, 0]]), np.array([0, 1]), None)
    write_system(tmp_path / "data", atoms.coord[None], atoms)
    found, around, closest = looked([tmp_path / "data"], ["O", "H"], 0.5)
    assert (found.fullest, around) == ((0, 0), ["", ""])
    assert (found.distance, closest) == (np.inf, "")


def test_a_lone_atom_has_no_pair(tmp_path: Path) -> None:
    one = System(np.zeros((1, 3)), np.array([1]), None)
    write_system(tmp_path / "one", one.coord[None], one)
    found, _, closest = looked([tmp_path / "one"], ["O", "H"], 3.0)
    assert (found.natoms, found.fullest, closest) == ((0, 1), (0, 0), "")


def test_closest_pair_of_each_two_types_and_its_frame(tmp_path: Path) -> None:
    stretched = triangle().coord * np.array([1.2, 1.0, 1.5])[:, None, None]
    write_system(tmp_path / "data", stretched, triangle())
    found, _, _ = looked([tmp_path / "data"], ["O", "H"], 3.0)
    assert found.nearest == pytest.approx(np.array([[np.inf, 1.0], [1.0, np.sqrt(2)]]))
    place = f"{tmp_path}/data/set.000, frame 1"
    assert found.nearest_at == (("", place), (place, place))


def test_chunks_in_threads_give_what_one_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(4)
    coord = triangle().coord + rng.normal(0, 0.1, (9, 3, 3))
    write_system(tmp_path / "data", coord, triangle())
    systems = open_systems(str(tmp_path / "data"), ["O", "H"])
    (whole,) = survey_systems(systems, Scope(1.1))
    monkeypatch.setattr("multifit.survey.scan.ATOMS", 6)
    monkeypatch.setattr("multifit.survey.scan.cores.usable", lambda: SimpleNamespace(number=4))
    done: list[int] = []
    (parts,) = survey_systems(systems, Scope(1.1), done.append)
    assert done == [2, 2, 2, 2, 1]
    assert_same(whole, parts)


def test_a_bad_frame_is_named(tmp_path: Path) -> None:
    coord = np.stack([triangle().coord] * 5)
    coord[3, 2] = coord[3, 1]
    write_system(tmp_path / "data", coord, triangle())
    with pytest.raises(DataError, match=r"set\.000, frame 3: atoms 1 and 2 .* same place"):
        looked([tmp_path / "data"], ["O", "H"], 1.5)


def test_a_stop_leaves_the_remaining_frames(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_system(tmp_path / "data", np.stack([triangle().coord] * 50), triangle())
    systems = open_systems(str(tmp_path / "data"), ["O", "H"])
    monkeypatch.setattr("multifit.survey.scan.ATOMS", 3)
    monkeypatch.setattr("multifit.survey.scan.cores.usable", lambda: SimpleNamespace(number=1))
    done: list[int] = []

    def interrupted(frames: int) -> None:
        done.append(frames)
        if len(done) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        survey_systems(systems, Scope(1.1), interrupted)
    assert done == [1, 1, 1]


def assert_same(one: SystemSurvey, other: SystemSurvey) -> None:
    """Assert that two surveys are equal."""
    theirs: dict[str, Any] = vars(other)
    for name, value in vars(one).items():
        assert np.array_equal(value, theirs[name]), name

"""The most neighbours of each type, and the closest two atoms, of data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from _cases import System
from _cli_files import write_system

from multifit.data import open_systems
from multifit.neighbors.statistics import neighbor_statistics


def test_neighbours_in_the_order_of_the_type_map(
    tmp_path: Path,
) -> None:
    # Two H beyond the cut-off of each other, so that only O sees two of them.
    atoms = System(np.array([[0.0, 0, 0], [1.0, 0, 0], [-1.0, 0, 0]]), np.array([0, 1, 1]), None)
    write_system(tmp_path / "data", atoms.coord[None], atoms)
    found = neighbor_statistics(open_systems(str(tmp_path / "data"), ["H", "C", "O"]), 1.5)
    assert found.fullest == (2, 0, 1)
    assert found.around[1] == ""
    assert found.around[0] == f"O, atom 0 in {tmp_path}/data/set.000, frame 0"
    assert found.distance == pytest.approx(1.0)


def test_virtual_atoms_are_no_neighbours(
    tmp_path: Path,
) -> None:
    coord = np.array([[[0.1, 0, 0], [0.0, 0, 0], [1.0, 0, 0]]])
    virtual = System(coord[0], np.zeros(3, dtype=int), 4.0 * np.eye(3))
    write_system(tmp_path / "data", coord, virtual)
    np.save(tmp_path / "data/set.000/real_atom_types.npy", np.array([[-1, 0, 1]]))
    found = neighbor_statistics(open_systems(str(tmp_path / "data"), ["O", "H"]), 1.5)
    assert found.fullest == (1, 1)
    assert found.distance == pytest.approx(1.0)
    assert "atoms 1 and 2" in found.closest


def test_the_most_of_all_frames_and_systems_count(tmp_path: Path) -> None:
    atoms = System(np.array([[0.0, 0, 0], [1.0, 0, 0], [0.0, 1.0, 0]]), np.array([0, 1, 1]), None)
    apart = atoms.coord * np.array([1.0, 1.0, 2.0, 3.0])[:, None, None]
    for name, coord in (("a", apart * 1.05), ("b", apart[::-1])):
        write_system(tmp_path / name, coord, atoms)
    done: list[int] = []
    systems = open_systems([str(tmp_path / "a"), str(tmp_path / "b")], ["O", "H"])
    found = neighbor_statistics(systems, 1.02, done.append)
    assert (found.fullest, done) == ((1, 2), [4, 4])
    assert found.around == (
        f"H, atom 1 in {tmp_path}/b/set.000, frame 2",
        f"O, atom 0 in {tmp_path}/b/set.000, frame 2",
    )
    assert found.distance == 1.0


def test_atoms_out_of_reach_are_nobodys_neighbours(tmp_path: Path) -> None:
    atoms = System(np.array([[0.0, 0, 0], [1.0, 0, 0]]), np.array([0, 1]), None)
    write_system(tmp_path / "data", atoms.coord[None], atoms)
    found = neighbor_statistics(open_systems(str(tmp_path / "data"), ["O", "H"]), 0.5)
    assert (found.fullest, found.around) == ((0, 0), ("", ""))
    assert (found.distance, found.closest) == (np.inf, "")

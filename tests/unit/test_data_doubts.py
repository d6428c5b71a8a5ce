"""Warnings about wrong units: given for data that have them, and not for hot or odd real ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from _cases import System
from _cli_files import write_system

from multifit.data import open_systems
from multifit.survey import Scope, survey_systems
from multifit.survey.doubts import RADII, doubts

NAMES = ["O", "H"]


def said(paths: Sequence[Path], names: Sequence[str] = NAMES) -> list[str]:
    """Return the warnings about systems."""
    systems = open_systems([str(path) for path in paths], list(names))
    return list(doubts(systems, survey_systems(systems, Scope(4.0, ("energy", "force")))))


def molecules(folder: Path, scale: float = 1.0, noise: float = 0.0, number: int = 4) -> Path:
    """Write water molecules, whose bonds are 0.96 Å times the scale."""
    rng = np.random.default_rng(3)
    one = np.array([[0.0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]])
    atoms = System(one, np.array([0, 1, 1]), None)
    coord = scale * (
        one + rng.normal(0, noise, (number, 3, 3)) if noise else np.stack([one] * number)
    )
    write_system(folder, coord, atoms)
    return folder


def label(folder: Path, energy: Sequence[float], force: float = 1.0) -> Path:
    """Write energies, and forces whose largest component is the given one."""
    np.save(folder / "set.000/energy.npy", np.asarray(energy, dtype=np.float64))
    np.save(folder / "set.000/force.npy", np.full((len(energy), 9), force))
    return folder


@pytest.mark.parametrize(
    ("scale", "distance", "hint"),
    [(0.1, "H are only 0.096 Å", "in nm instead of Å"), (0.2, "0.192 Å", "check the frame")],
)
def test_atoms_too_close(tmp_path: Path, scale: float, distance: str, hint: str) -> None:
    (line,) = said([molecules(tmp_path / "a", scale)])
    assert distance in line
    assert hint in line
    assert f"{tmp_path}/a/set.000, frame 0" in line


def test_coordinates_in_bohr(tmp_path: Path) -> None:
    (line,) = said([molecules(tmp_path / "a", 1 / 0.529177)])
    assert "nearer than 1.81 Å (O–H" in line
    assert "Bohr instead of Å" in line


def test_one_system_of_many_is_named(tmp_path: Path) -> None:
    good, bad = molecules(tmp_path / "good"), molecules(tmp_path / "bad", 0.1)
    (line,) = said([good, bad, molecules(tmp_path / "worse", 0.09), good])
    assert f"{tmp_path}/worse/set.000" in line
    assert "as close in 1 more system:" in line


@pytest.mark.parametrize("noise", [0.0, 0.03, 0.12])
def test_hot_molecules_pass(tmp_path: Path, noise: float) -> None:
    assert said([molecules(tmp_path / "a", noise=noise, number=30)]) == []


def test_hydrogen_may_be_at_half_an_angstrom(tmp_path: Path) -> None:
    for name, distance, expected in (("near", 0.51, 0), ("nearer", 0.49, 1)):
        pair = System(np.array([[0.0, 0, 0], [distance, 0, 0]]), np.array([1, 1]), None)
        write_system(tmp_path / name, pair.coord[None], pair)
        assert len(said([tmp_path / name])) == expected


def test_noble_gases_are_far_apart(tmp_path: Path) -> None:
    pair = System(np.array([[0.0, 0, 0], [3.4, 0, 0]]), np.array([0, 0]), None)
    write_system(tmp_path / "a", pair.coord[None], pair)
    (tmp_path / "a/type_map.raw").write_text("Ar")
    assert said([tmp_path / "a"], ["Ar"]) == []


def test_lone_atoms_and_unknown_names_pass(tmp_path: Path) -> None:
    one = System(np.zeros((1, 3)), np.array([0]), None)
    write_system(tmp_path / "one", one.coord[None], one)
    assert said([tmp_path / "one"]) == []
    (tmp_path / "one/type_map.raw").unlink()
    assert said([tmp_path / "one"], ["Type_0"]) == []


def test_energies_in_another_unit(tmp_path: Path) -> None:
    right = label(molecules(tmp_path / "a"), [-468.1, -468.0, -467.9, -468.2])
    hartree = label(molecules(tmp_path / "b", number=2), [-17.2, -17.2])
    (line,) = said([right, hartree])
    assert "the energies of 2 frames in 1 system" in line
    assert f"{tmp_path}/b/set.000, frame 0 (-17.2 eV for 3 atoms)" in line
    assert "Hartree" in line


def test_one_wrong_energy_among_many(tmp_path: Path) -> None:
    (line,) = said([label(molecules(tmp_path / "a"), [-468.1, -468.0, -156.0, -468.2])])
    assert "1 frame in 1 system are up to 104 eV/atom" in line
    assert "frame 2" in line


def test_energies_of_other_compositions_and_isolated_atoms_pass(tmp_path: Path) -> None:
    water = label(molecules(tmp_path / "a"), [-468.1, -468.0, -460.0, -468.2])
    paths = [water]
    for name, kind, energy in (("O", 0, -431.0), ("H", 1, -13.6)):
        one = System(np.zeros((1, 3)), np.array([kind]), None)
        write_system(tmp_path / name, one.coord[None], one)
        np.save(tmp_path / name / "set.000/energy.npy", np.array([energy]))
        paths.append(tmp_path / name)
    assert said(paths) == []


def test_one_absurd_force_among_many(tmp_path: Path) -> None:
    folder = label(molecules(tmp_path / "a", noise=0.01), [-468.0] * 4)
    assert not said([folder])
    force = np.load(folder / "set.000/force.npy")
    force[2, 4] = 1e11
    np.save(folder / "set.000/force.npy", force)
    (line,) = said([folder])
    assert "1 frame has forces above 1e+03 eV/Å" in line
    assert f"the largest 1e+11 eV/Å in {tmp_path}/a/set.000, frame 2" in line


def test_forces_in_another_unit(tmp_path: Path) -> None:
    weak = label(molecules(tmp_path / "relaxed"), [-468.0] * 4, 0.001)
    usual = label(molecules(tmp_path / "usual"), [-468.0] * 4, 20.0)
    assert said([weak, usual]) == []
    strong = label(molecules(tmp_path / "strong"), [-468.0] * 4, 80.0)
    (line,) = said([weak, usual, strong])
    assert f"{tmp_path}/strong have forces of about 80 eV/Å" in line


def test_radii_of_common_elements() -> None:
    assert (len(RADII), RADII["H"], RADII["Cm"]) == (96, 0.31, 1.69)

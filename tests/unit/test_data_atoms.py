"""Files of atoms: names of labels and species, missing labels, weights, trajectories, databases."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from multifit.data import Reading, System, mapping_of, open_systems, where
from multifit.errors import ConfigError, DataError

pytest.importorskip("ase")

from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.db import connect
from ase.io import write

VOLUME = 5.0 * 6.0 * 7.0
STRESS = np.array([[1.0, 6, 5], [6, 2, 4], [5, 4, 3]]) / 100
FORCES = np.arange(9.0).reshape(3, 3)


def fails(*parts: str, of: type[Exception] = DataError) -> pytest.RaisesExc:
    """All parts are said, in this order."""
    return pytest.raises(of, match="(?s)" + ".*".join(re.escape(part) for part in parts))


def row(matrix: np.ndarray) -> str:
    return '"' + " ".join(f"{x:.6f}" for x in matrix.ravel()) + '"'


def frame(info: str = "", species: tuple[str, ...] = ("O", "H", "H"), forces: str = "") -> str:
    columns = f":{forces}:R:3" if forces else ""
    lines = [
        f"{s} {i} 0 {i % 2}" + (f" {i} {i} {i}" if forces else "") for i, s in enumerate(species)
    ]
    cell = 'Lattice="5 0 0 0 6 0 0 0 7" pbc="T T T"'
    head = f"{len(species)}\n{cell} Properties=species:S:1:pos:R:3{columns} {info}"
    return "\n".join([head, *lines]) + "\n"


def xyz(folder: Path, *frames: str, name: str = "train.xyz") -> Path:
    path = folder / name
    path.write_text("".join(frames))
    return path


def value(system: System, key: str, number: int = 0) -> Any:
    return system.load(np.array([number]), [key])[key][0]


# Labels


def test_frames_are_grouped_by_their_labels(tmp_path: Path) -> None:
    path = xyz(
        tmp_path,
        frame("energy=1", forces="forces"),
        frame(f"energy=2 stress={row(STRESS)}"),
        frame("energy=3", forces="forces"),
        frame("energy=4", ("O",)),
    )
    some, other, oxygen = open_systems(path, ["O", "H"])
    assert [s.name for s in (some, other, oxygen)] == [
        f"{path} (O1H2, without virial)",
        f"{path} (O1H2, without force)",
        f"{path} (O1)",
    ]
    assert (some.labels, other.labels) == ({"energy", "force"}, {"energy", "virial"})
    assert where(some, 1) == f"{path}, frame 2"
    np.testing.assert_allclose(value(other, "virial"), -VOLUME * STRESS)


def test_names_of_labels(tmp_path: Path) -> None:
    path = xyz(
        tmp_path, frame(f"REF_energy=-2 energy=-1 dft_stress={row(STRESS)}", forces="dft_forces")
    )
    keys = {"energy": ["REF_energy"], "force": ["no", "dft_forces"], "stress": ["dft_stress"]}
    (system,) = open_systems(path, reading=Reading(keys))
    assert system.labels == {"energy", "force", "virial"}
    assert value(system, "energy") == -2
    np.testing.assert_array_equal(value(system, "force"), np.arange(3)[:, None] * np.ones(3))
    np.testing.assert_allclose(value(system, "virial"), -VOLUME * STRESS)
    (system,) = open_systems(path, reading=Reading({"energy": []}))
    assert system.labels == set()


def test_unknown_labels_are_refused(tmp_path: Path) -> None:
    with fails("keys names the label 'forces'", "did you mean 'force'", of=ConfigError):
        Reading({"forces": ["x"]})
    (tmp_path / "type.raw").write_text("0")
    (tmp_path / "set.000").mkdir()
    np.save(tmp_path / "set.000/coord.npy", np.zeros((1, 3)))
    with fails("keys gives names of labels in files of atoms", "is no such file"):
        open_systems(tmp_path, reading=Reading({"force": ["x"]}))


def test_what_is_not_read_is_known(tmp_path: Path) -> None:
    path = xyz(
        tmp_path,
        frame(
            f"REF_energy=1 step=3 dft_stress={row(STRESS)} REF_virials={row(STRESS)} kind=bulk",
            forces="REF_forces",
        ),
    )
    about, keys = mapping_of(open_systems(path), ["energy", "force", "virial"])
    assert about == f"{path} holds REF_energy, step, dft_stress, REF_virials, REF_forces"
    assert keys == {"energy": "REF_energy", "force": "REF_forces", "virial": "REF_virials"}
    keys = {"energy": "REF_energy", "virial": ()}
    (system,) = open_systems(path, reading=Reading({k: [v] if v else [] for k, v in keys.items()}))
    assert mapping_of([system], ["energy", "virial"])[1]["virial"] == "REF_virials"
    assert mapping_of([system], ["energy"])[1] == {}


@pytest.mark.parametrize("name", ["virial", "virials"])
def test_virial_and_stress_that_agree(tmp_path: Path, name: str) -> None:
    text = f"{name}={row(-VOLUME * STRESS)} stress={row(STRESS * 1.0001)}"
    (system,) = open_systems(xyz(tmp_path, frame(text)))
    np.testing.assert_allclose(value(system, "virial"), -VOLUME * STRESS, rtol=1e-6)


@pytest.mark.parametrize(
    ("factor", "says"),
    [
        (-1.0, "of the opposite sign"),
        (160.21766, "the stress seems to be in GPa"),
        (-1602.1766, "of the opposite sign: the stress seems to be in kbar"),
        (2.0, "2 times as large"),
    ],
)
def test_virial_and_stress_that_do_not_agree(tmp_path: Path, factor: float, says: str) -> None:
    info = f"energy=1 virial={row(-VOLUME * STRESS)} stress={row(factor * STRESS)}"
    path = xyz(tmp_path, frame("energy=1"), frame(info))
    with fails("train.xyz, frame 1: virial and stress do not agree", "-12.6 eV (xy)", says):
        open_systems(path)
    for key in ("virial", "stress"):
        _, system = open_systems(path, reading=Reading({key: []}))
        assert "virial" in system.labels


def test_tensors_of_another_size(tmp_path: Path) -> None:
    with fails("train.xyz: virial of frame 0 has 4 numbers", "9 are expected"):
        open_systems(xyz(tmp_path, frame('v="1 2 3 4"')), reading=Reading({"virial": ["v"]}))


# Weights


def test_weights(tmp_path: Path) -> None:
    path = xyz(
        tmp_path,
        frame("energy=1 config_weight=2 config_type=bulk", forces="forces"),
        frame("energy=1", forces="forces"),
        frame("energy=0 config_energy_weight=0 config_forces_weight=3", forces="forces"),
    )
    both, forces = open_systems(path)
    assert both.labels == {"energy", "force", "weight"}
    assert [value(both, "weight", k) for k in (0, 1)] == [2, 1]
    # A label whose weight is 0 is a placeholder, which must not enter the statistics either.
    assert forces.labels == {"force", "energy_weight", "force_weight"}
    assert forces.name.endswith("(without energy)")
    with fails("train.xyz: weight of frame 0 is -1, but must be a number ≥ 0"):
        open_systems(xyz(tmp_path, frame("config_weight=-1")))


# Species


def test_species(tmp_path: Path) -> None:
    names = ("OW", "HW1", "H.75")
    path = xyz(tmp_path, frame(species=names))
    with fails(
        "train.xyz, frame 0, atom 0: 'OW', 'HW1', 'H.75' are no elements",
        '"species": {"OW": "O", "HW1": "H", "H.75": "H"}',
        "--species OW=O HW1=H H.75=H",
    ):
        open_systems(path, ["O", "H"])
    given = {"OW": "O", "HW1": "H", "H.75": "H"}
    (system,) = open_systems(path, ["O", "H"], reading=Reading(species=given))
    assert system.atype(np.array([0])).tolist() == [[0, 1, 1]]
    # A type of the model may have any name, and so may a species that is mapped to itself.
    (system,) = open_systems(path, list(names))
    assert system.atype(np.array([0])).tolist() == [[0, 1, 2]]
    with fails("are no elements"):
        open_systems(path)
    assert open_systems(path, reading=Reading(species=given))[0].type_map == ("O", "H")


def test_case_of_letters(tmp_path: Path) -> None:
    path = xyz(tmp_path, frame(species=("CA", "o", "CL")))
    assert open_systems(path)[0].type_map == ("Ca", "O", "Cl")
    # A given name comes first: this may be the α-carbon of a protein.
    reading = Reading(species={"CA": "C"})
    assert open_systems(path, reading=reading)[0].type_map == ("C", "O", "Cl")


def test_species_of_folders(tmp_path: Path) -> None:
    (tmp_path / "type.raw").write_text("\ufeff0 1\r\n", encoding="utf-8")
    (tmp_path / "type_map.raw").write_text("\ufeffOW\r\nHW\r\n", encoding="utf-8")
    (tmp_path / "nopbc").touch()
    (tmp_path / "set.000").mkdir()
    np.save(tmp_path / "set.000/coord.npy", np.zeros((1, 6)))
    reading = Reading(species={"OW": "O", "HW": "H"})
    (system,) = open_systems(tmp_path, ["H", "O"], reading=reading)
    assert system.atype(np.array([0])).tolist() == [[1, 0]]


def test_a_foreign_element_names_the_file_and_the_frame(tmp_path: Path) -> None:
    path = xyz(tmp_path, frame(), frame(species=("O", "C")))
    with pytest.raises(DataError) as told:
        open_systems(path, ["O", "H"])
    assert str(told.value) == (
        f"{path}, frame 1, atom 1 is of element 'C', which the model's type_map [O, H] lacks; "
        "add it there or leave such frames out"
    )


# Text


def test_windows_text(tmp_path: Path) -> None:
    text = "\ufeff" + frame("energy=1") + frame("energy=2")
    path = tmp_path / "a.xyz"
    path.write_bytes(text.replace("\n", "\r\n").encode())
    (system,) = open_systems(path)
    assert system.nframes == 2


def test_empty_lines(tmp_path: Path) -> None:
    assert open_systems(xyz(tmp_path, frame(), "\n\n"))[0].nframes == 1
    with fails("frame 1 cannot be read", "an empty line stands before '3'"):
        open_systems(xyz(tmp_path, frame(), "\n", frame()))
    with fails("frame 0 cannot be read"):
        open_systems(xyz(tmp_path, frame().rpartition("H")[0]))
    with fails("frame 0 cannot be read", "the line of atom 1 has no species"):
        open_systems(xyz(tmp_path, "2\n\nO 0 0 0\n\n"))


def test_a_cell_of_zeros(tmp_path: Path) -> None:
    text = frame().replace("5 0 0 0 6 0 0 0 7", "0 0 0 0 0 0 0 0 0")
    (system,) = open_systems(xyz(tmp_path, text))
    with fails("the cell of frame 0 is singular, for it is zero", 'pbc="F F F"'):
        system.load(np.array([0]))


# Trajectories and databases


def structures() -> list[Atoms]:
    found = []
    for k in range(3):
        atoms = Atoms("OH2", positions=FORCES / 3 + k, cell=[5, 6, 7], pbc=True)
        results: dict[str, Any] = {"energy": float(k), "forces": FORCES}
        if k:
            results["stress"] = STRESS[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
        atoms.calc = SinglePointCalculator(atoms, **results)
        found.append(atoms)
    return found


@pytest.mark.parametrize("ending", ["traj", "db", "json"])
def test_trajectories_and_databases(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"train.{ending}"
    if ending == "traj":
        write(path, structures())
    else:
        with connect(path) as database:
            for atoms in structures():
                database.write(atoms, dft_energy=7.5, data={"fparam": np.arange(2.0)})
    before = path.read_bytes()
    first, second = open_systems(path, ["O", "H"])
    assert (first.nframes, second.nframes) == (1, 2)
    np.testing.assert_allclose(value(second, "virial"), -VOLUME * STRESS)
    np.testing.assert_array_equal(value(second, "force"), FORCES)
    assert value(second, "energy", 1) == 2
    if ending != "traj":
        assert first.unread == {"dft_energy": "energy"}
        reading = Reading({"energy": ["dft_energy"]})
        system = open_systems(path, ["O", "H"], reading=reading)[0]
        assert value(system, "energy") == 7.5
        np.testing.assert_array_equal(value(system, "fparam"), [0, 1])
    assert path.read_bytes() == before


@pytest.mark.parametrize("ending", ["traj", "db", "json"])
def test_files_that_are_something_else(tmp_path: Path, ending: str) -> None:
    """Neither another format behind the ending nor a pickle is opened, and nothing is changed."""
    path = tmp_path / f"train.{ending}"
    for content in (b"", b"\x80\x04cos\nsystem\n(S'true'\ntR.", b"PK\x03\x04" + bytes(60)):
        path.write_bytes(content)
        with fails(f"train.{ending} is not", "of ASE", "begins with other bytes"):
            open_systems(path)
    path.write_bytes({"traj": b"- of Ulm", "db": b"SQLite format 3\0", "json": b"{}"}[ending])
    with fails(f"train.{ending}"):
        open_systems(path)


def test_a_database_of_something_else(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with sqlite3.connect(path) as database:
        database.execute("create table x (y)")
    database.close()
    before = path.read_bytes()
    with fails("a.db: frame 0 cannot be read as a database"):
        open_systems(path)
    assert path.read_bytes() == before


def test_a_trajectory_that_ends_early(tmp_path: Path) -> None:
    path = tmp_path / "a.traj"
    write(path, structures())
    path.write_bytes(path.read_bytes()[:-200])
    with fails("a.traj: frame", "cannot be read as a trajectory"):
        open_systems(path)


def test_pickles_and_bundles_are_no_data(tmp_path: Path) -> None:
    (tmp_path / "a.pckl").write_bytes(b"\x80\x04cos\nsystem\n(S'true'\ntR.")
    with fails("a.pckl is neither a folder, nor an HDF5 or LMDB file, nor a file of atoms (*.xyz"):
        open_systems(tmp_path / "a.pckl")
    (tmp_path / "a.bundle").mkdir()
    with fails("no system found in"):
        open_systems(tmp_path / "a.bundle")

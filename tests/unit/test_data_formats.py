"""Finding systems, HDF5 and extended xyz."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from multifit.data import System, find_systems, open_systems, where
from multifit.data._stored import open_npy
from multifit.errors import DataError


def folder(root: Path, nframes: int = 2) -> Path:
    (root / "set.000").mkdir(parents=True)
    (root / "type.raw").write_text("0 1")
    (root / "nopbc").touch()
    np.save(root / "set.000/coord.npy", np.zeros((nframes, 6)))
    return root


def fails(*parts: str) -> pytest.RaisesExc:
    """All parts are said, in this order."""
    return pytest.raises(DataError, match="(?s)" + ".*".join(re.escape(part) for part in parts))


class TestFind:
    def test_patterns(self, tmp_path: Path) -> None:
        for name in ("water_1", "ice", "deep/water_2", "deep/water_2/inner"):
            folder(tmp_path / name)
        (tmp_path / "water_3").mkdir()
        found = find_systems(tmp_path, patterns=["water*", "w*1"])
        assert [path.relative_to(tmp_path).as_posix() for path in found] == [
            "deep/water_2",
            "water_1",
        ]
        assert len(open_systems(tmp_path, patterns=["**"])) == 4
        with fails("no folder in", "matches rglob_patterns ['x*']"):
            find_systems(tmp_path, patterns=["x*"])
        with fails("rglob_patterns has '/x', which is no pattern"):
            find_systems(tmp_path, patterns=["/x"])

    def test_paths_of_elsewhere(self, tmp_path: Path) -> None:
        with fails("does not exist", "write / instead of \\: ../data/water"):
            find_systems("..\\data\\water", base=tmp_path)
        with fails('"rglob_patterns": ["w*"] beside "systems": "data"'):
            find_systems("data/w*", base=tmp_path)
        for path in ("~/data", "$HOME/data"):
            with fails("~ and variables are not replaced"):
                find_systems(path, base=tmp_path)

    def test_raw_files_without_sets(self, tmp_path: Path) -> None:
        (tmp_path / "type.raw").write_text("0 1")
        for name in ("coord", "energy"):
            (tmp_path / f"{name}.raw").write_text("0 0 0 0 0 1")
        with fails("*.raw files in it, but no folder set.000", 'dpdata.LabeledSystem("'):
            open_systems(tmp_path)

    def test_a_box_of_zeros(self, tmp_path: Path) -> None:
        (folder(tmp_path) / "nopbc").unlink()
        np.save(tmp_path / "set.000/box.npy", np.zeros((2, 9)))
        with fails("is singular, for it is zero", "put an empty file named nopbc beside type.raw"):
            open_systems(tmp_path)[0].load(np.array([1]))

    def test_folders_are_searched_alone_and_in_lists(self, tmp_path: Path) -> None:
        for name in ("d/b", "d/a", "d/a/deep/er", "e"):
            folder(tmp_path / name)
        want = [tmp_path / "d" / name for name in ("a/deep/er", "a", "b")]
        assert sorted(find_systems(tmp_path / "d")) == sorted(want)
        both = find_systems([str(tmp_path / "e"), tmp_path / "d"])
        assert both[0] == tmp_path / "e"
        assert sorted(both[1:]) == sorted(want)
        assert find_systems(tmp_path / "d/a") == [tmp_path / "d/a/deep/er", tmp_path / "d/a"]

    def test_the_order_is_fixed(self, tmp_path: Path) -> None:
        for name in ("c", "a", "b"):
            folder(tmp_path / name)
        assert [path.name for path in find_systems(tmp_path)] == ["a", "b", "c"]

    def test_linked_systems_are_found_and_loops_end(self, tmp_path: Path) -> None:
        folder(tmp_path / "real")
        (tmp_path / "d").mkdir()
        (tmp_path / "d/link").symlink_to(tmp_path / "real")
        (tmp_path / "d/loop").symlink_to(tmp_path / "d")
        assert find_systems(tmp_path / "d") == [tmp_path / "d/link"]

    def test_base_comes_before_the_current_folder(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder(tmp_path / "input/x", nframes=3)
        folder(tmp_path / "x")
        folder(tmp_path / "y")
        monkeypatch.chdir(tmp_path)
        x, y = open_systems(["x", "./y"], base=tmp_path / "input")
        assert (x.nframes, y.nframes) == (3, 2)
        assert (x.name, y.name) == ("x", "./y")
        assert where(x, 1) == "x/set.000, frame 1"

    def test_nothing_there(self, tmp_path: Path) -> None:
        with fails("no data systems are given"):
            find_systems([])
        with fails(f"no system found in {tmp_path}", "type.raw"):
            find_systems(tmp_path)
        (tmp_path / "notes.txt").write_text("hello")
        with fails("notes.txt is neither a folder"):
            find_systems(tmp_path / "notes.txt")

    def test_unreadable_folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def walk(root: Path, onerror: object) -> list[object]:
            onerror(PermissionError(13, "Permission denied", str(root)))  # type: ignore[operator]
            return []

        monkeypatch.setattr("os.walk", walk)
        with fails(f"{tmp_path} cannot be read (Permission denied)"):
            find_systems(tmp_path)


def hdf5(path: Path, *groups: str) -> Path:
    rng = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        for name in groups:
            group = file.require_group(name)
            group["type.raw"] = np.array([0, 1, 1])
            group["type_map.raw"] = np.array([b"O", b"H"])
            for number in range(2):
                inner = group.create_group(f"set.{number:03d}")
                inner["coord.npy"] = rng.normal(size=(5, 9))
                inner["box.npy"] = np.tile(np.eye(3).ravel(), (5, 1))
                inner["energy.npy"] = rng.normal(size=(5, 1))
    return path


class TestHdf5:
    def test_a_group(self, tmp_path: Path) -> None:
        path = hdf5(tmp_path / "data.hdf5", "water", "more/ice")
        (system,) = open_systems(f"{path}#/water", ["H", "O"])
        assert system.name == f"{path}#/water"
        assert (system.nframes, system.set_lengths, system.labels) == (10, (5, 5), {"energy"})
        np.testing.assert_array_equal(system.atype(np.array([0])), [[1, 0, 0]])
        frames = np.array([7, 2, 7, 9, 0])
        got = system.load(frames, ["energy"])
        with h5py.File(path) as file:
            for key, name in (("coord", "coord.npy"), ("energy", "energy.npy")):
                both = np.concatenate([file[f"water/set.00{i}/{name}"][:] for i in (0, 1)])
                np.testing.assert_array_equal(got[key].ravel(), both[frames].ravel())
        assert where(system, 6) == f"{path}#/water/set.001, frame 1"

    def test_all_groups_of_a_file(self, tmp_path: Path) -> None:
        path = hdf5(tmp_path / "data.hdf5", "water", "more/ice")
        systems = open_systems([path])
        assert [system.name for system in systems] == [f"{path}#/more/ice", f"{path}#/water"]
        found = find_systems(path)
        assert found == [Path(f"{path}#/more/ice"), Path(f"{path}#/water")]
        assert find_systems(found) == found
        (inner,) = open_systems(f"{path}#more")
        assert inner.name == f"{path}#/more/ice"

    def test_a_system_at_the_top(self, tmp_path: Path) -> None:
        path = hdf5(tmp_path / "data.hdf5", "/")
        (system,) = open_systems(path)
        assert where(system, 0) == f"{path}#/set.000, frame 0"
        assert len(open_systems(find_systems(path))) == 1

    def test_text_of_variable_length_and_mixed_types(self, tmp_path: Path) -> None:
        path = hdf5(tmp_path / "data.hdf5", "water")
        with h5py.File(path, "a") as file:
            del file["water/type_map.raw"]
            file["water/type_map.raw"] = ["Oh", "Ha"]
            for number in (0, 1):
                file[f"water/set.00{number}/real_atom_types.npy"] = np.array([[1, 0, -1]] * 5)
        (system,) = open_systems(path, ["Ha", "Oh"])
        assert system.mixed_type
        np.testing.assert_array_equal(system.atype(np.array([8])), [[0, 1, -1]])

    def test_wrong_group(self, tmp_path: Path) -> None:
        path = hdf5(tmp_path / "data.hdf5", "water")
        with fails("data.hdf5#/ice", "no group '/ice'"):
            open_systems(f"{path}#/ice")
        with fails("no system found in", "#/water/set.000"):
            open_systems(f"{path}#/water/set.000")

    def test_damage(self, tmp_path: Path) -> None:
        path = hdf5(tmp_path / "data.hdf5", "water")
        (system,) = open_systems(path)
        content = path.read_bytes()
        path.write_bytes(content[:-100])
        with fails("coord.npy cannot be read", "truncated"):
            system.load(np.array([0]))
        with fails("data.hdf5 cannot be read", "truncated"):
            open_systems(path)
        path.write_bytes(content)
        with h5py.File(path, "a") as file:
            del file["water/set.001/coord.npy"]
        with fails("set.001/coord.npy disappeared"):
            system.load(np.array([9]))
        with h5py.File(path, "a") as file:
            file.create_group("water/set.001/coord.npy")
        with fails("set.001/coord.npy is a group"):
            open_systems(path)


class TestHostileHdf5:
    """Nothing outside of the file is read, and nothing is allocated that it does not hold."""

    def _water(self, folder: Path, name: str) -> tuple[Path, Any]:
        path = hdf5(folder / "data.hdf5", "water")
        file = h5py.File(path, "a")
        del file[f"water/{name}"]
        return path, file

    def test_links(self, tmp_path: Path) -> None:
        other = hdf5(tmp_path / "other.hdf5", "water")
        links = {
            "external": h5py.ExternalLink(str(other), "/water/set.000/energy.npy"),
            "soft": h5py.SoftLink("/water/set.001/energy.npy"),
        }
        for link in links.values():
            path, file = self._water(tmp_path, "set.000/energy.npy")
            with file:
                file["water/set.000/energy.npy"] = link
            with fails("set.000/energy.npy is a link to elsewhere"):
                open_systems(path)
        path, file = self._water(tmp_path, "set.000")
        with file:
            file["water/set.000"] = h5py.ExternalLink(str(other), "/water/set.000")
        with fails("set.000 is a link to elsewhere"):
            open_systems(path)

    def test_values_of_other_files(self, tmp_path: Path) -> None:
        secret = tmp_path / "secret.txt"
        secret.write_bytes(b"12345678" * 5)
        path, file = self._water(tmp_path, "set.000/energy.npy")
        with file:
            file.create_dataset(
                *("water/set.000/energy.npy", (5, 1), "f8"), external=[(str(secret), 0, 40)]
            )
        with fails("energy.npy lies in another file"):
            open_systems(path)
        path, file = self._water(tmp_path, "type.raw")
        with file:
            file.create_dataset("water/type.raw", (40,), "u1", external=[(str(secret), 0, 40)])
        with fails("type.raw lies in another file"):
            open_systems(path)
        path, file = self._water(tmp_path, "set.000/coord.npy")
        with file:
            layout = h5py.VirtualLayout((5, 9), "f8")
            layout[:] = h5py.VirtualSource(str(path), "water/set.001/coord.npy", (5, 9))
            file.create_virtual_dataset("water/set.000/coord.npy", layout)
        with fails("coord.npy lies in another file"):
            open_systems(path)

    def test_more_than_the_file_holds(self, tmp_path: Path) -> None:
        path, file = self._water(tmp_path, "set.000/coord.npy")
        with file:
            file.create_dataset("water/set.000/coord.npy", (10**12, 9), "f8", chunks=(1024, 9))
        with fails("coord.npy declares 72000000000000 bytes"):
            open_systems(path)
        path, file = self._water(tmp_path, "type.raw")
        with file:
            file.create_dataset("water/type.raw", (10**10,), "i8", chunks=(1024,))
        with fails("type.raw declares"):
            open_systems(path)

    def test_packed_data_are_read(self, tmp_path: Path) -> None:
        path, file = self._water(tmp_path, "set.000/energy.npy")
        with file:
            file.create_dataset(
                "water/set.000/energy.npy", data=np.zeros((5, 1)), chunks=(5, 1), compression="gzip"
            )
        (system,) = open_systems(path)
        assert not system.load(np.array([0]), ["energy"])["energy"].any()


class TestDamagedFiles:
    @pytest.mark.parametrize(
        "header",
        ["{'descr': '<f8', 'fortran_order': False, 'shape': (3, ", "(((", "{'a': 1}", "[" * 5000],
    )
    def test_headers(self, tmp_path: Path, header: str) -> None:
        text = header.encode().ljust(118) + b"\n"
        path = tmp_path / "x.npy"
        path.write_bytes(b"\x93NUMPY\x02\x00" + len(text).to_bytes(4, "little") + text)
        with fails("x.npy is not a complete .npy file"):
            open_npy(path, "x.npy")

    def test_negative_shapes(self, tmp_path: Path) -> None:
        text = b"{'descr': '<f8', 'fortran_order': False, 'shape': (-3, 2), }".ljust(117) + b"\n"
        path = tmp_path / "x.npy"
        path.write_bytes(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text)
        with fails("not a complete .npy file", "its shape is"):
            open_npy(path, "x.npy")

    def test_pipes_do_not_block(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "x.npy")
        with fails("x.npy is not a regular file"):
            open_npy(tmp_path / "x.npy", "x.npy")

    @pytest.mark.parametrize("order", ["C", "F"])
    def test_any_rows(self, tmp_path: Path, order: Any) -> None:
        values = np.asarray(np.random.default_rng(0).normal(size=(200, 3)), order=order)
        np.save(tmp_path / "x.npy", values)
        stored = open_npy(tmp_path / "x.npy", "x.npy")
        for rows in ([], [7], [3, 4, 5, 1, 2, 199, 0, 0], list(range(200))):
            index = np.array(rows, dtype=np.int64)
            np.testing.assert_array_equal(stored.read(index), values[index])
        np.testing.assert_array_equal(stored.read(...), values)

    def test_a_file_that_shrinks_is_an_error(self, tmp_path: Path) -> None:
        np.save(tmp_path / "x.npy", np.zeros((500, 9)))
        stored = open_npy(tmp_path / "x.npy", "x.npy")
        os.truncate(tmp_path / "x.npy", 300)
        for rows in (np.arange(500), ...):
            with fails("x.npy changed while it was in use"):
                stored.read(rows)  # type: ignore[arg-type]


WATER = """\
3
Lattice="5 0 0 0 6 0 0 0 7" Properties=species:S:1:pos:R:3:forces:R:3{extra} pbc="{pbc}" {info}
O 0 0 0 1 2 3
H 0 0 1 4 5 6
H 0 1 0 7 8 9
"""
ENERGY = "energy=-1.5"


def water(info: str = ENERGY, pbc: str = "T T T") -> str:
    return WATER.format(info=info, pbc=pbc, extra="")


def xyz(tmp_path: Path, *frames: str) -> Path:
    path = tmp_path / "train.xyz"
    path.write_text("".join(frames))
    return path


HYDROGEN = """\
2
Properties=species:S:1:pos:R:3 energy=-3 fparam="1 2 3 4 5 6 7 8 9"
H 0 0 0
H 0 0 0.74
"""


class TestXyz:
    def test_groups_by_composition_and_periodicity(self, tmp_path: Path) -> None:
        path = xyz(tmp_path, water(), HYDROGEN, water("energy=-2.5"), water(pbc="T F T"))
        a, b, c = open_systems(path)
        assert [s.name for s in (a, b, c)] == [
            f"{path} (O1H2)",
            f"{path} (H2, pbc FFF)",
            f"{path} (O1H2, pbc TFT)",
        ]
        assert a.type_map == ("O", "H")
        assert [s.pbc for s in (a, b, c)] == [
            (True, True, True),
            (False, False, False),
            (True, False, True),
        ]
        got = a.load(np.array([1, 0]), ["energy", "force", "virial"])
        np.testing.assert_array_equal(got["energy"], [-2.5, -1.5])
        np.testing.assert_array_equal(got["force"][0], np.arange(1, 10.0).reshape(3, 3))
        np.testing.assert_array_equal(got["cell"][0], np.diag([5, 6, 7]))
        assert "virial" not in got
        np.testing.assert_array_equal(b.atype(np.array([0])), [[1, 1]])
        assert set(b.load(np.array([0]))) == {"coord"}
        # ASE makes a matrix of nine numbers; they are put back in the order of the file.
        np.testing.assert_array_equal(
            b.load(np.array([0]), ["fparam"])["fparam"], [np.arange(1, 10.0)]
        )
        assert where(a, 1) == f"{path}, frame 2"

    def test_virial_from_stress(self, tmp_path: Path) -> None:
        path = xyz(tmp_path, water('energy=1 stress="1 6 5 6 2 4 5 4 3"'))
        (system,) = open_systems(path, ["O", "H"])
        got = system.load(np.array([0]), ["virial"])["virial"]
        want = -5 * 6 * 7 * np.array([[1, 6, 5], [6, 2, 4], [5, 4, 3.0]])
        np.testing.assert_allclose(got, [want])

    def test_atomic_labels_by_their_names(self, tmp_path: Path) -> None:
        text = WATER.format(info="", pbc="F F F", extra=":aparam:R:2:atomic_ener:R:1")
        lines = text.splitlines()
        lines[2:] = [line + f" {i} {i} 0.{i}" for i, line in enumerate(lines[2:])]
        (system,) = open_systems(xyz(tmp_path, "\n".join(lines) + "\n"))
        got = system.load(np.array([0]), ["aparam", "atom_ener"])
        np.testing.assert_array_equal(got["aparam"], [[[0, 0], [1, 1], [2, 2]]])
        np.testing.assert_array_equal(got["atom_ener"], [[0, 0.1, 0.2]])

    def test_slab_without_a_third_vector(self, tmp_path: Path) -> None:
        text = water(pbc="T T F").replace("0 0 7", "0 0 0")
        (system,) = open_systems(xyz(tmp_path, text))
        cell = system.load(np.array([0]))["cell"][0]
        np.testing.assert_array_equal(cell[:2], [[5, 0, 0], [0, 6, 0]])
        assert abs(np.linalg.det(cell)) > 1

    def test_periodic_without_a_vector(self, tmp_path: Path) -> None:
        text = water().replace("0 0 7", "0 0 0")
        (system,) = open_systems(xyz(tmp_path, water(), text))
        with fails("train.xyz: the cell of frame 1 is singular"):
            system.load(np.array([0, 1]))

    def test_constraints_leave_forces_alone(self, tmp_path: Path) -> None:
        text = WATER.format(info=ENERGY, pbc="T T T", extra=":move_mask:L:1")
        lines = text.splitlines()
        lines[2:] = [line + " F" for line in lines[2:]]
        (system,) = open_systems(xyz(tmp_path, "\n".join(lines) + "\n"))
        assert system.load(np.array([0]), ["force"])["force"].all()

    def test_labels_that_disagree(self, tmp_path: Path) -> None:
        path = xyz(tmp_path, water('fparam="1 2"'), water('fparam="1 2 3"'))
        with fails("fparam of frame 1 has shape (3,)", "of frame 0 (2,)"):
            open_systems(path)
        with fails("train.xyz: hessian of frame 0 has 2 numbers, but 81 are expected"):
            open_systems(xyz(tmp_path, water('hessian="1 2"')))

    def test_values(self, tmp_path: Path) -> None:
        path = xyz(tmp_path, HYDROGEN, water(), water().replace(" 8 9", " nan 9"))
        system = open_systems(path)[1]
        with fails("train.xyz: force of frame 2, atom 2 is nan"):
            system.load(np.arange(2), ["force"])
        with fails("energy of frame 0 is 'low'", "numbers"):
            open_systems(xyz(tmp_path, water("energy=low")))

    def test_element_that_the_model_lacks(self, tmp_path: Path) -> None:
        with fails("train.xyz, frame 1, atom 0 is of element 'O'", "[H]"):
            open_systems(xyz(tmp_path, HYDROGEN, water()), ["H"])

    def test_broken_files(self, tmp_path: Path) -> None:
        with fails("train.xyz: frame 1 cannot be read as extended xyz"):
            open_systems(xyz(tmp_path, water(), "3\nenergy=1\nO 0 zero 0\nH 0 0 0\nH 0 0 0\n"))
        with fails("train.xyz has no frames"):
            open_systems(xyz(tmp_path, ""))
        with fails("train.xyz: frame 0 has no atoms"):
            open_systems(xyz(tmp_path, '0\nLattice="1 0 0 0 1 0 0 0 1"\n'))

    def test_without_ase(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "ase.io", None)
        with fails("train.xyz", "pip install ase"):
            open_systems(xyz(tmp_path, water()))

    def test_names_without_an_explicit_map(self, tmp_path: Path) -> None:
        first: System = open_systems([xyz(tmp_path, HYDROGEN, water())])[0]
        assert first.type_map == ("H", "O")

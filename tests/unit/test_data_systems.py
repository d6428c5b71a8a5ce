"""Reading DeePMD folders: values, numbering, and what is said when something is wrong."""

from __future__ import annotations

import io
import os
import pickle
import re
from pathlib import Path

import numpy as np
import pytest

from multifit.data import LABELS, WEIGHTS, System, open_systems, where
from multifit.errors import DataError

NATOMS = 3


def arrays(nframes: int = 4, natoms: int = NATOMS, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "coord": rng.normal(size=(nframes, natoms * 3)),
        "box": np.tile(10 * np.eye(3).ravel(), (nframes, 1)),
        "energy": rng.normal(size=nframes),
        "force": rng.normal(size=(nframes, natoms * 3)),
    }


def write(
    root: Path,
    *sets: dict[str, np.ndarray],
    types: str = "0 1 1\n",
    type_map: str | None = "O H\n",
    nopbc: bool = False,
) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    (root / "type.raw").write_text(types)
    if type_map is not None:
        (root / "type_map.raw").write_text(type_map)
    if nopbc:
        (root / "nopbc").touch()
    for number, files in enumerate(sets or (arrays(),)):
        folder = root / f"set.{number:03d}"
        folder.mkdir(exist_ok=True)
        for name, values in files.items():
            np.save(folder / f"{name}.npy", values)
    return root


def one(path: Path, type_map: list[str] | None = None, **options: object) -> System:
    (system,) = open_systems(path, type_map, **options)  # type: ignore[arg-type]
    return system


def fails(*parts: str) -> pytest.RaisesExc:
    """All parts are said, in this order."""
    return pytest.raises(DataError, match="(?s)" + ".*".join(re.escape(part) for part in parts))


def test_frames_come_from_the_right_set(tmp_path: Path) -> None:
    first, second = arrays(4, seed=1), arrays(2, seed=2)
    system = one(write(tmp_path / "water", first, second), ["H", "O"])
    assert (system.nframes, system.natoms, system.set_lengths) == (6, 3, (4, 2))
    assert system.pbc == (True, True, True)
    assert system.labels == {"energy", "force"}
    assert system.type_map == ("H", "O")
    assert not system.mixed_type
    frames = np.array([5, 0, 5, 3])
    got = system.load(frames, ["energy", "force", "virial"])
    assert {k: v.shape for k, v in got.items()} == {
        "coord": (4, 3, 3),
        "cell": (4, 3, 3),
        "energy": (4,),
        "force": (4, 3, 3),
    }
    for key in ("coord", "energy", "force"):
        both = np.concatenate([first[key], second[key]])[frames]
        np.testing.assert_array_equal(got[key].reshape(both.shape), both)
    atype = system.atype(frames)
    assert atype.dtype == np.int64
    np.testing.assert_array_equal(atype, np.tile([1, 0, 0], (4, 1)))
    assert where(system, 3) == f"{tmp_path}/water/set.000, frame 3"
    assert where(system, 4) == f"{tmp_path}/water/set.001, frame 0"
    with pytest.raises(IndexError, match="only 6 frames"):
        where(system, 6)
    with pytest.raises(IndexError, match="frames 0 to 5"):
        system.load(np.array([6]))
    assert system.load(np.array([], dtype=int))["coord"].shape == (0, 3, 3)


def test_all_labels_have_the_shapes_of_the_table(tmp_path: Path) -> None:
    n, a = 2, NATOMS
    files = arrays(n) | {
        "virial": np.ones((n, 9)),
        "atomic_ener": np.ones((n, a)),
        "atom_pref": np.ones((n, a)),
        "atom_ener_coeff": np.ones((n, a)),
        "drdq": np.arange(n * a * 6.0).reshape(n, -1),
        "hessian": np.ones((n, 81)),
        "fparam": np.ones((n, 2)),
        "aparam": np.arange(n * a * 4.0).reshape(n, -1),
        "dos": np.ones((n, 7)),
        "atom_dos": np.ones((n, a * 7)),
        "efermi": np.ones(n),
        "config_weight": np.ones(n),
        "config_energy_weight": np.ones(n),
        "config_force_weight": np.ones((n, 1)),
        "config_virial_weight": np.ones(n),
    }
    system = one(write(tmp_path, files))
    assert system.labels == LABELS.keys()
    got = system.load(np.arange(n), LABELS)
    assert {key: got[key].shape[1:] for key in LABELS} == {
        "energy": (),
        "force": (3, 3),
        "virial": (3, 3),
        "atom_ener": (3,),
        "atom_pref": (3,),
        "atom_ener_coeff": (3,),
        "drdq": (3, 3, 2),
        "hessian": (9, 9),
        "fparam": (2,),
        "aparam": (3, 4),
        "dos": (7,),
        "atom_dos": (3, 7),
        "efermi": (),
        **dict.fromkeys(WEIGHTS, ()),
    }
    np.testing.assert_array_equal(got["aparam"].ravel(), files["aparam"].ravel())
    assert system.ndof["dos"] == 7
    with pytest.raises(KeyError, match="did you mean 'force'"):
        system.load(np.arange(1), ["forces"])


@pytest.mark.parametrize(
    "convert",
    [
        lambda x: x.astype(">f8"),
        lambda x: x.astype(np.float32),
        np.asfortranarray,
        lambda x: x.reshape(len(x), -1, 3) if x.ndim == 2 else x[:, None],
    ],
)
def test_layouts_on_disk_become_float64(tmp_path: Path, convert: object) -> None:
    files = arrays()
    system = one(write(tmp_path, {k: convert(v) for k, v in files.items()}))  # type: ignore[operator]
    got = system.load(np.array([2, 1]), ["energy", "force"])
    for key in ("coord", "energy", "force"):
        assert got[key].dtype == np.float64
        assert got[key].dtype.isnative
        want = files[key][[2, 1]].reshape(got[key].shape)
        np.testing.assert_allclose(got[key], want, rtol=1e-6)


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_all_versions_of_npy(tmp_path: Path, version: tuple[int, int]) -> None:
    files = arrays()
    write(tmp_path, files)
    with (tmp_path / "set.000/force.npy").open("wb") as file:
        np.lib.format.write_array(file, files["force"], version=version)
    got = one(tmp_path).load(np.array([3]), ["force"])["force"]
    np.testing.assert_array_equal(got.ravel(), files["force"][3])


def test_a_single_frame_may_lack_its_axis(tmp_path: Path) -> None:
    files = {key: values[0] for key, values in arrays(1).items()}
    files["fparam"] = np.array([1.0, 2.0])
    system = one(write(tmp_path, files))
    got = system.load(np.array([0, 0]), ["energy", "force", "fparam"])
    np.testing.assert_array_equal(got["energy"], [files["energy"]] * 2)
    np.testing.assert_array_equal(got["force"][1].ravel(), files["force"])
    np.testing.assert_array_equal(got["fparam"], [[1, 2], [1, 2]])


def test_all_frames_in_one_row(tmp_path: Path) -> None:
    files = arrays()
    aparam = np.arange(4 * NATOMS * 2.0)
    rows = {"force": files["force"].ravel(), "aparam": aparam[None]}
    system = one(write(tmp_path, files | rows))
    got = system.load(np.array([3, 1]), ["force", "aparam"])
    np.testing.assert_array_equal(got["force"].reshape(2, -1), files["force"][[3, 1]])
    np.testing.assert_array_equal(got["aparam"], aparam.reshape(4, NATOMS, 2)[[3, 1]])


def test_sets_are_sorted_and_empty_ones_pass(tmp_path: Path) -> None:
    system = one(write(tmp_path, arrays(0), arrays(1, seed=5)))
    assert system.set_lengths == (0, 1)
    got = system.load(np.array([0]))["coord"]
    np.testing.assert_array_equal(got.ravel(), arrays(1, seed=5)["coord"][0])
    assert where(system, 0).endswith("set.001, frame 0")


def test_without_periodicity_there_is_no_cell(tmp_path: Path) -> None:
    system = one(write(tmp_path, arrays(), nopbc=True))
    assert system.pbc == (False, False, False)
    assert set(system.load(np.array([0]))) == {"coord"}


def test_only_the_frames_asked_for_are_read(tmp_path: Path) -> None:
    # A sparse file far larger than memory.
    write(tmp_path, arrays(1), nopbc=True)
    nframes = 10**9  # 72 GB
    path = tmp_path / "set.000/coord.npy"
    header = {"descr": "<f8", "fortran_order": False, "shape": (nframes, 9)}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        file.truncate(file.tell() + nframes * 72)
    for name in ("box", "energy", "force"):
        (tmp_path / f"set.000/{name}.npy").unlink()
    system = one(tmp_path)
    assert system.nframes == nframes
    assert not system.load(np.array([nframes - 1]))["coord"].any()


class TestTypes:
    def test_union_of_names_in_order_of_appearance(self, tmp_path: Path) -> None:
        write(tmp_path / "a", type_map="O H\n")
        write(tmp_path / "b", type_map="C\nO\n")
        write(tmp_path / "c", type_map=None)
        a, b, c = open_systems(tmp_path, None)
        assert a.type_map == b.type_map == c.type_map == ("O", "H", "C")
        np.testing.assert_array_equal(b.atype(np.array([0])), [[2, 0, 0]])
        np.testing.assert_array_equal(c.atype(np.array([0])), [[0, 1, 1]])

    def test_generic_names(self, tmp_path: Path) -> None:
        system = one(write(tmp_path, type_map=None, types="0 2 0"))
        assert system.type_map == ("Type_0", "Type_1", "Type_2")

    def test_numbers_as_savetxt_writes_them(self, tmp_path: Path) -> None:
        write(tmp_path)
        np.savetxt(tmp_path / "type.raw", [1, 0, 0])
        np.testing.assert_array_equal(one(tmp_path).atype(np.array([0])), [[1, 0, 0]])

    def test_unused_elements_do_no_harm(self, tmp_path: Path) -> None:
        system = one(write(tmp_path, type_map="O H Xe"), ["H", "O"])
        np.testing.assert_array_equal(system.atype(np.array([0])), [[1, 0, 0]])

    def test_element_that_the_model_lacks(self, tmp_path: Path) -> None:
        write(tmp_path, type_map="O Hf")
        with fails("type.raw, atom 1", "'Hf'", "type_map.raw", "[O, H]", "did you mean", "add it"):
            one(tmp_path, ["O", "H"])

    def test_type_without_a_name(self, tmp_path: Path) -> None:
        write(tmp_path, types="0 1 2")
        with fails("type.raw, atom 2 has type 2", "type_map.raw names only 2 types (O, H)"):
            one(tmp_path)

    def test_type_outside_the_model(self, tmp_path: Path) -> None:
        write(tmp_path, type_map=None)
        with fails("type.raw, atom 1 has type 1", "the model's type_map names only 1"):
            one(tmp_path, ["O"])

    def test_negative_type(self, tmp_path: Path) -> None:
        with fails("type.raw, atom 0 has type -1"):
            one(write(tmp_path, types="-1 0 0"))

    @pytest.mark.parametrize("word", ["H", "0.5", "nan", "1e400", "9" * 30])
    def test_not_an_integer(self, tmp_path: Path, word: str) -> None:
        with fails("type.raw", repr(word), "atom 1", "integer", "type_map.raw"):
            one(write(tmp_path, types=f"0 {word} 0"))

    def test_empty(self, tmp_path: Path) -> None:
        with fails("type.raw is empty"):
            one(write(tmp_path, types="# nothing\n"))

    def test_binary(self, tmp_path: Path) -> None:
        write(tmp_path)
        (tmp_path / "type.raw").write_bytes(b"\xff\xfe\x00")
        with fails("type.raw is not a text file in UTF-8"):
            one(tmp_path)


class TestMixedType:
    def mixed(self, path: Path, real: object, **options: str) -> Path:
        real = np.array(real)
        return write(path, arrays(len(real)) | {"real_atom_types": real}, types="0 0 0", **options)

    def test_types_per_frame(self, tmp_path: Path) -> None:
        system = one(self.mixed(tmp_path, [[0, 1, -1], [1, 0, 0]]), ["H", "C", "O"])
        assert system.mixed_type
        np.testing.assert_array_equal(system.atype(np.array([1, 0])), [[0, 2, 2], [2, 0, -1]])

    def test_names_are_required(self, tmp_path: Path) -> None:
        self.mixed(tmp_path, [[0, 1, -1]])
        (tmp_path / "type_map.raw").unlink()
        with fails("no type_map.raw", "mixed_type"):
            one(tmp_path, ["H", "O"])

    def test_element_that_the_model_lacks(self, tmp_path: Path) -> None:
        with fails("set.000/real_atom_types.npy, frame 1, atom 2", "'H'", "lacks"):
            one(self.mixed(tmp_path, [[0, 0, 0], [0, 0, 1]]), ["O"])

    def test_type_without_a_name(self, tmp_path: Path) -> None:
        with fails("real_atom_types.npy, frame 0, atom 1 has type 5", "names only 2"):
            one(self.mixed(tmp_path, [[0, 5, 0]]))

    @pytest.mark.parametrize("value", [-2, 0.5, np.nan])
    def test_not_a_type(self, tmp_path: Path, value: float) -> None:
        with fails("real_atom_types.npy", str(value), "frame 1, atom 0"):
            one(self.mixed(tmp_path, [[0, 1, 1], [value, 1, 1]]))

    def test_frame_without_atoms(self, tmp_path: Path) -> None:
        with fails("real_atom_types.npy", "−1", "frame 1", "at least one"):
            one(self.mixed(tmp_path, [[0, 1, 1], [-1, -1, -1]]))

    def test_only_some_sets(self, tmp_path: Path) -> None:
        real = np.zeros((4, 3), dtype=int)
        write(tmp_path, arrays() | {"real_atom_types": real}, arrays())
        with fails("set.001 has no real_atom_types.npy", "set.000 has"):
            one(tmp_path)

    def test_wrong_width(self, tmp_path: Path) -> None:
        with fails("real_atom_types.npy has shape (2, 2), expected (2, 3)", "3 atoms"):
            one(self.mixed(tmp_path, [[0, 1], [0, 1]]))

    def test_types_that_change_later(self, tmp_path: Path) -> None:
        system = one(self.mixed(tmp_path, [[0, 1, 1]]))
        np.save(tmp_path / "set.000/real_atom_types.npy", np.array([[0, 1, 7]]))
        with fails("real_atom_types.npy changed"):
            system.atype(np.array([0]))


class TestShapes:
    @pytest.mark.parametrize(
        ("name", "shape", "parts"),
        [
            ("coord", (4, 6), ("coord.npy has shape (4, 6), expected (4, 9)", "3 atoms")),
            ("box", (4, 6), ("box.npy has shape (4, 6), expected (4, 9)", "4 frames")),
            ("energy", (4, 3), ("energy.npy has shape (4, 3), expected (4,)", "4 frames")),
            ("force", (4, 3), ("force.npy has shape (4, 3), expected (4, 9)", "3 atoms")),
            ("atom_ener", (4,), ("atom_ener.npy has shape (4,), expected (4, 3)", "3 atoms")),
            ("aparam", (4, 2), ("aparam.npy has shape (4, 2), expected (4, k·3)", "3 atoms")),
            ("fparam", (8,), ("fparam.npy holds 8 frames", "holds 4")),
            ("fparam", (4, 0), ("fparam.npy has shape (4, 0), expected (4, k)",)),
            ("energy", (), ("energy.npy holds 1 frame,", "holds 4")),
            ("energy", (5,), ("energy.npy holds 5 frames", "coord.npy", "holds 4")),
            ("force", (3, 9), ("force.npy holds 3 frames", "holds 4")),
            ("dos", (3, 7), ("dos.npy holds 3 frames", "holds 4")),
        ],
    )
    def test_mismatch(
        self, tmp_path: Path, name: str, shape: tuple[int, ...], parts: tuple[str, ...]
    ) -> None:
        write(tmp_path / "sys", arrays() | {name: np.zeros(shape)})
        with fails(f"{tmp_path}/sys/set.000/", *parts):
            one(tmp_path / "sys")

    def test_scalar_coord(self, tmp_path: Path) -> None:
        with fails("coord.npy has shape ()"):
            one(write(tmp_path, arrays() | {"coord": np.array(1.0)}))

    def test_sets_that_disagree(self, tmp_path: Path) -> None:
        write(tmp_path, arrays() | {"fparam": np.ones((4, 2))}, arrays() | {"fparam": np.ones(4)})
        with fails("set.001/fparam.npy holds 1 numbers per frame", "hold 2"):
            one(tmp_path)

    def test_label_in_only_some_sets(self, tmp_path: Path) -> None:
        write(tmp_path, arrays() | {"virial": np.ones((4, 9))}, arrays())
        with fails("set.001 has no virial", "set.000/virial.npy exists"):
            one(tmp_path)


class TestMissing:
    def test_path(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        with fails("nowhere does not exist", f"{tmp_path}/in/nowhere", f"{tmp_path}/nowhere"):
            open_systems("nowhere", base=tmp_path / "in")

    def test_sets(self, tmp_path: Path) -> None:
        (tmp_path / "type.raw").write_text("0")
        (tmp_path / "set.000").touch()
        with fails(f"{tmp_path} has no frames", "set.000"):
            one(tmp_path)

    def test_frames(self, tmp_path: Path) -> None:
        with fails("no frames", "coord.npy is empty in set.000, set.001"):
            one(write(tmp_path, arrays(0), arrays(0)))

    def test_coord(self, tmp_path: Path) -> None:
        files = arrays()
        del files["coord"]
        with fails("set.000 has no coord.npy"):
            one(write(tmp_path, files))

    def test_box(self, tmp_path: Path) -> None:
        files = arrays()
        del files["box"]
        with fails("set.000 has no box.npy", "nopbc"):
            one(write(tmp_path, files))

    def test_required_label(self, tmp_path: Path) -> None:
        write(tmp_path)
        one(tmp_path, require=["energy"])
        with fails(f"{tmp_path} has no atom_dos", "atom_dos.npy or atomic_dos.npy"):
            one(tmp_path, require=["energy", "atom_dos"])

    def test_permission(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        write(tmp_path)

        def deny(*_: object, **__: object) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr("os.open", deny)
        with fails("type.raw cannot be read (Permission denied)"):
            one(tmp_path)


class TestFiles:
    def replace(self, root: Path, content: bytes) -> Path:
        write(root)
        (root / "set.000/force.npy").write_bytes(content)
        return root

    @pytest.mark.parametrize(
        "content", [b"", b"hello, this is text", b"\x93NUMPY\x01\x00\x76\x00{"]
    )
    def test_not_an_npy(self, tmp_path: Path, content: bytes) -> None:
        with fails("set.000/force.npy is not a complete .npy file", "numpy.save"):
            one(self.replace(tmp_path, content))

    def test_pickles(self, tmp_path: Path) -> None:
        buffer = io.BytesIO()
        np.save(buffer, np.array([{}], dtype=object))
        with fails("force.npy", "pickled"):
            one(self.replace(tmp_path, buffer.getvalue()))
        with fails("force.npy is not a complete .npy file"):
            one(self.replace(tmp_path, pickle.dumps(np.zeros(3))))

    def test_text(self, tmp_path: Path) -> None:
        write(tmp_path, arrays() | {"energy": np.array(["a", "b", "c", "d"])})
        with fails("energy.npy", "<U1", "real numbers"):
            one(tmp_path)

    def test_truncated_before_opening(self, tmp_path: Path) -> None:
        write(tmp_path)
        path = tmp_path / "set.000/force.npy"
        os.truncate(path, 300)
        with fails("force.npy is truncated", "promises 416 bytes", "300"):
            one(tmp_path)

    def test_truncated_after_opening(self, tmp_path: Path) -> None:
        system = one(write(tmp_path))
        os.truncate(tmp_path / "set.000/force.npy", 140)
        system.load(np.array([0]))
        with fails("force.npy changed", "140 bytes", "416"):
            system.load(np.array([0]), ["force"])

    def test_deleted_after_opening(self, tmp_path: Path) -> None:
        system = one(write(tmp_path))
        (tmp_path / "set.000/force.npy").unlink()
        with fails("force.npy cannot be read (No such file"):
            system.load(np.array([0]), ["force"])


class TestValues:
    @pytest.mark.parametrize(
        ("name", "index", "parts"),
        [
            ("force", (2, 4), ("set.001/force.npy", "force of frame 2, atom 1 is nan")),
            ("coord", (0, 8), ("set.001/coord.npy", "coord of frame 0, atom 2 is nan")),
            ("energy", (3,), ("set.001/energy.npy", "energy of frame 3 is nan")),
            ("box", (1, 0), ("set.001/box.npy", "cell of frame 1 is nan")),
        ],
    )
    def test_not_finite(
        self, tmp_path: Path, name: str, index: tuple[int, ...], parts: tuple[str, ...]
    ) -> None:
        bad = arrays()
        bad[name][index] = np.nan
        system = one(write(tmp_path, arrays(), bad))
        others = [frame for frame in range(8) if frame != 4 + index[0]]
        system.load(np.array(others), ["energy", "force"])
        with fails(*parts):
            system.load(np.array([7, 6, 5, 4, 1]), ["energy", "force"])

    def test_infinite(self, tmp_path: Path) -> None:
        bad = arrays()
        bad["energy"][1] = -np.inf
        with fails("energy of frame 1 is -inf"):
            one(write(tmp_path, bad)).load(np.arange(4), ["energy"])

    def test_singular_cell(self, tmp_path: Path) -> None:
        bad = arrays()
        bad["box"][2] = [5, 0, 0, 0, 5, 0, 5, 5, 0]
        bad["box"][3] = 0
        system = one(write(tmp_path, bad))
        system.load(np.array([0, 1]))
        with fails("box.npy: the cell of frame 2 is singular", "Å³"):
            system.load(np.array([0, 2]))
        with fails("frame 3 is singular"):
            system.load(np.array([3]))

"""LMDB files: systems of frames of any sizes, elements and labels, and damaged files."""

from __future__ import annotations

import builtins
import re
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _lmdb_files import encoded, frame, write

from multifit.data import (
    Grouping,
    System,
    batch_sizes,
    open_systems,
    system_probabilities,
    where,
)
from multifit.errors import ConfigError, DataError


def fails(*parts: str, error: type[Exception] = DataError) -> pytest.RaisesExc[Any]:
    return pytest.raises(error, match="(?s)" + ".*".join(re.escape(part) for part in parts))


def total(systems: list[System]) -> int:
    return sum(system.nframes for system in systems)


def test_a_file_is_one_system_in_the_numbering_of_the_model(tmp_path: Path) -> None:
    given = [frame(6, seed) for seed in range(4)]
    path = write(tmp_path / "water.lmdb", given)
    (system,) = open_systems(str(path), ["O", "C", "H"])
    assert (system.name, system.nframes, system.natoms) == (str(path), 4, 6)
    assert system.labels == {"energy", "force"}
    assert isinstance(system.labels, frozenset)
    assert not system.mixed_type
    frames = np.array([3, 0])
    assert system.atype(frames).tolist() == [[2, 0, 2, 0, 2, 0]] * 2
    loaded = system.load(frames, ["energy", "force", "virial"])
    np.testing.assert_array_equal(loaded["energy"], [-5.97, -6.0])
    want = np.frombuffer(given[3]["forces"]["data"]).reshape(6, 3)
    np.testing.assert_array_equal(loaded["force"][0], want)
    assert loaded["coord"].dtype == np.float64
    np.testing.assert_array_equal(loaded["cell"], np.tile(8 * np.eye(3), (2, 1, 1)))
    assert where(system, 3, "force") == f"{path}, frame 3"


def test_frames_of_other_sizes_and_labels_are_other_systems(tmp_path: Path) -> None:
    virial = encoded(np.eye(3))
    given = [frame(6, 0, virials=virial), frame(4, 1), frame(6, 2), frame(4, 3, cell=False)]
    given += [frame(6, 4, virials=virial, find_virial=0.0)]
    path = write(tmp_path / "all.lmdb", given, layout="d")
    systems = open_systems(str(path))
    names = [system.name.removeprefix(f"{path} ") for system in systems]
    assert names == [
        "(4 atoms, periodic, without virial)",
        "(4 atoms, not periodic, without virial)",
        "(6 atoms, periodic)",
        "(6 atoms, periodic, without virial)",
    ]
    assert [system.nframes for system in systems] == [1, 1, 1, 2]
    assert systems[0].type_map == ("H", "O")
    assert systems[1].pbc == (False,) * 3
    assert where(systems[3], 1) == f"{path}, frame 4"


def test_frames_of_other_elements_share_a_system(tmp_path: Path) -> None:
    other = encoded([1, 1, 0, -1], "int64")
    path = write(tmp_path / "mixed.lmdb", [frame(4, 0), frame(4, 1, atom_types=other)])
    (system,) = open_systems(str(path), ["O", "H"])
    assert system.mixed_type
    assert system.atype(np.array([1, 0])).tolist() == [[0, 0, 1, -1], [1, 0, 1, 0]]


def test_values_may_be_plain_numbers_and_names_bytes(tmp_path: Path) -> None:
    types = {k.encode(): v for k, v in encoded([0, 1], "int32").items() if k != "shape"}
    given = frame(2, 0, energies=-3.5, atom_types=types, atomic_ener=encoded([1.0, 2.0]))
    given["fparam"] = encoded([0.1, 0.2, 0.3], "<f4")
    given["cells"] = encoded(np.zeros((3, 3)))
    (system,) = open_systems(str(write(tmp_path / "x.lmdb", [given])))
    loaded = system.load(np.array([0]), ["energy", "atom_ener", "fparam"])
    assert loaded["energy"].tolist() == [-3.5]
    assert loaded["atom_ener"].tolist() == [[1.0, 2.0]]
    assert loaded["fparam"].shape == (1, 3)
    assert not any(system.pbc)


def test_a_folder_is_searched_and_elements_are_named(tmp_path: Path) -> None:
    write(tmp_path / "data" / "b", [frame(2)], type_map=None)
    write(tmp_path / "data" / "a.lmdb", [frame(4)])
    systems = open_systems(str(tmp_path / "data"), ["H", "O"])
    assert [system.natoms for system in systems] == [4, 2]
    assert [system.named for system in systems] == [True, False]
    assert total(open_systems(str(tmp_path / "data"), patterns=["a*"])) == 1


def test_similar_sizes_share_a_system_with_mix(tmp_path: Path) -> None:
    sizes = [1, 2, 3, 3, 18, 21, 22, 30]
    given = [frame(natoms, seed) for seed, natoms in enumerate(sizes)]
    path = write(tmp_path / "mix.lmdb", given)
    systems = open_systems(str(path), ["H", "O"], grouping=Grouping(mix=True))
    assert total(systems) == len(sizes)
    assert [system.natoms for system in systems] == [1, 2, 3, 22, 30]
    assert batch_sizes(systems, "mix:60") == [1, 1, 2, 2, 1]
    system = systems[3]
    loaded = system.load(np.arange(3), ["force", "energy"])
    assert (system.atype(np.arange(3)) >= 0).sum(axis=1).tolist() == [18, 21, 22]
    want = np.frombuffer(given[4]["forces"]["data"]).reshape(18, 3)
    np.testing.assert_array_equal(loaded["force"][0, :18], want)
    assert not loaded["force"][0, 18:].any()


def test_hessians_keep_sizes_apart_with_mix(tmp_path: Path) -> None:
    given = [frame(n, 0, hessian=encoded(np.eye(3 * n))) for n in (18, 21)]
    path = write(tmp_path / "h.lmdb", given)
    systems = open_systems(str(path), ["H", "O"], grouping=Grouping(mix=True))
    assert [system.natoms for system in systems] == [18, 21]
    assert systems[0].load(np.array([0]), ["hessian"])["hessian"].shape == (1, 54, 54)


def test_blocks_of_auto_prob_are_ranges_of_systems_in_the_file(tmp_path: Path) -> None:
    given = [frame(2, seed) for seed in range(8)]
    path = write(tmp_path / "b.lmdb", given, frame_system_ids=[0, 0, 0, 0, 1, 2, 2, 3])
    rule = "prob_sys_size;0:1:0.3;1:3:0.7"
    systems = open_systems(str(path), ["H", "O"], grouping=Grouping(auto_prob=rule))
    assert {s.block: s.nframes for s in systems} == {-1: 1, 0: 4, 1: 3}
    assert systems[1].name == f"{path} (block 0)"
    chances = system_probabilities(systems, batch_sizes(systems, 1), rule)
    assert dict(zip([s.block for s in systems], chances.round(12), strict=True)) == {
        -1: 0.0,
        0: 0.3,
        1: 0.7,
    }


def test_rules_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    path = str(write(tmp_path / "a.lmdb", [frame(2)], frame_system_ids=[0]))
    other = str(write(tmp_path / "b.lmdb", [frame(2)]))
    folder = tmp_path / "system" / "set.000"
    folder.mkdir(parents=True)
    np.save(folder / "coord.npy", np.zeros((1, 3)))
    (tmp_path / "system" / "type.raw").write_text("0")
    (tmp_path / "system" / "nopbc").touch()
    blocks = Grouping(auto_prob="prob_sys_size;0:2:1")
    with fails("block 0:2 of auto_prob", "are 0 to 0", error=ConfigError):
        open_systems(path, grouping=blocks)
    with fails("no frame_system_ids", error=ConfigError):
        open_systems(other, grouping=blocks)
    with fails("one of 2 data sets", error=ConfigError):
        open_systems([path, other], grouping=blocks)
    with fails("'mix:N'", "system is none", "'max:N'", error=ConfigError):
        open_systems([path, str(folder.parent)], grouping=Grouping(mix=True))


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ({"coords": None}, ("frame 1 has no coords",)),
        ({"atom_types": None}, ("frame 1 has no atom_types",)),
        ({"atom_types": encoded([0, 1, -2], "int32")}, ("says -2 for atom 2",)),
        ({"atom_types": encoded([0, 1, 0.5])}, ("says 0.5 for atom 2",)),
        ({"atom_types": encoded([-1, -1, -1], "int32")}, ("frame 1 has no atoms",)),
        ({"atom_types": encoded([0, 1, 2], "int32")}, ("frame 1, atom 2 has type 2", "H, O")),
        ({"forces": encoded(np.zeros((4, 3)))}, ("force has 12 numbers, but 9", "3 atoms")),
        ({"aparam": encoded(np.zeros(4))}, ("aparam has 4 numbers", "a multiple of 3")),
        ({"energies": "low"}, ("energies is neither an array of numbers nor",)),
        ({"energies": encoded(0, type="O")}, ("values of type 'O'",)),
        ({"energies": encoded(0, type="f8,f8")}, ("values of type 'f8,f8'",)),
        ({"energies": encoded(0, shape=[1 << 60])}, ("has 8 bytes, which do not fill",)),
        ({"energies": encoded(0, shape=[-1])}, ("has the shape [-1]",)),
        ({"energies": encoded(0, shape=7)}, ("has the shape 7",)),
        ({"find_energy": "no"}, ("find_energy is neither",)),
    ],
)
def test_bad_frames_are_named(
    tmp_path: Path, change: dict[str, Any], parts: tuple[str, ...]
) -> None:
    path = write(tmp_path / "bad.lmdb", [frame(3, 0), frame(3, 1, **change)])
    with fails("bad.lmdb", *parts):
        open_systems(str(path))


def test_numbers_that_are_not_finite_are_named(tmp_path: Path) -> None:
    bad = encoded([[0.0, 0.0, np.nan], [0.0, 0.0, 0.0]])
    path = write(tmp_path / "nan.lmdb", [frame(2, 0), frame(2, 1, forces=bad)])
    (system,) = open_systems(str(path))
    with fails("nan.lmdb: force of frame 1, atom 0 is nan"):
        system.load(np.array([0, 1]), ["force"])


@pytest.mark.parametrize(
    ("metadata", "parts"),
    [
        ({"nframes": 3}, ("says that there are 3 frames", "2 numbered values")),
        ({"nframes": "2"}, ("says that there are 2 frames",)),
        ({"frame_idx_fmt": "06d"}, ("no value '000000'", "frame 0 of the 2")),
        ({"frame_idx_fmt": "999999999d"}, ("frame_idx_fmt '999999999d'",)),
        ({"frame_idx_fmt": 5}, ("frame_idx_fmt '5'",)),
        ({"type_map": [1, 2]}, ("type_map that is no list",)),
        ({"type_map": ["H"]}, ("has type 1", "names only 1 types")),
        ({"frame_system_ids": [0]}, ("frame_system_ids that are not 2 integers",)),
    ],
)
def test_bad_metadata_are_named(
    tmp_path: Path, metadata: dict[str, Any], parts: tuple[str, ...]
) -> None:
    path = write(tmp_path / "bad.lmdb", [frame(3, 0), frame(3, 1)], **metadata)
    with fails("bad.lmdb", *parts):
        open_systems(str(path))


def test_values_that_are_no_maps_are_named(tmp_path: Path) -> None:
    for raw in (b"", b"\xc1", b"\x93\x01\x02", b"\x81\xa1\xff\x01", b"\x91" * 5000):
        path = write(tmp_path / f"{len(raw)}-{raw[:1].hex()}.lmdb", [raw])
        with fails("frame 0", "map"):
            open_systems(str(path))


def test_files_of_other_programs_are_refused(tmp_path: Path) -> None:
    lmdb = pytest.importorskip("lmdb")
    with lmdb.open(str(tmp_path / "other.lmdb"), map_size=1 << 20) as environment:
        environment.sync()
    with fails("other.lmdb has no __metadata__"):
        open_systems(str(tmp_path / "other.lmdb"))
    (tmp_path / "text.lmdb").write_text("not a database\n" * 1000)
    with fails("text.lmdb is not an LMDB file"):
        open_systems(str(tmp_path / "text.lmdb"))
    (tmp_path / "empty.lmdb").write_text("")
    with fails("empty.lmdb is not an LMDB file", "0 bytes"):
        open_systems(str(tmp_path / "empty.lmdb"))
    (tmp_path / "none.lmdb").mkdir()
    with fails("none.lmdb", "cannot be read"):
        open_systems(str(tmp_path / "none.lmdb"))


def test_a_truncated_file_is_refused_and_one_that_changes(tmp_path: Path) -> None:
    path = write(tmp_path / "x.lmdb", [frame(20, seed) for seed in range(20)])
    file = path / "data.mdb"
    (system,) = open_systems(str(path))
    raw = file.read_bytes()
    file.write_bytes(raw + b"\0")
    with fails("changed while it was in use"):
        system.load(np.array([0]), ["energy"])
    file.write_bytes(raw[: len(raw) // 2])
    with fails("x.lmdb is truncated", str(len(raw) // 2)):
        open_systems(str(path))


def test_damage_is_an_error_or_harmless(tmp_path: Path) -> None:
    path = write(tmp_path / "x.lmdb", [frame(40, seed) for seed in range(60)])
    file = path / "data.mdb"
    raw = file.read_bytes()
    page, _ = struct.unpack_from("<IH", raw, 40)
    rng = np.random.default_rng(0)
    told = set()
    for _ in range(150):
        damaged = bytearray(raw)
        # The description of the file, or the head of any page.
        start = int(rng.choice([0, page, page * int(rng.integers(2, len(raw) // page))]))
        place = start + int(rng.integers(0, 200 if rng.random() < 0.5 else 32))
        damaged[place : place + 4] = rng.bytes(4)
        file.write_bytes(damaged)
        try:
            for system in open_systems(str(path)):
                system.load(np.arange(system.nframes), ["energy", "force"])
        except DataError as exc:
            told.add(str(exc).split("damaged: ")[-1][:20])
    assert len(told) > 3


def test_a_file_needs_msgpack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "x.lmdb", [frame(2)])
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "msgpack":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with fails("needs msgpack", 'pip install "multifit[lmdb]"'):
        open_systems(str(path))

"""Files made to harm: nothing outside of them is read, nothing is executed, no memory is filled."""

from __future__ import annotations

import json
import pickle
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from multifit.errors import FileFormatError
from multifit.files import read

ONE = json.dumps({"@variables": {"w": "/variable_0000"}})


def external_storage(file: h5py.File, secret: Path) -> None:
    file.create_dataset("variable_0000", (8,), "u1", external=[(str(secret), 0, 8)])


def external_link(file: h5py.File, secret: Path) -> None:
    file["variable_0000"] = h5py.ExternalLink(str(secret.with_name("other.h5")), "/x")


def soft_link(file: h5py.File, secret: Path) -> None:
    file["x"] = np.zeros(3)
    file["variable_0000"] = h5py.SoftLink("/x")


def dangling_link(file: h5py.File, secret: Path) -> None:
    file["variable_0000"] = h5py.SoftLink("/nowhere")


def virtual(file: h5py.File, secret: Path) -> None:
    layout = h5py.VirtualLayout((4,), "f8")
    layout[:] = h5py.VirtualSource(str(secret.with_name("other.h5")), "x", (4,))
    file.create_virtual_dataset("variable_0000", layout)


def text_objects(file: h5py.File, secret: Path) -> None:
    file.create_dataset("variable_0000", data=["a", "b"], dtype=h5py.string_dtype())


def fixed_text(file: h5py.File, secret: Path) -> None:
    file["variable_0000"] = np.array([b"abc"])


def variable_length(file: h5py.File, secret: Path) -> None:
    file.create_dataset("variable_0000", (2,), h5py.vlen_dtype(np.float64))


def compound(file: h5py.File, secret: Path) -> None:
    file["variable_0000"] = np.zeros(2, [("a", "f8"), ("b", "i4")])


def complex_numbers(file: h5py.File, secret: Path) -> None:
    file["variable_0000"] = np.zeros(2, complex)


def long_double(file: h5py.File, secret: Path) -> None:
    file["variable_0000"] = np.zeros(2, np.longdouble)


def reference(file: h5py.File, secret: Path) -> None:
    file.create_dataset("variable_0000", (1,), h5py.ref_dtype)


def enumeration(file: h5py.File, secret: Path) -> None:
    file.create_dataset("variable_0000", (1,), h5py.enum_dtype({"A": 1, "B": 2}))


def opaque(file: h5py.File, secret: Path) -> None:
    file["variable_0000"] = np.array([np.void(b"abc")])


def array_type(file: h5py.File, secret: Path) -> None:
    file.create_dataset("variable_0000", (2,), np.dtype((np.float64, (3,))))


def empty(file: h5py.File, secret: Path) -> None:
    file["variable_0000"] = h5py.Empty("f8")


def huge(file: h5py.File, secret: Path) -> None:
    file.create_dataset("variable_0000", (10**13,), "f8")


def huge_chunked(file: h5py.File, secret: Path) -> None:
    file.create_dataset("variable_0000", (10**7, 10**9), "f8", chunks=(10, 10))


def overflowing(file: h5py.File, secret: Path) -> None:
    file.create_dataset("variable_0000", (2**31, 2**31, 4), "u1", chunks=(1, 1, 1))


def gzip_bomb(file: h5py.File, secret: Path) -> None:
    zeros = np.zeros(10**7)
    file.create_dataset("variable_0000", data=zeros, compression="gzip", chunks=(10**6,))


def bomb_in_a_chunk(file: h5py.File, secret: Path) -> None:
    import zlib

    data = file.create_dataset("variable_0000", (4,), "f8", compression="gzip", chunks=(4,))
    data.id.write_direct_chunk((0,), zlib.compress(bytes(10**7)))


def group(file: h5py.File, secret: Path) -> None:
    file.create_group("variable_0000")


def named_type(file: h5py.File, secret: Path) -> None:
    file["variable_0000"] = np.dtype("f8")


def absent(file: h5py.File, secret: Path) -> None:
    file["variable_0001"] = np.zeros(2)


BUILDERS = [
    external_storage, external_link, soft_link, dangling_link, virtual, text_objects, fixed_text,
    variable_length, compound, complex_numbers, long_double, reference, enumeration, opaque,
    array_type, empty, huge, huge_chunked, overflowing, gzip_bomb, bomb_in_a_chunk, group,
    named_type, absent,
]  # fmt: skip


@pytest.mark.parametrize("build", BUILDERS, ids=lambda build: build.__name__)
def test_only_plain_datasets_are_read(
    tmp_path: Path, build: Callable[[h5py.File, Path], None]
) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"password")
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["x"] = np.arange(4.0)
    path = tmp_path / "model.dp"
    with h5py.File(path, "w") as file:
        build(file, secret)
        file.attrs["json"] = ONE
    assert read_is_refused(path, memory=4 * 10**6).startswith(str(path))


def read_is_refused(path: Path, memory: float) -> str:
    """Return the error of a read that takes at most ``memory`` bytes."""
    tracemalloc.start()
    try:
        with pytest.raises(FileFormatError) as caught:
            read(path)
        assert tracemalloc.get_traced_memory()[1] < memory
    finally:
        tracemalloc.stop()
    return str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        '{"@variables": {"w": "/../variable_0000"}}',
        '{"@variables": {"w": "/."}}',
        '{"@variables": {"w": ".."}}',
        '{"@variables": {"w": ""}}',
        '{"@variables": {"w": "/group/x"}}',
        '{"@variables": {"w": 3}}',
        '{"@variables": {"w": "\\u0000"}}',
        '{"a": {"@is_variable": true, "value": 1}}',
        '{"a": 1, "a": 2}',
        "{" + ",".join(f'"k{i % 99_999}": 1' for i in range(100_000)) + "}",
        '{"a": NaN}',
        '{"a": -Infinity}',
        '{"a": 1e999}',
        '{"a": 1' + "0" * 5000 + "}",
        '{"a": ' + "[" * 1000 + "]" * 1000 + "}",
        '{"a": ' + "[" * 150 + "]" * 150 + "}",
        '{"a":' * 100_000,
        "[1, 2]",
        "3",
        "{",
        "",
    ],
    ids=range(21),
)
def test_strange_json_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "model.dp"
    with h5py.File(path, "w") as file:
        file["variable_0000"] = np.zeros(2)
        file["group/x"] = np.zeros(2)
        file.attrs["json"] = text
    read_is_refused(path, memory=2**26)


def test_one_dataset_named_a_million_times_is_read_once(tmp_path: Path) -> None:
    path = tmp_path / "model.dp"
    with h5py.File(path, "w") as file:
        file["variable_0000"] = np.zeros(10**5)
        file.attrs["json"] = json.dumps({"@variables": {"w": ["/variable_0000"] * 50_000}})
    tracemalloc.start()
    try:
        arrays = read(path)["@variables"]["w"]
        assert tracemalloc.get_traced_memory()[1] < 2**26
    finally:
        tracemalloc.stop()
    assert len(arrays) == 50_000
    assert all(array is arrays[0] for array in arrays)


def test_datasets_that_are_one_are_refused(tmp_path: Path) -> None:
    path, count = tmp_path / "model.dp", 100
    with h5py.File(path, "w") as file:
        file["variable_0"] = np.zeros(10**5)
        for k in range(1, count):
            file[f"variable_{k}"] = file["variable_0"]
        names = [f"/variable_{k}" for k in range(count)]
        file.attrs["json"] = json.dumps({"@variables": {"w": names}})
    assert "more data than it holds" in read_is_refused(path, memory=2**26)


@pytest.mark.parametrize("value", [3, np.arange(3), h5py.Empty("f8"), ["a", "b"], None])
def test_hdf5_that_is_no_model(tmp_path: Path, value: Any) -> None:
    path = tmp_path / "model.dp"
    with h5py.File(path, "w") as file:
        file["variable_0000"] = np.zeros(2)
        if value is not None:
            file.attrs["json"] = value
    assert "is an HDF5 file but not a model" in read_is_refused(path, memory=2**24)


class Payload:
    """Would raise if it were unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (pytest.fail, ("something was unpickled",))


@pytest.mark.parametrize("suffix", [".dp", ".json", ".yaml"])
def test_pickles_are_not_opened(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"model{suffix}"
    path.write_bytes(pickle.dumps(Payload()))
    read_is_refused(path, memory=2**24)
    with path.open("wb") as file:
        np.save(file, np.array([Payload()], object), allow_pickle=True)
    read_is_refused(path, memory=2**24)


@pytest.mark.parametrize(
    "text",
    [
        "a: !!python/object/apply:os.system ['true']",
        "a: !!python/name:os.system",
        "a: &x [*x, *x]",
        "a: &x [1]\nb: *y",
        "<<: {a: 1}\nb: 2",
        "a: 1\na: 2",
        "1: 2",
        "{a: 1, ? [b] : 2}",
        "a: .nan",
        "a: 2026-01-01",
        "a: !!set {b, c}",
        "a: !!binary aGVsbG8=",
        "- 1",
        "plain",
        "a: " + "[" * 1000 + "]" * 1000,
        "a: " + "[" * 100_000,
        "".join("  " * i + "a:\n" for i in range(400)),
        "a: 1\n---\nb: 2",
    ],
)
def test_strange_yaml_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "model.yaml"
    path.write_text(text)
    assert read_is_refused(path, memory=2**26).startswith(str(path))


@pytest.mark.parametrize(
    "last", ["{}", "{'@variables': {'w': {'@is_variable': true, '@class': np.ndarray, %s}}}"]
)
def test_a_billion_laughs_are_refused(tmp_path: Path, last: str) -> None:
    lines = ["a0: &a0 [1, 1]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    lines += ["last: " + last.replace("%s", "dtype: float64, value: *a11")]
    (tmp_path / "model.yaml").write_text("\n".join(lines))
    assert "repeats itself" in read_is_refused(tmp_path / "model.yaml", memory=2**24)


def test_yaml_references_as_other_programs_write_them_are_read(tmp_path: Path) -> None:
    path = tmp_path / "model.yaml"
    path.write_text("a: &id001 [46, 92]\nb: {sel: *id001}\nc:\n")
    assert read(path) == {"a": [46, 92], "b": {"sel": [46, 92]}, "c": None}
    path.write_text("{a,b,c}")
    assert read(path) == {"a": None, "b": None, "c": None}


@pytest.mark.parametrize(
    "array",
    [
        {"dtype": "object", "value": [1]},
        {"dtype": "complex128", "value": [1]},
        {"dtype": "int64", "value": [1.5]},
        {"dtype": "int64", "value": ["1"]},
        {"dtype": "int64", "value": [True]},
        {"dtype": "bool", "value": [1]},
        {"dtype": "uint8", "value": [300]},
        {"dtype": "float32", "value": [1e300]},
        {"dtype": "float64", "value": [[1.0], [1.0, 2.0]]},
        {"dtype": "float64", "value": ["1.0"]},
        {"dtype": "float64", "value": None},
        {"dtype": "float64", "value": {"a": 1}},
        {"dtype": "float64", "value": [], "shape": [0, "x"]},
        {"dtype": "float64", "value": [], "shape": [3]},
        {"dtype": "float64"},
        {"value": [1.0]},
        {"dtype": "float64", "value": [1.0], "@class": "Other"},
        {"dtype": "float64", "value": [1.0], "@version": 2},
    ],
)
@pytest.mark.parametrize("suffix", [".json", ".yaml"])
def test_strange_arrays_in_text_are_refused(
    tmp_path: Path, suffix: str, array: dict[str, Any]
) -> None:
    path = tmp_path / f"model{suffix}"
    node = {"@class": "np.ndarray", "@is_variable": True, "@version": 1, **array}
    path.write_text(json.dumps({"@variables": {"w": node}}))
    assert read_is_refused(path, memory=2**24).startswith(str(path))


def test_a_bare_list_of_text_is_no_array(tmp_path: Path) -> None:
    path = tmp_path / "model.json"
    path.write_text('{"@variables": {"w": ["/variable_0000"]}}')
    assert "w.0 is not an array" in read_is_refused(path, memory=2**24)

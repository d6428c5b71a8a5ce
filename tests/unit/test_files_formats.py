"""What is written is what is read, bit for bit, in every format."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from multifit.errors import FileFormatError
from multifit.files import read, write

SUFFIXES = [".dp", ".h5", ".hdf5", ".json", ".yaml", ".yml"]
ONE_OF_EACH = [".dp", ".json", ".yaml"]


def same(a: Any, b: Any) -> bool:
    """Equal in type, order of keys, dtype, shape and every bit (NaNs equal any NaN)."""
    if isinstance(a, np.ndarray):
        if not isinstance(b, np.ndarray) or (a.dtype, a.shape) != (b.dtype, b.shape):
            return False
        if a.dtype.kind != "f":
            return a.tobytes() == b.tobytes()
        nan = np.isnan(a)
        return np.array_equal(nan, np.isnan(b)) and a[~nan].tobytes() == b[~nan].tobytes()
    if isinstance(a, dict):
        return type(b) is dict and list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return type(b) is list and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and repr(a) == repr(b)


DTYPES = st.one_of(
    hnp.boolean_dtypes(),
    hnp.integer_dtypes(endianness="="),
    hnp.unsigned_integer_dtypes(endianness="="),
    hnp.floating_dtypes(endianness="=", sizes=(16, 32, 64)),
)
ARRAYS = hnp.arrays(DTYPES, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
KEYS = st.text(max_size=6).filter(lambda key: not key.startswith("@"))
VARIABLES = st.recursive(
    st.none() | ARRAYS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYS, inner, max_size=2),
    max_leaves=3,
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
)


def with_variables(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.tuples(
        st.dictionaries(KEYS, inner, max_size=3), st.dictionaries(KEYS, VARIABLES, max_size=3)
    ).map(lambda pair: {**pair[0], "@variables": pair[1]})


TREES = with_variables(
    st.recursive(
        SCALARS, lambda inner: st.lists(inner, max_size=3) | with_variables(inner), max_leaves=6
    )
)


@pytest.mark.parametrize("suffix", ONE_OF_EACH)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(tree=TREES)
def test_what_is_written_is_read(suffix: str, tree: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model" + suffix)
        write(path, tree)
        assert same(read(path), tree)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_extreme_numbers_keep_every_bit(tmp_path: Path, suffix: str) -> None:
    arrays = {
        "f64": np.array([0.1, -0.0, 5e-324, 1.7976931348623157e308, np.inf, -np.inf, np.nan]),
        "f32": np.array([0.1, 1e-45, 3.4028235e38, np.nan], np.float32),
        "f16": np.array(65504, np.float16),
        "u64": np.array([2**64 - 1, 0], np.uint64),
        "i64": np.array(-(2**63), np.int64),
        "flag": np.array([[True], [False]]),
        "none": np.zeros((0, 3)),
        "empty": np.zeros((2, 0, 4), np.float32),
    }
    tree = {"step": 3 * 2**100, "lr": 1e-20, "@variables": arrays}
    write(tmp_path / f"a{suffix}", tree)
    assert same(read(tmp_path / f"a{suffix}"), tree)


@pytest.mark.parametrize("suffix", ONE_OF_EACH)
def test_scalars_and_foreign_byte_order_become_plain(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    big_endian = np.arange(3, dtype=">f8")
    strided = np.arange(12.0).reshape(3, 4).T[::2]
    write(
        path,
        {
            "sel": (np.int64(4), 5),
            "ok": np.bool_(True),
            "@variables": {"a": big_endian, "b": strided, "c": np.float32(0.1), "d": 2},
        },
    )
    back = read(path)
    assert back["sel"] == [4, 5]
    assert back["ok"] is True
    assert same(back["@variables"]["a"], big_endian.astype("=f8"))
    assert same(back["@variables"]["b"], np.ascontiguousarray(strided))
    assert same(back["@variables"]["c"], np.array(0.1, np.float32))
    assert same(back["@variables"]["d"], np.array(2))


@pytest.mark.parametrize(
    ("tree", "error", "words"),
    [
        ({"a": {"w": np.zeros(2)}}, TypeError, "a.w is an array"),
        ({"a": [1, {"b": float("nan")}]}, ValueError, "a.1.b is nan"),
        ({"a": {1: 2}}, TypeError, "the key 1 under a"),
        ({"a": object()}, TypeError, "a is of type object"),
        ({"@variables": {"w": np.array(["x"])}}, TypeError, "@variables.w"),
        ({"@variables": {"w": np.zeros(2, complex)}}, TypeError, "complex"),
        ({"@variables": {"w": object()}}, TypeError, "@variables.w"),
        ({"a": {"@is_variable": True}}, ValueError, "reserved"),
        ([1], TypeError, "list"),
    ],
)
@pytest.mark.parametrize("suffix", ONE_OF_EACH)
def test_what_has_no_place_is_refused(
    tmp_path: Path, suffix: str, tree: Any, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        write(tmp_path / f"a{suffix}", tree)
    assert list(tmp_path.iterdir()) == []


def test_writing_leaves_the_caller_s_dict_alone_and_is_reproducible(tmp_path: Path) -> None:
    weight = np.eye(3)
    tree = {"layers": [{"@variables": {"w": weight, "idt": None}}]}
    write(tmp_path / "a.dp", tree)
    write(tmp_path / "b.dp", tree)
    assert tree["layers"][0]["@variables"]["w"] is weight
    assert (tmp_path / "a.dp").read_bytes() == (tmp_path / "b.dp").read_bytes()


def test_dp_is_hdf5_as_deepmd_kit_has_it(tmp_path: Path) -> None:
    import h5py

    path = tmp_path / "a.dp"
    write(path, {"model": {"@variables": {"w": np.eye(2), "idt": None}, "list": [1.5]}})
    with h5py.File(path) as file:
        assert isinstance(file.attrs["json"], str)
        assert json.loads(file.attrs["json"]) == {
            "model": {"@variables": {"w": "/variable_0000", "idt": None}, "list": [1.5]}
        }
        assert list(file) == ["variable_0000"]
        assert file["variable_0000"].chunks is None
        assert np.array_equal(file["variable_0000"][()], np.eye(2))


def test_megabytes_of_json_fit_the_attribute(tmp_path: Path) -> None:
    layer = {"@class": "Layer", "@version": 2, "activation_function": "tanh", "precision": "f64"}
    nets = [dict(layer, number=i, comment="x" * 300, **{"@variables": {}}) for i in range(3000)]
    nets[-1]["@variables"]["b"] = np.arange(3.0)
    path = tmp_path / "a.dp"
    write(path, {"networks": nets})
    assert path.stat().st_size > 10**6
    assert same(read(path)["networks"], nets)


def test_foreign_dp_without_a_seal_is_read(tmp_path: Path) -> None:
    import h5py

    path = tmp_path / "a.dp"
    with h5py.File(path, "w") as file:
        file["variable_0000"] = np.eye(2)
        file.create_dataset("variable_0001", data=np.arange(3, dtype=">i4"))
        file["variable_0002"] = np.array([True, False])
        file.attrs["json"] = json.dumps(
            {"@variables": {"a": "/variable_0000", "b": "variable_0001", "c": "/variable_0002"}}
        )
    back = read(path)["@variables"]
    assert same(back["a"], np.eye(2))
    assert same(back["b"], np.arange(3, dtype=np.int32))
    assert same(back["c"], np.array([True, False]))


def test_yaml_holds_arrays_as_deepmd_kit_has_them(tmp_path: Path) -> None:
    import yaml

    write(tmp_path / "a.yaml", {"@variables": {"w": np.array([[0.1]], np.float32)}})
    assert yaml.safe_load((tmp_path / "a.yaml").read_text()) == {
        "@variables": {
            "w": {
                "@class": "np.ndarray",
                "@is_variable": True,
                "@version": 1,
                "dtype": "float32",
                "value": [[float(np.float32(0.1))]],
            }
        }
    }


def test_yaml_without_pyyaml_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(FileFormatError, match=r"pip install multifit\[yaml\]"):
        write(tmp_path / "a.yaml", {})


def test_import_is_light() -> None:
    code = (
        "import sys, multifit.files; assert not {'h5py', 'yaml', 'torch', 'jax'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

"""Settings and parameters of model files are checked as those of an input are."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _cases import build, draw

import multifit
from multifit import config, files
from multifit import models as mdl
from multifit.errors import ConfigError, FileFormatError, UnsupportedError
from multifit.inference.uncertainty import KEY, Uncertainty

MODEL = build()
CONTENT = {"software": "multifit", **mdl.to_content(MODEL, draw(MODEL))}
D, F = "model.descriptor", "model.fitting"
LAYER = f"{D}.embeddings.networks.0.layers.1"

#: dotted path in a model file, value in its place, beginning of the sentence after "…: "
WRONG: list[tuple[str, Any, str]] = [
    (f"{D}.rcut", 1e300, r"rcut must be a number > 0 and at most 1000, but is 1e\+300"),
    (f"{D}.rcut", -1, "rcut must be a number > 0, but is -1"),
    (f"{D}.rcut", "6", "rcut must be a number > 0, but is '6'"),
    (f"{D}.rcut", None, "rcut must be a number > 0, but is None"),
    (f"{D}.rcut_smth", 7.0, r"rcut_smth is 7.0, but must be < rcut"),
    (f"{D}.rcut_smth", True, "rcut_smth must be a number ≥ 0, but is True"),
    (f"{D}.axis_neuron", 0, "axis_neuron must be an integer ≥ 1, but is 0"),
    (f"{D}.axis_neuron", 10**9, "axis_neuron must be an integer ≥ 1 and at most 100000"),
    (f"{D}.axis_neuron", 7, "axis_neuron is 7, but must be at most the last width"),
    (f"{D}.axis_neuron", 3, r"dim_descrpt of the fitting net is 12, but the descriptor has 18"),
    (f"{D}.sel", [8, -1], r"sel\[1\] must be an integer ≥ 0, but is -1"),
    (f"{D}.sel", [8, 12.5], r"sel\[1\] must be an integer ≥ 0, but is 12.5"),
    (f"{D}.sel", [8, 10**9], r"sel\[1\] must be an integer ≥ 0 and at most 100000"),
    (f"{D}.sel", [0, 0], "sel has no slots"),
    (f"{D}.sel", 5, "descriptor.sel is 5, but must be a list"),
    (f"{D}.sel", [20], "embeddings holds 2 networks, but 1 are needed"),
    (f"{D}.neuron", [3, 10**9], r"neuron\[1\] must be an integer ≥ 1 and at most 100000"),
    (f"{D}.neuron", [], "neuron is empty"),
    (f"{D}.neuron", [3, 9], "w has the shape"),
    (f"{D}.activation_function", 3, "activation_function must be one of tanh"),
    (f"{D}.activation_function", "tahn", "unknown activation function 'tahn'"),
    (f"{D}.precision", 64, "precision must be one of default"),
    (f"{D}.precision", "float128", "precision 'float128' is not available"),
    (f"{D}.exclude_types", [[0, 2]], "exclude_types names type 2, but there are 2 types"),
    (f"{D}.exclude_types", [[0]], r"exclude_types names type \(0,\)"),
    (f"{D}.env_mat", 1, "descriptor.env_mat is 1, but must be a section"),
    (f"{D}.@variables.dstd", np.zeros((2, 20, 4)), "dstd is 0 for a type, but must be > 0"),
    (f"{D}.@variables.davg", np.zeros((2, 20, 4), int), "davg holds values of type int64"),
    (f"{LAYER}.@variables.w", np.full((3, 6), np.nan), r"w is nan at \[0, 0\], but a parameter is"),
    (f"{LAYER}.@variables.w", np.ones((3, 6), bool), "w holds values of type bool"),
    (f"{LAYER}.@variables.w", np.ones((6, 3)), r"w has the shape \(6, 3\), but its settings ask"),
    (f"{LAYER}.@variables.b", None, r"layers.1.b is missing"),
    (f"{LAYER}.activation_function", "relu", "activation_function is 'relu', but the net has"),
    (f"{LAYER}.resnet", False, "resnet is False, but must be true"),
    (LAYER, 3, "layers.1 is 3, but must be a section"),
    (f"{F}.neuron", [5, "x"], r"neuron\[1\] must be an integer ≥ 1, but is 'x'"),
    (f"{F}.neuron", 5, "fitting.neuron is 5, but must be a list"),
    (f"{F}.numb_fparam", 10**9, "numb_fparam must be an integer ≥ 0 and at most 100000"),
    (f"{F}.numb_fparam", 1, "w has the shape"),
    (f"{F}.dim_out", 10**9, "fitting.dim_out is 1000000000, but a fitting net of type 'ener'"),
    (f"{F}.ntypes", 10**9, "networks, but 1000000000 are needed"),
    (f"{F}.exclude_types", [2], "exclude_types names type 2"),
    (f"{F}.exclude_types", [None], "exclude_types names type None"),
    (f"{F}.@variables.bias_atom_e", np.full((2, 1), np.inf), "bias_atom_e is inf at"),
    ("model.type_map", ["O", "O"], "type_map names 'O' twice"),
    ("model.type_map", ["O", 1], "type_map has the entry 1"),
    ("model.type_map", ["O", ""], "type_map has the entry ''"),
    ("model.type_map", ["O"], "type_map has 1 elements, but sel 2"),
    ("model.type_map", "OH", "model.type_map is 'OH', but must be a list"),
    ("model.atom_exclude_types", [5], "atom_exclude_types names type 5"),
    ("model.pair_exclude_types", [[0, -1]], "pair_exclude_types names type -1"),
    ("model.preset_out_bias", {"energy": [1.0]}, "preset_out_bias has 1 entries"),
    ("model.preset_out_bias", {"energy": ["a", None]}, "preset_out_bias has the entry 'a'"),
    ("model.@variables.out_bias", np.full((1, 2, 1), np.nan), "model.out_bias is nan"),
    ("model.descriptor", [], r"descriptor is \[\], but must be a section"),
    ("layer_name", 3, "layer_name"),
]


def changed(path: str, value: Any) -> dict[str, Any]:
    """Return the content of a model file with one value replaced."""
    content = copy.deepcopy(CONTENT)
    *keys, last = path.split(".")
    node: Any = content
    for key in keys:
        node = node[int(key)] if isinstance(node, list) else node[key]
    node[int(last) if isinstance(node, list) else last] = value
    return content


@pytest.mark.parametrize(("path", "value", "says"), WRONG, ids=lambda x: str(x)[:40])
def test_a_setting_out_of_range_is_one_sentence(
    tmp_path: Path, path: str, value: Any, says: str
) -> None:
    files.write(tmp_path / "model.dp", changed(path, value))
    with pytest.raises((FileFormatError, UnsupportedError), match=says) as caught:
        multifit.load(tmp_path / "model.dp")
    text = str(caught.value)
    assert text.startswith(str(tmp_path / "model.dp"))
    assert "\n" not in text
    assert not re.search(r"object has no attribute|unhashable|not iterable|not subscript", text)


def test_text_formats_are_checked_alike(tmp_path: Path) -> None:
    for ending in ("json", "yaml"):
        files.write(tmp_path / f"model.{ending}", changed(f"{D}.axis_neuron", 10**9))
        with pytest.raises(FileFormatError, match="axis_neuron must be an integer"):
            multifit.load(tmp_path / f"model.{ending}")


def test_half_precision_in_a_file_is_read(tmp_path: Path) -> None:
    files.write(tmp_path / "model.dp", changed(f"{LAYER}.@variables.w", np.ones((3, 6), "f2")))
    assert multifit.load(tmp_path / "model.dp").params is not None


def test_an_uncertainty_with_odd_numbers_is_refused(tmp_path: Path) -> None:
    size = 2 * MODEL.fitting.neuron[-1]
    entry = Uncertainty(np.eye(size), np.arange(9.0)).to_content()
    for name, value in (("scores", -np.arange(9.0)), ("factor", np.full((size, size), np.nan))):
        bad = {**entry, "@variables": {**entry["@variables"], name: value}}
        files.write(tmp_path / "model.dp", {**CONTENT, KEY: bad})
        with pytest.raises(FileFormatError, match=f"uncertainty.{name} "):
            multifit.load(tmp_path / "model.dp")


def test_an_input_has_the_same_limits() -> None:
    base = {
        "model": {
            "type_map": ["O"],
            "descriptor": {"type": "se_e2_a", "sel": [20]},
            "fitting_net": {"type": "dos"},
        },
        "learning_rate": {"start_lr": 0.001},
        "loss": {"type": "dos"},
        "training": {"training_data": {"systems": "x"}, "numb_steps": 1},
    }
    for path, value, says in (
        ("descriptor.rcut", 1e300, "a number > 0 and at most 1000"),
        ("descriptor.sel", [10**9], "and at most 100000"),
        ("descriptor.neuron", [4, 10**9], "and at most 100000"),
        ("fitting_net.neuron", [4, 10**9], "and at most 100000"),
        ("fitting_net.numb_dos", 10**9, "and at most 100000"),
        ("fitting_net.numb_fparam", 10**9, "and at most 100000"),
    ):
        given = json.loads(json.dumps(base))
        section, key = path.split(".")
        given["model"][section][key] = value
        with pytest.raises(ConfigError) as caught:
            config.parse(given)
        assert says in str(caught.value)

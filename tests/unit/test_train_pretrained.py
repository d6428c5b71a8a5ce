"""Settings of a model's file in place of the input's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from multifit import files
from multifit.errors import ConfigError
from multifit.train.start.pretrained import with_settings_of

PART = {"type": "se_e2_r", "sel": [5, 6], "rcut": 4.0, "trainable": True}
SCRIPT: dict[str, Any] = {
    "type_map": ["O", "H"],
    "type_embedding": None,
    "descriptor": {"type": "se_atten", "sel": [30], "neuron": [4, 8], "trainable": True},
    "fitting_net": {"neuron": [9], "trainable": True, "atom_ener": []},
}


def saved(folder: Path, script: Any) -> Path:
    path = folder / "model.dp"
    files.write(path, {"software": "test", "model": {}, "model_def_script": script})
    return path


def test_the_descriptor_and_the_fitting_net_are_those_of_the_file(tmp_path: Path) -> None:
    path = saved(tmp_path, SCRIPT)
    mine = {
        "type_map": ["H", "O", "C"],
        "pair_exclude_types": [[0, 1]],
        "descriptor": {"type": "se_atten", "neuron": [2], "rcut": 3.0, "trainable": False},
    }
    given = {"model": mine, "training": {}}
    found, notes = with_settings_of(given, path, whole=False)
    assert found == {
        "model": {
            "type_map": ["H", "O", "C"],
            "pair_exclude_types": [[0, 1]],
            "descriptor": SCRIPT["descriptor"] | {"trainable": False},
            "fitting_net": {"neuron": [9], "atom_ener": []},
        },
        "training": {},
    }
    assert notes == [
        f"the settings of {path} replace the input's: model.descriptor.neuron [2] → [4, 8]"
    ]
    assert given["model"] is mine


def test_an_input_may_leave_all_to_the_file(tmp_path: Path) -> None:
    found, notes = with_settings_of({}, saved(tmp_path, json.dumps(SCRIPT)), whole=False)
    assert found["model"]["type_map"] == ["O", "H"]
    assert not notes


def test_init_model_takes_all_settings(tmp_path: Path) -> None:
    given = {"model": {"type_map": ["H", "O"]}, "loss": {}}
    found, notes = with_settings_of(given, saved(tmp_path, SCRIPT), whole=True)
    assert found == {"model": SCRIPT, "loss": {}}
    assert notes[0].endswith('model.type_map ["H", "O"] → ["O", "H"]')


def test_the_parts_of_a_hybrid_are_trained_as_the_input_says(tmp_path: Path) -> None:
    script = SCRIPT | {"descriptor": {"type": "hybrid", "list": [PART, PART]}}
    mine = {"type_map": ["O", "H"], "descriptor": {"trainable": False}}
    found, _ = with_settings_of({"model": mine}, saved(tmp_path, script), whole=False)
    assert found["model"]["descriptor"] == {
        "type": "hybrid",
        "list": [PART | {"trainable": False}] * 2,
    }


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"descriptor": {"type": "se_e2_a", "sel": [5, 6]}}, "model.descriptor.sel"),
        ({"descriptor": {"list": [PART]}}, "model.descriptor.list[0].sel"),
        ({"descriptor": {"sel": 9, "exclude_types": [[0, 1]]}}, "model.descriptor.exclude_types"),
        ({"fitting_net": {"atom_ener": [1.0, 2.0]}}, "model.fitting_net.atom_ener"),
    ],
)
def test_what_is_listed_by_type_needs_the_same_types(
    change: dict[str, Any], key: str, tmp_path: Path
) -> None:
    path = saved(tmp_path, SCRIPT | change)
    with_settings_of({"model": {"type_map": ["O", "H"]}}, path, whole=False)
    with pytest.raises(ConfigError) as error:
        with_settings_of({"model": {"type_map": ["H", "O"]}}, path, whole=False)
    assert str(error.value).startswith(f"{key} of {path} lists types in the order of its type_map")


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (None, "does not tell the settings of its model (model_def_script)"),
        ({"descriptor": {}}, "does not tell the settings of its model (model_def_script)"),
        ({"model_dict": {}}, "was made from an input with several models"),
    ],
)
def test_a_file_without_settings_is_refused(script: Any, words: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        with_settings_of({"model": {}}, saved(tmp_path, script), whole=False)
    assert words in str(error.value)

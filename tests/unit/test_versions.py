"""Every class of a model file in every version: read where it is known, refused by name else."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _cases import build, crystal, draw

import multifit
from multifit import files
from multifit import models as mdl
from multifit.errors import FileFormatError

#: Class → the versions that are read; the last one is written.
KNOWN = {
    "Model": (1, 2),
    "Descriptor": (1, 2),
    "Fitting": (1, 2, 3, 4),
    "NetworkCollection": (1,),
    "EmbeddingNetwork": (1, 2),
    "FittingNetwork": (1,),
    "Layer": (1, 2),
}

#: What a class has since a version: (class, version) → keys, "@" before arrays.
SINCE = {
    ("Descriptor", 2): ("type_map",),
    ("Fitting", 2): ("type_map", "var_name"),
    ("Fitting", 3): ("dim_case_embd", "@case_embd"),
    ("Fitting", 4): ("default_fparam",),
    ("EmbeddingNetwork", 2): ("bias",),
    ("Layer", 2): ("trainable",),
}

#: Release of DeePMD-kit → the versions that it writes.
RELEASES = {
    "3.0": {"Fitting": 2, "Layer": 1},
    "3.1": {"Fitting": 3, "Layer": 1},
    "3.2": {},
}

LATEST = {name: versions[-1] for name, versions in KNOWN.items()}
EVERY = [(name, version) for name, versions in KNOWN.items() for version in versions]
MODELS = {
    "energy": build(numb_fparam=1, type_one_side=False),
    "dos": build(numb_fparam=1, numb_dos=3),
}
DRAWN = {kind: draw(model) for kind, model in MODELS.items()}
MODEL, PARAMS = MODELS["energy"], DRAWN["energy"]
KINDS = pytest.mark.parametrize("kind", MODELS)
FPARAM = np.array([0.4])


def nodes(value: Any) -> Iterator[dict[str, Any]]:
    """Yield every node with a class, the outer ones first."""
    if isinstance(value, dict):
        if "@class" in value:
            yield value
        for inner in value.values():
            yield from nodes(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from nodes(inner)


def written(versions: dict[str, int], kind: str = "energy") -> dict[str, Any]:
    """Return the content of a model file as a program wrote it that knew these versions."""
    content = copy.deepcopy(mdl.to_content(MODELS[kind], DRAWN[kind]))
    for node in nodes(content):
        name = node["@class"]
        version = node["@version"] = versions.get(name, LATEST[name])
        for (owner, since), keys in SINCE.items():
            for key in keys if owner == name and version < since else ():
                node.pop(key, None)
                node.get("@variables", {}).pop(key.removeprefix("@"), None)
    return content


def predicted(path: Path) -> np.ndarray:
    """Return what a model file gives for one crystal: its energy or its density of states."""
    system = crystal()
    potential = multifit.load(path)
    out = potential.predict(system.coord, system.atype, system.cell, FPARAM)
    return out[potential.model.output.name]


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    """Return what the models give as they are."""
    folder = tmp_path_factory.mktemp("versions")
    for kind, model in MODELS.items():
        files.write(folder / f"{kind}.dp", mdl.to_content(model, DRAWN[kind]))
    return {kind: predicted(folder / f"{kind}.dp") for kind in MODELS}


@pytest.fixture(scope="module")
def energy(outputs: dict[str, np.ndarray]) -> np.ndarray:
    """Return the energy of the model as it is."""
    return outputs["energy"]


@KINDS
def test_the_newest_versions_are_written(kind: str) -> None:
    content = mdl.to_content(MODELS[kind], DRAWN[kind])
    assert {node["@class"]: node["@version"] for node in nodes(content)} == LATEST
    assert content["model"]["fitting"]["type"] == MODELS[kind].output.type


@KINDS
@pytest.mark.parametrize(("name", "version"), EVERY)
def test_known_versions_are_read(
    tmp_path: Path, outputs: dict[str, np.ndarray], name: str, version: int, kind: str
) -> None:
    files.write(tmp_path / "model.dp", written({name: version}, kind))
    assert np.array_equal(predicted(tmp_path / "model.dp"), outputs[kind])


@KINDS
@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("ending", [".dp", ".json"])
def test_what_deepmd_kit_wrote_is_read(
    tmp_path: Path, outputs: dict[str, np.ndarray], release: str, ending: str, kind: str
) -> None:
    path = tmp_path / f"model{ending}"
    files.write(path, written(RELEASES[release], kind))
    assert np.array_equal(predicted(path), outputs[kind])


@KINDS
def test_without_versions_all_are_the_first(
    tmp_path: Path, outputs: dict[str, np.ndarray], kind: str
) -> None:
    content = written(dict.fromkeys(KNOWN, 1), kind)
    for node in nodes(content):
        del node["@version"]
    files.write(tmp_path / "model.dp", content)
    assert np.array_equal(predicted(tmp_path / "model.dp"), outputs[kind])


def refused(path: Path, change: Callable[[dict[str, Any]], None]) -> str:
    content = mdl.to_content(MODEL, PARAMS)
    change(content)
    files.write(path, content)
    with pytest.raises(FileFormatError) as caught:
        multifit.load(path)
    return str(caught.value)


@pytest.mark.parametrize("name", KNOWN)
@pytest.mark.parametrize("version", ["next", 99, 0, -1, "2", 1.5, None, True])
def test_unknown_versions_are_refused_by_name(tmp_path: Path, name: str, version: Any) -> None:
    found = LATEST[name] + 1 if version == "next" else version
    path = tmp_path / "model.dp"

    def change(content: dict[str, Any]) -> None:
        # The last one of its class: each of them is looked at.
        [node for node in nodes(content) if node["@class"] == name][-1]["@version"] = found

    said = refused(path, change)
    assert str(path) in said
    assert name in said
    assert f"the @version {found!r}" in said
    if type(found) is not int:
        assert "not a whole number" in said
    elif found > 0:
        assert f"reads up to {LATEST[name]}; it needs a newer multifit" in said
    else:
        assert "older than 1, the first that is read" in said


def test_a_newer_training_is_refused_by_name(tmp_path: Path) -> None:
    from multifit.train.start import checkpoint as ckpt

    path = tmp_path / "model.ckpt-3.dp"
    content = ckpt.checkpoint_content(mdl.to_content(MODEL, PARAMS), ckpt.State(PARAMS, step=3))
    files.write(path, content)
    assert ckpt.read(path)[1].step == 3
    content = files.read(path)
    content["training"]["@version"] = ckpt.VERSION + 1
    files.write(path, content)
    words = r"ckpt-3\.dp: Training has the @version 2, and this multifit reads up to 1; it needs a"
    with pytest.raises(FileFormatError, match=words):
        ckpt.read(path)


# Energies and out_std


def test_energies_are_not_scaled_by_out_std(tmp_path: Path, energy: np.ndarray) -> None:
    content = mdl.to_content(MODEL, PARAMS)
    variables = content["model"]["@variables"]
    assert np.all(variables["out_std"] == 1)
    variables["out_std"] = 7.0 * variables["out_std"]
    path = tmp_path / "model.dp"
    files.write(path, content)
    assert predicted(path) == energy
    # What is written again has ones.
    again = mdl.to_content(*mdl.from_content(files.read(path)))["model"]["@variables"]
    assert again["out_std"].shape == again["out_bias"].shape
    assert np.all(again["out_std"] == 1)


def test_a_file_may_lack_out_std(tmp_path: Path, energy: np.ndarray) -> None:
    content = mdl.to_content(MODEL, PARAMS)
    del content["model"]["@variables"]["out_std"]
    files.write(tmp_path / "model.dp", content)
    assert predicted(tmp_path / "model.dp") == energy

"""The origin of a model in its file: complete, without folders, and kept by its successors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _compare import same
from _water import fit, labelled, recipe, write

from multifit import cli, files
from multifit.inference.provenance import KEY, without_folders
from multifit.tree import flatten


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a model that was trained on data with an absolute path."""
    folder = tmp_path_factory.mktemp("provenance")
    write(folder / "data", labelled())
    given = recipe([str(folder / "data")], steps=3, training__save_freq=2)
    given["training"]["validation_data"] = {"systems": "data"}
    del given["model"]["descriptor"]["seed"]
    fit(folder, given)
    return folder


def origin(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = files.read(path)[KEY]
    return found


def test_it_says_what_the_model_was_made_of(folder: Path) -> None:
    found = origin(folder / "out/model.dp")
    assert found["steps"] == 3
    assert found["software"]["backend"] == "torch"
    assert {"multifit", "framework", "numpy", "python", "platform"} <= set(found["software"])
    assert found["seeds"] | {"descriptor": 0} == {"descriptor": 0, "fitting_net": 2, "training": 3}
    assert found["input"]["training"]["numb_steps"] == 3
    assert found["data"]["training"]["frames"] == 6
    assert found["data"]["training"]["fingerprint"] == found["data"]["validation"]["fingerprint"]
    assert found["metrics"]["step"] == 3
    assert found["metrics"]["validation"]["rmse_f"] > 0
    assert found["started"] <= found["finished"]
    assert origin(folder / "out/model.ckpt-2.dp")["steps"] == 2


def test_it_names_no_folder(folder: Path) -> None:
    content = files.read(folder / "out/model.ckpt-3.dp")
    for entry in (content[KEY], content["training"]["input"], content["model_def_script"]):
        assert str(folder) not in json.dumps(entry)
    assert without_folders({"a": ["/home/ann/w", r"C:\Users\ann\w", "data/w", 1, "~/w"]}) == {
        "a": ["…/w", "…/w", "data/w", 1, "…/w"]
    }


def test_the_seeds_that_were_drawn_give_the_same_model_again(folder: Path) -> None:
    seed = origin(folder / "out/model.dp")["seeds"]["descriptor"]
    given = recipe("data", steps=3, model__descriptor__seed=seed)
    given["training"]["validation_data"] = {"systems": "data"}
    again = fit(folder, given, output=folder / "again")
    models = [files.read(path / "model.dp")["model"] for path in (folder / "out", again)]
    one, other = (flatten(model["descriptor"]["@variables"]) for model in models)
    same(one, other, rtol=0.0)
    nets = [model["descriptor"]["embeddings"]["networks"][0]["layers"] for model in models]
    for first, second in zip(*nets, strict=True):
        assert np.array_equal(first["@variables"]["w"], second["@variables"]["w"])


def test_other_data_have_another_fingerprint(folder: Path, tmp_path: Path) -> None:
    frames = labelled()
    frames.energy[5] += 1e-9
    write(tmp_path / "data", frames)
    fit(tmp_path, recipe(steps=1))
    ours, theirs = (origin(path / "out/model.dp")["data"] for path in (folder, tmp_path))
    assert ours["training"]["fingerprint"] != theirs["training"]["fingerprint"]


def test_what_is_made_from_a_model_names_it(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = folder / "out/model.dp"
    given = recipe("data", steps=1)
    tuned = fit(folder, given, output=folder / "tuned", finetune=model)
    parent = origin(tuned / "model.dp")["parent"]
    assert (parent["how"], parent["file"], parent["steps"]) == ("finetune", "model.dp", 3)
    assert len(parent["sha256"]) == 64
    cli.run(["change-bias", str(model), "-b", "-1", "-2", "-o", str(folder / "biased.dp")])
    assert origin(folder / "biased.dp")["parent"]["how"] == "change-bias"
    capsys.readouterr()
    cli.run(["show", str(folder / "biased.dp"), "origin"])
    shown = capsys.readouterr().out
    words = " ".join(shown.split())
    assert "made from model.dp by change-bias" in words
    assert "trained 3 steps" in words


def test_a_restart_keeps_the_beginning_and_adds_its_changes(folder: Path) -> None:
    given = recipe([str(folder / "data")], steps=5, training__save_freq=2)
    given["training"]["validation_data"] = {"systems": "data"}
    before = origin(folder / "out/model.ckpt-2.dp")
    out = fit(folder, given, output=folder / "more", restart=folder / "out/model.ckpt-2.dp")
    found = origin(out / "model.dp")
    assert (found["steps"], found["started"]) == (5, before["started"])
    assert found["seeds"] == before["seeds"]
    (entry,) = found["restarts"]
    assert entry["step"] == 2
    assert "training.numb_steps 3 → 5" in entry["changed"]
    assert found["seconds"] >= before["seconds"]


def test_show_prints_no_codes_for_terminals(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = files.read(folder / "out/model.dp")
    content[KEY]["software"]["platform"] = "\x1b]0;owned\x07"
    content[KEY]["metrics"] = content[KEY]["seeds"] = [3]
    content[KEY]["data"] = {"training": {"systems": "x"}, "validation": None}
    files.write(tmp_path / "model.dp", {**content, "software": "\x1b[2J"})
    cli.run(["show", str(tmp_path / "model.dp")])
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert r"\x1b[2J" in shown

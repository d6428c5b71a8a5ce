"""``multifit train --profile``: the same run, and where its time went."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from _backends import TRAINABLE
from _water import dos_recipe, labelled, recipe, write, write_spectra
from rich.console import Console

from multifit import config
from multifit.backend import get_backend
from multifit.cli import main
from multifit.errors import ConfigError, TrainingError
from multifit.train import train

HELD_OUT = {"training__validation_data": {"systems": "data", "batch_size": 1}}


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("profile")
    write(folder / "data", labelled(4))
    write_spectra(folder / "spectra", labelled(4))
    return folder


def profiled(
    data: Path, given: dict[str, Any], to: Path, backend: str = "torch", **more: Any
) -> tuple[str, dict[str, Any]]:
    """Return what a run with a profile prints, and its file."""
    (data / "input.json").write_text(json.dumps(given))
    text = io.StringIO()
    code = train(
        config.load(data / "input.json"),
        get_backend(backend),
        base=data,
        output=to,
        console=Console(file=text, width=100),
        profile=True,
        **more,
    )
    assert code == 0
    return text.getvalue(), json.loads((to / "profile.json").read_text())


def test_the_command_trains_as_without(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (data / "input.json").write_text(json.dumps(recipe(steps=3, **HELD_OUT)))
    for name, more in (("plain", []), ("profiled", ["--profile"])):
        arguments = [str(data / "input.json"), "-b", "torch", "-o", str(tmp_path / name), *more]
        assert main(["train", *arguments]) == 0
    printed = capsys.readouterr().out
    plain, other = tmp_path / "plain", tmp_path / "profiled"
    assert (plain / "lcurve.out").read_bytes() == (other / "lcurve.out").read_bytes()
    names = {path.name for path in plain.iterdir()}
    assert {path.name for path in other.iterdir()} - names == {"profile.json"}
    assert printed.count("where the time of 2 steps went") == 1
    for part in ("wait for the batch", "make tables", "+ gradient", "matrix products"):
        assert printed.count(part) == 1, part
    assert "drop the file there" in printed


def test_help_explains_it(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    assert "--profile" in capsys.readouterr().out


@pytest.mark.parametrize("backend", TRAINABLE)
def test_parts_on_every_backend(data: Path, tmp_path: Path, backend: str) -> None:
    text, found = profiled(data, recipe(steps=3), tmp_path, backend)
    other = found["otherData"]
    stages = other["breakdown"]["stages_s"]
    assert list(stages) == ["energy only", "+ forces", "+ gradient", "+ optimizer"]
    assert all(seconds > 0 for seconds in stages.values())
    assert other["breakdown"]["floor_operations"] > 0
    assert other["compiled"] == ["the training step"] * get_backend(backend).static_shapes
    rows = {tuple(row["path"]): row for row in other["sums"] if row["thread"] == "training"}
    whole = rows.pop(("step",))["total_s"]
    assert whole == pytest.approx(sum(r["total_s"] for p, r in rows.items() if len(p) == 2))
    assert rows["step", "update"]["calls"] == 2
    assert ("compilation" in text) == get_backend(backend).static_shapes


def test_a_density_of_states_has_no_forces(data: Path, tmp_path: Path) -> None:
    text, found = profiled(data, dos_recipe("spectra", steps=2), tmp_path)
    assert list(found["otherData"]["breakdown"]["stages_s"]) == ["dos", "+ gradient", "+ optimizer"]
    assert "(3 passes" in text


def test_a_run_without_steps_has_nothing_to_measure(data: Path, tmp_path: Path) -> None:
    from multifit.train import Start

    profiled(data, recipe(steps=1), tmp_path)
    again = Start(restart=tmp_path / "model.ckpt")
    text, found = profiled(data, recipe(steps=1), tmp_path, start=again)
    assert found["otherData"]["breakdown"] is None
    assert "no step came after the first" in text


def test_the_file_must_have_a_place(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"disp_file is 'profile\.json', which is also"):
        profiled(data, recipe(steps=1, training__disp_file="profile.json"), tmp_path)
    (tmp_path / "profile.json").mkdir()
    with pytest.raises(TrainingError, match=r"profile\.json, as this is a folder; move it away"):
        profiled(data, recipe(steps=1), tmp_path)

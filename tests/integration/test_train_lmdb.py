"""Training and the commands with LMDB files, whose frames differ in size."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _backends import INSTALLED
from _compare import same
from _lmdb_files import encoded, frame
from _lmdb_files import write as write_lmdb
from _water import curve, labelled, recipe, write
from rich.console import Console

from multifit import cli, config
from multifit.backend import get_backend
from multifit.errors import ConfigError
from multifit.train import train

pytestmark = pytest.mark.skipif("torch" not in INSTALLED, reason="PyTorch is not installed")

DATA = "training__training_data"


def run(folder: Path, out: Path, **changes: Any) -> tuple[np.ndarray, str]:
    """Return the learning curve of a short run, and what it says."""
    screen = io.StringIO()
    train(
        config.parse(recipe(steps=4, **changes)),
        get_backend("torch"),
        base=folder,
        output=out,
        console=Console(file=screen, width=300),
    )
    return curve(out)[1], screen.getvalue()


def test_a_file_trains_as_the_folder_does(tmp_path: Path) -> None:
    frames = labelled()
    write(tmp_path / "data", frames)
    stored = [
        {
            "atom_types": encoded(frames.atype, "int32"),
            "coords": encoded(frames.coord[k]),
            "cells": encoded(frames.cell),
            "energies": encoded(frames.energy[k]),
            "forces": encoded(frames.force[k]),
        }
        for k in range(len(frames.coord))
    ]
    write_lmdb(tmp_path / "data.lmdb", stored, type_map=["O", "H"])
    want, _ = run(tmp_path, tmp_path / "a")
    found, said = run(tmp_path, tmp_path / "b", **{DATA: {"systems": "data.lmdb", "batch_size": 2}})
    same(found, want, rtol=1e-12)
    assert "training on 6 frames in 1 system" in said


def test_frames_of_many_sizes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = [6, 6, 12, 13, 14, 14]
    stored = [frame(natoms, seed) for seed, natoms in enumerate(sizes)]
    stored[-1].pop("forces")
    ids = [0, 0, 1, 1, 1, 1]
    write_lmdb(tmp_path / "all.lmdb", stored, type_map=["O", "H"], frame_system_ids=ids)
    rule = {"systems": "all.lmdb", "batch_size": "mix:28", "auto_prob": "prob_sys_size;0:1:1;1:2:3"}
    rows, said = run(tmp_path, tmp_path / "out", **{DATA: rule})
    assert np.isfinite(rows[:, 1]).all()
    names = (
        "all.lmdb (6 atoms, block 0) ",
        "all.lmdb (12 to 13 atoms, block 1) ",
        "all.lmdb (14 atoms, block 1) ",
        "all.lmdb (14 atoms, block 1, without force) ",
    )
    assert [said.count(name) for name in names] == [2] * 4  # of the data, and of the errors
    assert "no force in" in said
    assert "training on 6 frames in" in said
    monkeypatch.chdir(tmp_path)
    assert cli.main(["test", "-m", "out/model.dp", "-s", "all.lmdb"]) == 0
    assert "12 atoms" in capsys.readouterr().out
    assert cli.main(["neighbor-stat", "-s", "all.lmdb", "-r", "3.6", "-t", "O", "H"]) == 0
    assert "in 6 frames of 5 systems" in capsys.readouterr().out
    with pytest.raises(ConfigError, match="block 0:3 of auto_prob does not fit"):
        run(tmp_path, tmp_path / "no", **{DATA: {**rule, "auto_prob": "prob_sys_size;0:3:1"}})

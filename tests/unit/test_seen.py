"""What a model was trained on, in its file, and predictions outside of it."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _water import fit, labelled, recipe, write

import multifit
from multifit import files
from multifit.inference.provenance import KEY
from multifit.inference.seen import Seen, from_content
from multifit.inference.seen import Watch as Guard

pytest.importorskip("torch", reason="PyTorch trains the model")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("seen")
    frames = labelled(4)
    write(folder / "data", frames, fparam=np.linspace(1.0, 2.0, 4)[:, None])
    more = {"model__type_map": ["O", "H", "C"], "model__descriptor__sel": [20, 40, 1]}
    return fit(folder, recipe(steps=1, model__fitting_net__numb_fparam=1, **more)) / "model.dp"


def test_a_model_file_says_what_was_seen(trained: Path) -> None:
    model = multifit.load(trained)
    found = from_content(model.model, files.read(trained))
    assert found is not None
    assert found.types.tolist() == [True, True, False]
    assert np.isinf(found.nearest[2]).all()
    assert 0.5 < found.nearest[0, 1] < 3.6
    np.testing.assert_allclose(found.nearest, found.nearest.T)
    np.testing.assert_allclose(found.fparam, [[1.0], [2.0]])


def test_the_training_data_are_not_outside(trained: Path) -> None:
    model, frames = multifit.load(trained), labelled(4)
    model.predict(frames.coord, frames.atype, frames.cell, fparam=np.ones((4, 1)))
    assert model.outside == ()


def test_what_is_outside_is_told_once(trained: Path, caplog: pytest.LogCaptureFixture) -> None:
    model, frames = multifit.load(trained), labelled(1)
    atype = frames.atype.copy()
    atype[-1] = 2
    coord = frames.coord[0].copy()
    coord[1] = coord[0] + [0.4, 0.0, 0.0]
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            model.predict(coord, atype, frames.cell, fparam=[3.0])
    told = "\n".join(model.outside)
    assert "C was in no training data of this model" in told
    assert "are 0.4 Å apart, nearer than in the training data" in told
    assert "fparam 0 is 3, outside of the training data of this model (1 to 2)" in told
    assert [record.getMessage() for record in caplog.records] == list(model.outside)


def test_neighbours_beyond_sel_are_told(trained: Path) -> None:
    model, frames = multifit.load(trained), labelled(1)
    cell = frames.cell
    assert cell is not None
    model.predict(frames.coord[0] * 0.6, frames.atype, cell * 0.6, fparam=[1.5])
    assert any("beyond sel are left out" in text for text in model.outside)


def test_the_worst_is_kept_with_its_frame(trained: Path, caplog: pytest.LogCaptureFixture) -> None:
    model, frames = multifit.load(trained), labelled(1)
    coord = np.stack([frames.coord[0]] * 3)
    for k, distance in enumerate((0.5, 0.3, 0.4)):
        coord[k, 1] = coord[k, 0] + [distance, 0.0, 0.0]
    fparam = np.array([[2.5], [3.5], [3.0]])
    with caplog.at_level(logging.WARNING):
        model.predict(coord, frames.atype, frames.cell, fparam=fparam)
    told = "\n".join(model.outside)
    assert "are 0.3 Å apart in frame 1, nearer than in the training data" in told
    assert "fparam 0 is 3.5 in frame 1, outside" in told
    assert len(caplog.records) == len(model.outside)  # each is told once, though more was worse


def test_the_most_neighbours_of_all_frames_are_said(trained: Path) -> None:
    model, frames = multifit.load(trained), labelled(1)
    most, cell = [], frames.cell
    assert cell is not None
    for scale in (0.6, 0.5):
        model.predict(frames.coord[0] * scale, frames.atype, cell * scale, fparam=[1.5])
        said = next(text for text in model.outside if "beyond sel" in text)
        most.append([int(n) for n in re.findall(r"(\d+) [OH] \(sel", said)])
    assert sum(most[1]) > sum(most[0])


@pytest.mark.parametrize(
    "entry",
    [
        None,
        3,
        {"seen": 3},
        {"seen": {"elements": 3, "closest pairs, Å": {}}},
        {"seen": {"elements": ["O"], "closest pairs, Å": [1]}},
    ],
)
def test_a_file_that_says_nothing_usable(trained: Path, entry: Any) -> None:
    content = files.read(trained)
    assert from_content(multifit.load(trained).model, {**content, KEY: entry}) is None


def test_values_that_are_no_numbers_are_passed_over(trained: Path) -> None:
    model = multifit.load(trained).model
    pairs = {"O-H": "near", "O-X": 1.0, "H-H": -1.0, "O-O": 2.0}
    entry = {"elements": ["O", "X"], "closest pairs, Å": pairs, "fparam": [["a"], [1]]}
    found = from_content(model, {KEY: {"seen": entry}})
    assert found is not None
    assert found.nearest[0, 0] == 2.0
    assert np.isinf(found.nearest[0, 1])
    assert found.fparam is None


def test_a_model_without_an_origin_tells_what_no_data_have(trained: Path) -> None:
    model = multifit.load(trained)
    model.runner.watch = Guard(model.model, None, tell=lambda text: None)
    frames = labelled(1)
    coord = frames.coord[0].copy()
    model.predict(coord, frames.atype, fparam=[9.0])
    assert all("sel" in text for text in model.outside)
    coord[1] = coord[0] + [0.1, 0.0, 0.0]
    model.predict(coord, frames.atype, fparam=[9.0])
    assert "0.1 Å apart, nearer than any bond: are coordinates and cells in Å?" in "\n".join(
        model.outside
    )


def test_the_entry_comes_back(trained: Path) -> None:
    model = multifit.load(trained).model
    nearest = np.full((3, 3), np.inf)
    nearest[0, 1] = nearest[1, 0] = 0.95
    seen = Seen(np.array([True, True, False]), nearest, np.array([[0.0], [1.0]]))
    found = from_content(model, {KEY: {"seen": seen.to_content(model.type_map)}})
    assert found is not None
    np.testing.assert_array_equal(found.types, seen.types)
    np.testing.assert_array_equal(found.nearest, seen.nearest)
    np.testing.assert_array_equal(found.fparam, seen.fparam)

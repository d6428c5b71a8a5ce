"""Batches of frames of several systems: ``"batch_size": "mixed:N"``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _backends import TRAINABLE
from _water import fit, labelled, recipe, write

from multifit import config, load
from multifit.backend import get_backend
from multifit.errors import ConfigError
from multifit.train.setup.setup import set_up
from multifit.train.start.introduction import introduction
from multifit.tree import flatten


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with frames of two sizes, and some without virials."""
    folder, whole = tmp_path_factory.mktemp("mixed"), labelled(6)
    write(folder / "data/a", whole)
    few = whole.atype.size - 2
    less = {"coord": whole.coord[:, :few], "force": whole.force[:, :few]}
    write(folder / "data/b", replace(whole, atype=whole.atype[:few], **less))
    write(folder / "data/c", whole, without=["virial"])
    return folder


def given(*systems: str, rule: str = "mixed:3", **changes: Any) -> dict[str, Any]:
    names = [f"data/{name}" for name in systems]
    section = {"systems": names, "batch_size": rule}
    virial = {"loss__start_pref_v": 1.0, "loss__limit_pref_v": 1.0}
    return recipe(**{"training__training_data": section, **virial, **changes})


def setup(folder: Path, content: dict[str, Any], backend: str = "numpy") -> Any:
    return set_up(config.parse(content), get_backend(backend), folder)


def test_a_mixed_batch_holds_the_frames_of_its_systems(data: Path) -> None:
    source = setup(data, given("a", "b")).tasks[0].data.training.source
    both = source.work(((0, np.array([1, 4])), (1, np.array([2]))))
    alone = [source.work(((k, np.array([f])),)) for k, f in ((0, 1), (0, 4), (1, 2))]
    assert both.batch["natoms"].tolist() == [x.batch["natoms"][0] for x in alone]
    for key in ("energy", "virial"):
        wanted = np.concatenate([x.label[key] for x in alone])
        np.testing.assert_array_equal(both.label[key], wanted)
    frames = np.concatenate([c["frame"] for _, c in sorted(both.batch["centres"].items())])
    for f, one in enumerate(alone):
        np.testing.assert_array_equal(both.label["force"][frames == f], one.label["force"])
    assert both.nearest.tolist() == np.min([x.nearest for x in alone], axis=0).tolist()


def test_frames_with_and_without_a_label_are_not_mixed(data: Path) -> None:
    training = setup(data, given("a", "c")).tasks[0].data.training
    sampler, found = training.sampler(0), set()
    for _ in range(20):
        systems = {k for k, _ in sampler.picks()}
        assert len(systems) == 1
        found |= systems
    assert found == {0, 1}


def test_few_shapes_hold_any_mixed_batch(data: Path) -> None:
    training = setup(data, given("a", "b", rule="mixed:4"), "jax").tasks[0].data.training
    known = list(training.source.batcher.shapes.known)
    assert 0 < len(known) <= 4
    sampler = training.sampler(0)
    for _ in range(40):
        training.source.work(sampler.picks())
    assert training.source.batcher.shapes.known == known


@pytest.mark.parametrize("name", TRAINABLE[:2])  # one without padding and one with it
def test_a_run_of_mixed_batches_goes_on_where_it_ended(
    data: Path, tmp_path: Path, name: str
) -> None:
    options = given("a", "b", "c", steps=6, training__save_freq=3)
    out = fit(data, options, output=tmp_path / "whole", backend=name)
    want = flatten(load(out / "model.dp").params)
    fit(data, options, output=out, backend=name, restart=out / "model.ckpt-3.dp")
    got = flatten(load(out / "model.dp").params)
    for key, value in want.items():
        np.testing.assert_array_equal(got[key], value, err_msg=key)


def test_mixed_validation_data(data: Path, tmp_path: Path) -> None:
    options = given("a", steps=2)
    options["training"]["validation_data"] = {
        "systems": ["data/a", "data/b"],
        "batch_size": "mixed:2",
    }
    out = fit(data, options, output=tmp_path)
    assert np.isfinite(np.loadtxt(out / "lcurve.out")).all()


def test_epochs_count_frames_of_all_systems(data: Path) -> None:
    options = given("a", "b", rule="mixed:3")
    del options["training"]["numb_steps"]
    options["training"]["numb_epoch"] = 2
    assert setup(data, options).numb_steps == 8


def test_hessians_are_not_mixed(tmp_path: Path) -> None:
    frames = labelled(2)
    write(tmp_path / "data/h", frames, hessian=np.zeros((2, (3 * frames.atype.size) ** 2)))
    options = given("h", loss__start_pref_h=1.0, loss__limit_pref_h=1.0)
    with pytest.raises(ConfigError, match="'mixed:N' does not go together with Hessians"):
        setup(tmp_path, options)


def test_a_run_says_what_its_batches_hold(data: Path) -> None:
    for systems, more in (("a", ""), ("ac", " among those with the same labels")):
        parts = introduction(setup(data, given(*systems)), [])
        (text,) = [x for x in parts if isinstance(x, str) and "of a batch" in x]
        assert text == (
            f"each of the 3 frames of a batch is drawn from a system by its probability{more}"
        )

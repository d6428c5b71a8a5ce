"""Training with Chebyshev series of the embedding nets is training with the nets themselves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _compare import same
from _water import curve, fit, labelled, recipe, write

import multifit
from multifit import files
from multifit.descriptors._planner import FEWEST, GRID, MARGIN, SeriesPlanner
from multifit.descriptors._tables import ZONES
from multifit.tree import Tree, flatten

HELD_OUT = {"training__validation_data": {"systems": "data", "batch_size": 1}}


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("series")
    write(folder / "data", labelled(4))
    return folder


def parameters(folder: Path) -> dict[str, np.ndarray]:
    return flatten(multifit.load(folder / "model.dp").params)


def bases(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, int]]:
    """Return a list that fills with the numbers of coefficients of each basis, {} for none."""
    seen: list[dict[str, int]] = []
    plan_for = SeriesPlanner.plan_for

    def watched(self: SeriesPlanner, nearest: np.ndarray, params: Callable[[], Tree]) -> Any:
        found = plan_for(self, nearest, params)
        seen.append({zone: len(found.host[zone]["nodes"]) for zone in (ZONES if found else ())})
        return found

    monkeypatch.setattr(SeriesPlanner, "plan_for", watched)
    return seen


def test_the_series_changes_nothing(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = recipe(steps=10, loss__start_pref_v=1.0, **HELD_OUT)
    seen = bases(monkeypatch)
    series = fit(data, given, output=tmp_path / "series")
    assert seen
    assert all(one[zone] >= few for one in seen for zone, few in FEWEST.items())
    monkeypatch.setattr(SeriesPlanner, "usable", property(lambda self: False))
    seen.clear()
    plain = fit(data, given, output=tmp_path / "plain")
    assert seen
    assert not any(seen)
    np.testing.assert_allclose(curve(series)[1], curve(plain)[1], rtol=1e-9)
    same(parameters(series), parameters(plain), rtol=1e-9)


def test_a_pair_that_is_closer_than_the_first_ones_enlarges_the_interval(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = labelled(4)
    # The statistics see the first frame only; in the last, two atoms come close.
    i, j = 0, 1
    way = frames.coord[3, j] - frames.coord[3, i]
    frames.coord[3, j] = frames.coord[3, i] + 0.9 * way / np.linalg.norm(way)
    write(tmp_path / "data", frames)
    given = recipe(
        steps=8,
        model__data_stat_nbatch=1,
        training__training_data__batch_size=1,
        training__save_freq=8,
    )
    seen = bases(monkeypatch)
    series = fit(tmp_path, given)
    state = files.read(series / "model.ckpt-8.dp")["training"]["series"]
    # Of these two types alone, and no number of coefficients changes.
    nearest, pair = np.array(state["nearest"]), tuple(frames.atype[[i, j]])
    end = GRID * np.floor(0.9 * MARGIN / GRID)
    assert nearest[pair] == nearest[pair[::-1]] == pytest.approx(end)
    assert (nearest[nearest != nearest[pair]] > end).all()
    assert seen[0]
    assert all(one == seen[0] for one in seen)
    monkeypatch.setattr(SeriesPlanner, "usable", property(lambda self: False))
    plain = fit(tmp_path, given, output=tmp_path / "plain")
    same(parameters(series), parameters(plain), rtol=1e-9)


def test_pairs_that_come_later_are_looked_at_too(tmp_path: Path) -> None:
    frames = labelled(4, cell=False)
    # In the first frame, which the statistics see, all are too far from one another but O and H.
    frames.coord[0] = 20.0 * np.arange(6)[:, None]
    frames.coord[0, 1] = frames.coord[0, 0] + 0.7
    write(tmp_path / "data", frames)
    given = recipe(steps=8, model__data_stat_nbatch=1, training__training_data__batch_size=1)
    out = fit(tmp_path, given)
    nearest = files.read(out / "model.ckpt-8.dp")["training"]["series"]["nearest"]
    assert (np.array(nearest) > 0).all()


@pytest.mark.parametrize(
    ("key", "value"), [("activation_function", "relu"), ("precision", "float16")]
)
def test_some_nets_have_no_series(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str, value: str
) -> None:
    seen = bases(monkeypatch)
    fit(data, recipe(steps=2, **{f"model__descriptor__{key}": value}), output=tmp_path)
    assert seen
    assert not any(seen)


def test_nets_in_float32_have_a_series(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = bases(monkeypatch)
    given = recipe(steps=4, model__descriptor__precision="float32")
    series = fit(data, given, output=tmp_path / "series")
    assert seen
    assert all(one == seen[0] and max(one.values()) <= 72 for one in seen), seen
    monkeypatch.setattr(SeriesPlanner, "usable", property(lambda self: False))
    plain = fit(data, given, output=tmp_path / "plain")
    # As far apart as float32 is from what it stands for.
    np.testing.assert_allclose(curve(series)[1], curve(plain)[1], rtol=1e-3)


def test_nets_that_become_stiff_take_more_coefficients(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = bases(monkeypatch)
    rate = {"learning_rate__start_lr": 0.5, "learning_rate__stop_lr": 0.5}
    given = recipe(steps=12, training__save_freq=12, **rate)
    fit(data, given, output=tmp_path)
    counts = files.read(tmp_path / "model.ckpt-12.dp")["training"]["series"]["counts"]
    assert not seen[-1] or any(counts[zone] > count for zone, count in seen[0].items())

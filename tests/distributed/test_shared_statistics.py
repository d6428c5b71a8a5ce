"""Statistics of the data divided over processes, which are threads here: equal bit by bit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _threads import together
from _water import dos_recipe, labelled, recipe, write, write_spectra

from multifit import config
from multifit.backend import get_backend
from multifit.train.setup.parts import own_part
from multifit.train.setup.setup import set_up, survey
from multifit.train.setup.source import Source
from multifit.train.setup.statistics import collect_statistics


class One:
    """The place of a process among others."""

    def __init__(self, rank: int, size: int) -> None:
        self.rank, self.size = rank, size


@pytest.mark.parametrize("size", [1, 2, 3, 9])
def test_parts_are_all_frames_once_in_their_order(size: int) -> None:
    pieces = [(0, np.arange(3)), (2, np.arange(1)), (3, np.arange(5))]
    found: list[tuple[int, int]] = []
    numbers = []
    for rank in range(size):
        mine: Any = list(own_part(pieces, One(rank, size)))  # type: ignore[arg-type]
        numbers.append(sum(frames.size for _, frames in mine))
        found += [(k, int(f)) for k, frames in mine for f in frames]
    assert found == [(k, int(f)) for k, frames in pieces for f in frames]
    assert max(numbers) - min(numbers) <= 1


def energies(folder: Path) -> dict[str, Any]:
    """Return an input with energies and parameters of frames and atoms."""
    rng = np.random.default_rng(1)
    for name, number in (("a", 7), ("b", 5), ("c", 1)):
        frames = labelled(number)
        natoms = len(frames.atype)
        more = {"fparam": rng.normal(size=(number, 2)), "aparam": rng.normal(size=(number, natoms))}
        write(folder / name, frames, **more)
    options = {"model__fitting_net__numb_fparam": 2, "model__fitting_net__numb_aparam": 1}
    return recipe([str(folder / name) for name in "abc"], **options)


def atomic(folder: Path) -> dict[str, Any]:
    """Return an input with atomic spectra, whose means are the bias."""
    for name, number in (("a", 4), ("b", 3)):
        write_spectra(folder / name, labelled(number))
    changes = {"loss__start_pref_ados": 1.0, "loss__limit_pref_ados": 1.0}
    return dos_recipe([str(folder / name) for name in "ab"], **changes)


@pytest.mark.parametrize("given", [energies, atomic])
@pytest.mark.parametrize("size", [2, 5])
def test_statistics_of_several_processes_are_those_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: Any, size: int
) -> None:
    (tmp_path / "input.json").write_text(json.dumps(given(tmp_path)))
    loaded: list[int] = []
    load = Source.load

    def counting(self: Source, system: int, frames: np.ndarray, *rest: Any, **more: Any) -> Any:
        loaded.append(frames.size)
        return load(self, system, frames, *rest, **more)

    monkeypatch.setattr(Source, "load", counting)

    def run(processes: Any) -> Any:
        parsed = config.load(tmp_path / "input.json")
        ready = set_up(parsed, get_backend("numpy"), tmp_path, processes=processes)
        (task,) = ready.tasks
        return collect_statistics(ready, task), survey(ready, task).state()

    alone, plan = run(None)
    frames = sum(loaded)
    loaded.clear()
    for found, its_plan in together(size, run):
        assert its_plan == plan
        assert found.keys() == alone.keys()
        for name, value in alone.items():
            assert np.array_equal(found[name], value), name
    assert sum(loaded) == frames  # each is read by one process


def test_tables_of_all_processes_get_the_same_room(tmp_path: Path) -> None:
    (tmp_path / "input.json").write_text(json.dumps(energies(tmp_path)))

    def run(processes: Any) -> Any:
        parsed = config.load(tmp_path / "input.json")
        ready = set_up(parsed, get_backend("numpy"), tmp_path, processes=processes)
        batcher = ready.tasks[0].data.training.source.batcher
        batcher.static_shapes = True
        survey(ready, ready.tasks[0])
        return sorted(batcher.state()["widths"])

    alone = run(None)
    assert alone
    assert together(2, run) == [alone, alone]

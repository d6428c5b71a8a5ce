"""Training with several processes, which are threads here: sums, order of frames, decisions."""

from __future__ import annotations

import contextlib
import copy
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _threads import together
from _water import curve, fit, labelled, recipe, write

import multifit
from multifit import config
from multifit.backend import get_backend
from multifit.config import parse
from multifit.data import open_systems
from multifit.errors import DataError, TrainingError
from multifit.survey import Scope
from multifit.train import Start, train
from multifit.train.setup import absurd
from multifit.train.setup.look import Look
from multifit.train.setup.setup import scaled_rate
from multifit.train.start.same_run import require_same_data, require_same_input
from multifit.train.step.device_batches import DeviceBatches
from multifit.train.step.task_sampler import TaskSampler
from multifit.tree import flatten

pytestmark = pytest.mark.usefixtures("torch_is_there")

VIRIALS = {"loss__start_pref_v": 1, "loss__limit_pref_v": 1, "loss__limit_pref_e": 1}


@pytest.fixture
def torch_is_there() -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shared")
    write(folder / "a", labelled(8))
    write(folder / "b", labelled(5))
    write(folder / "valid", labelled(3))
    return folder


def given(data: Path, size: int, **changes: Any) -> dict[str, Any]:
    """Return an input whose batches have ``size`` frames."""
    systems = [str(data / "a"), str(data / "b")]
    sizes = {"training__training_data__batch_size": size}
    return recipe(systems, **(VIRIALS | sizes | changes))


def share(
    folder: Path, recipes: list[dict[str, Any]], output: Path, backend: str = "torch", **start: Path
) -> list[Any]:
    """Train with a thread for each input; return the exit codes or errors."""
    for rank, each in enumerate(recipes):
        (folder / f"input{rank}.json").write_text(json.dumps(each))

    def run(processes: Any) -> int:
        return train(
            config.load(folder / f"input{processes.rank}.json"),
            get_backend(backend),
            base=folder,
            output=output,
            start=Start(**start),
            quiet=True,
            processes=processes,
        )

    return together(len(recipes), run)


def same_models(got: Path, want: Path, atol: float = 1e-10) -> None:
    """Assert that two models have the same parameters."""
    mine, theirs = (flatten(multifit.load(path).params) for path in (got, want))
    assert mine.keys() == theirs.keys()
    for name, value in theirs.items():
        np.testing.assert_allclose(mine[name], value, rtol=0, atol=atol, err_msg=name)


def test_two_processes_equal_one_with_the_whole_batch(data: Path, tmp_path: Path) -> None:
    more = {
        "training__gradient_max_norm": 1.0,
        "training__enable_ema": True,
        "training__validation_data": {"systems": str(data / "valid"), "batch_size": 3},
        "training__save_freq": 20,
    }
    whole = fit(tmp_path, given(data, 4, steps=50, **more), output=tmp_path / "one")
    parts = [given(data, 2, steps=50, **more)] * 2
    assert share(tmp_path, parts, tmp_path / "two") == [0, 0]
    for name in ("model.dp", "model_ema.dp", "model_best.dp", "model.ckpt-40.dp"):
        same_models(tmp_path / "two" / name, whole / name)
    got, want = curve(tmp_path / "two"), curve(whole)
    assert got[0] == want[0]
    # The errors are of the frames of all processes, not of one.
    np.testing.assert_allclose(got[1], want[1], rtol=1e-8)


@pytest.mark.parametrize("size", [1, 4])
def test_a_restart_with_another_number_of_processes(data: Path, tmp_path: Path, size: int) -> None:
    whole = fit(tmp_path, given(data, 4, steps=14), output=tmp_path / "whole")
    first = [given(data, 2, steps=14, training__save_freq=6)] * 2
    assert share(tmp_path, first, tmp_path / "out") == [0, 0]
    start = tmp_path / "out/model.ckpt-6.dp"
    rest = [given(data, 4 // size, steps=14)] * size
    if size == 1:
        fit(tmp_path, rest[0], output=tmp_path / "out", restart=start)
    else:
        assert share(tmp_path, rest, tmp_path / "out", restart=start) == [0] * size
    same_models(tmp_path / "out/model.dp", whole / "model.dp")


def test_a_resumed_run_is_the_same_run(data: Path, tmp_path: Path) -> None:
    # Without a sum over all processes their series would differ, and so would the last digits.
    parts = [given(data, 1, steps=12, training__save_freq=5)] * 2
    assert share(tmp_path, parts, tmp_path / "whole") == [0, 0]
    start = tmp_path / "whole/model.ckpt-5.dp"
    assert share(tmp_path, parts, tmp_path / "out", restart=start) == [0, 0]
    same_models(tmp_path / "out/model.dp", tmp_path / "whole/model.dp", atol=0)


def test_without_seeds_all_processes_begin_alike(data: Path, tmp_path: Path) -> None:
    one = given(data, 2, steps=3, training__seed=None, model__descriptor__seed=None)
    one["model"]["fitting_net"].pop("seed")
    assert share(tmp_path, [one, one], tmp_path / "out") == [0, 0]


def test_float32_is_summed_in_float32(data: Path, tmp_path: Path) -> None:
    single = {"model__descriptor__precision": "float32", "model__fitting_net__precision": "float32"}
    whole = fit(tmp_path, given(data, 2, steps=5, **single), output=tmp_path / "one")
    assert share(tmp_path, [given(data, 1, steps=5, **single)] * 2, tmp_path / "two") == [0, 0]
    same_models(tmp_path / "two/model.dp", whole / "model.dp", atol=2e-4)


def _of_training(found: list[Any]) -> str:
    """Return the error of the training in one of the threads; others may end before they raise."""
    return str(next(error for error in found if isinstance(error, TrainingError)))


class Signalled:
    """An interrupt in one of the threads, after three steps."""

    def __init__(self, quiet: bool = False) -> None:
        self._looks, self._is_victim = 0, next(Signalled.threads) == 1

    def __enter__(self) -> Signalled:
        return self

    def __exit__(self, *error: object) -> None:
        return None

    @property
    def exit_code(self) -> int | None:
        self._looks += 1
        return 75 if self._is_victim and self._looks >= 3 else None


def test_a_signal_to_one_process_stops_all_at_the_same_step(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Signalled.threads = iter(range(2))  # type: ignore[attr-defined]
    monkeypatch.setattr("multifit.train.loop.train.Interrupt", Signalled)
    parts = [given(data, 1, steps=9)] * 2
    assert share(tmp_path, parts, tmp_path / "out") == [75, 75]
    assert [path.name for path in sorted((tmp_path / "out").glob("*.dp"))] == ["model.ckpt-3.dp"]


def test_an_early_stop_is_one_of_all(data: Path, tmp_path: Path) -> None:
    options = {
        "training__validation_data": {"systems": str(data / "valid"), "batch_size": 3},
        "training__early_stopping": 1,
        "training__save_freq": 2,
        "learning_rate__start_lr": 10.0,
        "learning_rate__stop_lr": 9.0,
    }
    whole = fit(tmp_path, given(data, 2, steps=30, **options), output=tmp_path / "one")
    assert share(tmp_path, [given(data, 1, steps=30, **options)] * 2, tmp_path / "two") == [0, 0]
    names = sorted(path.name for path in whole.glob("*.dp"))
    assert "model.ckpt-30.dp" not in names
    assert sorted(path.name for path in (tmp_path / "two").glob("*.dp")) == names


def test_numbers_that_are_not_finite_end_all_and_name_the_frame(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(absurd, "ABSURD", np.inf)
    frames = labelled(6)
    force = frames.force.copy()
    force[4, 0, 0] = 1e200
    write(tmp_path / "bad", frames, force=force)
    parts = [recipe(str(tmp_path / "bad"), steps=9, training__training_data__batch_size=1)] * 2
    assert "frame 4, whose label force reaches" in _of_training(
        share(tmp_path, parts, tmp_path / "out")
    )
    assert len(list((tmp_path / "out").glob("model.ckpt-*.dp"))) <= 1


def test_data_that_one_process_cannot_read_end_all_after_a_checkpoint(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, draw, following = threading.local(), DeviceBatches.draw, TaskSampler.next

    def next_frames(self: Any) -> Any:
        mine.victim, mine.steps = self._processes.rank == 1, self._step + 1
        return following(self)

    def unreadable(self: Any, *frames: Any) -> Any:
        if mine.victim and mine.steps == 5:
            raise DataError("coord.npy is gone")
        return draw(self, *frames)

    monkeypatch.setattr(TaskSampler, "next", next_frames)
    monkeypatch.setattr(DeviceBatches, "draw", unreadable)
    parts = [given(data, 1, steps=9)] * 2
    first, _ = share(tmp_path, parts, tmp_path / "out")
    saved = tmp_path / "out/model.ckpt-4.dp"
    assert isinstance(first, DataError)
    assert str(first) == (f"process 1 of 2: coord.npy is gone (step 4 is saved: --restart {saved})")
    monkeypatch.undo()
    whole = fit(tmp_path, given(data, 2, steps=9, training__save_freq=4), output=tmp_path / "one")
    same_models(saved, whole / saved.name)


def test_accumulated_gradients_of_two_processes(data: Path, tmp_path: Path) -> None:
    more = {"learning_rate__decay_steps": 1000}
    whole = fit(tmp_path, recipe(str(data / "a"), 3, **_sized(4), **more), output=tmp_path / "one")
    parts = [recipe(str(data / "a"), 6, training__acc_freq=2, **_sized(1), **more)] * 2
    assert share(tmp_path, parts, tmp_path / "two") == [0, 0]
    same_models(tmp_path / "two/model.dp", whole / "model.dp")


def _sized(frames: int) -> dict[str, Any]:
    return {"training__training_data__batch_size": frames}


def test_an_error_in_the_first_process_ends_the_others(data: Path, tmp_path: Path) -> None:
    first, second = share(
        tmp_path, [given(data, 1)] * 2, tmp_path / "out", restart=tmp_path / "none.dp"
    )
    assert "there is no checkpoint" in str(first)
    assert isinstance(second, threading.BrokenBarrierError)


def test_epochs_count_the_frames_of_all_processes(data: Path, tmp_path: Path) -> None:
    parts = [
        recipe(
            str(data / "a"),
            training__numb_steps=None,
            training__numb_epoch=2,
            training__training_data__batch_size=2,
        )
    ] * 2
    assert share(tmp_path, parts, tmp_path / "out") == [0, 0]
    assert (tmp_path / "out/model.ckpt-4.dp").exists()  # 2 · 8 frames, 4 in a step


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"learning_rate__start_lr": 1e-3}, "learning_rate.start_lr is 0.001 in its input, not"),
        ({"model__fitting_net__neuron": [8]}, "model.fitting_net.neuron is [8] in its input"),
    ],
)
def test_another_input_is_named(
    data: Path, tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    inputs = [given(data, 1), given(data, 1, **change)]
    error = _of_training(share(tmp_path, inputs, tmp_path / "out"))
    assert error.startswith(f"process 1 differs from process 0: {words}")
    assert not (tmp_path / "out").exists()


class Other:
    """Processes of which the second one says what it is told to say."""

    rank, size, mates = 0, 2, 2

    def __init__(self, change: Any) -> None:
        self.change = change

    def gather(self, value: Any) -> list[Any]:
        other = copy.deepcopy(value)
        self.change(other)
        return [value, other]


def _put(*path: Any) -> Any:
    *keys, last, value = path

    def change(about: Any) -> None:
        for key in keys:
            about = about[key]
        about[last] = value

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_put("training", 0, "hash", "0"), "has other coordinates, types or labels"),
        (_put("training", 1, "frames", 4), "b has 4 frames, not 5"),
        (_put("training", []), "it found 0 training systems, not 2"),
    ],
)
def test_other_data_are_named(data: Path, tmp_path: Path, change: Any, words: str) -> None:
    (tmp_path / "input.json").write_text(json.dumps(given(data, 1)))
    setup = loop_setup(tmp_path, Other(change))
    with pytest.raises(TrainingError, match="process 1 differs from process 0: ") as caught:
        require_same_data(setup)
    assert words in str(caught.value)


def test_another_version_is_named(data: Path) -> None:
    other: Any = Other(_put("backend", "torch 1.0"))
    with pytest.raises(TrainingError, match=r"process 1 .*: it runs torch 1\.0, not torch"):
        require_same_input(parse(given(data, 1)), get_backend("torch"), other)


@pytest.mark.parametrize("size", [2, 6])
def test_each_process_looks_at_its_part_of_the_frames(data: Path, size: int) -> None:
    paths, scope = [str(data / "a"), str(data / "b")], Scope(2.0, ("energy", "force"))
    want = Look().at(open_systems(paths), scope)
    frames = sum(one.nframes for one in want)

    def run(processes: Any) -> tuple[list[Any], int]:
        done: list[int] = []

        @contextlib.contextmanager
        def bar(total: int) -> Iterator[Any]:
            yield done.append

        look = Look(bar=bar, processes=processes)
        return look.at(open_systems(paths), scope), sum(done)

    found = together(size, run)
    assert sum(done for _, done in found) == frames
    assert max(done for _, done in found) <= frames // size + 2
    for surveys, _ in found:
        for one, other in zip(surveys, want, strict=True):
            assert vars(one).keys() == vars(other).keys()
            for name, x in vars(one).items():
                assert x.dtype == getattr(other, name).dtype, name
                assert np.array_equal(x, getattr(other, name)), name


def loop_setup(folder: Path, processes: Any) -> Any:
    """Return the setup of a run."""
    from multifit.train.setup.setup import set_up

    return set_up(
        config.load(folder / "input.json"), get_backend("torch"), folder, processes=processes
    )


@pytest.mark.parametrize(("how", "factor"), [(None, 1), ("none", 1), ("linear", 4), ("sqrt", 2)])
def test_the_learning_rate_is_scaled_on_request(how: str | None, factor: float) -> None:
    rate = {"learning_rate__scale_by_worker": how} if how else {}
    scaled = scaled_rate(parse(recipe(**rate)), 4)
    assert scaled["start_lr"] == pytest.approx(0.005 * factor)
    assert scaled["stop_lr"] == pytest.approx(1e-4 * factor)

"""Batch sizes, probabilities of systems and the sampler."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from multifit.data import (
    MixedSampler,
    Sampler,
    System,
    batch_sizes,
    open_systems,
    system_probabilities,
)
from multifit.errors import ConfigError, DataError


@pytest.fixture(scope="module")
def systems(tmp_path_factory: pytest.TempPathFactory) -> list[System]:
    """Three systems: 10 + 3 frames of 2 atoms, 7 of 20, 1 of 50."""
    root = tmp_path_factory.mktemp("data")
    for name, natoms, sets in (("a", 2, (10, 3)), ("b", 20, (7,)), ("c", 50, (1,))):
        for number, nframes in enumerate(sets):
            folder = root / name / f"set.{number:03d}"
            folder.mkdir(parents=True)
            np.save(folder / "coord.npy", np.zeros((nframes, natoms * 3)))
        (root / name / "type.raw").write_text("0 " * natoms)
        (root / name / "nopbc").touch()
    return open_systems(root)


def fails(*parts: str) -> pytest.RaisesExc:
    """All parts are said, in this order."""
    return pytest.raises(ConfigError, match="(?s)" + ".*".join(re.escape(part) for part in parts))


@pytest.mark.parametrize(
    ("spec", "want"),
    [
        (2, [2, 2, 1]),
        (100, [13, 7, 1]),
        ([3, 2, 1], [3, 2, 1]),
        ("auto", [13, 2, 1]),
        ("auto:32", [13, 2, 1]),
        ("auto:21", [11, 2, 1]),
        ("max:21", [10, 1, 1]),
        ("filter:21", [10, 1, 0]),
        ("filter:50", [13, 2, 1]),
        ("mixed:5", [5, 5, 1]),
        ("mix:21", [10, 1, 1]),
    ],
)
def test_batch_sizes(systems: list[System], spec: int | list[int] | str, want: list[int]) -> None:
    assert batch_sizes(systems, spec) == want


@pytest.mark.parametrize(
    ("spec", "parts"),
    [
        (0, ("batch_size is 0", "at least 1")),
        ([1, 1, -3], ("batch_size is -3",)),
        ([1, 1], ("2 entries", "3 systems")),
        ("max", ("'max'", "'auto:N'")),
        ("auto:x", ("'auto:x'",)),
        ("auto:0", ("'auto:0'",)),
        ("some:5", ("'some:5'",)),
        ("filter:1", ("'filter:1' leaves no system", "2 atoms")),
    ],
)
def test_batch_sizes_that_make_no_sense(
    systems: list[System], spec: int | list[int] | str, parts: tuple[str, ...]
) -> None:
    with fails(*parts):
        batch_sizes(systems, spec)


@pytest.mark.parametrize(
    ("sizes", "auto", "given", "want"),
    [
        # whole batches per set, at least one: 10 // 4 + max(1, 3 // 4), 7 // 4, 1
        ([4, 4, 1], "prob_sys_size", None, [3 / 5, 1 / 5, 1 / 5]),
        ([1, 1, 1], "prob_sys_size", None, [13 / 21, 7 / 21, 1 / 21]),
        ([1, 1, 1], "prob_uniform", None, [1 / 3, 1 / 3, 1 / 3]),
        ([1, 1, 0], "prob_uniform", None, [1 / 2, 1 / 2, 0]),
        ([1, 1, 1], "prob_sys_size;0:2:0.8;2:3:0.2", None, [0.52, 0.28, 0.2]),
        ([1, 1, 1], "prob_sys_size;0:1:3;2:3:1", None, [0.75, 0, 0.25]),
        ([1, 1, 1], "prob_uniform", [2, 1, 1], [0.5, 0.25, 0.25]),
        ([1, 1, 1], "prob_uniform", [0.5, 0, 0.5], [0.5, 0, 0.5]),
        ([1, 1, 1], "prob_uniform", [-1, -1, 0.6], [0.4 * 13 / 20, 0.4 * 7 / 20, 0.6]),
        ([1, 1, 1], "prob_uniform", [-1, 0.4, 0.6], [0, 0.4, 0.6]),
    ],
)
def test_probabilities(
    systems: list[System],
    sizes: list[int],
    auto: str,
    given: list[float] | None,
    want: Sequence[float],
) -> None:
    got = system_probabilities(systems, sizes, auto, given)
    np.testing.assert_allclose(got, want, rtol=1e-12)


@pytest.mark.parametrize(
    ("auto", "given", "parts"),
    [
        ("prob_size", None, ("'prob_size'", "'prob_uniform'")),
        ("prob_sys_size;0:2", None, ("'0:2'", "start:end:weight")),
        ("prob_sys_size;0:2:x", None, ("'0:2:x'", "start:end:weight")),
        ("prob_sys_size;0:4:1", None, ("'0:4:1'", "3 systems")),
        ("prob_sys_size;2:1:1", None, ("'2:1:1'", "start < end")),
        ("prob_sys_size;0:1:-1", None, ("'0:1:-1'", "not negative")),
        ("prob_sys_size;0:2:1;1:3:1", None, ("'1:3:1'", "overlaps")),
        ("prob_sys_size;0:2:0", None, ("all systems are 0",)),
        ("", [1, 1], ("2 entries", "3 systems")),
        ("", [0, 0, 0], ("all systems are 0",)),
        ("", [1, 1, np.nan], ("nan",)),
        ("", [1, 1, -1], ("sum up to 2", "below 1")),
    ],
)
def test_probabilities_that_make_no_sense(
    systems: list[System], auto: str, given: list[float] | None, parts: tuple[str, ...]
) -> None:
    with fails(*parts):
        system_probabilities(systems, [1, 1, 1], auto, given)


def test_errors_name_the_section_and_count_grammatically(systems: list[System]) -> None:
    one, section = systems[:1], "training.validation_data"
    with fails(f"{section}: batch_size has 2 entries, but there is 1 system; give one"):
        batch_sizes(one, [1, 1], section)
    with fails(f"{section}: batch_size 'auto:x' is not understood"):
        batch_sizes(one, "auto:x", section)
    with fails("batch_size has 1 entry, but there are 3 systems"):
        batch_sizes(systems, [1])
    with fails(f"{section}: sys_probs has 2 entries, but there is 1 system"):
        system_probabilities(one, [1], sys_probs=[0.5, 0.5], where=section)
    with fails(f"{section}: block '0:2:1' of auto_prob does not fit: there is 1 system"):
        system_probabilities(one, [1], "prob_sys_size;0:2:1", where=section)
    with fails(f"{section}: the probabilities of all systems are 0"):
        system_probabilities(one, [1], sys_probs=[0.0], where=section)
    with pytest.raises(
        DataError, match=r"1 system with \[13\] frames, but the data have 3 systems"
    ):
        sampler(systems).restore(Sampler(one, [1], np.ones(1), seed=0).state())


def sampler(systems: list[System], seed: int = 7, **options: bool) -> Sampler:
    sizes = batch_sizes(systems, [4, 3, 1])
    return Sampler(systems, sizes, system_probabilities(systems, sizes), seed, **options)


def test_every_frame_once_per_epoch_and_no_short_batch(systems: list[System]) -> None:
    draw = sampler(systems)
    frames: dict[int, list[int]] = {0: [], 1: [], 2: []}
    for _ in range(300):
        system, batch = draw.next()
        assert batch.dtype == np.int64
        assert batch.size == (4, 3, 1)[system]
        frames[system] += batch.tolist()
    for system, each in frames.items():
        n = systems[system].nframes
        epochs = [each[i : i + n] for i in range(0, len(each) - n + 1, n)]
        assert len(epochs) > 3
        assert all(sorted(epoch) == list(range(n)) for epoch in epochs)
        assert n == 1 or epochs[0] != epochs[1]


def test_systems_come_with_their_probabilities(systems: list[System]) -> None:
    draw = Sampler(systems, [1, 1, 0], np.array([0.25, 0.75, 0.0]), seed=3)
    drawn = np.bincount([draw.next()[0] for _ in range(2000)], minlength=3)
    assert drawn[2] == 0
    assert abs(drawn[0] / 2000 - 0.25) < 0.03


def test_a_batch_larger_than_the_system_spans_epochs(systems: list[System]) -> None:
    draw = Sampler(systems[1:2], [16], np.array([1.0]), seed=3)
    _, batch = draw.next()
    assert sorted(batch[:7]) == sorted(batch[7:14]) == list(range(7))


def test_without_shuffling_frames_come_in_order(systems: list[System]) -> None:
    draw = Sampler(systems[1:2], [3], np.array([1.0]), seed=3, shuffle=False)
    got = [draw.next()[1].tolist() for _ in range(3)]
    assert got == [[0, 1, 2], [3, 4, 5], [6, 0, 1]]


def steps(draw: Sampler, n: int) -> list[tuple[int, list[int]]]:
    return [(system, batch.tolist()) for system, batch in (draw.next() for _ in range(n))]


def test_seeds(systems: list[System]) -> None:
    first = steps(sampler(systems), 20)
    assert first == steps(sampler(systems), 20)
    assert first != steps(sampler(systems, seed=8), 20)


@pytest.mark.parametrize("after", [0, 1, 17])
def test_a_restart_goes_on_exactly(systems: list[System], tmp_path: Path, after: int) -> None:
    draw = sampler(systems)
    steps(draw, after)
    np.savez(tmp_path / "state.npz", **draw.state())
    want = steps(draw, 40)
    again = sampler(systems, seed=99)
    steps(again, 5)
    with np.load(tmp_path / "state.npz") as state:
        again.restore(state)
    assert steps(again, 40) == want


def test_the_state_is_a_snapshot(systems: list[System]) -> None:
    draw = sampler(systems)
    state = draw.state()
    want = steps(draw, 10)
    draw.restore(state)
    assert steps(draw, 10) == want


def test_a_state_of_other_data(systems: list[System]) -> None:
    state = sampler(systems).state()
    other = Sampler(systems[:2], [1, 1], np.array([0.5, 0.5]), seed=0)
    with pytest.raises(DataError, match=r"3 systems with \[13, 7, 1\].*2 systems with \[13, 7\]"):
        other.restore(state)


def test_lengths_must_agree(systems: list[System]) -> None:
    with pytest.raises(ValueError, match="differ in length"):
        Sampler(systems, [1, 1], np.array([0.5, 0.5]), seed=0)


def drawn(sampler: MixedSampler, steps: int) -> list[list[tuple[int, int]]]:
    """Return system and frame of each frame of some batches."""
    return [[(k, int(frame)) for k, (frame,) in sampler.picks()] for _ in range(steps)]


def test_frames_of_a_mixed_batch_come_from_all_systems(systems: list[System]) -> None:
    chances = np.array([0.5, 0.3, 0.2])
    batches = drawn(MixedSampler(systems, 5, chances, 3), 2000)
    assert {len(batch) for batch in batches} == {5}
    shares = np.bincount([k for batch in batches for k, _ in batch]) / 10_000
    np.testing.assert_allclose(shares, chances, atol=0.02)
    # Each frame of a system once before any comes again.
    first = [frame for batch in batches for k, frame in batch if k == 0][:13]
    assert sorted(first) == list(range(13))


def test_frames_of_a_mixed_batch_have_the_same_labels(systems: list[System]) -> None:
    chances = np.array([0.5, 0.3, 0.2])
    some = [replace(s, labels=frozenset(x)) for s, x in zip(systems, LABELS, strict=True)]
    batches = drawn(MixedSampler(some, 4, chances, 3, ("energy", "force")), 2000)
    kinds = [{k for k, _ in batch} for batch in batches]
    assert all(kind <= {0, 2} or kind == {1} for kind in kinds)
    assert {0, 2} in kinds
    shares = np.bincount([k for batch in batches for k, _ in batch]) / 8000
    np.testing.assert_allclose(shares, chances, atol=0.03)


#: "virial" is not a label that counts.
LABELS = (("energy", "force"), ("energy",), ("energy", "force", "virial"))


def test_a_mixed_sampler_goes_on(systems: list[System]) -> None:
    whole = drawn(MixedSampler(systems, 3, np.ones(3), 7), 20)
    first = MixedSampler(systems, 3, np.ones(3), 7)
    assert drawn(first, 8) == whole[:8]
    second = MixedSampler(systems, 3, np.ones(3), 1)
    second.restore(first.state())
    assert drawn(second, 12) == whole[8:]

"""What caches keep within a limit."""

from __future__ import annotations

import pytest

from multifit.train.setup.budget import Budget, find_budget
from multifit.train.setup.pool import Pool, Worth


def test_what_is_first_stays() -> None:
    pool = Pool(limit=10)
    assert [pool.keep(k, str(k), 4, Worth.FRAME) for k in range(3)] == [True, True, False]
    assert (pool.used, pool.get(0), pool.get(2)) == (8, "0", None)
    assert not pool.keep(0, "larger", 7, Worth.FRAME)
    assert (pool.used, pool.get(0)) == (4, None)


def test_batches_make_way_for_frames_the_newest_first() -> None:
    pool = Pool(limit=10)
    for k in range(3):
        pool.keep(k, k, 3, Worth.BATCH)
    assert pool.keep("frame", 0, 4, Worth.FRAME)
    assert [pool.get(k) for k in range(3)] == [0, 1, None]
    assert not pool.keep("too large", 0, 7, Worth.FRAME)
    assert (pool.used, pool.get(0)) == (10, 0)  # nothing was dropped in vain
    assert not pool.keep("batch", 0, 1, Worth.BATCH)


def test_an_entry_may_take_the_place_of_another() -> None:
    pool = Pool(limit=10)
    pool.keep("frame", 0, 4, Worth.FRAME)
    assert not pool.keep("batch", 0, 11, Worth.BATCH, instead="frame")
    assert pool.get("frame") == 0
    assert pool.keep("batch", 1, 10, Worth.BATCH, instead="frame")
    assert (pool.used, pool.get("frame")) == (10, None)


def test_without_a_limit_all_is_kept() -> None:
    pool = Pool()
    assert all(pool.keep(k, k, 1 << 40, Worth.BATCH) for k in range(5))


@pytest.mark.parametrize(
    ("free", "given", "variable", "caches", "reason"),
    [
        (8e9, None, None, 256e6, "free memory"),
        (8e8, None, None, 1e8, "free memory"),
        (8e9, "2 GB", None, 2e9, "training.memory"),
        (8e9, 300, "200", 200e6, "MULTIFIT_MEMORY"),
        (8e9, 0, None, 0, "training.memory"),
        (1e9, "2 GB", None, 5e8, "free memory"),
    ],
)
def test_the_memory_of_a_run(
    free: float,
    given: float | str | None,
    variable: str | None,
    caches: float,
    reason: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from multifit.host import memory

    limit = memory.Limit(int(free), "free memory")
    monkeypatch.setattr(memory, "available", lambda mates: limit)
    monkeypatch.delenv(memory.VARIABLE, raising=False)
    if variable is not None:
        monkeypatch.setenv(memory.VARIABLE, variable)
    found = find_budget(given)
    assert (found.caches, found.reason) == (caches, reason)


def test_processes_of_a_host_share_the_size_that_the_user_gives(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from multifit.host import memory

    monkeypatch.delenv(memory.VARIABLE, raising=False)
    free = memory.Limit(10**9, "free memory")
    monkeypatch.setattr(memory, "available", lambda mates: free)
    found = find_budget("600 MB", 3)
    reason = "training.memory, shared by 3 processes of this host"
    assert found == Budget(200_000_000, 200_000_000, reason)


def test_the_line_about_the_memory_of_a_run() -> None:
    assert str(Budget(8 * 10**9, 256_000_000, "free memory")) == (
        "memory: 8.0 GB available (free memory); at most 256 MB of it for neighbours and batches "
        "kept between steps"
    )
    assert str(Budget(0, 0, "training.memory")) == (
        "memory: no neighbours or batches are kept between steps (training.memory)"
    )

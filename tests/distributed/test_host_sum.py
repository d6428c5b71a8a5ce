"""Sums in memory that the processes of one host share; the processes are threads here."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _threads import together

from multifit.backend import get_backend
from multifit.distributed import _host_sum
from multifit.errors import TrainingError

pytestmark = pytest.mark.skipif(
    not hasattr(os, "posix_fallocate"), reason="this system cannot reserve shared memory"
)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the only folder for shared memory."""
    monkeypatch.setattr(_host_sum, "IN_MEMORY", str(tmp_path / "none"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def no_room(*_: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("size", [2, 3])
def test_sums_are_those_in_the_order_of_processes(size: int, folder: Path) -> None:
    backend, random = get_backend("numpy"), np.random.default_rng(1)
    # The memory grows, is used in part, and for another dtype; 2 elements are fewer than processes.
    shapes = [(7, "f8"), (5000, "f8"), (2, "f8"), (9000, "f4")]
    given = [[random.normal(size=n).astype(kind) for _ in range(size)] for n, kind in shapes]

    def run(place: Any) -> list[np.ndarray]:
        sums = _host_sum.host_sum(place, place.size, backend)
        assert sums is not None
        return [sums.all_reduce_sum(rows[place.rank]) for rows in given]

    for found in together(size, run):
        for got, rows in zip(found, given, strict=True):
            want = rows[0]
            for row in rows[1:]:
                want = want + row
            assert got.dtype == want.dtype
            np.testing.assert_array_equal(got, want)
    assert not list(folder.iterdir())


@pytest.mark.parametrize("case", ["hosts", "variable", "room"])
def test_without_shared_memory_sums_are_left_to_the_framework(
    case: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if case == "variable":
        monkeypatch.setenv("MULTIFIT_SHARED_MEMORY", "0")
    if case == "room":
        monkeypatch.setattr(os, "posix_fallocate", no_room)
    mates, backend = 1 if case == "hosts" else 2, get_backend("numpy")
    found = together(2, lambda place: _host_sum.host_sum(place, mates, backend))
    assert found == [None, None]
    assert not list(folder.iterdir())


@pytest.mark.parametrize("found", ["nothing", "another file", "a link"])
def test_only_the_file_of_process_0_is_opened(found: str, folder: Path) -> None:
    path, file = _host_sum._made(1)
    number = os.fstat(file).st_ino
    if found == "nothing":
        Path(path).unlink()
    elif found == "a link":
        Path(path).rename(folder / "moved")
        Path(path).symlink_to(folder / "moved")
    assert _host_sum._opened(path, number + (found == "another file")) == -1
    os.close(file)


def test_no_room_for_the_gradients_is_one_sentence(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = get_backend("numpy")

    def run(place: Any) -> Any:
        sums = _host_sum.host_sum(place, 2, backend)
        place.gather(None)
        monkeypatch.setattr(os, "posix_fallocate", no_room)
        assert sums is not None
        with pytest.raises(TrainingError) as raised:
            sums.all_reduce_sum(np.zeros(1 << 20))
        return str(raised.value)

    for found in together(2, run):
        assert found == (
            f"no room for 24 MiB that the processes share: free some in {folder}, or set "
            "MULTIFIT_SHARED_MEMORY=0 to leave sums to the framework"
        )

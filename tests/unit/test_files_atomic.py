"""A crash, a full disk or a lost process never costs the file that was there."""

from __future__ import annotations

import errno
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from multifit.errors import FileFormatError
from multifit.files import read, remove_stale, write

WRITER = """
import sys, numpy as np
from multifit.files import write
path, step = sys.argv[1], 0
while True:
    step += 1
    write(path, {"step": step, "@variables": {"w": np.full(100_000, float(step))}})
    if step == 1:
        print("ready", flush=True)
"""


def model(value: float) -> dict[str, Any]:
    return {"value": value, "@variables": {"w": np.full(100, value)}}


def test_kill_during_writing_leaves_a_complete_file(tmp_path: Path) -> None:
    path, rng, last = tmp_path / "model.dp", random.Random(3), 0
    for number in range(40):  # on a busy machine the first ones may write once only
        if number >= 10 and last > 1:
            break
        command = [sys.executable, "-c", WRITER, str(path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            time.sleep(rng.uniform(0, 0.05))
            process.kill()
        back = read(path)
        assert np.array_equal(back["@variables"]["w"], np.full(100_000, float(back["step"])))
        last = max(last, back["step"])
    assert last > 1
    remove_stale(tmp_path)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["fsync", "replace", "open", "write"])
@pytest.mark.parametrize("suffix", [".dp", ".json", ".yaml"])
def test_a_full_disk_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, name: str
) -> None:
    path = tmp_path / f"model{suffix}"
    write(path, model(1.0))

    def full(*args: Any, **kwargs: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        if name == "open":
            patch.setattr(Path, "open", full)
        elif name == "write":
            patch.setattr(Path, "open", lambda self, mode: FullDisk(self, mode))
        else:
            patch.setattr(os, name, full)
        with pytest.raises(FileFormatError, match=r"No space left on device.*unchanged"):
            write(path, model(2.0))
    assert read(path)["value"] == 1.0
    assert list(tmp_path.iterdir()) == [path]


class FullDisk:
    """A file that takes half of what is written."""

    def __init__(self, path: Path, mode: str) -> None:
        self.file = open(path, mode)  # noqa: SIM115 - closed by __exit__

    def __enter__(self) -> FullDisk:
        return self

    def __exit__(self, *error: object) -> None:
        self.file.close()

    def write(self, content: bytes) -> int:
        self.file.write(content[: len(content) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")


def test_every_failing_flush_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.dp"
    write(path, model(1.0))
    real, calls = os.fsync, 0

    def second_fails(number: int) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise OSError(errno.EIO, "Input/output error")
        real(number)

    monkeypatch.setattr(os, "fsync", second_fails)
    with pytest.raises(FileFormatError, match="is written, but its folder"):
        write(path, model(2.0))
    assert read(path)["value"] == 2.0


def test_a_folder_that_can_not_be_flushed_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = os.fsync, 0

    def second_fails(number: int) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise OSError(errno.EINVAL, "Invalid argument")
        real(number)

    monkeypatch.setattr(os, "fsync", second_fails)
    write(tmp_path / "model.dp", model(2.0))
    assert calls == 2


def test_a_disk_that_lies_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.dp"
    write(path, model(1.0))
    real = os.fsync

    def flips_a_bit(number: int) -> None:
        real(number)
        os.pwrite(number, b"\xff", 100)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", flips_a_bit)
        with pytest.raises(FileFormatError, match="other bytes"):
            write(path, model(2.0))
    assert read(path)["value"] == 1.0


def test_an_interrupt_leaves_no_litter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(number: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "model.dp", model(2.0))
    assert list(tmp_path.iterdir()) == []


def test_where_it_can_not_be_written(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="create it first"):
        write(tmp_path / "missing" / "model.dp", {})
    (tmp_path / "a.dp").mkdir()
    with pytest.raises(FileFormatError, match="is a folder"):
        write(tmp_path / "a.dp", {})


def test_links_permissions_and_odd_names_are_kept(tmp_path: Path) -> None:
    target = tmp_path / "real höhe – 1.dp"
    write(target, model(1.0))
    target.chmod(0o640)
    link = tmp_path / "latest.dp"
    link.symlink_to(target.name)
    write(link, model(2.0))
    assert link.is_symlink()
    assert read(target)["value"] == 2.0
    assert target.stat().st_mode & 0o777 == 0o640


def test_only_our_leftovers_of_dead_processes_are_removed(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    dead = process.pid
    gone = [tmp_path / f"{name}.tmp.{dead}" for name in ("a.dp", "b.json", "c.yaml")]
    stay = [
        tmp_path / n for n in (f"a.dp.tmp.{os.getpid()}", f"x.tmp.{dead}", "a.dp.tmp.1", "a.dp")
    ]
    for path in gone + stay:
        path.write_bytes(b"x")
    folder = tmp_path / f"d.dp.tmp.{dead}"
    folder.mkdir()
    link = tmp_path / f"l.dp.tmp.{dead}"
    link.symlink_to("a.dp")
    huge = tmp_path / "e.dp.tmp.9999999999"
    huge.touch()
    assert remove_stale(tmp_path) == [*gone, huge]
    assert set(tmp_path.iterdir()) == {*stay, folder, link}
    with pytest.raises(FileFormatError, match="missing"):
        remove_stale(tmp_path / "missing")


def test_a_leftover_with_our_own_number_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / f"model.dp.tmp.{os.getpid()}").write_bytes(b"from a process of the past")
    write(tmp_path / "model.dp", model(1.0))
    assert [p.name for p in tmp_path.iterdir()] == ["model.dp"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs a pipe with a name")
def test_a_pipe_is_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    (tmp_path / "model.dp").symlink_to(pipe)
    with pytest.raises(FileFormatError, match=r"model\.dp cannot be .*: it is a device or a pipe"):
        write(tmp_path / "model.dp", model(1.0))
    assert pipe.is_fifo()

"""The lock of a folder: taken once, never left behind by a crash."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from multifit.errors import BusyError, FileFormatError
from multifit.files import Lock, _lock
from multifit.files._processes import is_running, started

HOLDER = """
import sys, time
from pathlib import Path
from multifit.files import Lock

with Lock(Path(sys.argv[1]), "wait"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / ".multifit.lock"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_lock, "GRACE", 0.1)
    monkeypatch.setattr(_lock, "PATIENCE", 0.5)
    monkeypatch.setattr(_lock, "HEARTBEAT", 0.05)


def foreign(path: Path, age: float = 0.0, **changes: Any) -> None:
    """Write the lock of a process on another host, silent for some seconds."""
    owner = {"host": "elsewhere", "boot": "b", "processes": "p", "pid": 7, "born": 1, "token": "t"}
    path.write_text(json.dumps(owner | {"since": "2026-01-31 12:00:00+00:00"} | changes))
    when = time.time() - age
    os.utime(path, (when, when))


def taken(path: Path, said: list[str] | None = None) -> Lock:
    return Lock(path, "choose another folder", (said if said is not None else []).append)


@pytest.mark.usefixtures("impatient")
def test_a_lock_is_held_by_one_and_then_gone(path: Path) -> None:
    with taken(path) as lock:
        lock.check()
        with pytest.raises(BusyError) as caught, taken(path):
            pass
        assert f"process {os.getpid()} on" in str(caught.value)
        assert f"or choose another folder (if this process is certainly gone, delete {path})" in (
            str(caught.value)
        )
        assert [each.name for each in path.parent.iterdir()] == [path.name]
    assert not list(path.parent.iterdir())
    assert not [thread for thread in threading.enumerate() if thread.name == "multifit lock"]


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
def test_the_lock_of_a_killed_process_is_taken_over_at_once(path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(BusyError, match=f"process {holder.pid} on"), taken(path):
            pass
        holder.kill()
        holder.stdout.read()  # until it is dead, though nobody has asked for its exit code
        said: list[str] = []
        with taken(path, said):
            assert said[0].startswith(f"taking over from another run (process {holder.pid} on ")


def test_a_process_with_the_id_of_a_dead_one_is_another(path: Path) -> None:
    if started(os.getpid()) is None:
        pytest.skip("the start of a process is unknown here")
    foreign(path, **_lock._machine(), pid=os.getpid(), born=1)
    with taken(path):
        pass


@pytest.mark.usefixtures("impatient")
def test_a_lock_of_another_host_is_abandoned_without_signs_of_life(path: Path) -> None:
    foreign(path, age=100.0)
    with taken(path):
        pass
    foreign(path)
    said: list[str] = []
    with taken(path, said):
        assert said[0].endswith("for a sign of life")
        assert "process 7 on elsewhere since 2026-01-31 12:00:00+00:00" in said[1]


@pytest.mark.usefixtures("impatient")
def test_a_lock_of_another_host_that_is_renewed_counts(path: Path) -> None:
    foreign(path)
    ended = threading.Event()

    def live() -> None:
        while not ended.wait(0.05):
            os.utime(path)

    thread = threading.Thread(target=live)
    thread.start()
    try:
        with pytest.raises(BusyError, match="process 7 on elsewhere"), taken(path):
            pass
    finally:
        ended.set()
        thread.join()


@pytest.mark.usefixtures("impatient")
def test_the_owner_renews_its_lock(path: Path) -> None:
    with taken(path):
        before = path.stat().st_mtime_ns
        deadline = time.monotonic() + 10
        while path.stat().st_mtime_ns == before and time.monotonic() < deadline:
            time.sleep(0.02)
        assert path.stat().st_mtime_ns > before


@pytest.mark.usefixtures("impatient")
def test_a_suspended_owner_is_seen_by_its_mark(path: Path) -> None:
    if sys.platform == "win32":
        pytest.skip("Windows has no such marks")
    import fcntl

    foreign(path, age=1000.0)
    with path.open("r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(BusyError), taken(path):
            pass


def test_a_deleted_lock_is_made_again_and_a_lost_one_noticed(path: Path) -> None:
    with taken(path) as lock:
        path.unlink()
        lock.check()
        assert path.exists()
        foreign(path)
        with pytest.raises(BusyError, match=r"was taken over by another run \(process 7 on"):
            lock.check()
    assert path.exists()  # it belongs to the other run


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b"\xff\x00", b'{"pid": "x"}'])
def test_a_damaged_lock_is_abandoned_in_the_end(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    os.utime(path, (1.0, 1.0))
    with taken(path):
        assert json.loads(path.read_text())["pid"] == os.getpid()


@pytest.mark.usefixtures("impatient")
def test_a_file_system_without_hard_links_will_do(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    with taken(path), pytest.raises(BusyError), taken(path):
        pass
    assert not list(path.parent.iterdir())


def test_a_folder_without_room_is_an_error(path: Path) -> None:
    with pytest.raises(FileFormatError, match="cannot be written"), taken(path / "nothing"):
        pass


@pytest.mark.usefixtures("impatient")
def test_many_at_once_leave_one(path: Path) -> None:
    foreign(path, age=1000.0)
    inside, most, lock = [0], [0], threading.Lock()
    start = threading.Barrier(8)

    def compete() -> None:
        start.wait()
        for _ in range(20):
            try:
                with Lock(path, "wait", lambda _: None):
                    with lock:
                        inside[0] += 1
                        most[0] = max(most[0], inside[0])
                    time.sleep(0.001)
                    with lock:
                        inside[0] -= 1
            except BusyError:
                continue

    threads = [threading.Thread(target=compete) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most[0] == 1


def test_processes() -> None:
    assert is_running(os.getpid(), started(os.getpid()))
    assert is_running(0)
    assert not is_running(2**40)

"""How processes are counted, meet, exchange values and notice the end of one; with threads."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from multifit.distributed import (
    Group,
    Launch,
    PeerError,
    RefusedError,
    detect,
    free_port,
    share_work,
)
from multifit.distributed import _end as end
from multifit.distributed import _meet as meet
from multifit.distributed._join import join
from multifit.distributed._launch import launched_rank
from multifit.errors import ConfigError, TrainingError

SLURM = {
    "SLURM_PROCID": "5",
    "SLURM_STEP_NUM_TASKS": "8",
    "SLURM_LOCALID": "1",
    "SLURM_STEP_NUM_NODES": "2",
    "SLURM_STEP_NODELIST": "gpu[03-04]",
    "SLURM_JOB_ID": "17",
}
TORCHRUN = {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1"}
TORCHRUN |= {"MASTER_ADDR": "node1", "MASTER_PORT": "29500"}
OPEN_MPI = {f"OMPI_COMM_WORLD_{k}": "2" for k in ("SIZE", "LOCAL_SIZE")}
OPEN_MPI |= {"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_LOCAL_RANK": "1"}
MPICH = {"PMI_RANK": "1", "PMI_SIZE": "2", "MPI_LOCALRANKID": "1", "MPI_LOCALNRANKS": "2"}
PADDLE = {"PADDLE_TRAINER_ID": "1", "PADDLE_TRAINERS_NUM": "2"}
PADDLE |= {"PADDLE_TRAINER_ENDPOINTS": "10.0.0.1:6170,10.0.0.2:6170"}
WORKERS = {"cluster": {"worker": ["a:1", "b:1", "b:2"]}, "task": {"type": "worker", "index": 2}}
OURS = {"MULTIFIT_COORDINATOR": "[::1]:29500", "MULTIFIT_RANK": "1", "MULTIFIT_SIZE": "2"}


@pytest.mark.parametrize(
    ("env", "rank", "size", "local", "host", "by"),
    [
        (SLURM, 5, 8, 1, "gpu03", "srun"),
        (SLURM | {"SLURM_STEP_NODELIST": "login,gpu[03-04]"}, 5, 8, 1, "login", "srun"),
        (SLURM | {"SLURM_STEP_NUM_NODES": "1"}, 5, 8, 1, "127.0.0.1", "srun"),
        (TORCHRUN, 1, 2, 1, "node1", "torchrun"),
        (TORCHRUN | SLURM, 1, 2, 1, "node1", "torchrun"),
        (OPEN_MPI, 1, 2, 1, "127.0.0.1", "mpirun (Open MPI)"),
        (MPICH, 1, 2, 1, "127.0.0.1", "mpiexec (MPICH)"),
        (PADDLE, 1, 2, None, "10.0.0.1", "paddle.distributed.launch"),
        ({"TF_CONFIG": json.dumps(WORKERS)}, 2, 3, 1, "a", "TF_CONFIG"),
        (OURS, 1, 2, None, "::1", "the environment"),
        (MPICH | {"MULTIFIT_COORDINATOR": "node7:99"}, 1, 2, 1, "node7", "mpiexec (MPICH)"),
    ],
)
def test_the_environment_tells_the_number_of_processes(
    env: dict[str, str], rank: int, size: int, local: int | None, host: str, by: str
) -> None:
    found = detect(env)
    assert found is not None
    assert (found.rank, found.size, found.local_rank) == (rank, size, local)
    assert (found.host, found.by) == (host, by)
    # All processes of a run come to the same ports, which differ from those of other runs.
    other = detect({k: "0" if v == str(rank) and "ID" in k else v for k, v in env.items()})
    assert other is None or by == "srun" or set(other.ports) == set(found.ports)


@pytest.mark.parametrize(
    "env",
    [
        {},
        {"SLURM_PROCID": "0", "SLURM_NTASKS": "4", "SLURM_JOB_ID": "17"},  # a batch script
        {"RANK": "3"},  # something else's
        {"RANK": "0", "WORLD_SIZE": "1"},
        {"TF_CONFIG": json.dumps({"cluster": {"worker": ["a:1"]}, "task": {"index": 0}})},
        {"MULTIFIT_COORDINATOR": "a:1", "MULTIFIT_RANK": "0", "MULTIFIT_SIZE": "1"},
    ],
)
def test_one_process_is_one_process(env: dict[str, str]) -> None:
    assert detect(env) is None


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({"MULTIFIT_RANK": "0", "MULTIFIT_SIZE": "2"}, "MULTIFIT_COORDINATOR is ''"),
        (OURS | {"MULTIFIT_COORDINATOR": "node1"}, "such as node1:29500"),
        (OURS | {"MULTIFIT_RANK": "2"}, "MULTIFIT_RANK is 2, but must be below MULTIFIT_SIZE"),
        (OURS | {"MULTIFIT_SIZE": "two"}, "MULTIFIT_SIZE is 'two', but must be a whole number"),
        (TORCHRUN | {"RANK": "x"}, "RANK is 'x'"),
        ({"TF_CONFIG": "{}"}, "does not list the workers"),
        (OPEN_MPI | {"OMPI_COMM_WORLD_LOCAL_SIZE": "1"}, "set MULTIFIT_COORDINATOR=host:port"),
    ],
)
def test_an_environment_that_contradicts_itself(env: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        detect(env)
    assert words in str(caught.value)


@pytest.mark.parametrize(("env", "number", "started"), [({}, 3, 2), ({}, 1, 0), (TORCHRUN, 2, 0)])
def test_a_process_starts_the_others_once(
    env: dict[str, str], number: int, started: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "environ", dict(env))
    places: list[Launch | None] = []
    monkeypatch.setattr(subprocess, "Popen", lambda command, env, stdin: places.append(detect(env)))
    share_work(number, ("multifit",))
    own = detect()
    assert [place and (place.rank, place.size) for place in places] == [
        (rank, number) for rank in range(1, started + 1)
    ]
    assert (own and (own.rank, own.size)) == ((0, 3) if started else (1, 2) if env else None)
    share_work(number, ("multifit",))  # nothing more: they are there
    assert len(places) == started


def test_a_launcher_with_another_number_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", dict(TORCHRUN))
    with pytest.raises(ConfigError, match="--processes is 4, but torchrun has started 2 processes"):
        share_work(4, ("multifit",))


def test_the_time_to_wait_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in OURS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MULTIFIT_START_TIMEOUT", "soon")
    with pytest.raises(ConfigError, match="MULTIFIT_START_TIMEOUT is 'soon'"):
        join()


def launches(size: int, **changes: Any) -> list[Launch]:
    ports = (free_port(), free_port())
    settings = {"host": "127.0.0.1", "ports": ports, "job": "test", "by": "pytest"} | changes
    return [Launch(rank, size, rank, **settings) for rank in range(size)]


def in_threads(calls: list[Callable[[], Any]]) -> list[Any]:
    """Return what calls return or raise, each in a thread."""

    def caught(call: Callable[[], Any]) -> Any:
        try:
            return call()
        except Exception as exc:
            return exc

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(caught, calls))


@pytest.fixture
def groups(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Group]]:
    """Yield three processes that have met."""
    monkeypatch.setattr(end, "FORCE", 3600.0)  # pytest itself must not end
    monkeypatch.setattr(end.End, "_force", lambda self: None)
    each = launches(3)
    found = in_threads([lambda x=x: Group(x, meet.meet(x, 20.0)) for x in each])  # type: ignore[misc]
    yield found
    for group in found:  # all, before the first connection is closed: none is to say anything
        group.end.expected = True
    for group in found:
        for connection in group._connections.values():
            connection.close()


def test_values_are_exchanged(groups: list[Group]) -> None:
    arrays = {"x": np.arange(6.0).reshape(2, 3), "n": np.array(3)}
    big = "ä" * 100000
    results = in_threads(
        [
            lambda g=g: (  # type: ignore[misc]
                g.gather({"rank": g.rank, "text": big}),
                g.share(f"of {g.rank}"),
                g.share_arrays(arrays if g.rank == 0 else {}),
                g.leave(),
            )
            for g in groups
        ]
    )
    for gathered, shared, same, _ in results:
        assert gathered == [{"rank": rank, "text": big} for rank in range(3)]
        assert shared == "of 0"
        assert same.keys() == arrays.keys()
        for name, array in arrays.items():
            np.testing.assert_array_equal(same[name], array)
            assert same[name].dtype == array.dtype


def test_processes_of_one_host_find_their_mates(groups: list[Group]) -> None:
    hosts = ("a", "b", "b")
    for group in groups[1:]:  # no launcher tells their numbers
        group._knows_local_rank = False
    in_threads([lambda g=g: g.find_mates(hosts[g.rank]) for g in groups])  # type: ignore[misc]
    assert [(group.mates, group.local_rank) for group in groups] == [(1, 0), (2, 0), (2, 1)]


@pytest.mark.parametrize(
    ("env", "rank"),
    [(OURS, 0), ({"MULTIFIT_RANK": "3"}, 0), (MPICH, 1), (SLURM, 1), ({}, 0), (PADDLE, 0)],
)
def test_the_number_on_a_host_before_the_processes_have_met(env: dict[str, str], rank: int) -> None:
    # The number among all processes is not that among those of a host.
    assert launched_rank(env) == rank


def test_the_end_of_a_process_is_noticed_by_all(
    groups: list[Group], capfd: pytest.CaptureFixture[str]
) -> None:
    groups[0].remember("; continue with --restart model.ckpt-5.dp")
    groups[1].end.expected = True  # it says nothing any more
    groups[1]._connections[0].close()  # as the system does for a process that is killed
    began = time.monotonic()
    for group in (groups[0], groups[2]):
        with pytest.raises(PeerError, match="process 1 of 3 has ended without a word"):
            group.gather(None)
    assert time.monotonic() - began < 10
    groups[0].end.tell()
    said = capfd.readouterr().err
    assert said.startswith("multifit: error: process 1 of 3 has ended without a word")
    assert said.endswith("; continue with --restart model.ckpt-5.dp\n")
    assert said.count("\n") == 1


def test_the_error_of_a_process_is_told_once(
    groups: list[Group], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(end, "FORCE", 0.1)
    assert not groups[2].fail("the frame 3 is bad")  # process 0 tells it
    for group in groups[:2]:
        with pytest.raises(PeerError, match="process 2 of 3: the frame 3 is bad"):
            group.gather(0)
    for group in groups[:2]:
        group.end.tell()
    assert capfd.readouterr().err == "multifit: error: process 2 of 3: the frame 3 is bad\n"


def test_the_end_of_the_first_is_told_by_the_others(
    groups: list[Group], capfd: pytest.CaptureFixture[str]
) -> None:
    groups[0].end.expected = True
    for connection in groups[0]._connections.values():
        connection.close()
    for group in groups[1:]:
        with pytest.raises(PeerError, match="process 0 of 3 has ended without a word"):
            group.gather(None)
        group.end.tell()
    said = capfd.readouterr().err.splitlines()
    assert sorted(line.partition("error")[0] for line in said if "process 0 of 3" in line) == [
        "multifit: process 1: ",
        "multifit: process 2: ",
    ]


def test_a_missing_process_is_named() -> None:
    first, second, _ = launches(3)
    found = in_threads([lambda: meet.meet(first, 1.0), lambda: meet.meet(second, 1.0)])
    assert isinstance(found[0], TrainingError)
    assert f"process 2 did not come to 127.0.0.1:{first.ports[0]} within 1 s" in str(found[0])
    assert isinstance(found[1], RefusedError)  # process 0 has said it


def test_a_missing_first_process_is_named() -> None:
    _, second = launches(2)
    with pytest.raises(TrainingError, match=r"process 1 found no process 0 at 127\.0\.0\.1:"):
        meet.meet(second, 0.5)


def test_other_versions_and_numbers_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, _ = launches(3)
    hello = meet._hello
    monkeypatch.setattr(meet, "_hello", lambda launch: hello(launch) | {"version": "0.0.1"})
    found = in_threads([lambda: meet.meet(first, 20.0), lambda: meet.meet(second, 20.0)])
    assert "process 1 runs multifit 0.0.1, but process 0 runs" in str(found[0])
    monkeypatch.setattr(meet, "_hello", hello)
    again = [lambda: meet.meet(second, 20.0)] * 2
    found = in_threads([lambda: meet.meet(first, 20.0), *again])
    assert "two processes say that they are number 1 of 3" in str(found[0])


def test_strangers_and_taken_ports_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meet, "ANSWER", 0.5)
    each = launches(2)
    with socket.create_server(("127.0.0.1", each[0].ports[0])) as taken:
        taken.settimeout(0.1)
        strangers: list[socket.socket] = []

        def visit() -> None:
            # Another program that knocks at the right door, and says what it likes.
            for _ in range(100):
                try:
                    link = socket.create_connection(("127.0.0.1", each[0].ports[1]), 0.2)
                except OSError:
                    time.sleep(0.02)
                    continue
                link.sendall(b"GET / HTTP/1.0\r\n\r\n" + os.urandom(64))
                strangers.append(link)
                return

        thread = threading.Thread(target=visit)
        thread.start()
        found = in_threads([lambda: meet.meet(each[0], 30.0), lambda: _later(each[1])])
        thread.join()
        for link in strangers:
            link.close()
    assert [sorted(connections) for connections in found] == [[1], [0]]
    for connections in found:
        for connection in connections.values():
            connection.close()


def _later(launch: Launch) -> Any:
    time.sleep(0.3)
    return meet.meet(launch, 30.0)

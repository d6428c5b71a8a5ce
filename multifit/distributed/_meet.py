"""The processes of a run find one another: all connect to process 0."""

from __future__ import annotations

import contextlib
import errno
import json
import socket
import time

from .. import __version__
from ..errors import TrainingError
from ._connection import DATA, FAILED, MOST_OF_HELLO, Connection
from ._launch import COORDINATOR, Launch

#: Addresses that only processes of this host reach.
LOOPBACK = ("localhost", "127.0.0.1", "::1")

#: Seconds for an answer, and between two attempts.
ANSWER, AGAIN = 5.0, 0.2


def meet(launch: Launch, timeout: float) -> dict[int, Connection]:
    """Return the connections of this process by the rank of the other end.

    Process 0 has one to each other process, and these one to process 0.

    Parameters
    ----------
    timeout
        Seconds to wait for all of them.

    Raises
    ------
    TrainingError
        If one is missing (which, and where it was expected) or does not belong to the run.
    """
    return _wait_for_others(launch, timeout) if launch.rank == 0 else _find_first(launch, timeout)


def _wait_for_others(launch: Launch, timeout: float) -> dict[int, Connection]:
    """Return the connections to all other processes."""
    door, end = _open(launch), time.monotonic() + timeout
    found: dict[int, Connection] = {}
    with door:
        while len(found) < launch.size - 1:
            door.settimeout(max(end - time.monotonic(), 0.01))
            try:
                link, _ = door.accept()
            except TimeoutError:
                host, port = launch.host, door.getsockname()[1]
                missing = [k for k in range(1, launch.size) if k not in found]
                raise _give_up(found, missing, f"{host}:{port}", timeout) from None
            connection = Connection(link)
            try:
                rank = _welcome(launch, connection, found)
            except TrainingError as exc:
                for each in found.values():
                    _tell(each, str(exc))
                raise
            if rank is None:
                connection.close()
            else:
                found[rank] = connection
        for each in found.values():
            each.send(DATA)  # all are here
    return found


def _open(launch: Launch) -> socket.socket:
    """Return a socket that listens at the first free port of a run."""
    here = launch.host if launch.host in LOOPBACK else ""
    family = socket.AF_INET6 if here == "::1" else socket.AF_INET
    for port in launch.ports:
        try:
            return socket.create_server((here, port), family=family, backlog=launch.size)
        except OSError as exc:
            if exc.errno != errno.EADDRINUSE:
                raise TrainingError(
                    f"process 0 cannot listen at {launch.host}:{port} ({exc.strerror}): set "
                    f"{COORDINATOR} to an address and a free port of its host"
                ) from exc
    tried = ", ".join(map(str, launch.ports))
    raise TrainingError(
        f"process 0 cannot listen at {launch.host}: other programs, or another run, have taken "
        f"port{'s' * (len(launch.ports) > 1)} {tried}; set {COORDINATOR} to its host with another"
    )


def _give_up(
    found: dict[int, Connection], missing: list[int], address: str, timeout: float
) -> TrainingError:
    """Tell the others, and return the error."""
    who = f"process{'es' * (len(missing) > 1)} {', '.join(map(str, missing))}"
    text = (
        f"{who} did not come to {address} within {timeout:g} s: look for their errors, check that "
        "their hosts reach this address, or let MULTIFIT_START_TIMEOUT be longer"
    )
    for each in found.values():
        _tell(each, text)
    return TrainingError(text)


def _tell(connection: Connection, text: str) -> None:
    """Tell a process why there is no run, and close the connection."""
    with contextlib.suppress(OSError):  # it has ended, too
        connection.send(FAILED, json.dumps({"rank": 0, "text": text}).encode())
    connection.close()


def _hello(launch: Launch) -> dict[str, object]:
    return {"job": launch.job, "version": __version__, "rank": launch.rank}


def _welcome(launch: Launch, connection: Connection, found: dict[int, Connection]) -> int | None:
    """Return the rank of a process that has connected, None for a stranger.

    Raises
    ------
    TrainingError
        If it belongs to the run, but cannot take part.
    """
    try:
        _, content = connection.receive(ANSWER, MOST_OF_HELLO)
        said = json.loads(content)
        if not isinstance(said, dict) or said.get("job") != launch.job:
            return None
        rank, version = int(said["rank"]), str(said["version"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    text = ""
    if version != __version__:
        text = (
            f"process {rank} runs multifit {version}, but process 0 runs {__version__}: start all "
            "from the same installation"
        )
    elif not 0 < rank < launch.size or rank in found:
        text = f"two processes say that they are number {rank} of {launch.size}: give each its own"
    if text:
        _tell(connection, text)
        raise TrainingError(text)
    with contextlib.suppress(OSError):
        connection.send(DATA, b"welcome")
    return rank


def _find_first(launch: Launch, timeout: float) -> dict[int, Connection]:
    """Return the connection to process 0."""
    end, tries = time.monotonic() + timeout, 0
    while time.monotonic() < end:
        port = launch.ports[tries % len(launch.ports)]
        tries += 1
        connection = _knock(launch, port)
        if connection is None:
            time.sleep(AGAIN / len(launch.ports))
            continue
        # It has its own limit, and says who is missing.
        kind, content = _answer(connection, max(end - time.monotonic(), 0) + ANSWER)
        if kind == FAILED:
            connection.close()
            raise RefusedError(json.loads(content)["text"])
        return {0: connection}
    ports = f"{launch.ports[0]}" + (f"-{launch.ports[-1]}" if len(launch.ports) > 1 else "")
    raise TrainingError(
        f"process {launch.rank} found no process 0 at {launch.host}:{ports} within {timeout:g} s: "
        f"look for its error, check that its host can be reached, or set {COORDINATOR}"
    )


class RefusedError(TrainingError):
    """Process 0 does not begin, and tells the user why."""


def _knock(launch: Launch, port: int) -> Connection | None:
    """Return a connection to process 0 if it is at this port."""
    try:
        connection = Connection(socket.create_connection((launch.host, port), ANSWER))
    except OSError:
        return None
    try:
        connection.send(DATA, json.dumps(_hello(launch)).encode())
        kind, content = connection.receive(ANSWER, MOST_OF_HELLO)
    except OSError:  # another program, or another run
        connection.close()
        return None
    if kind == FAILED:
        connection.close()
        raise RefusedError(json.loads(content)["text"])
    return connection


def _answer(connection: Connection, timeout: float) -> tuple[bytes, bytes]:
    """Return what process 0 says when all are there, or not."""
    try:
        return connection.receive(timeout, MOST_OF_HELLO)
    except OSError as exc:
        connection.close()
        raise TrainingError(
            "process 0 has ended before all processes were there: look for its error"
        ) from exc

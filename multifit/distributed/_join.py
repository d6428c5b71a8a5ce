"""The start of a run of several processes."""

from __future__ import annotations

import os
import socket

from ..errors import ConfigError
from ..host.identity import identity
from ._group import Group, Processes, Solo
from ._launch import detect, launched_rank
from ._meet import meet

#: The variable with the seconds to wait for all processes, and its default.
TIMEOUT, SECONDS = "MULTIFIT_START_TIMEOUT", 60.0


#: The groups that :func:`join` has found in this process.
_FOUND: list[Group] = []


def has_joined() -> bool:
    """Return True if this process is one of several, whose engine is to start first."""
    return bool(_FOUND)


def join() -> Processes:
    """Return the processes of this run, once all are there.

    The way in which this process was started tells how many there are
    (:func:`multifit.distributed.detect`).

    Raises
    ------
    ConfigError
        If the environment contradicts itself.
    TrainingError
        If a process is missing or does not belong to the run.
    """
    launch = detect()
    if launch is None:
        return Solo()
    group = Group(launch, meet(launch, _timeout()))
    group.find_mates(identity())
    _FOUND.append(group)
    return group


def local_rank() -> int:
    """Return the number of this process among those of its host, 0 if it is the only one.

    Before :func:`join`, and in commands that run as one process, it is what a launcher tells.
    ``MULTIFIT_RANK`` alone does not tell it, as it counts the processes of all hosts.
    """
    return _FOUND[-1].local_rank if _FOUND else launched_rank()


def _timeout() -> float:
    text = os.environ.get(TIMEOUT, "")
    if not text:
        return SECONDS
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds < 1e9:
        raise ConfigError(f"{TIMEOUT} is {text!r}, but must be a number of seconds > 0")
    return seconds


def free_port() -> int:
    """Return a port of this host that no program listens at, for a framework's own service."""
    with socket.create_server(("", 0)) as door:
        number: int = door.getsockname()[1]
        return number

"""The processes of a run on this host, without a program that starts them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence

from ..errors import ConfigError
from ._join import free_port
from ._launch import COORDINATOR, RANK, SIZE, detect


def share_work(number: int, command: Sequence[str]) -> None:
    """Make this process number 0 of a run on this host, and start the others.

    Nothing is done if a launcher, or this function in another process, has started as many.

    Parameters
    ----------
    command
        That of the other processes, which find their place in the environment.

    Raises
    ------
    ConfigError
        If a launcher has started another number of processes.
    """
    launch = detect()
    if launch is not None and launch.size != number:
        raise ConfigError(
            f"--processes is {number}, but {launch.by} has started {launch.size} processes: leave "
            "the option out"
        )
    if launch is not None or number == 1:
        return
    os.environ |= {COORDINATOR: f"127.0.0.1:{free_port()}", SIZE: str(number)}
    for rank in range(1, number):
        # They end by themselves if this one does.
        subprocess.Popen(command, env=os.environ | {RANK: str(rank)}, stdin=subprocess.DEVNULL)
    os.environ[RANK] = "0"

"""Start a program in several processes, each on its own core: NUMBER together|apart COMMAND …

``together`` they belong to one run; ``apart`` each has a copy of the folder to itself, which shows
what the machine itself makes slower if all cores are busy. Prints what the first one prints. One
process is pinned to a core, too, so that all have one thread.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path


def main(number: int, together: bool, command: list[str]) -> int:
    """Run the program, and return the largest exit code."""
    cores = sorted(os.sched_getaffinity(0))
    with socket.create_server(("127.0.0.1", 0)) as door:
        address = f"127.0.0.1:{door.getsockname()[1]}"
    running = []
    for rank in range(number):
        place = {"OMP_NUM_THREADS": "1"}
        if together:
            place |= {"MULTIFIT_COORDINATOR": address, "MULTIFIT_SIZE": str(number)}
            place |= {"MULTIFIT_RANK": str(rank)}
        core = cores[rank % len(cores)]
        os.sched_setaffinity(0, {core})  # which the child inherits
        quiet = rank > 0 and not together
        process = subprocess.Popen(
            command,
            env=os.environ | place,
            cwd=_copy(rank) if quiet else None,
            stdout=subprocess.DEVNULL if quiet else None,
        )
        running.append(process)
    return max(abs(process.wait()) for process in running)


def _copy(rank: int) -> Path:
    """Return a folder with the files of this one."""
    found = Path.cwd() / f"other-{rank}"
    found.mkdir()
    for path in Path.cwd().glob("*.json"):
        shutil.copy(path, found)
    return found


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2] == "together", sys.argv[3:]))

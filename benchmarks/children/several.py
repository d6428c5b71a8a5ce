"""Start a program in several processes of one run, each on its own core: NUMBER COMMAND …

Prints what the first one prints. One process is pinned to a core, too, so that all have one thread.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys


def main(number: int, command: list[str]) -> int:
    """Run the program, and return the largest exit code."""
    cores = sorted(os.sched_getaffinity(0))
    with socket.create_server(("127.0.0.1", 0)) as door:
        address = f"127.0.0.1:{door.getsockname()[1]}"
    running = []
    for rank in range(number):
        place = {"MULTIFIT_COORDINATOR": address, "MULTIFIT_SIZE": str(number)}
        place |= {"MULTIFIT_RANK": str(rank), "OMP_NUM_THREADS": "1"}
        core = cores[rank % len(cores)]
        os.sched_setaffinity(0, {core})  # which the child inherits
        running.append(subprocess.Popen(command, env=os.environ | place))
    return max(abs(process.wait()) for process in running)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))

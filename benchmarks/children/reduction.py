"""Time the sum of an array over the processes of a run: BACKEND NUMBER, prints milliseconds."""

from __future__ import annotations

import statistics
import sys
import time

import numpy as np

from multifit.backend import get_backend
from multifit.cli._allocator import keep_freed_memory
from multifit.distributed import Solo, join

#: Sums that are timed, and those before them.
TIMED, FIRST = 30, 5


def main(name: str, number: int) -> None:
    """Print the median time of process 0."""
    keep_freed_memory()  # as `multifit train` does
    processes = join()
    assert not isinstance(processes, Solo)
    backend = get_backend(name)
    processes.start(backend)
    times = []
    for k in range(FIRST + TIMED):
        x = backend.asarray(np.ones(number))
        processes.gather(None)  # all begin together
        before = time.perf_counter()
        total = processes.sum(x)
        if k >= FIRST:
            times.append(time.perf_counter() - before)
        assert float(backend.to_numpy(total[:1])[0]) == processes.size
    if processes.rank == 0:
        print(f"{statistics.median(times) * 1e3:.2f} ms", flush=True)
    processes.leave()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))

"""Time a plain Adam update of one array: BACKEND NUMBER, prints milliseconds."""

from __future__ import annotations

import statistics
import sys
import time

import numpy as np

from multifit.backend import get_backend
from multifit.cli._allocator import keep_freed_memory
from multifit.optim import adam

#: Updates that are timed, and those before them.
TIMED, FIRST = 12, 3


def main(name: str, number: int) -> None:
    """Print the median time of an update."""
    keep_freed_memory()  # as the commands do
    backend, settings = get_backend(name), adam.Adam()

    def update(params, grads, moments):
        one, two = settings.corrections(10)
        made = adam.update(
            backend.xp, settings, params, grads, moments, 1e-3, one, two, None, backend.adam
        )
        return *made, backend.xp.sum(made[0]["x"][:1])

    update = backend.compile(update, donate=(0, 2))
    one = {"x": np.ones(number)}
    params, grads = ({key: backend.asarray(x.copy()) for key, x in one.items()} for _ in range(2))
    moments = {
        key: {name: backend.asarray(x.copy()) for name, x in values.items()}
        for key, values in adam.init(one).items()
    }
    times = []
    for k in range(FIRST + TIMED):
        before = time.perf_counter()
        params, moments, first = update(params, grads, moments)
        backend.to_numpy(first)  # it is computed
        if k >= FIRST:
            times.append(time.perf_counter() - before)
    print(f"{statistics.median(times) * 1e3:.2f} ms", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))

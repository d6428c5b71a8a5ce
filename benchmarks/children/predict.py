"""Time one program's predictions at one size; runs alone, in multifit's or deepmd-kit's Python.

``python predict.py JSON`` with the keys ``program`` (multifit, deepmd-kit, or products: those of
matrices in a prediction of multifit, alone), ``backend``, ``model``, ``options`` (of
multifit.load), ``input`` (a file with coord, cell and types), ``frames`` (in one call), ``seconds``
(to spend), ``patience`` (seconds for the calls that warm up) and ``outputs`` (a file for energies
and forces, or empty). The last line begins with RESULT, followed by JSON.
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np

#: Calls before the clock counts: every frame twice, for programs that compile while they run.
WARM_UP = 9

#: Calls that are timed: at least one, three if they do not take long.
FEWEST, MOST = 3, 40


def multifit(backend, model, options):
    """Return a function of coordinates, cells and types, and where it runs."""
    from multifit import load
    from multifit.cli._allocator import keep_freed_memory

    keep_freed_memory()  # as the commands do
    potential = load(model, backend, **options)

    def predict(coord, cell, types):
        found = potential.predict(coord, types, cell)
        return found["energy"], found["force"]

    return predict, potential.backend.describe().get("devices", "")


def products(backend, model, options, coord, cell, types):
    """Return a function that computes the products of matrices of a prediction on NumPy alone."""
    from multifit.backend import get_backend

    predict, device = multifit(backend, model, options)
    xp = get_backend(backend).xp
    product, factors = xp.matmul, []

    def recorded(a, b, **more):
        factors.append((a, b))
        return product(a, b, **more)

    predict(coord, cell, types)  # the first call also computes the coefficients of series
    xp.matmul = recorded
    predict(coord, cell, types)
    xp.matmul = product

    def repeated(*_):
        for a, b in factors:
            product(a, b)

    return repeated, device


def deepmd(model):
    """Return the same of deepmd-kit, which does not say where it runs."""
    from deepmd.infer import DeepPot

    potential = DeepPot(model)

    def predict(coord, cell, types):
        n = len(coord)
        energy, force = potential.eval(coord.reshape(n, -1), cell.reshape(n, 9), types)[:2]
        return np.asarray(energy).reshape(n), np.asarray(force).reshape(n, -1, 3)

    return predict, ""


def calls(predict, coord, cell, types, frames):
    """Yield milliseconds of one call after another, each with other frames in turn."""
    start = 0
    while True:
        rows = (start + np.arange(frames)) % len(coord)
        start += frames
        coords, cells = coord[rows], cell[rows]
        before = time.perf_counter()
        predict(coords, cells, types)
        yield (time.perf_counter() - before) * 1e3


def timed(each, seconds, patience):
    """Return milliseconds of the calls that count, after all that compiles has compiled."""
    warm, spent = 0.0, []
    for _ in range(WARM_UP):  # the shapes of every frame are seen
        warm += next(each) / 1e3
        if warm > patience:
            break
    while True:
        spent.append(next(each))
        total = sum(spent) / 1e3
        enough = len(spent) >= FEWEST or total > 3 * seconds
        if len(spent) >= MOST or (total > seconds and enough):
            return spent


def main(given):
    """Do what is asked and print the result."""
    with np.load(given["input"]) as stored:
        coord, cell, types = stored["coord"], stored["cell"], stored["types"]
    mine = [given.get(key) for key in ("backend", "model", "options")]
    if given["program"] == "multifit":
        predict, device = multifit(*mine)
    elif given["program"] == "products":
        first = slice(given["frames"])
        predict, device = products(*mine, coord[first], cell[first], types)
    else:
        predict, device = deepmd(given["model"])
    each = calls(predict, coord, cell, types, given["frames"])
    spent = timed(each, given["seconds"], given["patience"])
    if given["outputs"]:
        parts = [predict(coord[k : k + 1], cell[k : k + 1], types) for k in range(len(coord))]
        energy, force = (np.concatenate(part) for part in zip(*parts))  # noqa: B905
        np.savez(given["outputs"], energy=energy, force=force)
    print("RESULT " + json.dumps({"call_ms": spent, "device": str(device)}), flush=True)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))

"""Many predictions and many training steps: memory, open files and threads must not grow.

Usage: python tests/faults/load.py [--backend torch] [--predictions 10000] [--steps 5000]
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from _water import labelled, recipe, write

import multifit
from multifit import config
from multifit.backend import get_backend
from multifit.train import train
from multifit.train.loop import run as loop_module

#: Part of the work after which the memory of all caches is in use.
WARM = 0.25


def usage() -> tuple[int, int, int]:
    """Return the memory in bytes, the number of open files and of threads of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    files = len(os.listdir("/proc/self/fd"))
    return pages * os.sysconf("SC_PAGESIZE"), files, len(os.listdir("/proc/self/task"))


class Growth:
    """The use of resources after the first part of the work and at its end."""

    def __init__(self, total: int) -> None:
        self.total, self.first, self.last = total, (0, 0, 0), (0, 0, 0)

    def after(self, number: int) -> None:
        """Look at the process after some piece of the work."""
        if number == max(1, int(WARM * self.total)):
            self.first = usage()
        if number == self.total:
            self.last = usage()

    @property
    def memory(self) -> float:
        """The growth of the memory, relative."""
        return self.last[0] / self.first[0] - 1.0

    def __str__(self) -> str:
        changes = [b - a for a, b in zip(self.first, self.last, strict=True)]
        return (
            f"{self.first[0] / 2**20:.1f} → {self.last[0] / 2**20:.1f} MiB ({self.memory:+.2%}), "
            f"open files {changes[1]:+d}, threads {changes[2]:+d}"
        )


def predictions(model: Path, backend: str, number: int) -> Growth:
    """Predict so many times, from frames whose neighbours differ."""
    potential, frames, growth = multifit.load(model, backend), labelled(8), Growth(number)
    rng = np.random.default_rng(0)
    for k in range(1, number + 1):
        coord = frames.coord[k % 8] + 0.02 * rng.normal(size=frames.coord[0].shape)
        potential.predict(coord, frames.atype, frames.cell)
        growth.after(k)
    return growth


def training(folder: Path, backend: str, steps: int) -> Growth:
    """Train so many steps, with validation and checkpoints."""
    write(folder / "data", labelled(6))
    write(folder / "valid", labelled(3))
    often = max(1, steps // 50)
    held_out = {"training__validation_data": {"systems": "valid", "batch_size": 1}}
    given = recipe(steps=steps, training__save_freq=often, training__disp_freq=often, **held_out)
    (folder / "input.json").write_text(json.dumps(given))
    growth, advance = Growth(steps), loop_module._advance

    def watched(loop: Any, number: int) -> Any:
        found = advance(loop, number)
        growth.after(number)
        return found

    loop_module._advance = watched
    try:
        train(
            config.load(folder / "input.json"),
            get_backend(backend),
            base=folder,
            output=folder / "out",
            quiet=True,
        )
    finally:
        loop_module._advance = advance
    names = [thread.name for thread in threading.enumerate()]
    assert names == ["MainThread"] or not any("multifit" in name for name in names), names
    return growth


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--backend", default="torch")
    parser.add_argument("--predictions", type=int, default=10000)
    parser.add_argument("--steps", type=int, default=5000)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder, began = Path(place), time.monotonic()
        if args.backend != "numpy":
            found = training(folder, args.backend, args.steps)
            print(f"{args.backend}, {args.steps} training steps: {found}", flush=True)
            model = folder / "out" / "model.dp"
        else:
            from _cli_files import write_model

            model = folder / "model.dp"
            write_model(model)
        found = predictions(model, args.backend, args.predictions)
        print(f"{args.backend}, {args.predictions} predictions: {found}")
        print(f"{time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()

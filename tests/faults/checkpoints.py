"""What checkpoints cost: the processor time to write one, to verify it and to read it.

Usage: python tests/faults/checkpoints.py [--megabytes 100] [--repeat 5] [--folder PLACE]

The run is real but for its steps: the nets of a tiny system are made so large that a checkpoint
has about the size asked for.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from _water import labelled, recipe, write

from multifit import config, files
from multifit.backend import get_backend
from multifit.train import Start
from multifit.train.setup.setup import set_up
from multifit.train.start.begin import begin

#: Arrays of a checkpoint for each parameter: the value and two moments, of 8 bytes.
BYTES = 3 * 8


def width(megabytes: float) -> int:
    """Return the width of three hidden layers of two nets for a checkpoint of this size."""
    return round(float(np.sqrt(megabytes * 2**20 / BYTES / 2 / 2)))


def cost(act: Callable[[], object], repeat: int) -> str:
    """Return the processor time and the wall time of a call in s, lowest and median."""
    spent, wall = [], []
    for _ in range(repeat):
        before, began = os.times(), time.monotonic()
        act()
        after = os.times()
        spent.append(after.user + after.system - before.user - before.system)
        wall.append(time.monotonic() - began)
    return (
        f"{min(spent):.2f} (median {np.median(spent):.2f}) s of processor time, "
        f"{min(wall):.2f} (median {np.median(wall):.2f}) s of wall time"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--megabytes", type=float, default=100.0)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--backend", default="torch")
    parser.add_argument("--folder", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as place:
        folder = Path(place)
        write(folder / "data", labelled(2))
        neurons = [width(args.megabytes)] * 3
        given = recipe(model__fitting_net__neuron=neurons, training__max_ckpt_keep=1)
        (folder / "input.json").write_text(json.dumps(given))
        parsed = config.load(folder / "input.json")
        setup = set_up(parsed, get_backend(args.backend), folder)
        run, _ = begin(setup, Start(), folder)
        path = run.save()
        size = path.stat().st_size / 2**20
        print(f"load {os.getloadavg()[0]:.1f}; {args.backend}, a checkpoint of {size:.1f} MiB")
        print("write:", cost(run.save, args.repeat), flush=True)
        content = path.read_bytes()
        print("sha256 in memory:", cost(lambda: hashlib.sha256(content).digest(), args.repeat))
        print("read and verify:", cost(lambda: files.read(path), args.repeat))


if __name__ == "__main__":
    main()

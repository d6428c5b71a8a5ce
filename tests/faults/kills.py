"""Kill a training at random times, again and again, and check what is on disk after each kill.

Usage: python tests/faults/kills.py [--kills 200] [--backend torch] [--seed 0]

Every run is a fork of this process, which has loaded PyTorch or Paddle but not computed, so that a
start takes a fraction of a second. JAX and TensorFlow start threads when they are loaded, which a
fork does not copy: their runs load them. A run that comes to its end is compared with one that was
never killed, bit by bit; then the next one begins.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from _water import labelled, recipe, write

from multifit import config, files
from multifit.backend import get_backend
from multifit.errors import FileFormatError
from multifit.train import Start, train
from multifit.train.setup.checkpoint_files import existing
from multifit.tree import flatten

#: Frameworks that are loaded before the forks.
LOADED = ("torch", "paddle")

STEPS, VALIDATED = 40, 2
TABLES = {"lcurve.out": 1, "val.log": VALIDATED}
PREFIX = "model.ckpt"

OPTIONS: dict[str, Any] = {
    "training__save_freq": 1,
    "training__max_ckpt_keep": 3,
    "training__enable_ema": True,
    "training__validation_data": {"systems": "valid", "batch_size": 1},
    "validating": {
        "full_validation": True, "validation_freq": VALIDATED, "full_val_start": 0,
    },
}  # fmt: skip


def start(folder: Path, output: Path, backend: str) -> int:
    """Fork a run that continues what is in the output folder; return its process id."""
    process = os.fork()
    if process:
        return process
    code = 99
    try:
        found = existing(output, PREFIX)
        code = train(
            config.load(folder / "input.json"),
            get_backend(backend),
            base=folder,
            output=output,
            start=Start(restart=output / PREFIX if found else None),
            quiet=True,
        )
    except BaseException as exc:
        print(f"the run failed: {exc!r}", file=sys.stderr)
    finally:
        os._exit(code)


def newest_good(output: Path) -> int:
    """Return the step of the newest checkpoint that can be read: the last or the one before."""
    steps = []
    for step, path in reversed(existing(output, PREFIX)):
        try:
            assert files.read(path)["training"]["step"] == step
        except FileFormatError:
            continue
        steps.append(step)
        break
    newest = [step for step, _ in existing(output, PREFIX)][-2:]
    assert not newest or steps[0] in newest, f"{newest} are damaged"
    return steps[0] if steps else 0


def check(output: Path) -> None:
    """Raise AssertionError unless everything in the folder of a killed run is as it should be."""
    step = newest_good(output)
    for name, every in TABLES.items():
        path = output / name
        if not path.exists():
            assert step == 0, f"{name} is lost"
            continue
        text = path.read_text()
        assert "\0" not in text
        rows = [line for line in text.splitlines(keepends=True) if not line.startswith("#")]
        whole = [line for line in rows if line.endswith("\n")]
        assert len(rows) - len(whole) <= 1
        numbers = [int(line.split()[0]) for line in whole]
        assert numbers == list(range(every, len(numbers) * every + 1, every)), (name, numbers)
        assert len(numbers) >= step // every, f"{name} lacks rows before step {step}"
    for path in output.glob("*.dp"):
        if not path.name.startswith(PREFIX):
            files.read(path)


def compare(output: Path, whole: Path) -> None:
    """Raise AssertionError unless a run has the results of another, bit by bit."""
    for name in TABLES:
        assert (output / name).read_text() == (whole / name).read_text(), name
    for name in ("model.dp", "model_ema.dp", "model_best.dp", f"{PREFIX}-{STEPS}.dp"):
        got, want = (files.read(folder / name) for folder in (output, whole))
        assert got.get("training", {}).get("best") == want.get("training", {}).get("best")
        first, second = (
            arrays({k: x[k] for k in ("model", "training") if k in x}) for x in (got, want)
        )
        assert first.keys() == second.keys()
        for key, value in second.items():
            np.testing.assert_array_equal(first[key], value, err_msg=f"{name}: {key}")
    left = sorted(
        path.name for path in output.iterdir() if ".tmp" in path.name or "lock" in path.name
    )
    assert not left, left


def arrays(content: dict[str, Any]) -> dict[str, Any]:
    """Return the arrays of a file's content by their names."""

    def plain(value: Any) -> Any:
        if isinstance(value, list):
            return {str(k): plain(x) for k, x in enumerate(value)}
        return {k: plain(x) for k, x in value.items()} if isinstance(value, dict) else value

    return {k: x for k, x in flatten(plain(content)).items() if isinstance(x, np.ndarray)}


def run(kills: int, backend: str, seed: int) -> str:
    """Kill so many times; return a sentence with the numbers."""
    rng, folder = random.Random(seed), Path(tempfile.mkdtemp(prefix="kills-"))
    write(folder / "data", labelled(5))
    write(folder / "valid", labelled(3))
    (folder / "input.json").write_text(json.dumps(recipe(steps=STEPS, **OPTIONS)))
    whole, output = folder / "whole", folder / "out"
    if backend in LOADED:
        get_backend(backend)
    began = time.monotonic()
    assert os.waitpid(start(folder, whole, backend), 0)[1] == 0
    length, done, finished, early = time.monotonic() - began, 0, 0, 0
    # Without the framework, a run needs part of its time to load and compile.
    latest = length * (0.4 if backend in LOADED else 0.8)
    while done < kills:
        process = start(folder, output, backend)
        time.sleep(rng.uniform(0.0, latest))
        os.kill(process, signal.SIGKILL)
        status = os.waitpid(process, 0)[1]
        if os.WIFSIGNALED(status):
            done += 1
            early += not existing(output, PREFIX)
            if output.exists():
                check(output)
            if done % 20 == 0:
                print(f"{done} kills, {finished} runs finished", file=sys.stderr)
            continue
        assert os.WEXITSTATUS(status) == 0
        compare(output, whole)
        shutil.rmtree(output)
        finished += 1
    assert os.waitpid(start(folder, output, backend), 0)[1] == 0
    compare(output, whole)
    shutil.rmtree(folder)
    return (
        f"{backend}: {done} kills ({early} before the first checkpoint), {finished + 1} runs "
        f"finished, each identical to the run that was not killed; {time.monotonic() - began:.0f} s"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--backend", default="torch")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    print(run(args.kills, args.backend, args.seed))


if __name__ == "__main__":
    main()

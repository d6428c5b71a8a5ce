"""Exported models in a process that cannot import multifit."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np

#: A format → code that defines ``call(path, names)``, a function from arrays to arrays; the names
#: are those of the outputs.
LOADERS = {
    "torchscript": """
import torch
def call(path, names):
    model = torch.jit.load(path)
    return lambda given: [x.numpy() for x in model(*map(torch.tensor, given.values()))]
""",
    "pt2": """
import torch
def call(path, names):
    model = torch._inductor.aoti_load_package(path)
    return lambda given: [x.numpy() for x in model(*map(torch.tensor, given.values()))]
""",
    "stablehlo": """
import pathlib
import jax
jax.config.update("jax_enable_x64", True)
def call(path, names):
    model = jax.export.deserialize(pathlib.Path(path).read_bytes())
    return lambda given: model.call(*given.values())
""",
    "savedmodel": """
import tensorflow as tf
def call(path, names):
    whole = tf.saved_model.load(path)
    def run(given):
        arrays = {name: tf.constant(x) for name, x in given.items()}
        out = whole.signatures["serving_default"](**arrays)
        return [out[name].numpy() for name in names]
    return run
""",
    "paddle": """
import paddle
def call(path, names):
    model = paddle.jit.load(path + "/model")
    return lambda given: [x.numpy() for x in model(*map(paddle.to_tensor, given.values()))]
""",
}

_BEFORE = """
import json, sys
for name in ("", "_torch", "_jax", "_tensorflow", "_paddle"):
    sys.modules["multifit" + name] = None  # its import fails
import numpy as np
"""

_AFTER = """
given, found, tasks = np.load(sys.argv[1]), {}, json.loads(sys.argv[3])
for path, about, cases in tasks:
    with open(about, encoding="utf-8") as file:
        known = json.load(file)
    inputs, outputs = ([each["name"] for each in known[key]] for key in ("inputs", "outputs"))
    run = call(path, outputs)
    for case in cases:
        out = run({name: given[f"{case}.{name}"] for name in inputs})
        found |= {f"{case}.{name}": x for name, x in zip(outputs, out, strict=True)}
np.savez(sys.argv[2], **found)
"""


def describing(path: Path) -> Path:
    """Return the file that describes an export."""
    return path / "multifit.json" if path.is_dir() else path.with_name(path.name + ".json")


def reload(
    name: str, models: Mapping[Path, list[str]], given: Mapping[str, np.ndarray], place: Path
) -> dict[str, np.ndarray]:
    """Return the outputs of exported models in a process without multifit.

    Parameters
    ----------
    name
        The format.
    models
        Paths, and the cases to evaluate with each.
    given
        Inputs, as ``case.input``.
    place
        A folder for the arrays that are exchanged.
    """
    import json

    tasks = [[str(path), str(describing(path)), cases] for path, cases in models.items()]
    np.savez(place / "given.npz", **given)
    code = _BEFORE + LOADERS[name] + _AFTER
    arguments = [str(place / "given.npz"), str(place / "found.npz"), json.dumps(tasks)]
    done = subprocess.run(
        [sys.executable, "-I", "-c", code, *arguments], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return dict(np.load(place / "found.npz"))

"""The programs that are compared: which there are here, and in which environment they run."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

#: Our backends that train → what deepmd-kit calls them.
SAME = {"jax": "jax", "torch": "pt", "tensorflow": "tf", "paddle": "pd"}

#: deepmd-kit's backends → ours.
FRAMEWORK = {peer: ours for ours, peer in SAME.items()}

#: How a framework is written.
TITLE = {"numpy": "NumPy", "jax": "JAX", "torch": "PyTorch", "tensorflow": "TensorFlow"} | {
    "paddle": "Paddle"
}

#: What is imported.
MODULE = {"numpy": "numpy", "jax": "jax", "torch": "torch", "tensorflow": "tensorflow"} | {
    "paddle": "paddle"
}

#: What is worth a line about versions.
DISTRIBUTIONS = (
    *("multifit", "deepmd-kit", "numpy", "jax", "torch"),
    *("tensorflow-cpu", "tensorflow", "paddlepaddle", "paddlepaddle-gpu"),
)

#: Environment variables that send every framework to a device. With ``auto`` each takes a GPU if
#: it finds one; JAX and TensorFlow leave the memory that they do not need, so that it is measured.
DEVICES: Mapping[str, Mapping[str, str]] = {
    "auto": {},
    "cpu": {
        "MULTIFIT_DEVICE": "cpu",
        "JAX_PLATFORMS": "cpu",
        "CUDA_VISIBLE_DEVICES": "-1",
        "DEVICE": "cpu",  # of deepmd-kit
    },
    "cuda": {"MULTIFIT_DEVICE": "cuda", "JAX_PLATFORMS": "cuda"},
}
ALWAYS = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", "TF_FORCE_GPU_ALLOW_GROWTH": "true"}


@dataclass(frozen=True)
class Peer:
    """A backend of deepmd-kit, and the Python of the environment that has it."""

    backend: str  #: tf, pt, jax, pd
    python: str

    @property
    def name(self) -> str:
        """Name of the program in tables."""
        return f"deepmd-kit {TITLE[FRAMEWORK[self.backend]]}"


def environment(device: str) -> dict[str, str]:
    """Return the variables that programs get besides our own."""
    return {**ALWAYS, **DEVICES[device]}


def installed(names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return which backends can be used here, and a note for each that cannot."""
    found = [name for name in names if importlib.util.find_spec(MODULE[name])]
    notes = [f"multifit {TITLE[n]}: not installed" for n in names if n not in found]
    return found, notes


def peers(
    names: Sequence[str] | None, variables: Mapping[str, str]
) -> tuple[list[Peer], list[str]]:
    """Return deepmd-kit's backends for which an interpreter is named, and a note for the others.

    Parameters
    ----------
    names
        The backends that are wanted; None for all that are named.
    variables
        The environment: ``MULTIFIT_PEER_PYTHON_PT`` and so on; ``MULTIFIT_PEER_PYTHON`` is the
        same as ``MULTIFIT_PEER_PYTHON_TF``.
    """
    found, notes = [], []
    for name in FRAMEWORK if names is None else names:
        variable = f"MULTIFIT_PEER_PYTHON_{name.upper()}"
        python = variables.get(variable)
        if python is None and name == "tf":
            python = variables.get("MULTIFIT_PEER_PYTHON")
        if python:
            found.append(Peer(name, python))
        else:
            title = TITLE[FRAMEWORK[name]]
            notes.append(f"deepmd-kit {title}: {variable} names no interpreter")
    return found, notes


def versions(found: Sequence[Peer]) -> dict[str, dict[str, str]]:
    """Return the versions of what each environment holds."""
    pythons = {"multifit": sys.executable} | {peer.name: peer.python for peer in found}
    return {name: _versions(python) for name, python in pythons.items()}


def _versions(python: str) -> dict[str, str]:
    code = (
        "import importlib.metadata as m, json, platform\n"
        "name = lambda d: d.metadata['Name'].lower().replace('_', '-')\n"
        "have = {name(d): d.version for d in m.distributions()}\n"
        f"found = {{n: have[n] for n in {DISTRIBUTIONS!r} if n in have}}\n"
        "print(json.dumps({'Python': platform.python_version(), **found}))"
    )
    got = subprocess.run([python, "-c", code], capture_output=True, text=True, env={**os.environ})
    if got.returncode:
        raise SystemExit(f"{python} does not run: {got.stderr.strip()[-300:]}")
    return dict(json.loads(got.stdout.splitlines()[-1]))

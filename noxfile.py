"""The commands of the project: ``nox -s lint``, ``types``, ``tests``, and some more."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import nox

nox.options.sessions = ["lint", "types", "tests"]
nox.options.reuse_existing_virtualenvs = True

PINNED = ("-c", "constraints.txt")
PYTEST = ("pytest", "-n", "2", "--dist", "loadfile")
#: deepmd-kit cannot share an environment with us, nor its backends with one another: it brings
#: its own pins. That of PyTorch downloads gigabytes.
PEERS = {
    "tf": ("deepmd-kit[cpu]==3.2.0", "tensorflow-cpu==2.21.0"),
    "pt": ("deepmd-kit==3.2.0", "torch==2.11.0", "e3nn", "mpich"),
    "jax": ("deepmd-kit[jax]==3.2.0", "flatbuffers"),  # which its models for inference need
    "pd": ("deepmd-kit==3.2.0", "paddlepaddle==3.3.1"),
}


@nox.session
def lint(session: nox.Session) -> None:
    session.install(*PINNED, "ruff")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    session.install(*PINNED, "mypy", ".")
    session.run("mypy", *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    session.install(*PINNED, ".[all,engines,test]")
    session.run(*PYTEST, *session.posargs)


@nox.session
def consistency(session: nox.Session) -> None:
    """Compare the backends with one another; all of it, without arguments, writes the report."""
    session.install(*PINNED, ".[all,engines,test]")
    report = {} if session.posargs else {"MULTIFIT_CONSISTENCY_REPORT": "docs/consistency.md"}
    session.run(*PYTEST, "tests/consistency", *session.posargs, env=report)


@nox.session
def docs(session: nox.Session) -> None:
    session.install(*PINNED, ".[all,engines,docs]")  # pages are written from the adapters, too
    session.run("sphinx-build", "-W", "-n", "-E", "docs", "docs/_build", *session.posargs)


@nox.session
def peer(session: nox.Session) -> None:
    """Compare numbers and files with deepmd-kit, in its own environment."""
    session.install(*PINNED, ".[all,engines,test]")
    session.run(
        *PYTEST,
        "tests/peer",
        *session.posargs,
        env={"MULTIFIT_PEER_PYTHON": peer_python(session, "tf")},
    )


@nox.session
def bench(session: nox.Session) -> None:
    """Time multifit beside deepmd-kit: ``-- --quick``, ``-- --peers tf pt jax pd``."""
    session.install(*PINNED, ".[all]")
    words = session.posargs
    given = words[words.index("--peers") + 1 :] if "--peers" in words else ["tf"]
    wanted = list(itertools.takewhile(lambda word: word in PEERS, given))
    names = {peer: f"MULTIFIT_PEER_PYTHON_{peer.upper()}" for peer in wanted}
    pythons = {name: os.environ.get(name) or peer_python(session, p) for p, name in names.items()}
    session.run("python", "benchmarks", *words, env=pythons)


def peer_python(session: nox.Session, backend: str) -> str:
    """Make an environment with deepmd-kit for one of its backends, and return its Python."""
    folder = Path(".nox", f"peer-{backend}").resolve()
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not python.exists():
        session.run("python", "-m", "venv", str(folder))
    session.run(str(python), "-m", "pip", "install", "--quiet", *PEERS[backend], external=True)
    return str(python)

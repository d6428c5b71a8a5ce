"""Frameworks that are broken or too old, and how much the command line says."""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from _backends import FRAMEWORKS, TRAINABLE
from _water import labelled, recipe, write

from multifit.backend import TRAINING
from multifit.cli import main

#: Fails at import, with two lines of text.
BROKEN = "raise OSError('libgpu.so.1: cannot open shared object file\\nsee the manual')\n"
COMPLAINT = "is broken (OSError: libgpu.so.1: cannot open shared object file)"
OLD = "__version__ = '0.1'\n"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Return a folder with an input and data."""
    write(tmp_path / "data", labelled(4))
    (tmp_path / "input.json").write_text(json.dumps(recipe(steps=2)))
    return tmp_path


def fake(place: Path, name: str, body: str) -> None:
    """Put a package where Python finds it before the real one."""
    package = place / "site" / FRAMEWORKS.get(name, name)
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(body)


def multifit(place: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a user does, with the fake packages in sight."""
    keep = {k: v for k, v in os.environ.items() if not k.startswith("MULTIFIT_")}
    return subprocess.run(
        [sys.executable, "-m", "multifit", *arguments],
        cwd=place,
        env=keep | {"PYTHONPATH": str(place / "site")} | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def the_error(done: subprocess.CompletedProcess[str]) -> str:
    """Return the sentence of a command that ended with one."""
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr.removeprefix("multifit: error: ").rstrip()


def test_a_broken_framework_that_was_asked_for(place: Path) -> None:
    fake(place, "jax", BROKEN)
    said = the_error(multifit(place, "train", "input.json", "-b", "jax"))
    assert said.startswith("backend 'jax' cannot be used: jax ")
    assert f"{COMPLAINT}; repair it with: pip install --force-reinstall" in said
    assert not (place / "lcurve.out").exists()


def test_a_framework_that_is_too_old(place: Path) -> None:
    fake(place, "torch", OLD)
    done = multifit(place, "train", "input.json", MULTIFIT_BACKEND="torch")
    assert the_error(done) == (
        "$MULTIFIT_BACKEND: backend 'torch' cannot be used: torch 0.1 is too old (needs 2.6); "
        'upgrade it with: pip install --upgrade "torch>=2.6"'
    )


@pytest.mark.skipif("torch" not in TRAINABLE, reason="needs torch")
def test_the_next_framework_is_taken_and_that_is_said(place: Path) -> None:
    fake(place, "jax", OLD)
    done = multifit(place, "train", "input.json")
    assert done.returncode == 0, done.stderr
    assert done.stderr == "multifit: jax 0.1 is too old (needs 0.5): going on with torch\n"
    assert done.stdout.startswith("torch ")
    assert (place / "model.dp").exists()


def test_nothing_is_left_to_go_on_with(place: Path) -> None:
    for name in TRAINING:
        fake(place, name, OLD)
    said = the_error(multifit(place, "train", "input.json"))
    assert said.startswith("no backend can train: jax 0.1 is too old (needs 0.5) and torch 0.1 is")
    assert said.endswith('upgrade it with: pip install --upgrade "jax>=0.5"')


def test_backends_shows_what_is_broken(place: Path) -> None:
    fake(place, "jax", BROKEN)
    fake(place, "torch", OLD)
    done = multifit(place, "backends")
    assert done.returncode == 0
    assert done.stderr == ""
    states = {line.split()[0]: line for line in done.stdout.splitlines() if line.strip()}
    assert "broken" in states["jax"]
    assert "broken" in states["torch"]
    assert "torch: torch 0.1 is too old (needs 2.6); upgrade it with: pip" in done.stdout
    assert f"{COMPLAINT}; repair it with: pip install --force-reinstall" in done.stdout


# How much is said


@pytest.mark.parametrize("name", TRAINABLE)
def test_frameworks_start_in_silence(place: Path, name: str) -> None:
    done = multifit(place, "train", "input.json", "-b", name)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    first = done.stdout.splitlines()[0]
    assert first.startswith(f"{name} {importlib.metadata.version(distribution(name))[:3]}"), first


def distribution(name: str) -> str:
    """Return the name under which a backend's framework is installed."""
    found = importlib.metadata.packages_distributions()
    return found[FRAMEWORKS[name]][0]


@pytest.mark.skipif("torch" not in TRAINABLE, reason="needs torch")
def test_verbose_says_more(place: Path) -> None:
    done = multifit(place, "train", "input.json", "-b", "torch", "--verbose")
    assert done.returncode == 0, done.stderr
    assert "multifit: backend torch imported in " in done.stderr
    assert "multifit: wrote model.ckpt-2.dp\n" in done.stderr
    assert "wrote model.ckpt" not in done.stdout


def test_verbose_is_set_before_frameworks_are_imported(place: Path) -> None:
    fake(place, "jax", "import os\nraise OSError(os.environ.get('MULTIFIT_VERBOSE', 'quiet'))")
    assert "(OSError: quiet)" in multifit(place, "train", "input.json", "-b", "jax").stderr
    done = multifit(place, "--verbose", "train", "input.json", "-b", "jax")
    assert done.returncode == 2
    # It also says where an error comes from.
    assert str(place / "site/jax/__init__.py") in done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("multifit: error: backend 'jax' cannot be used: jax ")
    assert "(OSError: 1)" in last


def test_help_offers_only_backends_that_train(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "jax, torch, tensorflow, paddle, … (default: the backend of the input" in text
    assert "numpy" not in text

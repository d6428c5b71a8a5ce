"""Short versions of the studies in this folder."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from _backends import TRAINABLE

FOLDER = Path(__file__).parent

pytestmark = [
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs fork and /proc"),
    pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="needs torch"),
]


def study(name: str, *options: str) -> str:
    """Run a study in a process of its own, and return what it prints."""
    done = subprocess.run(
        [sys.executable, str(FOLDER / f"{name}.py"), *options],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_kills_at_random_times_lose_nothing() -> None:
    assert "torch: 10 kills" in study("kills", "--kills", "10")


def test_runs_of_one_seed_and_those_resumed_at_every_step_are_identical() -> None:
    said = study("repeat", "--steps", "8", "--every")
    assert said == "torch: two runs of 8 steps, and those resumed at 7 steps, are identical\n"


@pytest.mark.parametrize("backend", [name for name in TRAINABLE if name != "torch"])
def test_a_resumed_run_of_every_other_backend_is_identical(backend: str) -> None:
    options = ("--backend", backend, "--steps", "3", "--at", "2", "--once")
    assert "identical" in study("repeat", *options)


def test_predictions_and_steps_leave_nothing_behind() -> None:
    said = study("load", "--predictions", "400", "--steps", "120")
    found = re.findall(r"\(([-+.\d]+)%\), open files ([-+\d]+), threads ([-+\d]+)", said)
    assert len(found) == 2
    for growth, open_files, threads in found:
        # Over so few of them, the memory of the framework itself still grows a little.
        assert float(growth) < 3.0, said
        assert int(open_files) == 0, said
        assert int(threads) <= 0, said

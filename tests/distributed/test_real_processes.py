"""Trainings of two processes that are started as users start them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _water import fit, labelled, recipe, write

import multifit
from multifit.distributed import free_port
from multifit.tree import flatten

VIRIALS = {"loss__start_pref_v": 1, "loss__limit_pref_v": 1, "loss__limit_pref_e": 1}

#: Seconds after which a run of this size is taken to hang.
LIMIT = 240.0


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("real")
    write(folder / "data", labelled(8))
    return folder


def given(folder: Path, data: Path, size: int, name: str = "input.json", **changes: Any) -> Path:
    """Write an input whose batches have ``size`` frames."""
    options = VIRIALS | {"training__training_data__batch_size": size} | changes
    path = folder / name
    path.write_text(json.dumps(recipe(str(data / "data"), **options)))
    return path


@pytest.fixture
def start() -> Iterator[Any]:
    """Yield a function that starts two processes; those left at the end are killed."""
    running: list[subprocess.Popen[str]] = []

    def begin(inputs: list[Path], backend: str, output: Path) -> list[subprocess.Popen[str]]:
        port, size = free_port(), len(inputs)
        for rank, path in enumerate(inputs):
            place = {"MULTIFIT_RANK": str(rank), "MULTIFIT_SIZE": str(size)}
            place |= {"MULTIFIT_COORDINATOR": f"127.0.0.1:{port}", "OMP_NUM_THREADS": "1"}
            command = [sys.executable, "-m", "multifit", "train", str(path), "-b", backend]
            process = subprocess.Popen(
                [*command, "-o", str(output)],
                env=os.environ | place,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            running.append(process)
        return running

    yield begin
    for process in running:
        process.kill()
        process.communicate()


def ended(processes: list[subprocess.Popen[str]]) -> list[tuple[int, str, str]]:
    """Return exit codes, output and errors."""
    texts = [process.communicate(timeout=LIMIT) for process in processes]
    codes = [process.returncode for process in processes]
    return [(code, *text) for code, text in zip(codes, texts, strict=True)]


def same_models(got: Path, want: Path) -> None:
    mine, theirs = (flatten(multifit.load(path).params) for path in (got, want))
    for name, value in theirs.items():
        np.testing.assert_allclose(mine[name], value, rtol=0, atol=1e-10, err_msg=name)


@pytest.mark.skipif(os.name != "posix", reason="torchrun's gloo is tested on POSIX")
def test_torchrun_trains_as_one_process_with_the_whole_batch(data: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed")
    path, out = given(tmp_path, data, 2, steps=50), tmp_path / "two"
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*launcher, "-m", "multifit", "train", str(path), "-b", "torch", "-o", str(out)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    # Only one of them writes, and only once.
    assert done.stdout.count("first step after") == 1
    assert "50 steps of 2 processes, which share the frames of each" in done.stdout
    whole = json.loads(given(tmp_path, data, 4, "whole.json", steps=50).read_text())
    same_models(out / "model.dp", fit(tmp_path, whole, output=tmp_path / "one") / "model.dp")


def test_one_command_starts_all_processes(data: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed")
    path = given(tmp_path, data, 2, steps=2)
    command = [sys.executable, "-m", "multifit", "train", str(path), "-b", "torch"]
    done = subprocess.run(
        [*command, "-o", str(tmp_path / "out"), "--processes", "2"],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "2 steps of 2 processes, which share the frames of each" in done.stdout
    assert (tmp_path / "out" / "model.dp").exists()


@pytest.mark.parametrize(("backend", "shared"), [("jax", "0"), ("tensorflow", "1")])
def test_two_processes_train_as_one_with_the_whole_batch(
    backend: str,
    shared: str,
    data: Path,
    tmp_path: Path,
    start: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip(backend, reason=f"{backend} is not installed")
    monkeypatch.setenv("MULTIFIT_SHARED_MEMORY", shared)
    path, out = given(tmp_path, data, 2, steps=50), tmp_path / "two"
    first, second = ended(start([path, path], backend, out))
    assert (first[0], second) == (0, (0, "", "")), first[1] + first[2] + second[2]
    assert "Gloo" not in first[1]
    whole = json.loads(given(tmp_path, data, 4, "whole.json", steps=50).read_text())
    one = fit(tmp_path, whole, output=tmp_path / "one", backend=backend)
    same_models(out / "model.dp", one / "model.dp")


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
@pytest.mark.parametrize("shared", ["0", "1"])
def test_a_killed_process_ends_the_run_and_leaves_a_good_checkpoint(
    shared: str, data: Path, tmp_path: Path, start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed")
    monkeypatch.setenv("MULTIFIT_SHARED_MEMORY", shared)
    options = {"training__save_freq": 20, "training__disp_freq": 1000000}
    path, out = given(tmp_path, data, 1, steps=1000000, **options), tmp_path / "out"
    first, second = start([path, path], "torch", out)
    limit = time.monotonic() + LIMIT
    while not (out / "model.ckpt-40.dp").exists():
        assert first.poll() is None, first.communicate()
        assert time.monotonic() < limit
        time.sleep(0.05)
    os.kill(second.pid, signal.SIGKILL)
    began = time.monotonic()
    (code, _, errors), (killed, _, _) = ended([first, second])
    assert time.monotonic() - began < 60
    assert (code, killed) == (2, -signal.SIGKILL)
    assert errors.startswith("multifit: error: process 1 of 2 has ended without a word")
    assert errors.count("\n") == 1
    named = Path(errors.rpartition("--restart ")[2].strip())
    assert multifit.load(named).params


def test_another_input_is_one_sentence_of_the_first_process(
    data: Path, tmp_path: Path, start: Any
) -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed")
    inputs = [given(tmp_path, data, 1), given(tmp_path, data, 2, "other.json")]
    first, second = ended(start(inputs, "torch", tmp_path / "out"))
    assert first[0] == 2
    assert second == (2, "", "")
    assert first[2] == (
        "multifit: error: process 1 differs from process 0: training.training_data.batch_size is "
        "2 in its input, not 1; start all with the same input\n"
    )
    assert not (tmp_path / "out").exists()


def test_tensorflow_is_refused_without_shared_memory(
    data: Path, tmp_path: Path, start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tensorflow", reason="TensorFlow is not installed")
    monkeypatch.setenv("MULTIFIT_SHARED_MEMORY", "0")
    path = given(tmp_path, data, 1)
    first, second = ended(start([path, path], "tensorflow", tmp_path / "out"))
    assert (first[0], second[0]) == (2, 2)
    said = (first[2] + second[2]).splitlines()
    assert said
    assert all("the tensorflow backend trains with several processes only on" in x for x in said)


def test_a_backend_that_cannot_is_refused_at_once(data: Path, tmp_path: Path, start: Any) -> None:
    path = given(tmp_path, data, 1)
    first, second = ended(start([path, path], "numpy", tmp_path / "out"))
    # Both find it at the same time, and at least the first one tells it.
    assert (first[0], second[0]) == (2, 2)
    said = (first[2] + second[2]).splitlines()
    assert said
    wanted = "the numpy backend does not support training with several processes; use"
    assert all(wanted in line for line in said)

"""The case of the benchmark suite that runs LAMMPS; nothing is timed."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(
    not (ROOT / "benchmarks").is_dir(), reason="the benchmarks are in the repository only"
)


@pytest.fixture
def suite(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that imports a module of the suite."""
    monkeypatch.syspath_prepend(str(ROOT))
    return lambda name: importlib.import_module(f"benchmarks.{name}")


def test_the_time_is_that_of_the_last_run(suite: Any) -> None:
    outcome = suite("processes").Outcome
    first = "Loop time of 9.0 on 1 procs for 3 steps with 192 atoms"
    last = "Loop time of 0.5 on 2 procs for 25 steps with 192 atoms"
    step_ms = suite("lammps").step_ms
    assert step_ms(outcome(((0.0, first), (1.0, last)), 1.0, None, "")) == pytest.approx(20.0)
    assert step_ms(outcome(((0.0, first),), 1.0, None, "")) is None
    assert step_ms(outcome(((0.0, first), (1.0, last)), 1.0, None, "ended")) is None


def test_programs_and_notes(suite: Any, tmp_path: Path) -> None:
    found, notes = suite("lammps").engines(["jax"], [1, 2], tmp_path / "m.dp", {}, {})
    assert [each.run.name for each in found] == ["multifit JAX", "multifit JAX, 2 processes"]
    assert found[1].command[1:3] == ("-n", "2")
    assert len(notes) == 1


def test_the_data_file_has_the_same_distances(suite: Any, tmp_path: Path) -> None:
    cell = np.array([[4.3, 0.1, 0.0], [0.7, 4.0, 0.2], [-0.5, 0.4, 4.6]])
    coord = np.random.default_rng(0).uniform(size=(1, 5, 3)) @ cell
    frames = tmp_path / "frames.npz"
    np.savez(frames, coord=coord, cell=cell[None], types=np.array([0, 1, 1, 0, 1]))
    suite("lammps").write_data(frames, tmp_path / "w.lmp")
    rows = (tmp_path / "w.lmp").read_text().split("Atoms\n\n")[1].splitlines()
    written = np.array([[float(word) for word in row.split()] for row in rows])
    assert written[:, 1].tolist() == [1, 2, 2, 1, 2]
    got = np.linalg.norm(written[:, None, 2:] - written[None, :, 2:], axis=-1)
    want = np.linalg.norm(coord[0][:, None] - coord[0][None], axis=-1)
    assert np.allclose(got, want, atol=1e-8)


def test_the_table_has_steps_per_second_and_ratios(suite: Any, tmp_path: Path) -> None:
    r = suite("results")
    case = r.InferenceCase("float64", "m.dp")
    case.runs = [
        r.InferenceRun("multifit JAX", "jax", True, [r.Point(192, 1, [20.0], [400.0])]),
        r.InferenceRun("deepmd-kit's pair style", "tensorflow", False, [r.Point(192, 1, [80.0])]),
    ]
    report = r.Report("2026-11-28", "python benchmarks", {}, {}, dynamics=[case])
    report.write(tmp_path / "results.json")
    again = r.read(tmp_path / "results.json")
    assert again == report
    text = suite("tables").markdown(r.merged([again]))
    assert "| multifit JAX | 50.00 |" in text
    assert "| multifit JAX | 4.00 |" in text

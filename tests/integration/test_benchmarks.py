"""The benchmark suite on made-up results: arguments, tables, figures, files; nothing is timed."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
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


@pytest.fixture
def report(suite: Any) -> Any:
    """Return a report with every kind of number, and with holes."""
    r = suite("results")
    training = r.TrainingCase("ener", "float64", 1, 192, "water")
    training.runs = [
        r.TrainingRun("multifit JAX", "jax", True, [20.0, 22.0, 30.0], [5.0], [800.0]),
        r.TrainingRun("deepmd-kit JAX", "jax", False, [440.0], [9.0], [900.0]),
        r.TrainingRun("deepmd-kit TensorFlow", "tensorflow", False, [110.0], [9.0], [900.0]),
        r.TrainingRun("deepmd-kit Paddle", "paddle", False, note="failed (exit code 1)"),
    ]
    training.floor_ms = {"jax": [16.0, 15.0, 17.0], "numpy": [11.0]}
    inference = r.InferenceCase("float64", "trained for 12 steps")
    small, large = r.Point(192, 1, [10.0], [500.0]), r.Point(1536, 1, [76.8], [600.0])
    larger = r.Point(12288, 1, [676.0], [700.0])
    ours = [small, large, larger, r.Point(192, 8, [64.0])]
    peers = [r.Point(192, 1, [50.0], [800.0]), r.Point(1536, note="> 60 s")]
    inference.runs = [
        r.InferenceRun("multifit NumPy", "numpy", True, ours, 1e-13, 2e-12),
        r.InferenceRun("deepmd-kit TensorFlow, compressed", "tensorflow", False, peers),
        r.InferenceRun("deepmd-kit TensorFlow", "tensorflow", False, [r.Point(192, 1, [80.0])]),
    ]
    machine = {"processor": "a processor, 2 cores", "memory": "24 GB"}
    versions = {"multifit": {"Python": "3.12", "numpy": "2.4"}}
    notes = ["deepmd-kit PyTorch: no interpreter"]
    made = ("2026-01-01", "python benchmarks", machine, versions, "", notes)
    return r.Report(*made, [training], [inference])


def row(text: str, name: str, number: int = 0) -> list[str]:
    """Return the cells of a row of one of the tables."""
    return [
        cell.strip() for cell in re.findall(rf"^\| {name} \|(.*)\|$", text, re.M)[number].split("|")
    ]


def test_a_report_survives_json(suite: Any, report: Any, tmp_path: Path) -> None:
    report.write(tmp_path / "results.json")
    assert suite("results").read(tmp_path / "results.json") == report


def test_a_report_of_another_version_is_refused(suite: Any, tmp_path: Path) -> None:
    (tmp_path / "old.json").write_text(json.dumps({"version": 0}))
    with pytest.raises(SystemExit, match="run it again"):
        suite("results").read(tmp_path / "old.json")


def test_tables_have_medians_and_ratios(suite: Any, report: Any) -> None:
    text = suite("tables").markdown(report)
    ours = ["22.0", "20.0–30.0", "8,727", "5.0", "800", "5.00", "20.00", "1.38", "2.00"]
    assert row(text, "multifit JAX") == ours
    assert row(text, "deepmd-kit Paddle")[0] == "failed (exit code 1)"
    assert row(text, "multifit NumPy") == ["10.00", "10.0–10.0", "8.00", "5.00", "1e-13", "2e-12"]
    assert row(text, "multifit NumPy", 1) == ["52.1", "50.0", "55.0", "1.10"]
    assert row(text, "deepmd-kit TensorFlow, compressed", 1) == ["260.4", "> 60 s", "—", "—"]
    assert row(text, "multifit NumPy", 3) == ["10.00", "8.00"]
    assert "deepmd-kit PyTorch: no interpreter" in text


def test_docs_are_written_between_the_marks_only(suite: Any, report: Any, tmp_path: Path) -> None:
    document = suite("document")
    page = tmp_path / document.PAGE
    page.write_text(f"# Title\n\n{document.BEGIN}\nold\n{document.END}\n\nafter\n")
    document.write_docs(report, tmp_path)
    first = page.read_text()
    assert first.startswith("# Title\n")
    assert first.endswith("\n\nafter\n")
    assert "old" not in first
    linked = re.findall(r"\]\((images/.*\.png)\)", first)
    assert len(linked) == 3
    assert all((tmp_path / name).stat().st_size > 5000 for name in linked)
    document.write_docs(report, tmp_path)
    assert page.read_text() == first


def test_runs_of_one_machine_are_merged(suite: Any, report: Any, tmp_path: Path) -> None:
    results, document = suite("results"), suite("document")
    report.write(tmp_path / "results.json")
    again = results.read(tmp_path / "results.json")
    again.command, again.versions = "python benchmarks --only training", {"deepmd-kit": {}}
    both = results.merged([report, again])
    assert both.command == "python benchmarks; python benchmarks --only training"
    assert list(both.versions) == ["multifit", "deepmd-kit"]
    assert len(both.notes) == 1
    page = tmp_path / document.PAGE
    page.write_text(f"{document.BEGIN}{document.END}")
    document.write_docs(both, tmp_path)
    linked = re.findall(r"\]\((images/.*\.png)\)", page.read_text())
    assert len(linked) == len(set(linked)) == 6
    again.machine = {"processor": "another"}
    with pytest.raises(SystemExit, match="two machines"):
        results.merged([report, again])


def test_files_that_are_not_there(
    suite: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (["--systems"], ["--model"], ["--write-docs"]):
        with pytest.raises(SystemExit):
            suite("cli").parse([*words, str(tmp_path / "nowhere")])
        assert "there is no" in capsys.readouterr().err


def test_presets_and_refused_arguments(suite: Any, capsys: pytest.CaptureFixture[str]) -> None:
    cli = suite("cli")
    assert cli.parse([]).sizes[-1] == 98304
    quick = cli.parse(["--quick", "--steps", "30", "--sizes", "768", "192"])
    assert (quick.steps, quick.rounds, quick.sizes) == (30, 1, [192, 768])
    with pytest.raises(SystemExit):
        cli.parse(["--steps", "20", "--interval", "10"])
    assert "three times" in capsys.readouterr().err


def test_a_command_is_quoted_without_folders(suite: Any) -> None:
    said = suite("cli").described(["--output", "b", "--quick", "--systems", "/a/b/water_0"])
    assert said == "python benchmarks --quick --systems water_0"


def test_peers_are_found_by_their_variables(suite: Any) -> None:
    programs = suite("programs")
    variables = {"MULTIFIT_PEER_PYTHON": "a", "MULTIFIT_PEER_PYTHON_PT": "b"}
    found, notes = programs.peers(None, variables)
    assert {peer.backend: peer.python for peer in found} == {"tf": "a", "pt": "b"}
    assert len(notes) == 2
    assert programs.peers(["pd"], variables)[0] == []


def test_step_times_leave_out_the_first_interval(suite: Any) -> None:
    training, processes = suite("training"), suite("processes")

    def times(lines: list[str], ours: bool) -> list[float]:
        said = tuple((1.0, line) for line in lines)
        return training.step_times(processes.Outcome(said, 0.0, None, ""), ours, 4)

    assert times(
        ["step  4  trn E 1  60.0 ms/step  0:00", "step  8  trn E 1  40.5 ms/step"], True
    ) == [40.5]
    said = [f"INFO Batch {n:7d}: total wall time = {s} s, eta" for n, s in ((1, 9), (4, 3), (8, 2))]
    assert times(said, False) == [500.0]


def test_frames_are_repeated_into_boxes(suite: Any, tmp_path: Path) -> None:
    systems = suite("systems")
    system = systems.enlarged(tmp_path, 100)
    assert systems.images(98304, 192) == (8, 8, 8)
    assert systems.images(1536, 192) == (2, 2, 2)
    assert systems.images(192, 192) == (1, 1, 1)
    assert systems.images(500_000, 192) == (14, 14, 13)
    assert systems.write_frames(system, 768, tmp_path / "frames.npz") == 768
    with np.load(tmp_path / "frames.npz") as made:
        assert made["coord"].shape == (4, 768, 3)
        assert made["types"].shape == (768,)
        fractional = made["coord"] @ np.linalg.inv(made["cell"])
        volume = np.linalg.det(made["cell"])
    box = np.load(system / "set.000" / "box.npy").reshape(-1, 3, 3)
    assert len(box) == 100
    np.testing.assert_allclose(volume, 4 * np.linalg.det(box[:4]))
    assert np.ptp(fractional, axis=1).max() < 1.3


def test_few_atoms_are_a_cluster_of_the_same_composition(suite: Any, tmp_path: Path) -> None:
    systems = suite("systems")
    system = systems.enlarged(tmp_path, 3)
    assert systems.write_frames(system, 24, tmp_path / "frames.npz") == 24
    with np.load(tmp_path / "frames.npz") as made:
        coord, cell, types = made["coord"], made["cell"], made["types"]
    assert np.bincount(types).tolist() == [8, 16]
    apart = np.linalg.norm(coord[:, None] - coord[:, :, None], axis=-1)
    assert apart[:, ~np.eye(24, dtype=bool)].min() > 0.5
    assert np.ptp(coord, axis=1).max() + systems.SPACE <= cell[0, 0, 0] + 1e-9


def test_predictions_are_compared_with_their_products(suite: Any, report: Any) -> None:
    r, case = suite("results"), report.inference[0]
    case.runs.append(r.InferenceRun(r.PRODUCTS, "numpy", True, [r.Point(192, 1, [8.0], [90.0])]))
    text = suite("tables").markdown(report)
    assert "/ products" in text
    assert row(text, "multifit NumPy")[4] == "1.25"


def test_products_of_the_water_model(suite: Any, tmp_path: Path) -> None:
    systems, floor = suite("systems"), suite("floor")
    system = systems.enlarged(tmp_path, 1)
    made, _ = systems.model("ener", "float32", system)
    assert made["descriptor"]["precision"] == made["fitting_net"]["precision"] == "float32"
    products = systems.products(made, "ener", system, 8)
    assert products.atoms == (512, 1024)
    assert products.layers == ((1600, 240), (240, 240), (240, 240), (240, 1))
    assert floor.flops(products) == 2 * 6 * 1536 * (1600 * 240 + 2 * 240 * 240 + 240)


def test_a_program_is_watched_and_ended(suite: Any, tmp_path: Path) -> None:
    run = suite("processes").run
    good = run([sys.executable, "-c", "print('hello')"], tmp_path, {}, 60.0)
    assert [line for _, line in good.lines] == ["hello"]
    assert not good.failure
    assert good.memory_mb > 1
    bad = run([sys.executable, "-c", "raise SystemExit(3)"], tmp_path, {}, 60.0)
    assert bad.failure == "failed (exit code 3)"
    late = run([sys.executable, "-c", "import time; time.sleep(60)"], tmp_path, {}, 0.5)
    assert late.failure == "ended after 0 s"


def test_calls_that_warm_up_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks" / "children"))
    predict = importlib.import_module("predict")
    quick = iter([*range(900, 0, -100), *[10.0] * 100])
    assert predict.timed(quick, 0.05, 60.0) == [10.0] * 6
    slow = iter([50e3, 30e3, 40e3, 41e3])
    assert predict.timed(slow, 4.0, 60.0) == [40e3]


def test_the_table_of_threads_has_medians_and_loads(suite: Any, tmp_path: Path) -> None:
    busy = suite("busy")
    found = [
        busy.Busy(name, threads, others, [40.0 * threads, 60.0 + others, 50.0], [1.5, 0.25])
        for name in ("jax", "torch")
        for threads in busy.THREADS
        for others in busy.OTHERS
    ]
    found[-1].note = "failed (exit code 1)"
    text = busy.markdown(found)
    assert row(text, "jax, `--threads 1`") == ["50 (40–60)", "50 (40–61)", "50 (40–62)"]
    assert row(text, "torch, `--threads 2`") == ["60 (50–80)", "61 (50–80)", "failed (exit code 1)"]
    assert "Load before the runs: 0.2 to 1.5." in text
    path = suite("studies").write(found, tmp_path / "threads.json")
    assert [busy.Busy(**each) for each in json.loads(path.read_text())] == found


def test_many_elements_are_compared_without_the_update(suite: Any, tmp_path: Path) -> None:
    elements = suite("elements")
    found = elements.Elements(
        "torch",
        True,
        step_ms={2: [50.0, 60.0, 40.0], 30: [200.0, 210.0, 190.0]},
        first_s={2: [3.0], 30: [9.0]},
        memory_mb={2: [500.0], 30: [1500.0]},
        parameters={2: 1000, 30: 9000},
        adam_ms=[100.0],
        load=[0.5, 1.0],
    )
    assert found.additional == 8000
    want = ["50.0", "200.0", "100.0", "2.00", "9.0", "1.50", "0.5 to 1.0"]
    assert row(elements.markdown([found]), "torch, one side") == want
    source = tmp_path / "input.json"
    system = suite("systems").enlarged(tmp_path, 1)
    content = {
        "model": {"type_map": ["O", "H"], "descriptor": {"sel": [46, 92]}},
        "training": {"training_data": {"systems": [str(system)]}},
    }
    source.write_text(json.dumps(content))
    elements.write_case(tmp_path / "many", source, 30, False)
    made = json.loads((tmp_path / "many" / "input.json").read_text())
    assert len(made["model"]["type_map"]) == len(made["model"]["descriptor"]["sel"]) == 30
    drawn = np.loadtxt(tmp_path / "many" / "system" / "type.raw", dtype=int)
    assert len(drawn) == 192
    assert 20 < len(set(drawn)) <= 30


def test_an_update_of_numbers_is_timed() -> None:
    child = ROOT / "benchmarks" / "children" / "adam.py"
    words = [sys.executable, str(child), "torch", "1000"]
    told = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert float(told.split()[0]) > 0

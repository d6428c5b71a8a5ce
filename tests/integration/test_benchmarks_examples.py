"""The study of the benchmarks that runs all inputs of a folder, on made-up ones."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(
    not (ROOT / "benchmarks").is_dir(), reason="the benchmarks are in the repository only"
)

#: A program that does what the input says, instead of training.
PROGRAM = """
import json, sys, time
given = json.load(open(sys.argv[1]))
training, does = given["training"], given["model"].get("does", "")
if does == "refuse":
    print(f"multifit: error: model.does in {sys.argv[1]} is 3, but | must be 2")
    sys.exit(2)
if does == "crash":
    sys.exit(1)
last = {"short": 10, "nan": training["numb_steps"]}.get(does, training["numb_steps"])
value = "nan" if does == "nan" else "1.0e-1 nan"
with open(training.get("disp_file", "lcurve.out"), "w") as file:
    file.write("# step rmse_trn rmse_f_trn lr\\n")
    for step in range(0, last + 1, training["disp_freq"]):
        print(f"step {step}  trn E 1  {40.0 + step} ms/step")
        file.write(f"{step} {value} 1e-3\\n")
"""


@pytest.fixture
def study(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that imports a module of the suite."""
    monkeypatch.syspath_prepend(str(ROOT))
    return lambda name: importlib.import_module(f"benchmarks.{name}")


def put(path: Path, does: str = "", **training: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    model = {"descriptor": {"type": "se_e2_a"}, "does": does}
    path.write_text(json.dumps({"model": model, "training": {"stop_batch": 9000, **training}}))


def test_inputs_are_found_by_their_contents(study: Any, tmp_path: Path) -> None:
    put(tmp_path / "b" / "input.json")
    put(tmp_path / "a" / "train" / "x.json")
    (tmp_path / "a" / "qnn.json").write_text('{"nvnmd": {}, "training": {}}')
    for name, text in (("bad", "{"), ("list", "[]"), ("map", '{"training": {}}')):
        (tmp_path / f"{name}.json").write_text(text)
    (tmp_path / "other.json").write_text('{"model": {}, "training": "no"}')
    found = study("examples").find_inputs(tmp_path)
    assert [path.as_posix() for path in found] == ["a/qnn.json", "a/train/x.json", "b/input.json"]


def test_only_the_length_of_a_run_is_changed(study: Any) -> None:
    given = {
        "model": {"descriptor": {}},
        "learning_rate": {"warmup_steps": 5000},
        "training": {"num_epoch_dict": {"a": 1}, "numb_steps": 9, "disp_freq": 7, "seed": 1},
    }
    made = study("examples").shortened(given, 20, 5)
    assert made["training"] == {"seed": 1, "numb_steps": 20, "disp_freq": 5}
    assert made["learning_rate"] == {"warmup_steps": 5}
    assert given["training"]["disp_freq"] == 7
    assert study("examples").shortened({"training": {}}, 20, 5)["training"]["numb_steps"] == 20


def test_models_are_described(study: Any) -> None:
    said = study("examples").described
    assert said({"training": {}}) == "nvnmd"
    assert said({"model": {"model_dict": {}}}) == "multi-task"
    parts = [{"type": "se_e2_a"}, {"type": "se_e2_r"}]
    model = {"type": "pairwise_dprc", "descriptor": {"type": "hybrid", "list": parts}, "spin": {}}
    assert said({"model": model}) == "pairwise_dprc, hybrid (se_e2_a + se_e2_r), spin"
    dos = {"descriptor": {"type": "dpa1"}, "fitting_net": {"type": "dos"}}
    assert said({"model": dos}) == "dpa1, dos"


def test_every_input_is_run_and_the_table_says_how(study: Any, tmp_path: Path) -> None:
    examples, training, results = study("examples"), study("training"), study("results")
    folder, scratch = tmp_path / "inputs", tmp_path / "scratch"
    scratch.mkdir()
    put(folder / "good" / "input.json", disp_file="curve")
    put(folder / "here" / "other.json")
    for does in ("refuse", "crash", "short", "nan"):
        put(folder / does / "input.json", does)
    (tmp_path / "program.py").write_text(PROGRAM)
    command = (sys.executable, str(tmp_path / "program.py"), "input.json")
    peer = (sys.executable, "-c", "raise SystemExit(1)")
    programs = [
        training.Trainer(results.TrainingRun("multifit X", "x", True), command),
        training.Trainer(results.TrainingRun("deepmd-kit Y", "y", False), peer),
    ]
    found = list(examples.measure(folder, programs, scratch=scratch, environment={}))
    outcomes = {each.input.split("/")[0]: each.outcome for each in found}
    assert outcomes == {
        "good": "runs",
        "here": "runs",
        "refuse": "refused: model.does is 3, but | must be 2",
        "crash": "failed: failed (exit code 1)",
        "short": "failed: its learning curve does not end at step 20",
        "nan": "failed: its loss is not finite",
    }
    lines = examples.markdown(found).splitlines()
    assert lines[0].endswith("| outcome | multifit X, ms/step | deepmd-kit Y, ms/step |")
    assert "| `good/input.json` | se_e2_a | runs | 55.0 | fails |" in lines
    assert r"| refused: model.does is 3, but \| must be 2 | — | — |" in "\n".join(lines)
    assert lines[-1] == "2 of 6 run."
    assert len(found[2].attempts) == (1 if found[2].outcome != "runs" else 2)
    assert not list(folder.rglob("lcurve.out"))


def test_the_command_needs_a_folder(study: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        study("cli").parse(["--only", "examples"])
    assert "needs --folder" in capsys.readouterr().err

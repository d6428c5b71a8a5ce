"""Run every training input of a folder, such as DeePMD-kit's examples, in a copy with few steps."""

from __future__ import annotations

import copy
import json
import math
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .processes import Outcome, run
from .results import median
from .tables import NOTHING, table
from .training import Trainer, step_times

#: Steps of a run, and steps that are timed together; the first of these intervals compiles.
STEPS, INTERVAL = 20, 5

#: Seconds for a run of one program.
LIMIT_S = 600.0

#: Names of the length of a run: they are replaced by a number of steps.
LENGTHS = (
    *("numb_steps", "stop_batch", "num_steps", "num_step"),
    *("numb_epoch", "num_epoch", "numb_epochs", "num_epochs", "num_epoch_dict"),
)

#: Parts of a model that the table names besides the descriptor and the fitting net.
PARTS = ("type_embedding", "spin", "use_srtab", "modifier")

#: The line with which multifit ends if it refuses an input.
REFUSED = re.compile(r"^multifit: error: (.*)$")

#: Characters of a sentence that the table repeats.
SHOWN = 160


@dataclass
class Attempt:
    """A run of one input by one program.

    Attributes
    ----------
    step_ms
        Median of all intervals but the first; None if it did not get so far.
    note
        Empty if all steps were done with finite losses; otherwise the reason.
    refused
        True if the program said in one sentence that it does not take the input.
    """

    program: str
    ours: bool
    step_ms: float | None = None
    note: str = ""
    refused: bool = False


@dataclass
class Example:
    """An input and what the programs did with it."""

    input: str
    model: str
    attempts: list[Attempt] = field(default_factory=list)

    @property
    def runs(self) -> bool:
        """True if every backend of ours trained with it."""
        ours = [each for each in self.attempts if each.ours]
        return bool(ours) and not any(each.note for each in ours)

    @property
    def outcome(self) -> str:
        """The outcome in a few words."""
        failed = next((each for each in self.attempts if each.ours and each.note), None)
        if failed is None:
            return "runs"
        return f"{'refused' if failed.refused else 'failed'}: {failed.note}"


def find_inputs(folder: Path) -> list[Path]:
    """Return the JSON files below a folder that are training inputs, relative to it and sorted."""
    found = sorted(path.relative_to(folder) for path in folder.rglob("*.json"))
    return [path for path in found if _input(folder / path) is not None]


def _input(path: Path) -> dict[str, Any] | None:
    """Return the contents of a training input; None for other files."""
    try:
        data = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    if not isinstance(data, dict) or not isinstance(data.get("training"), dict):
        return None
    return data if {"model", "nvnmd"} & data.keys() else None


def shortened(data: Mapping[str, Any], steps: int, interval: int) -> dict[str, Any]:
    """Return an input with few steps; nothing else differs but a warm-up that would be longer."""
    made = copy.deepcopy(dict(data))
    training = {key: value for key, value in made["training"].items() if key not in LENGTHS}
    made["training"] = {**training, "numb_steps": steps, "disp_freq": interval}
    rate = made.get("learning_rate")
    if isinstance(rate, dict) and rate.get("warmup_steps", 0) >= steps:
        rate["warmup_steps"] = interval
    return made


def described(data: Mapping[str, Any]) -> str:
    """Return the kind of model of an input, such as ``se_e2_a, dos``."""
    model = data.get("model")
    if not isinstance(model, dict):
        return "nvnmd"
    if "model_dict" in model:
        return "multi-task"
    words = [model["type"]] if model.get("type", "standard") != "standard" else []
    descriptor, net = model.get("descriptor", {}), model.get("fitting_net", {})
    words += [_descriptor(descriptor)] if descriptor else []
    words += [net["type"]] if net.get("type", "ener") != "ener" else []
    return ", ".join(words + [part for part in PARTS if part in model])


def _descriptor(section: Mapping[str, Any]) -> str:
    inner = [_descriptor(each) for each in section.get("list", ())]
    name = str(section.get("type", "?"))
    return f"{name} ({' + '.join(inner)})" if inner else name


def measure(
    folder: Path,
    programs: Sequence[Trainer],
    *,
    scratch: Path,
    environment: Mapping[str, str],
) -> Iterator[Example]:
    """Yield each input when all programs have run it.

    deepmd-kit is timed where multifit trains: it would only take its time with other inputs.

    Parameters
    ----------
    folder
        Inputs with their data; it is not changed.
    programs
        Programs that train with the ``input.json`` of their folder, ours first.
    scratch
        For a copy of the folder for each program.
    """
    copies = [scratch / f"examples-{number}" for number, _ in enumerate(programs)]
    for made in copies:
        shutil.copytree(folder, made)
    for path in find_inputs(folder):
        data = _input(folder / path)
        assert data is not None
        example = Example(path.as_posix(), described(data))
        for program, made in zip(programs, copies, strict=True):
            if not program.run.ours and not example.runs:
                break
            example.attempts.append(_attempt(program, made / path, data, environment))
        print(f"  {example.input}: {example.outcome}", flush=True)
        yield example


def _attempt(
    program: Trainer, path: Path, data: Mapping[str, Any], environment: Mapping[str, str]
) -> Attempt:
    """Run an input in its folder of a copy."""
    path.write_text(json.dumps(shortened(data, STEPS, INTERVAL)))
    command = [path.name if word == "input.json" else word for word in program.command]
    outcome = run(command, path.parent, environment, LIMIT_S)
    made = Attempt(program.run.name, program.run.ours)
    times = step_times(outcome, made.ours, INTERVAL)
    made.step_ms = median(times)
    sentence = _sentence(outcome, path) if made.ours else ""
    made.refused = bool(sentence)
    if outcome.failure:
        made.note = sentence or outcome.failure
    else:
        made.note = _unfinished(path.parent / data["training"].get("disp_file", "lcurve.out"))
    return made


def _sentence(outcome: Outcome, path: Path) -> str:
    """Return the sentence with which multifit refused an input, without the input's name."""
    told = [found[1] for _, line in outcome.lines if (found := REFUSED.match(line))]
    return told[-1].replace(f" in {path.name}", "", 1) if told else ""


def _unfinished(curve: Path) -> str:
    """Return why a learning curve is not that of a whole run with finite losses, or nothing."""
    rows = [line.split() for line in curve.read_text().splitlines() if line[:1] != "#"]
    if not rows or int(rows[-1][0]) != STEPS:
        return f"its learning curve does not end at step {STEPS}"
    last = [float(word) for word in rows[-1][1:-1]]
    # A missing label is NaN, in all rows.
    if any(math.isinf(value) for value in last) or all(math.isnan(value) for value in last):
        return "its loss is not finite"
    return ""


def markdown(found: Sequence[Example]) -> str:
    """Return the table, and how many inputs run."""
    programs = list(dict.fromkeys(one.program for each in found for one in each.attempts))
    head = ["input", "model", "outcome", *(f"{name}, ms/step" for name in programs)]
    rows = []
    for each in found:
        said = each.outcome if len(each.outcome) <= SHOWN else each.outcome[: SHOWN - 1] + "…"
        cells = [_cell(attempt) for attempt in each.attempts]
        cells += [NOTHING] * (len(programs) - len(cells))
        rows.append([f"`{each.input}`", each.model, said.replace("|", "\\|"), *cells])
    summary = f"{sum(each.runs for each in found)} of {len(found)} run."
    return f"{table(head, rows, texts=3)}\n\n{summary}"


def _cell(attempt: Attempt) -> str:
    if attempt.step_ms is not None and not attempt.note:
        return f"{attempt.step_ms:.1f}"
    if attempt.refused:
        return NOTHING
    return f"> {LIMIT_S:.0f} s" if attempt.note.startswith("ended after") else "fails"

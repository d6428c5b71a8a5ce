"""Checkpoints: a model file that includes the optimizer, the sampler and the step."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ... import __version__, files
from ... import models as mdl
from ...errors import FileFormatError, TrainingError
from ...inference.model_file import SCRIPT, read_model
from ...inference.provenance import KEY
from ...tree import Flat, Tree, flatten
from ..setup.checkpoint_files import existing
from .state_checks import check_moments, check_sampler, count, error_or_none, plain

VERSION = 1


@dataclass
class State:
    """The state of a run in a checkpoint; arrays are NumPy's."""

    params: Tree
    step: int = 0
    moments: dict[str, Flat] = field(default_factory=dict)  #: ``m``, ``v``, ``ema``
    sampler: dict[str, np.ndarray] = field(default_factory=dict)
    validation_sampler: dict[str, np.ndarray] = field(default_factory=dict)
    series: dict[str, Any] = field(default_factory=dict)  #: state of the descriptor's basis
    tables: dict[str, Any] = field(default_factory=dict)  #: widths of tables, if they are fixed
    best: float | None = None  #: the lowest validation error so far
    stale: int = 0  #: validations since then
    input: dict[str, Any] = field(default_factory=dict)  #: all sections, with defaults
    provenance: dict[str, Any] = field(default_factory=dict)  #: in the file; empty in a new run


def model_content(
    model: mdl.Model,
    params: Tree,
    script: Mapping[str, Any],
    backend: str,
    coefficients: bool = False,
) -> dict[str, Any]:
    """Return the content of a model file.

    Parameters
    ----------
    script
        The ``model`` section of the input, with all defaults.
    coefficients
        True if the energies of the loss were sums with coefficients, which are then also needed to
        compare with data (``enable_atom_ener_coeff``).
    """
    return {
        "software": "multifit",
        "version": __version__,
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "backend": backend,
        **mdl.to_content(model, params),
        "enable_atom_ener_coeff": coefficients,
        SCRIPT: dict(script),
    }


def checkpoint_content(content: dict[str, Any], state: State) -> dict[str, Any]:
    """Return the content of a checkpoint: that of a model file, and the state of the run."""
    training = {
        "@class": "Training",
        "@version": VERSION,
        "step": state.step,
        "best": state.best,
        "stale": state.stale,
        "input": state.input,
        "sampler": {"@variables": state.sampler},
        "validation_sampler": {"@variables": state.validation_sampler},
        "series": state.series,
        "tables": state.tables,
        "optimizer": {name: {"@variables": flat} for name, flat in state.moments.items()},
    }
    return {**content, "training": training}


def read(path: Path) -> tuple[mdl.Model, State, dict[str, Any]]:
    """Return the model's settings, the state and the file's whole content.

    Raises
    ------
    TrainingError
        If the file is a model, but not a checkpoint.
    FileFormatError
        If it is an incomplete checkpoint, or its state does not fit the model.
    """
    model, params, content = read_model(path)
    training = content.get("training")
    if not isinstance(training, dict):
        raise TrainingError(
            f"{path} is a model without the state of a training; "
            "use --init-model or --finetune to start from it"
        )
    files.check_version(training, range(1, VERSION + 1), path)
    try:
        state = State(
            params=params,
            step=count(path, "step", training["step"]),
            moments={k: dict(v["@variables"]) for k, v in training["optimizer"].items()},
            sampler=dict(training["sampler"]["@variables"]),
            validation_sampler=dict(training["validation_sampler"]["@variables"]),
            series=dict(training["series"]),
            tables=dict(training.get("tables", {})),
            best=error_or_none(path, "best", training["best"]),
            stale=count(path, "stale", training["stale"]),
            input=plain(path, "input", training.get("input", {})),
            provenance=plain(path, "provenance", content.get(KEY, {})),
        )
    except FileFormatError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        raise FileFormatError(
            f"{path} holds a training whose state is incomplete ({exc!r}); restart from another "
            "checkpoint, or use --init-model to start from its parameters"
        ) from exc
    check_moments(path, state.moments, flatten(params))
    check_sampler(path, "sampler", state.sampler)
    check_sampler(path, "validation_sampler", state.validation_sampler)
    return model, state, content


def find(path: Path, output: Path) -> list[Path]:
    """Return the files for ``--restart``: one file, or those of a prefix, the newest first.

    Parameters
    ----------
    path
        Argument of ``--restart``.
    output
        The folder of the run, for a hint if the path is not found.

    Raises
    ------
    TrainingError
        If no checkpoint is found.
    """
    if path.is_file():
        return [path]
    found = existing(path.parent, path.name)
    if not found:
        others = "" if path.suffix == ".dp" else f", nor any {path.name}-STEP.dp beside it"
        inside = output / path
        meant = inside.is_file() or existing(inside.parent, inside.name)
        hint = (
            f" (did you mean {inside}?)"
            if meant
            else "; give a file such as out/model.ckpt-1000.dp, or its name before the step, "
            "out/model.ckpt, for the newest"
        )
        raise TrainingError(f"there is no checkpoint {path}{others}{hint}")
    return [file for _, file in reversed(found)]

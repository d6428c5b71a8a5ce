"""Differences between a restart and the run that it continues, in input and data."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

#: Keys for the place and frequency of output, whose changes are not reported.
OUTPUT = frozenset(
    f"training.{key}"
    for key in (
        *("disp_file", "disp_freq", "disp_training", "time_training", "save_freq", "save_ckpt"),
        *("max_ckpt_keep", "stat_file", "tensorboard", "tensorboard_log_dir", "tensorboard_freq"),
        "memory",
    )
) | {
    "validating.save_best_dir",
    "validating.max_best_ckpt",
    "validating.full_val_file",
    "model.embedding",
    "backend",
}

#: Keys that matter only for the first step of a run.
AT_THE_START = (
    "model.descriptor.seed",
    "model.descriptor.type_seed",
    "model.fitting_net.seed",
    "model.descriptor.set_davg_zero",
    "model.data_stat_nbatch",
    "model.data_stat_protect",
    "training.seed",
)

#: Keys that matter only for the first step, and after the last one.
AT_BOTH_ENDS = ("model.fitting_net.rcond", "model.data_bias_nsample")
AFTER = "change_bias_after_training"

#: Keys whose value is an object with names from the data, rather than a section.
NAMES = ("keys", "species")

SYSTEMS = "training.training_data.systems"
OPTIMIZER = "optimizer.type"
EMA = "training.enable_ema"

#: Maximum numbers of reported changes, of entries of a list, and of characters of a text.
NAMED, ENTRIES, CHARACTERS = 12, 4, 40


@dataclass(frozen=True)
class Change:
    """A key with a changed value."""

    key: str
    old: Any
    new: Any

    def __str__(self) -> str:
        return f"{self.key} {_shown(self.old)} → {_shown(self.new)}"

    def in_other(self, other: str) -> str:
        """Return a sentence about two inputs at the same time, of which the new one is another."""
        return f"{self.key} is {_shown(self.new)} {other}, not {_shown(self.old)}"


def without_place(key: str) -> str:
    """Return a key without the place of its section among the parts of a hybrid descriptor."""
    return re.sub(r"\.list\[\d+\]", "", key)


def changes(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> Iterator[Change]:
    """Yield the differences between two inputs, in the order of the new one.

    Keys that only one of them has are passed over: they belong to another type of the same
    section, whose change is named, or to another version of multifit.

    Parameters
    ----------
    old, new
        Nested dicts with all defaults, as JSON has them.
    """
    for key, value in new.items():
        if key not in old:
            continue
        before, path = old[key], f"{prefix}{key}"
        if isinstance(before, Mapping) and isinstance(value, Mapping) and key not in NAMES:
            yield from changes(before, value, f"{path}.")
        elif _are_sections(before) and _are_sections(value) and len(before) == len(value):
            for k, (one, other) in enumerate(zip(before, value, strict=True)):
                yield from changes(one, other, f"{path}[{k}].")
        elif before != value:
            yield Change(path, before, value)


def _are_sections(value: Any) -> bool:
    """Return True for a list of sections, such as the parts of a hybrid descriptor."""
    return isinstance(value, list) and all(isinstance(each, Mapping) for each in value)


def notes(old: Mapping[str, Any], new: Mapping[str, Any], resized: bool = False) -> list[str]:
    """Return messages about a restart with a changed input, one sentence each.

    Parameters
    ----------
    old
        Input of the run that wrote the checkpoint, including all defaults.
    new
        The input of the restart.
    resized
        True if :func:`other_frames` already warns about the training data.
    """
    found = {change.key: change for change in changes(old, new) if change.key not in OUTPUT}
    keys = AT_THE_START + (() if new.get("training", {}).get(AFTER) else AT_BOTH_ENDS)
    idle = [key for key in found if without_place(key) in keys]
    for key in idle:
        del found[key]
    said = []
    if found:
        more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
        listed = ", ".join(map(str, list(found.values())[:NAMED]))
        said.append(f"changed since the checkpoint: {listed}{more}")
    if idle:
        have = "has" if len(idle) == 1 else "have"
        said.append(
            f"{' and '.join(idle)} {have} no effect on a restart: parameters, statistics and the "
            "order of frames are the checkpoint's"
        )
    if OPTIMIZER in found:
        said.append(
            f"warning: {found[OPTIMIZER].new} goes on with the moments that the checkpoint has "
            f"from {found[OPTIMIZER].old}"
        )
    if EMA in found:
        said.append(
            "the moving average begins with the checkpoint's parameters"
            if found[EMA].new
            else "the moving average is given up, and the next checkpoint will not have it"
        )
    if SYSTEMS in found and not resized:
        said.append(
            f"warning: {SYSTEMS} is another; if these are not the same data under other names, "
            "this is no longer the same run"
        )
    return said


def other_frames(
    state: Mapping[str, np.ndarray], nframes: np.ndarray
) -> tuple[dict[str, np.ndarray], str]:
    """Return the state of the sampler for data of another size, and a message about it.

    The choice of systems continues with the seed and the step of the checkpoint; the frames of each
    system start from the beginning.

    Parameters
    ----------
    state
        Of :class:`multifit.data.Sampler`, from the checkpoint; empty if there is none.
    nframes
        Frames of each system now, (nsystems,).

    Returns
    -------
    state
        Unchanged if the data have the same size.
    note
        A warning; empty if there is none.
    """
    if not state or np.array_equal(state["nframes"], nframes):
        return dict(state), ""
    fresh = {**state, "nframes": nframes, "given": np.zeros_like(nframes)}
    return fresh, (
        f"warning: the training data were {_size(state['nframes'])} at the checkpoint, and are "
        f"{_size(nframes)} now: this is no longer the same run, and its epochs begin anew"
    )


def _size(nframes: np.ndarray) -> str:
    """Return the numbers of systems and frames."""
    each = np.asarray(nframes).tolist()
    many = "s" if len(each) != 1 else ""
    frames = each if 1 < len(each) <= ENTRIES else sum(each)
    return f"{len(each)} system{many} with {frames} frame{'s' * (frames != 1)}"


def _shown(value: Any) -> str:
    """Return a value as JSON, shortened."""
    if isinstance(value, Mapping):
        return "{…}" if value else "{}"
    if isinstance(value, list) and len(value) > ENTRIES:
        shown = ", ".join(map(_shown, value[: ENTRIES - 1]))
        return f"[{shown}, … {len(value)} in all]"
    if isinstance(value, list):
        return f"[{', '.join(map(_shown, value))}]"
    if isinstance(value, str) and len(value) > CHARACTERS:
        value = f"…{value[1 - CHARACTERS :]}"  # the end of a path identifies it
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e6:
        value = int(value)
    return json.dumps(value, ensure_ascii=False)

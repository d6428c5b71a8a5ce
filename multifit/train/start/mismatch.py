"""Differences between the model of a file and the input's, in terms of the input."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np

from ... import descriptors
from ... import models as mdl
from ...errors import TrainingError
from ...outputs import OUTPUTS
from ...tree import flatten
from .changes import without_place

#: Settings that may differ between a model and its fine-tuning: everything listed by type.
BY_TYPE = (
    "type_map",
    "atom_exclude_types",
    "pair_exclude_types",
    "descriptor.sel",
    *("descriptor.repinit.nsel", "descriptor.repinit.three_body_sel", "descriptor.repformer.nsel"),
    *("descriptor.e_sel", "descriptor.a_sel"),
    "descriptor.ntypes",
    "descriptor.type_map",
    "descriptor.exclude_types",
    "fitting.ntypes",
    "fitting.exclude_types",
    "fitting.atom_ener",
)

#: Settings that affect neither shape nor meaning of parameters.
HARMLESS = (
    *("trainable", "preset_out_bias", "rcond", "default_fparam", "set_davg_zero", "electrons"),
    *("update_residual", "update_residual_init", "optim_update", "use_loc_mapping"),
    *("type_trainable", "type_seed"),
)

#: Settings whose keys in the input have other names.
KEYS = {
    "fitting.var_name": "model.fitting_net.type",
    "grid.energies": "the grid of energies (emin and emax, or energies, of model.fitting_net)",
}

#: Output of the model; if it differs, nothing else is reported.
KIND = "fitting.var_name"

#: Name of the descriptor; its other settings cannot be compared if it differs.
DESCRIPTOR = "descriptor.type"

#: Start of a grid, and its reference to Fermi levels.
ENERGIES, ALIGNED = "grid.energies", "grid.fermi_aligned"

#: Sections of the input with the keys of a part of the settings.
SECTIONS = {"": "model", "fitting": "model.fitting_net", "grid": "model.fitting_net"}

#: Tolerance for energies, relative to a step of the grid.
ROUNDING = 1e-6

#: Entries of a list that are shown.
ENTRIES = 6

#: Settings without a key in the input: derived from others, or constant.
DERIVED = (
    "fitting.ntypes",
    "fitting.dim_descrpt",
    "fitting.mixed_types",
    "fitting.exclude_types",
)

#: Maximum number of reported settings.
SHOWN = 3

#: Advice about a difference, by the option of the command line.
RESTART = "change the input back"
INIT_MODEL = "start from a model with the input's settings, or set them in the input as in the file"
FINETUNE = (
    "set it in the input as in the file: of what shapes a model, only type_map, sel, atom_ener and "
    "the types that are excluded may be others"
)

Differences = dict[str, tuple[Any, Any]]


def differences(mine: mdl.Model, theirs: mdl.Model) -> Differences:
    """Return the differing settings that affect the shape or meaning of parameters.

    Returns
    -------
    found
        The dotted name of the setting → its values in ``mine`` and in ``theirs``.
    """
    ours, others = _fields(mine), _fields(theirs)
    ours[DESCRIPTOR], others[DESCRIPTOR] = _kind(mine), _kind(theirs)
    # A model without a grid of energies fits any that does not shift labels.
    for each in (ours, others):
        each.setdefault(ALIGNED, False)
    both = [key for key in ours if key in others]
    found = {key: (ours[key], others[key]) for key in both if ours[key] != others[key]}
    if ENERGIES in found and _same_grid(*found[ENERGIES]):
        del found[ENERGIES]
    # Where one of these differs, nothing else needs to be said.
    alone = next((key for key in (KIND, DESCRIPTOR) if key in found), None)
    return found if alone is None else {alone: found[alone]}


def _fields(model: mdl.Model) -> dict[str, Any]:
    """Return the settings that are compared, by their dotted names: those of each part."""
    settings = dataclasses.asdict(model)
    for k, part in enumerate(settings["descriptor"].pop("list", ())):
        settings[f"descriptor.list[{k}]"] = part
    found = flatten(settings)
    return {name: x for name, x in found.items() if name.rpartition(".")[2] not in HARMLESS}


def _kind(model: mdl.Model) -> Any:
    """Return the name of the descriptor, or those of its parts."""
    parts = getattr(model.descriptor, "list", None)
    return model.descriptor.name if parts is None else tuple(part.name for part in parts)


def is_by_type(key: str) -> bool:
    """Return True for a setting that is listed by type."""
    return without_place(key) in BY_TYPE


def _same_grid(mine: tuple[float, ...], theirs: tuple[float, ...]) -> bool:
    """Return True if two grids (n,) are the same but for rounding."""
    if len(mine) != len(theirs):
        return False
    one, other = np.asarray(mine), np.asarray(theirs)
    return bool((np.abs(one - other) <= ROUNDING * np.diff(one).min()).all())


def other_shape(mine: mdl.Model, theirs: mdl.Model) -> tuple[str, str, str] | None:
    """Return the first parameter whose shape differs: its name and both shapes, or None.

    A shape is "nowhere" if a model has no such parameter.
    """
    ours, others = (
        {name: np.shape(x) for name, x in flatten(mdl.init(model, 0, 0)).items()}
        for model in (mine, theirs)
    )
    for name in {**ours, **others}:
        here, there = ours.get(name), others.get(name)
        if here != there:
            shapes = ["nowhere" if x is None else str(list(x)) for x in (here, there)]
            return name, shapes[0], shapes[1]
    return None


def described(found: Differences, mine: mdl.Model, theirs: mdl.Model, path: Path) -> str:
    """Return the differences: keys of the input with both values, in the form of the input.

    If no key explains them, the first parameter whose shape differs follows, with both shapes.
    """
    settings = [key for key in found if key not in DERIVED]
    keys = settings or list(found)
    parts = [
        f"{_key(key, mine)} is {here} in the input and {there} in the file"
        for key in keys[:SHOWN]
        for here, there in [_shown(key, *found[key])]
    ]
    if len(keys) > SHOWN:
        parts.append(f"{len(keys) - SHOWN} more differ")
    shape = None if settings else other_shape(mine, theirs)
    if shape is not None:
        name, here, there = shape
        parts.append(f"{name} is {here} in the input's model and {there} in {path}")
    return "; ".join(parts)


def require_same(mine: mdl.Model, theirs: mdl.Model, path: Path, advice: str = RESTART) -> None:
    """Raise TrainingError if a file's model is not the input's.

    Parameters
    ----------
    advice
        Advice.
    """
    found = differences(mine, theirs)
    if not found:
        return
    tunable = ", or use --finetune" if all(map(is_by_type, found)) else ""
    raise TrainingError(
        f"{path} does not fit the input: {described(found, mine, theirs, path)}; {advice}{tunable}"
    )


def _key(field: str, model: mdl.Model) -> str:
    """Return the key of the input, or the name in model files if there is none."""
    if field in DERIVED:
        return field
    if field == "fitting.dim_out":
        return f"model.fitting_net.{model.output.components}"
    section, _, name = field.rpartition(".")
    if section == "descriptor":
        name = descriptors.key_of(model.descriptor, name)
    return KEYS.get(field, f"{SECTIONS.get(section, f'model.{section}')}.{name}")


def _shown(key: str, mine: Any, theirs: Any) -> tuple[str, str]:
    """Return both values in the form of the input; of long lists only the differences."""
    if key == KIND:
        return _json(OUTPUTS[mine].type), _json(OUTPUTS[theirs].type)
    here, there = _json(mine), _json(theirs)
    if here != there:
        return here, there
    k = next(k for k, (a, b) in enumerate(zip(mine, theirs, strict=True)) if a != b)
    return f"{here} with [{k}] {mine[k]:.10g}", f"one with [{k}] {theirs[k]:.10g}"


def _json(value: Any) -> str:
    numbers = isinstance(value, tuple) and all(isinstance(x, float) for x in value)
    if numbers and len(value) > ENTRIES:
        return f"a list of {len(value)} from {value[0]:g} to {value[-1]:g}"
    return json.dumps(value, ensure_ascii=False, default=lambda x: np.asarray(x).tolist())

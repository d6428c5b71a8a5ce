"""Starting from another model: its parameters, type by type, and an energy bias for new data."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

import numpy as np

from ... import models as mdl
from ...descriptors import Descriptor
from ...errors import TrainingError
from ...evaluation.bias import type_bias, with_type_bias
from ...fitting import take_nets
from ...inference.model_file import read_model
from ...tree import Tree
from ..setup.dos_grid import lost_energies
from .mismatch import FINETUNE, INIT_MODEL, described, differences, is_by_type, require_same


def init_model(model: mdl.Model, path: Path) -> tuple[Tree, list[str]]:
    """Return the parameters of a model with the same settings (``--init-model``).

    Energies fixed by the settings (``preset_out_bias``) are those of the input.

    Returns
    -------
    params
        The nested dict.
    notes
        Notes for the user: energies that differ from those in the file.
    """
    theirs, params, _ = read_model(path)
    require_same(model, theirs, path, INIT_MODEL)
    require_davg(model, params, path)
    before, fixed = type_bias(model, params), model.fixed_bias
    wanted = np.where(np.isnan(fixed), before, fixed)
    same = np.isclose(wanted, before, rtol=1e-12, atol=1e-12).all(axis=1)
    moved = np.flatnonzero(~same)
    notes = lost_energies(model, theirs)
    if not moved.size:
        return params, notes
    params["out_bias"] = with_type_bias(model, params, wanted)
    output = model.output
    if output.components:
        names = ", ".join(model.type_map[a] for a in moved)
        return params, [*notes, f"preset_out_bias replaces what the file has of {names}"]
    values = ", ".join(
        f"{model.type_map[a]} {before[a, 0]:.6g} → {wanted[a, 0]:.6g} {output.unit}" for a in moved
    )
    return params, [*notes, f"preset_out_bias replaces {output.plural} of the file: {values}"]


def require_davg(model: mdl.Model, params: Tree, path: Path) -> None:
    """Raise TrainingError if ``set_davg_zero`` is on, and a file's mean is not 0.

    Then an atom without neighbours has a descriptor that is not 0, and not its ``atom_ener``.
    """
    wrong = model.descriptor.nonzero_mean(params["descriptor"])
    if wrong is not None:
        but = " atom_ener needs it to be 0, so" if model.fitting.atom_ener is not None else ""
        raise TrainingError(
            "model.descriptor.set_davg_zero is true, but the mean of the environment of "
            f"{model.type_map[wrong]} in {path} is not 0:{but} start from a model that was trained "
            "with set_davg_zero, or train anew"
        )


def finetune(model: mdl.Model, fresh: Tree, path: Path) -> tuple[Tree, list[str]]:
    """Return parameters with those of the other model for every type that it has.

    Parameters
    ----------
    model
        The settings of the new model; its ``type_map`` may be in another order, shorter or longer.
    fresh
        Its parameters with the statistics of the new data, for the new types.

    Returns
    -------
    params
        The nested dict.
    notes
        Notes for the user: new types, ``atom_ener`` that are dropped, and a changed descriptor
        because of ``sel``.

    Raises
    ------
    TrainingError
        If the nets of the two models differ in shape, or they have no type in common.
    """
    theirs, old, _ = read_model(path)
    found = differences(model, theirs)
    wrong = {key: values for key, values in found.items() if not is_by_type(key)}
    if wrong:
        raise TrainingError(
            f"{path} cannot be fine-tuned with this input: "
            f"{described(wrong, model, theirs, path)}; {FINETUNE}"
        )
    place = {name: k for k, name in enumerate(theirs.type_map)}
    shared = [(k, place[name]) for k, name in enumerate(model.type_map) if name in place]
    if not shared:
        raise TrainingError(
            f"{path} knows {', '.join(theirs.type_map)}, none of which is in the input's type_map"
        )
    params = fresh
    params["descriptor"] = model.descriptor.remap_types(
        params["descriptor"], theirs.descriptor, old["descriptor"], shared
    )
    params["fitting"]["nets"] = take_nets(
        model.fitting, params["fitting"]["nets"], theirs.fitting, old["fitting"]["nets"], shared
    )
    for new, known in shared:
        if model.fitting.atom_ener is None or model.fitting.atom_ener[new] is None:
            params["fitting"]["bias_atom_e"][new] = old["fitting"]["bias_atom_e"][known]
            params["out_bias"][new] = old["out_bias"][known]
    require_davg(model, params, path)
    for name in ("fparam_avg", "fparam_inv_std", "aparam_avg", "aparam_inv_std", "case_embd"):
        if name in old["fitting"]:
            params["fitting"][name] = old["fitting"][name]
    return params, _notes(model, theirs, shared)


def _notes(model: mdl.Model, theirs: mdl.Model, shared: list[tuple[int, int]]) -> list[str]:
    """Return the notes on a fine-tuning."""
    notes = []
    known = {k for k, _ in shared}
    new = [name for k, name in enumerate(model.type_map) if k not in known]
    if new:
        notes.append(f"new types: {', '.join(new)}")
    notes += _atom_ener_notes(model, theirs, shared) + lost_energies(model, theirs)
    parts = model.descriptor.requires().each, theirs.descriptor.requires().each
    places = model.descriptor.requires().places
    for place, here, there in zip(places, *parts, strict=True):
        mine, other = here.slots, there.slots
        told_apart = here.total is None
        # Empty slots count, and the descriptor is divided by Σsel.
        if sum(mine) != sum(other) or (told_apart and any(mine[k] != other[j] for k, j in shared)):
            notes.append(
                f"sel{f' of {place}' if len(places) > 1 else ''} is {list(mine)} in the input "
                f"and {list(other)} in the file: descriptors change with it, so that the errors "
                "are larger at first"
            )
    return notes + _exclusion_notes(model, theirs, shared) + _default_notes(model, theirs)


def _exclusion_notes(
    model: mdl.Model, theirs: mdl.Model, shared: list[tuple[int, int]]
) -> list[str]:
    """Return notes on types and pairs of types that one of the models leaves out.

    Parameters
    ----------
    shared
        Indices of the same element in both models; pairs with other elements are new anyway.
    """
    both = {model.type_map[k] for k, _ in shared}
    notes = []
    mine, others = _excluded(model), _excluded(theirs)
    for key in mine:
        here, there = _named(model, mine[key], both), _named(theirs, others[key], both)
        if here != there:
            notes.append(
                f"{key} leaves out {', '.join(here) or 'nothing'} in the input and "
                f"{', '.join(there) or 'nothing'} in the file: energies and forces change with it, "
                "so that the errors are larger at first"
            )
    return notes


def _excluded_in(descriptor: Descriptor) -> dict[str, Sequence[tuple[int, ...]]]:
    """Return the pairs of types that a descriptor leaves out, or each of its parts."""
    key, parts = "model.descriptor", getattr(descriptor, "list", None)
    if parts is None:
        return {f"{key}.exclude_types": descriptor.exclude_types}
    return {f"{key}.list[{k}].exclude_types": part.exclude_types for k, part in enumerate(parts)}


def _excluded(model: mdl.Model) -> dict[str, Sequence[tuple[int, ...]]]:
    """Return what a model leaves out, as the indices of types, by the key of the input."""
    return {
        **_excluded_in(model.descriptor),
        "model.pair_exclude_types": model.pair_exclude_types,
        "model.atom_exclude_types": [(a,) for a in model.atom_exclude_types],
    }


def _named(
    model: mdl.Model, excluded: Iterable[tuple[int, ...]], known: Collection[str]
) -> list[str]:
    """Return excluded types or pairs of them by their elements, those of known elements only."""
    names = [tuple(sorted(model.type_map[a] for a in each)) for each in excluded]
    return sorted({"–".join(each) for each in names if all(name in known for name in each)})


def _default_notes(model: mdl.Model, theirs: mdl.Model) -> list[str]:
    """Return a note on another ``default_fparam``, which is the input's from now on."""
    here, there = model.fitting.default_fparam, theirs.fitting.default_fparam
    if here == there or not model.fitting.numb_fparam:
        return []
    shown = ["none" if x is None else json.dumps(list(x)) for x in (here, there)]
    return [f"default_fparam is {shown[0]} in the input and {shown[1]} in the file"]


def _atom_ener_notes(
    model: mdl.Model, theirs: mdl.Model, shared: list[tuple[int, int]]
) -> list[str]:
    """Return notes on types that do not keep the old model's ``atom_ener``."""
    before = theirs.fitting.atom_ener or (None,) * theirs.ntypes
    now = model.fitting.atom_ener or (None,) * model.ntypes
    free = [model.type_map[k] for k, j in shared if before[j] is not None and now[k] is None]
    others = [
        f"{model.type_map[k]} {before[j]:.6g} → {now[k]:.6g} eV"
        for k, j in shared
        if before[j] is not None and now[k] not in (None, before[j])
    ]
    notes = []
    if free:
        notes.append(
            f"the old model's atom_ener {json.dumps(before)} is given up: a fitted energy for "
            f"{', '.join(free)}; give model.fitting_net.atom_ener to keep it"
        )
    if others:
        notes.append(f"atom_ener replaces energies of the file: {', '.join(others)}")
    return notes

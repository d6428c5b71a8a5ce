"""Relations between the settings of a model; an input has them checked by its own section."""

from __future__ import annotations

from collections import Counter
from typing import Any

from ..rules import NUMBER, Rule, names_types


def _first_without_name(model: Any) -> list[Any]:
    """Return the types whose name is not a text, or is empty."""
    return [name for name in model.type_map if not (isinstance(name, str) and name.strip())]


def _twice(model: Any) -> list[str]:
    """Return the names of several types."""
    return [name for name, count in Counter(model.type_map).items() if count > 1]


def _wrong_preset(model: Any) -> list[Any]:
    """Return the biases that are not numbers, or not one for each component."""
    several = model.fitting.dim_out > 1
    return [
        row
        for row in model.preset_out_bias or ()
        if row is not None
        and not (
            len(row) == model.fitting.dim_out and all(map(NUMBER.allows, row))
            if several and isinstance(row, tuple)
            else not several and NUMBER.allows(row)
        )
    ]


MODEL_RULES = (
    Rule("type_map", lambda o: not o.type_map, "is empty, but must name each type"),
    Rule(
        "type_map",
        lambda o: bool(_first_without_name(o)),
        lambda o: f"has the entry {_first_without_name(o)[0]!r:.60}, but must name each type",
    ),
    Rule(
        "type_map",
        lambda o: bool(_twice(o)),
        lambda o: f"names {_twice(o)[0]!r:.60} twice, but must name each type once",
    ),
    Rule(
        "type_map",
        lambda o: not o.ntypes == o.descriptor.ntypes == o.fitting.ntypes,
        lambda o: (
            f"has {o.ntypes} elements, but sel {o.descriptor.ntypes} and the fitting net "
            f"{o.fitting.ntypes} types"
        ),
    ),
    Rule(
        "dim_descrpt",
        lambda o: o.fitting.dim_descrpt != o.descriptor.dim_out,
        lambda o: (
            f"of the fitting net is {o.fitting.dim_descrpt}, but the descriptor has "
            f"{o.descriptor.dim_out} components"
        ),
    ),
    names_types("atom_exclude_types"),
    names_types("pair_exclude_types", pairs=True),
    Rule(
        "preset_out_bias",
        lambda o: o.preset_out_bias is not None and len(o.preset_out_bias) != o.ntypes,
        lambda o: f"has {len(o.preset_out_bias)} entries, but there are {o.ntypes} types",
    ),
    Rule(
        "preset_out_bias",
        lambda o: bool(_wrong_preset(o)),
        lambda o: (
            f"has the entry {_wrong_preset(o)[0]!r:.60}, but must have a number, or one for each "
            "component, or none"
        ),
    ),
)

"""Ranges of the options of radial descriptors, and relations between them."""

from __future__ import annotations

from ..rules import (
    CUTOFF,
    FLAG,
    MAX_SLOTS,
    NOT_NEGATIVE,
    SLOTS,
    WIDTH,
    ListRange,
    Range,
    Ranges,
    Rule,
    names_types,
)

#: A number of slots for neighbours of all types.
NSEL = Range(int, "an integer > 0", gt=0, le=MAX_SLOTS, python="an integer ≥ 1")

RADIAL_RANGES: Ranges = {
    "rcut": CUTOFF,
    "rcut_smth": NOT_NEGATIVE,
    "sel": ListRange(SLOTS, "a list of integers ≥ 0"),
    "neuron": ListRange(WIDTH, "a list of one or more integers > 0"),
    "resnet_dt": FLAG,
    "trainable": FLAG,
    "type_one_side": FLAG,
    "env_protection": NOT_NEGATIVE,
    "set_davg_zero": FLAG,
}

#: Relations to the number of types, which an input checks for all sections together.
RADIAL_TYPE_RULES = (
    Rule("sel", lambda o: not sum(o.sel), "has no slots, but must have some for neighbours"),
    names_types("exclude_types", pairs=True),
)

#: Relations that an input and settings have.
RADIAL_RULES = (
    Rule("neuron", lambda o: not o.neuron, "is empty, but must have one or more widths"),
    Rule(
        "rcut_smth",
        lambda o: o.rcut_smth >= o.rcut,
        lambda o: f"is {o.rcut_smth}, but must be < rcut, {o.rcut}",
    ),
)

#: The second factor of D = TᵀT has columns of the first.
AXIS_RULES = (
    *RADIAL_RULES,
    Rule(
        "axis_neuron",
        lambda o: o.axis_neuron > o.neuron[-1],
        lambda o: (
            f"is {o.axis_neuron}, but must be at most the last width of neuron, {o.neuron[-1]}"
        ),
    ),
)

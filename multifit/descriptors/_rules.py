"""Ranges of the options of radial descriptors, and relations between them."""

from __future__ import annotations

from ..rules import ABOVE_ZERO, COUNT, FLAG, NOT_NEGATIVE, POSITIVE, ListRange, Ranges, Rule

RADIAL_RANGES: Ranges = {
    "rcut": ABOVE_ZERO,
    "rcut_smth": NOT_NEGATIVE,
    "sel": ListRange(COUNT, "a list of integers ≥ 0"),
    "neuron": ListRange(POSITIVE, "a list of one or more integers > 0"),
    "resnet_dt": FLAG,
    "trainable": FLAG,
    "type_one_side": FLAG,
    "env_protection": NOT_NEGATIVE,
    "set_davg_zero": FLAG,
}

RADIAL_RULES = (
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

"""Ranges of the options of se_e2_a with embedded types, and relations between them."""

from __future__ import annotations

from typing import Any

from ...rules import FLAG, WIDTH, ListRange, Range, Ranges, Rule
from .._rules import AXIS_RULES

TYPE_RANGES: Ranges = {
    "tebd_input_mode": Range(
        str, 'one of "concat" and "strip"', choices=("concat", "strip"), python="concat or strip"
    ),
    "type_neuron": ListRange(WIDTH, "a list of one or more integers > 0"),
    "type_resnet_dt": FLAG,
    "type_trainable": FLAG,
    "use_econf_tebd": FLAG,
    "use_tebd_bias": FLAG,
}


def input_width(options: Any) -> int:
    """Return the length of the input of the one net: R̃₀ and the vectors of types."""
    return 1 + int(options.type_neuron[-1]) * (1 if options.type_one_side else 2)


def _adds_types(options: Any) -> bool:
    width = input_width(options)
    return options.tebd_input_mode == "concat" and options.neuron[0] in (width, 2 * width)


#: Relations that an input and settings have.
RULES = (
    *AXIS_RULES,
    Rule("type_neuron", lambda o: not o.type_neuron, "is empty, but must have one or more widths"),
    Rule(
        "neuron",
        _adds_types,
        lambda o: (
            f"starts with {o.neuron[0]}, but must not: the input of the net has {input_width(o)} "
            "numbers, so that the first layer would add them to its output"
        ),
    ),
)

"""Ranges of the options of se_atten, and relations between them."""

from __future__ import annotations

from ...rules import (
    ABOVE_ZERO,
    COUNT,
    FLAG,
    MAYBE_ABOVE_ZERO,
    MAYBE_NUMBER,
    POSITIVE,
    WIDTH,
    Range,
    Ranges,
    Rule,
)
from .._rules import AXIS_RULES, RADIAL_RANGES, RADIAL_TYPE_RULES
from .._types import TYPE_EMBEDDING_RULES

#: The ways in which types enter the embedding net.
MODES = ("concat", "strip")

#: Of all descriptors with embedded types.
TYPED_RANGES: Ranges = {
    **{name: allowed for name, allowed in RADIAL_RANGES.items() if name != "type_one_side"},
    "ntypes": POSITIVE,
    "tebd_dim": WIDTH,
    "tebd_input_mode": Range(str, 'one of "concat" and "strip"', choices=MODES),
    "concat_output_tebd": FLAG,
    "use_econf_tebd": FLAG,
    "use_tebd_bias": FLAG,
}

RANGES: Ranges = {
    **TYPED_RANGES,
    "axis_neuron": WIDTH,
    "type_one_side": FLAG,
    "trainable_ln": FLAG,
    "ln_eps": MAYBE_ABOVE_ZERO,
    "attn": WIDTH,
    "attn_layer": COUNT,
    "attn_dotr": FLAG,
    "attn_mask": FLAG,
    "scaling_factor": ABOVE_ZERO,
    "normalize": FLAG,
    "temperature": MAYBE_NUMBER,
    "smooth_type_embedding": FLAG,
}

#: Relations that an input and settings have.
RULES = (
    *AXIS_RULES,
    Rule(
        "attn_mask",
        lambda o: o.attn_mask,
        "is true, but must be false: DeePMD-kit refuses it, too, as its meaning changed",
    ),
)

#: Relations to the types, which an input checks for all sections together.
TYPE_RULES = (
    *RADIAL_TYPE_RULES,
    *TYPE_EMBEDDING_RULES,
)

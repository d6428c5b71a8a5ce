"""What ``multifit show`` says of dpa2."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..dpa1._parameters import describe_types

if TYPE_CHECKING:
    from ._descriptor import Dpa2

#: Options of layers, in words.
WORDS = {
    "update_g1_has_conv": "convolution",
    "update_g1_has_drrd": "angles of neighbours",
    "update_g1_has_grrg": "angles of pairs",
    "update_g1_has_attn": "attention to neighbours",
    "update_g2_has_g1g1": "products of atoms in pairs",
    "update_g2_has_attn": "attention among pairs",
    "update_h2": "vectors of pairs",
}


def describe(config: Dpa2) -> Iterator[tuple[str, str]]:
    """Yield (name, text) for ``multifit show``."""
    a, b = config.repinit, config.repformer
    yield "descriptor", f"{config.name}, {config.dim_out} numbers for each atom, {config.precision}"
    yield (
        "first block",
        f"{a.rcut:g} Å, smooth from {a.rcut_smth:g} Å, {a.nsel} neighbours, net "
        f"{'-'.join(map(str, a.neuron))}, {a.activation_function}, axis_neuron {a.axis_neuron}",
    )
    if a.use_three_body:
        yield (
            "its angles",
            f"{a.three_body_rcut:g} Å, smooth from {a.three_body_rcut_smth:g} Å, "
            f"{a.three_body_sel} neighbours, net {'-'.join(map(str, a.three_body_neuron))}",
        )
    ends = "the neighbour" if a.type_one_side else "both atoms"
    smooth = config.smooth and a.tebd_input_mode == "strip"
    for name, text in describe_types(config.blocks["repinit"], ends, smooth=smooth):
        output = ", also appended to the descriptor" * config.concat_output_tebd
        yield name, text + output
    plural = "s" * (b.nlayers > 1)
    fade = "" if config.smooth else ", not smooth at the cut-off"
    yield (
        "messages",
        f"{b.nlayers} layer{plural} within {b.rcut:g} Å, smooth from {b.rcut_smth:g} Å, {b.nsel} "
        f"neighbours, atoms {b.g1_dim}, pairs {b.g2_dim}, {b.activation_function}, "
        f"{b.update_style}{fade}",
    )
    used = [text for key, text in WORDS.items() if getattr(b, key)]
    yield "updates", ", ".join(used) or "each feature alone"

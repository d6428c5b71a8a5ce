"""Small settings of hybrids for two types, for tests."""

from __future__ import annotations

from ..dpa1 import SeAtten
from ..se_e2_a import SeE2A
from ..se_e2_r import SeE2R
from ..se_e3 import SeE3

#: Parts that tell types apart, one of which reaches less far, and has fewer slots.
RADIAL = (
    SeE2A(3.6, 1.5, (30, 40), (3, 6), axis_neuron=2),
    SeE2R(2.6, 0.5, (4, 7), (3, 5), exclude_types=((0, 1),)),
    SeE3(3.0, 0.5, (8, 5), (2, 4)),
)

#: Parts that do not, beside one that does.
MIXED = (
    SeAtten(
        3.2,
        1.0,
        (40,),
        ntypes=2,
        neuron=(3, 6),
        axis_neuron=2,
        tebd_dim=3,
        attn_layer=0,
        set_davg_zero=True,
    ),
    SeE2A(3.6, 1.5, (30, 40), (3, 6), axis_neuron=3, type_one_side=False),
)

EXAMPLES = (RADIAL, MIXED)

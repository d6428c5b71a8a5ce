"""Small settings for two types, which together use all options, for tests."""

from __future__ import annotations

from typing import Any

SMALL: dict[str, Any] = {
    **{"rcut": 3.6, "rcut_smth": 1.5, "sel": (70,), "ntypes": 2, "neuron": (3, 6)},
    **{"axis_neuron": 2, "tebd_dim": 3},
}

EXAMPLES: tuple[dict[str, Any], ...] = (
    {**SMALL, "sel": (30, 40), "attn": 4, "set_davg_zero": True},
    {
        **SMALL,
        "neuron": (4, 4),
        "tebd_dim": 2,
        "tebd_input_mode": "strip",
        "resnet_dt": True,
        "type_one_side": True,
        "attn": 3,
        "attn_layer": 1,
        "attn_dotr": False,
        "exclude_types": ((0, 1),),
        "env_protection": 0.1,
        "activation_function": "gelu",
        "scaling_factor": 2.0,
        "normalize": False,
        "trainable_ln": False,
        "ln_eps": 1e-3,
        "concat_output_tebd": False,
        "use_tebd_bias": True,
    },
    {**SMALL, "attn_layer": 0, "set_davg_zero": True, "resnet_dt": True},
    {
        **SMALL,
        "neuron": (3, 3),
        "tebd_input_mode": "strip",
        "type_one_side": True,
        "exclude_types": ((1, 1),),
        "attn_layer": 0,
        "set_davg_zero": True,
        "smooth_type_embedding": False,
        "temperature": 0.7,
        "use_econf_tebd": True,
        "type_map": ("O", "H"),
    },
)

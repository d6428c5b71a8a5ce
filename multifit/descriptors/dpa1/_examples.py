"""Small settings for two types, which together use all options, for tests."""

from __future__ import annotations

from typing import Any

SMALL: dict[str, Any] = {
    **{"rcut": 3.6, "rcut_smth": 1.5, "sel": (70,), "ntypes": 2, "neuron": (3, 6)},
    **{"axis_neuron": 2, "tebd_dim": 3},
}

EXAMPLES: tuple[dict[str, Any], ...] = (
    {
        **SMALL,
        "sel": (30, 40),
        "neuron": (4, 4),
        "tebd_dim": 2,
        "tebd_input_mode": "strip",
        "resnet_dt": True,
        "attn": 3,
        "attn_layer": 1,
        "exclude_types": ((0, 1),),
        "env_protection": 0.1,
        "activation_function": "gelu",
        "scaling_factor": 2.0,
        "trainable_ln": False,
        "ln_eps": 1e-3,
        "use_tebd_bias": True,
    },
    {
        **SMALL,
        "type_one_side": True,
        "attn_layer": 0,
        "set_davg_zero": True,
        "smooth_type_embedding": False,
        "concat_output_tebd": False,
        "use_econf_tebd": True,
        "type_map": ("O", "H"),
    },
)

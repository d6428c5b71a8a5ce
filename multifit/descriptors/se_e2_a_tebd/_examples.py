"""Small settings for two types, which together use all options, for tests."""

from __future__ import annotations

from typing import Any

_SMALL: dict[str, Any] = {"rcut": 3.6, "rcut_smth": 1.5, "sel": (30, 40), "axis_neuron": 2}

EXAMPLES: tuple[dict[str, Any], ...] = (
    {**_SMALL, "neuron": (3, 6), "type_neuron": (2, 3), "set_davg_zero": True},
    {
        **_SMALL,
        "neuron": (3, 6),
        "type_one_side": False,
        "tebd_input_mode": "strip",
        "type_neuron": (3, 3),
        "type_activation_function": "gelu",
        "type_resnet_dt": True,
        "use_tebd_bias": True,
        "exclude_types": ((0, 1),),
        "env_protection": 0.1,
        "resnet_dt": True,
    },
    {
        **_SMALL,
        "neuron": (4, 4),
        "type_neuron": (2,),
        "type_activation_function": "linear",
        "use_econf_tebd": True,
        "type_map": ("O", "H"),
        "activation_function": "relu",
    },
)

"""Small settings for two types, which together use all options, for tests."""

from __future__ import annotations

from typing import Any

EXAMPLES: tuple[dict[str, Any], ...] = (
    {
        "ntypes": 2,
        "repinit": {
            **{"rcut": 3.6, "rcut_smth": 1.5, "nsel": 70, "neuron": (3, 6), "axis_neuron": 2},
            **{"tebd_dim": 3, "use_three_body": True, "three_body_neuron": (2, 3)},
            **{"three_body_sel": 40, "three_body_rcut": 3.0, "three_body_rcut_smth": 1.0},
        },
        "repformer": {
            **{"rcut": 3.0, "rcut_smth": 1.0, "nsel": 40, "nlayers": 2, "g1_dim": 5, "g2_dim": 4},
            **{"axis_neuron": 2, "attn1_hidden": 3, "attn1_nhead": 2, "attn2_hidden": 3},
            **{"attn2_nhead": 2, "update_h2": True, "attn2_has_gate": True, "ln_eps": 1e-3},
            **{"update_style": "res_residual", "update_residual": 0.3},
        },
    },
    {
        "ntypes": 2,
        "repinit": {
            **{"rcut": 3.6, "rcut_smth": 1.5, "nsel": 70, "neuron": (4, 4), "axis_neuron": 2},
            **{"tebd_dim": 2, "tebd_input_mode": "strip", "resnet_dt": True},
            **{"type_one_side": True, "activation_function": "gelu", "use_three_body": True},
            **{"three_body_neuron": (2,), "three_body_sel": 40, "three_body_rcut": 2.8},
        },
        "repformer": {
            **{"rcut": 3.0, "rcut_smth": 1.0, "nsel": 40, "nlayers": 2, "g1_dim": 4, "g2_dim": 3},
            **{"axis_neuron": 2, "direct_dist": True, "update_g2_has_attn": False},
            **{"update_style": "res_incr", "g1_out_conv": False, "g1_out_mlp": False},
            **{"attn1_hidden": 3, "attn1_nhead": 2, "use_sqrt_nnei": False},
            **{"activation_function": "gelu"},
        },
        "exclude_types": ((0, 1),),
        "env_protection": 0.1,
        "concat_output_tebd": False,
        "add_tebd_to_repinit_out": True,
        "use_econf_tebd": True,
        "use_tebd_bias": True,
        "type_map": ("O", "H"),
    },
)

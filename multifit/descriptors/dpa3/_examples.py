"""Small settings for two types, which together use all options, for tests."""

from __future__ import annotations

from typing import Any

SMALL: dict[str, Any] = {
    **{"e_rcut": 3.6, "e_rcut_smth": 1.5, "e_sel": 70, "a_rcut": 3.0, "a_rcut_smth": 1.2},
    **{"a_sel": 40, "ntypes": 2, "n_dim": 6, "e_dim": 4, "a_dim": 4, "nlayers": 2},
    **{"axis_neuron": 2, "smooth_edge_update": True},
}

EXAMPLES: tuple[dict[str, Any], ...] = (
    {
        **SMALL,
        "nlayers": 3,
        "a_compress_rate": 1,
        "a_compress_e_rate": 2,
        "n_multi_edge_message": 2,
        "update_residual_init": "norm",
        "edge_init_use_dist": True,
        "use_dynamic_sel": True,
        "activation_function": "silut:10.0",
        "exclude_types": ((0, 1),),
        "use_tebd_bias": True,
        "use_econf_tebd": True,
        "type_map": ("O", "H"),
    },
    {
        **SMALL,
        "a_compress_rate": 1,
        "a_compress_use_split": True,
        "fix_stat_std": 0.0,
        "sequential_update": True,
        "concat_output_tebd": True,
        "env_protection": 0.1,
    },
    {**SMALL, "update_style": "res_avg", "update_angle": False, "skip_stat": True},
)

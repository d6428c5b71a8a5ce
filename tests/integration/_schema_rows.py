"""For every key of ``input.json``: another value, what it needs beside it, and how it shows.

A key that is in no row fails the test. Values are given at dotted paths to the input of
:func:`_water.recipe`; see :func:`test_schema_walk.behaviour` for what may show. Rows of densities
of states have the sections of :func:`_water.dos_recipe` beside them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from _water import dos_recipe


@dataclass(frozen=True)
class Key:
    """One row: a value that is not the default, and what is otherwise with it.

    Attributes
    ----------
    value
        What the key gets.
    shows
        What must be otherwise in the run's behaviour.
    beside
        What the input has both with and without the key.
    instead
        What the input has only without the key: keys that it replaces.
    """

    value: Any
    shows: str = "curve"
    beside: Mapping[str, Any] = field(default_factory=dict)
    instead: Mapping[str, Any] = field(default_factory=dict)


VALID = {"training.validation_data": {"systems": ["more"], "batch_size": 1}}
TWO_VALID = {"training.validation_data": {"systems": ["more", "data"], "batch_size": 1}}
GROUP_VALID = {"training.validation_data": {"systems": ["group"], "batch_size": 1}}
ATOMS_VALID = {"training.validation_data": {"systems": ["atoms.xyz"], "batch_size": 1}}
TWO = {"training.training_data.systems": ["data", "more"]}
FULL = VALID | {
    "validating": {"full_validation": True, "full_val_start": 0, "validation_freq": 1},
}
EMA = {"training.enable_ema": True}
BOARD = {"training.tensorboard": True}
OFTEN = {"training.save_freq": 1}
PLAIN = {"training.training_data.systems": "plain"}

WARM = {"learning_rate.warmup_steps": 3}
WSD = {"learning_rate.type": "wsd", "learning_rate.decay_steps": None}

PF = {"loss.start_pref_pf": 1.0, "loss.limit_pref_pf": 1.0}
GF = {"loss.numb_generalized_coord": 2, "loss.start_pref_gf": 1.0}
HUBER = {"loss.use_huber": True}

_SPECTRA = dos_recipe()
#: Densities of states at energies that the data do not tell, or do.
BARE: dict[str, Any] = {
    "model.fitting_net": _SPECTRA["model"]["fitting_net"],
    "loss": _SPECTRA["loss"],
    "training.training_data.systems": "bare_dos",
}
DOS = BARE | {"training.training_data.systems": "dos"}
#: And at others, to which labels are interpolated.
GRID = DOS | {"model.fitting_net.emin": -4, "model.fitting_net.emax": 4}
BARE_GRID = GRID | {"training.training_data.systems": "bare_dos"}
DOS_HUBER = DOS | HUBER

ATTEN = {
    "model.descriptor": {
        **{"type": "se_atten", "sel": 40, "rcut": 3.8, "rcut_smth": 1.5, "neuron": [3, 6]},
        **{"axis_neuron": 2, "attn": 4, "attn_layer": 1, "tebd_dim": 3, "seed": 1},
    }
}

REPFLOW: dict[str, Any] = {
    **{"e_rcut": 3.8, "e_rcut_smth": 1.5, "e_sel": 40, "a_rcut": 3.2, "a_rcut_smth": 1.2},
    **{"a_sel": 20, "n_dim": 6, "e_dim": 4, "a_dim": 4, "nlayers": 2, "axis_neuron": 2},
}
DPA3 = {"model.descriptor": {"type": "dpa3", "repflow": REPFLOW, "seed": 1}}
SMOOTH = DPA3 | {"model.descriptor.repflow.smooth_edge_update": True}
DYNAMIC = SMOOTH | {"model.descriptor.repflow.use_dynamic_sel": True}
COMPRESSED = DPA3 | {"model.descriptor.repflow.a_compress_rate": 1}

OF_REPFLOW = {
    "n_dim": Key(8, beside=DPA3),
    "e_dim": Key(5, beside=DPA3),
    "a_dim": Key(6, beside=DPA3),
    "nlayers": Key(1, beside=DPA3),
    "e_rcut": Key(3.6, beside=DPA3),
    "e_rcut_smth": Key(2.5, beside=DPA3),
    "e_sel": Key(30, beside=DPA3),
    "a_rcut": Key(2.9, beside=DPA3),
    "a_rcut_smth": Key(2.0, beside=DPA3),
    "a_sel": Key(15, beside=DPA3),
    "a_compress_rate": Key(1, beside=DPA3),
    "a_compress_e_rate": Key(2, beside=COMPRESSED),
    "a_compress_use_split": Key(True, beside=COMPRESSED),
    "n_multi_edge_message": Key(2, beside=DPA3),
    "axis_neuron": Key(3, beside=DPA3),
    "update_angle": Key(False, beside=DPA3),
    "update_style": Key("res_avg", beside=DPA3),
    "update_residual": Key(0.2, beside=DPA3),
    "update_residual_init": Key("norm", beside=DPA3),
    "fix_stat_std": Key(0.0, beside=DPA3),
    "skip_stat": Key(True, beside=DPA3 | {"model.descriptor.repflow.fix_stat_std": 0.2}),
    "optim_update": Key(False, "note", DPA3),
    "smooth_edge_update": Key(True, beside=DPA3),
    "edge_init_use_dist": Key(True, beside=DPA3),
    "use_exp_switch": Key(True, beside=DPA3),
    "use_dynamic_sel": Key(True, beside=SMOOTH),
    "sel_reduce_factor": Key(5.0, beside=DYNAMIC),
    "sequential_update": Key(True, beside=DPA3),
}
TYPED = {
    "model.descriptor": {
        **{"type": "se_e2_a_tebd", "sel": [20, 40], "rcut": 3.6, "rcut_smth": 1.5},
        **{"neuron": [3, 6], "axis_neuron": 2, "type_neuron": [2, 4], "seed": 1, "type_seed": 1},
    }
}
DPA2 = {
    "model.descriptor": {
        "type": "dpa2",
        "repinit": {
            **{"rcut": 3.8, "rcut_smth": 1.5, "nsel": 40, "neuron": [3, 6], "axis_neuron": 2},
            "tebd_dim": 3,
        },
        "repformer": {
            **{"rcut": 3.0, "rcut_smth": 1.5, "nsel": 20, "nlayers": 2, "g1_dim": 5, "g2_dim": 4},
            **{"axis_neuron": 2, "attn1_hidden": 3, "attn1_nhead": 2, "attn2_hidden": 3},
            "attn2_nhead": 2,
        },
        "seed": 1,
    }
}
SHORT = DPA2 | {"model.descriptor.repinit.three_body_rcut": 3.0}
_PART = {
    **{"type": "se_e2_a", "sel": [20, 30], "rcut": 3.0, "rcut_smth": 1.0, "neuron": [3, 6]},
    **{"axis_neuron": 2, "seed": 1},
}
_OTHER = {"type": "se_e2_r", "sel": [20, 30], "rcut": 3.8, "neuron": [3], "seed": 1}
THREE = SHORT | {"model.descriptor.repinit.use_three_body": True}
RESIDUAL = DPA2 | {"model.descriptor.repformer.update_style": "res_residual"}
STRIP = DPA2 | {"model.descriptor.repinit.tebd_input_mode": "strip"}

DESCRIPTOR = {
    "type": Key("se_e2_r", "error"),
    "sel": Key([3, 5]),
    "rcut": Key(3.0),
    "rcut_smth": Key(0.5),
    "neuron": Key([4, 4]),
    "axis_neuron": Key(3),
    "activation_function": Key("gelu"),
    "resnet_dt": Key(True),
    "type_one_side": Key(True),
    "precision": Key("float32"),
    "trainable": Key(False, "params"),
    "seed": Key(7),
    "exclude_types": Key([[0, 1]]),
    "env_protection": Key(0.1),
    "set_davg_zero": Key(True),
    # Of se_atten.
    "tebd_dim": Key(4, beside=ATTEN),
    "tebd_input_mode": Key("strip", beside=ATTEN),
    "smooth_type_embedding": Key(True, beside=ATTEN),
    "attn": Key(5, beside=ATTEN),
    "attn_layer": Key(0, beside=ATTEN),
    "attn_dotr": Key(False, beside=ATTEN),
    "attn_mask": Key(True, "error", ATTEN),
    "normalize": Key(False, beside=ATTEN),
    "scaling_factor": Key(2.0, beside=ATTEN),
    "temperature": Key(0.3, beside=ATTEN),
    "trainable_ln": Key(False, "params", ATTEN),
    "ln_eps": Key(0.1, beside=ATTEN),
    "concat_output_tebd": Key(False, beside=ATTEN),
    "use_econf_tebd": Key(True, beside=ATTEN),
    "use_tebd_bias": Key(True, beside=ATTEN),
    "use_loc_mapping": Key(False, "note", DPA3),
    "list": Key([_PART, _OTHER], beside={"model.descriptor": {"type": "hybrid", "list": [_PART]}}),
    # Of se_e2_a_tebd.
    "type_neuron": Key([3], beside=TYPED),
    "type_activation_function": Key("gelu", beside=TYPED),
    "type_resnet_dt": Key(True, beside=TYPED),
    "type_precision": Key("float32", beside=TYPED),
    "type_trainable": Key(False, "params", TYPED),
    "type_seed": Key(7, beside=TYPED),
    # Of dpa2.
    "smooth": Key(False, beside=STRIP),
    "add_tebd_to_repinit_out": Key(True, beside=DPA2),
}

REPINIT = {
    "rcut": Key(3.6, beside=DPA2),
    "rcut_smth": Key(0.5, beside=DPA2),
    "nsel": Key(36, beside=DPA2),
    "neuron": Key([4, 4], beside=DPA2),
    "axis_neuron": Key(3, beside=DPA2),
    "tebd_dim": Key(4, beside=DPA2),
    "tebd_input_mode": Key("strip", beside=DPA2),
    "set_davg_zero": Key(False, beside=DPA2),
    "activation_function": Key("gelu", beside=DPA2),
    "type_one_side": Key(True, beside=DPA2),
    "resnet_dt": Key(True, beside=DPA2),
    "use_three_body": Key(True, beside=SHORT),
    "three_body_neuron": Key([3], beside=THREE),
    "three_body_sel": Key(30, beside=THREE),
    "three_body_rcut": Key(3.5, beside=THREE),
    "three_body_rcut_smth": Key(1.0, beside=THREE),
}

REPFORMER = {
    "rcut": Key(3.2, beside=DPA2),
    "rcut_smth": Key(0.5, beside=DPA2),
    "nsel": Key(24, beside=DPA2),
    "nlayers": Key(1, beside=DPA2),
    "g1_dim": Key(6, beside=DPA2),
    "g2_dim": Key(3, beside=DPA2),
    "axis_neuron": Key(1, beside=DPA2),
    **{key: Key(True, beside=DPA2) for key in ("direct_dist", "update_h2", "attn2_has_gate")},
    **{
        key: Key(False, beside=DPA2)
        for key in (
            *("update_g1_has_conv", "update_g1_has_drrd", "update_g1_has_grrg"),
            *("update_g1_has_attn", "update_g2_has_g1g1", "update_g2_has_attn"),
            *("use_sqrt_nnei", "g1_out_conv", "g1_out_mlp", "set_davg_zero"),
        )
    },
    "attn1_hidden": Key(4, beside=DPA2),
    "attn1_nhead": Key(1, beside=DPA2),
    "attn2_hidden": Key(4, beside=DPA2),
    "attn2_nhead": Key(1, beside=DPA2),
    "activation_function": Key("gelu", beside=DPA2),
    "update_style": Key("res_incr", beside=DPA2),
    "update_residual": Key(0.3, beside=RESIDUAL),
    "update_residual_init": Key("const", beside=RESIDUAL),
    "trainable_ln": Key(False, "params", DPA2),
    "ln_eps": Key(0.1, beside=DPA2),
}

FITTING_NET = {
    "type": Key("dos", "error"),
    "numb_fparam": Key(2),
    "numb_aparam": Key(1),
    # Without it the data, which have no fparam.npy, are refused.
    "default_fparam": Key([1.0, 2.0], "error", PLAIN | {"model.fitting_net.numb_fparam": 2}),
    "dim_case_embd": Key(2),
    "neuron": Key([8]),
    "activation_function": Key("gelu"),
    "precision": Key("float32"),
    "output_precision": Key("float32"),
    "resnet_dt": Key(False),
    "trainable": Key([True, False, True], "params"),
    # Of the two compositions one singular value is left.
    "rcond": Key(0.9, beside={"training.training_data.systems": ["plain", "smaller"]}),
    "seed": Key(7),
    "atom_ener": Key([None, -1.5], beside={"model.descriptor.set_davg_zero": True}),
    "layer_name": Key(["a", None, None], "params"),
    "use_aparam_as_mask": Key(True, beside={"model.fitting_net.numb_aparam": 1}),
    "tot_ener_zero": Key(True, beside={"loss.start_pref_ae": 1.0}),
    "numb_dos": Key(9, beside=GRID),
    "emin": Key(-3.5, beside=GRID),
    "emax": Key(3.5, beside=GRID),
    "energies": Key("grid.npy", beside=DOS),
    "fermi_aligned": Key(True, beside=GRID),
    "electrons": Key([6, 1], "grid", DOS),
}

MODEL = {
    "type_embedding": Key({"neuron": [2, 4]}),
    "type": Key("frozen", "error"),
    "type_map": Key(["H", "O"]),
    "data_stat_nbatch": Key(1),
    "data_stat_protect": Key(10.0),
    "data_bias_nsample": Key(1, "params", {"training.change_bias_after_training": True}),
    # The results are the same: what tells is what has no series.
    "embedding": Key("spectral", "error", beside={"model.descriptor.activation_function": "relu"}),
    "pair_exclude_types": Key([[0, 0]]),
    "atom_exclude_types": Key([0]),
    # All frames have the same atoms, so that their energies stay as they were.
    "preset_out_bias": Key({"energy": [None, -1.5]}, "params"),
}

LEARNING_RATE = {
    "type": Key("cosine", beside={"learning_rate.decay_steps": None}),
    "start_lr": Key(0.001),
    "stop_lr": Key(1e-3),
    "stop_lr_ratio": Key(0.5, instead={"learning_rate.stop_lr": 1e-4}),
    "warmup_steps": Key(3),
    "warmup_ratio": Key(0.5),
    "warmup_start_factor": Key(0.5, beside=WARM),
    "scale_by_worker": Key("sqrt", "note"),  # there is one process, and the run says so
    "decay_steps": Key(2),
    "decay_rate": Key(0.5),
    "smooth": Key(True),
    "decay_phase_ratio": Key(1.0, beside=WSD),
    "decay_type": Key("linear", beside=WSD | {"learning_rate.decay_phase_ratio": 1.0}),
}

LOSS = {
    "type": Key("dos", "error"),
    "start_pref_e": Key(3.0),
    "limit_pref_e": Key(3.0),
    "start_pref_f": Key(3.0),
    "limit_pref_f": Key(30.0),
    "start_pref_v": Key(3.0),
    "limit_pref_v": Key(3.0),
    "start_pref_h": Key(3.0),
    "limit_pref_h": Key(3.0),
    "start_pref_ae": Key(3.0),
    "limit_pref_ae": Key(3.0),
    "start_pref_pf": Key(3.0),
    "limit_pref_pf": Key(3.0),
    "use_default_pf": Key(True, beside=PLAIN | PF),
    "relative_f": Key(0.5),
    "enable_atom_ener_coeff": Key(True),
    "start_pref_gf": Key(3.0, beside={"loss.numb_generalized_coord": 2, "loss.limit_pref_gf": 1.0}),
    "limit_pref_gf": Key(3.0, beside=GF),
    # The data have two.
    "numb_generalized_coord": Key(3, "error", GF),
    "use_huber": Key(True),
    "loss_func": Key("mae"),
    "f_use_norm": Key(True, beside=HUBER),
    "huber_delta": Key(0.5, beside=HUBER),
    "intensive_ener_virial": Key(True),
    **{
        f"{end}_pref_{term}": Key(3.0, beside=DOS)
        for term in ("dos", "cdf", "ados", "acdf")
        for end in ("start", "limit")
    },
    "shift_agnostic": Key(2, beside=DOS),
}

OPTIMIZER = {
    "type": Key("AdamW", beside={"optimizer.weight_decay": 0.1}),
    "adam_beta1": Key(0.5),
    "adam_beta2": Key(0.5),
    "weight_decay": Key(0.1),
}

TRAINING_DATA = {
    "systems": Key("more"),
    "rglob_patterns": Key(["b*"], beside={"training.training_data.systems": "group"}),
    "keys": Key({"energy": "other"}, beside={"training.training_data.systems": "atoms.xyz"}),
    "species": Key({"H": "O"}),
    "batch_size": Key(3),
    "auto_prob": Key("prob_uniform", beside=TWO),
    "sys_probs": Key([0.0, 1.0], beside=TWO),
}

VALIDATION_DATA = {
    "systems": Key("data", beside=VALID),
    "rglob_patterns": Key(["b*"], beside=GROUP_VALID),
    "keys": Key({"energy": "other"}, beside=ATOMS_VALID),
    "species": Key({"H": "O"}, beside=VALID),
    "batch_size": Key(2, beside=VALID),
    "auto_prob": Key("prob_uniform", beside=TWO_VALID),
    "sys_probs": Key([0.0, 1.0], beside=TWO_VALID),
    "numb_btch": Key(2, beside=VALID),
}

TRAINING = {
    "numb_steps": Key(4),
    "numb_epoch": Key(1.0, instead={"training.numb_steps": 6}),
    "seed": Key(7),
    "disp_file": Key("curve.txt", "files"),
    "disp_freq": Key(2),
    "save_freq": Key(2, "files"),
    "save_ckpt": Key("other", "files"),
    "max_ckpt_keep": Key(2, "files", OFTEN),
    "disp_training": Key(False, "said"),
    "time_training": Key(False, "timings"),
    "tensorboard": Key(True, "files"),
    "tensorboard_log_dir": Key("elsewhere", "files", BOARD),
    "tensorboard_freq": Key(3, "events", BOARD),
    "stat_file": Key("stat.h5", "files"),
    "gradient_max_norm": Key(0.1),
    "enable_ema": Key(True, "files"),
    "ema_decay": Key(0.5, "average", EMA),
    "change_bias_after_training": Key(True, "params"),
    "early_stopping": Key(1, beside=VALID | OFTEN | {"learning_rate.start_lr": 0.5}),
    "memory": Key("3 MB", "said"),
    "acc_freq": Key(2),
}

MIXED_PRECISION = {
    "compute_prec": Key("bfloat16", beside={"training.mixed_precision": {}}),
    "output_prec": Key("float64", "params", {"training.mixed_precision": {}}),
}

VALIDATING = {
    "full_validation": Key(True, "files", VALID | {"validating.full_val_start": 0}),
    "validation_freq": Key(2, "whole", FULL),
    "save_best": Key(False, "files", FULL),
    "save_best_dir": Key("best", "files", FULL),
    "max_best_ckpt": Key(3, "files", FULL),
    "validation_metric": Key("F:MAE", "said", FULL),
    "full_val_file": Key("whole.log", "files", FULL),
    "full_val_start": Key(3, "whole", FULL),
}

#: section → its keys
SECTIONS: dict[str, Mapping[str, Key]] = {
    "": {"backend": Key("numpy", "command")},
    "model": MODEL,
    "model.descriptor": DESCRIPTOR,
    "model.descriptor.repflow": OF_REPFLOW,
    "model.descriptor.repinit": REPINIT,
    "model.descriptor.repformer": REPFORMER,
    "model.fitting_net": FITTING_NET,
    "learning_rate": LEARNING_RATE,
    "loss": LOSS,
    "optimizer": OPTIMIZER,
    "training": TRAINING,
    "training.training_data": TRAINING_DATA,
    "training.validation_data": VALIDATION_DATA,
    "training.mixed_precision": MIXED_PRECISION,
    "validating": VALIDATING,
}

#: What is walked once more for densities of states: (key, row).
AGAIN: tuple[tuple[str, Key], ...] = (
    *(
        (f"model.fitting_net.{key}", Key(row.value, row.shows, DOS))
        for key, row in FITTING_NET.items()
        if key
        in (
            *("numb_fparam", "numb_aparam", "dim_case_embd", "neuron", "activation_function"),
            *("precision", "resnet_dt", "trainable", "seed"),
        )
    ),
    (
        "model.fitting_net.default_fparam",
        Key([1.0, 2.0], "error", BARE | {"model.fitting_net.numb_fparam": 2}),
    ),
    (
        "model.fitting_net.rcond",
        Key(0.9, beside=BARE | {"training.training_data.systems": ["total", "fewer"]}),
    ),
    # Energies that nothing is interpolated to are those of the model all the same.
    ("model.fitting_net.emin", Key(-3.5, "grid", BARE_GRID)),
    ("model.fitting_net.emax", Key(3.5, "grid", BARE_GRID)),
    ("model.fitting_net.energies", Key("grid.npy", "grid", BARE)),
    ("model.fitting_net.electrons", Key({"O": 6, "H": 1}, "said", GRID)),
    ("model.atom_exclude_types", Key([0], beside=DOS)),
    ("model.data_stat_nbatch", Key(1, beside=DOS)),
    ("model.preset_out_bias", Key({"dos": [None, [0.5] * 11]}, "params", DOS)),
    (
        "model.data_bias_nsample",
        Key(1, "params", DOS | {"training.change_bias_after_training": True}),
    ),
    ("training.change_bias_after_training", Key(True, "params", DOS)),
    ("training.stat_file", Key("stat.h5", "files", DOS)),
    ("training.enable_ema", Key(True, "files", DOS)),
    ("loss.loss_func", Key("mae", beside=DOS)),
    ("loss.use_huber", Key(True, beside=DOS)),
    ("loss.huber_delta", Key(0.5, beside=DOS_HUBER)),
    (
        "validating.full_validation",
        Key(True, "error", DOS | VALID | {"training.validation_data.systems": "dos"}),
    ),
)

ROWS: dict[str, Key] = {
    f"{section}.{key}".lstrip("."): row
    for section, rows in SECTIONS.items()
    for key, row in rows.items()
}

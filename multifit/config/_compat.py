"""Inputs in the style of earlier versions of DeePMD-kit, converted to the current one.

- version 0 had no sections (:mod:`multifit.config._version0`);
- version 1 had the keys of ``training.training_data`` in ``training``, and ``decay_rate`` where
  there is ``stop_lr`` now;
- up to version 3.1 the optimizer's keys and those of the warm-up were in ``training``.
"""

from __future__ import annotations

import math
from pathlib import PurePosixPath
from typing import Any

from ..outputs import OUTPUTS
from ._draft import DESCRIPTOR, Draft, Problem, shown

_DATA_KEYS = (
    *("systems", "set_prefix", "batch_size"),
    *("auto_prob", "auto_prob_style", "sys_probs", "sys_prob", "sys_weights"),
)
_WARMUP_KEYS = ("warmup_steps", "warmup_ratio", "warmup_start_factor")
_OPTIMIZER_KEYS = (
    *("weight_decay", "adam_beta1", "adam_beta2", "momentum", "muon_momentum", "lr_adjust"),
    *("lr_adjust_coeff", "muon_2d_only", "min_2d_dim", "kf_blocksize", "kf_start_pref_e"),
    *("kf_limit_pref_e", "kf_start_pref_f", "kf_limit_pref_f"),
)


def move_keys(draft: Draft) -> bool:
    """Move keys to their current section; return True if the input is of version 1."""
    training = draft.section("training")
    if training is None:
        return False
    version1 = "systems" in training
    if version1:
        training.setdefault("training_data", {})
        for key in _DATA_KEYS:
            draft.move("training", key, "training.training_data", key)
    for key in _WARMUP_KEYS:
        draft.move("training", key, "learning_rate", key)
    if "opt_type" in training or any(key in training for key in _OPTIMIZER_KEYS):
        draft.data.setdefault("optimizer", {})
        draft.move("training", "opt_type", "optimizer", "type")
        for key in _OPTIMIZER_KEYS:
            draft.move("training", key, "optimizer", key)
    return version1


def replace_decay_rate(draft: Draft) -> None:
    """Replace ``decay_rate`` of version 1 by the equivalent ``stop_lr``.

    Values that are not numbers are left to the following check.
    """
    rate, training = draft.section("learning_rate"), draft.section("training")
    if rate is None or training is None or "stop_lr" in rate:
        return
    factor, start = _number(rate.get("decay_rate")), _number(rate.get("start_lr"))
    every, steps = _number(rate.get("decay_steps", 5000)), _number(training.get("numb_steps"))
    if factor is None or start is None or every is None or steps is None:
        return
    if factor <= 1:
        del rate["decay_rate"]
        rate["stop_lr"] = start * factor ** (steps / every)


def _number(value: Any) -> float | None:
    """Return a number > 0 in the representable range, or None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 < value < 1e18 else None


def replace_stripped(draft: Draft) -> None:
    """Replace ``stripped_type_embedding`` of DPA-1 by ``tebd_input_mode``, over which it prevails.

    Other values than true, false and null are left to the following check.
    """
    modes = {True: "strip", False: "concat"}
    for place in draft.places(DESCRIPTOR):
        given = draft.section(place)
        if given is None or given.get("type") != "se_atten":
            continue
        flag = given.get("stripped_type_embedding", 0)
        if flag is None or isinstance(flag, bool):
            del given["stripped_type_embedding"]
            if flag is not None:
                given["tebd_input_mode"] = modes[flag]


def replace_checkpoint_keys(draft: Draft) -> None:
    """Replace ``save_dir`` and ``ckpt_keep_ratio`` by ``save_ckpt`` and ``max_ckpt_keep``.

    Values that are wrong, and a share of an unknown number of steps, are left to the checks.
    """
    training = draft.section("training")
    if training is None:
        return
    folder, prefix = training.get("save_dir"), training.get("save_ckpt", "model.ckpt")
    if isinstance(folder, str) and folder and isinstance(prefix, str):
        training["save_ckpt"] = str(PurePosixPath(folder) / prefix)
        del training["save_dir"]
    share, steps = _number(training.get("ckpt_keep_ratio")), _number(training.get("numb_steps"))
    every = _number(training.get("save_freq", 1000))
    if share is not None and share < 1 and steps is not None and every is not None:
        training["max_ckpt_keep"] = math.ceil(share * math.ceil(steps / every))
        del training["ckpt_keep_ratio"]


def spread_mixed_precision(draft: Draft) -> None:
    """Give the nets the precisions of ``training.mixed_precision``, over which it prevails.

    Values that are not texts are left to the following check.
    """
    given = draft.section("training.mixed_precision")
    net = draft.section("model.fitting_net")
    if given is None or net is None:
        return
    compute, output = given.get("compute_prec", "float16"), given.get("output_prec", "float32")
    if not (isinstance(compute, str) and isinstance(output, str)):
        return
    net |= {"precision": compute, "output_precision": output}
    for place in draft.places(DESCRIPTOR):
        section = draft.section(place)
        if section is not None and "list" not in section:
            section["precision"] = compute


def spell_out_types(draft: Draft) -> None:
    """Convert mappings from names of types to values into lists in the order of ``type_map``."""
    for key in OUTPUTS:
        _spell_out(draft, "model.preset_out_bias", key)
    _spell_out(draft, "model.fitting_net", "electrons", for_all=True)


def _spell_out(draft: Draft, section: str, key: str, for_all: bool = False) -> None:
    """Spell out one key; what is not named is null, or a problem where all types must be."""
    model, inner = draft.section("model"), draft.section(section)
    if model is None or inner is None or not isinstance(given := inner.get(key), dict):
        return
    names = model.get("type_map")
    names = names if isinstance(names, tuple) else ()
    known = [name for name in names if isinstance(name, str)]
    says = ""
    for name in given:
        if name not in known:
            says = f"names the type {shown(name)}, but must name types of type_map"
            break
    else:
        missing = [name for name in known if name not in given]
        if for_all and missing:
            says = f"lacks the type {shown(missing[0])}, but must name each type of type_map"
    if says:
        draft.problems.append(Problem(f"{section}.{key}", says))
        del inner[key]
        return
    inner[key] = tuple(given.get(name) if isinstance(name, str) else None for name in names)

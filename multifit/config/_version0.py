"""Inputs of DeePMD-kit 0.x, whose keys have no sections, converted to the style of version 1."""

from __future__ import annotations

from typing import Any

from ..errors import did_you_mean
from ._draft import Draft, Problem, shown

#: Keys of which an input has some if it is of this version.
_SIGNS = ("use_smooth", "sel_a", "filter_neuron", "n_neuron", "fitting_neuron", "stop_batch")

#: Section → its keys with their names in version 0; the first that is given counts.
_MOVED: dict[str, dict[str, tuple[str, ...]]] = {
    "model.descriptor": {
        "sel": ("sel_a",),
        "rcut": ("rcut",),
        "rcut_smth": ("rcut_smth",),
        "neuron": ("filter_neuron",),
        "axis_neuron": ("axis_neuron", "n_axis_neuron"),
        "resnet_dt": ("filter_resnet_dt",),
    },
    "model.fitting_net": {
        "neuron": ("fitting_neuron", "n_neuron"),
        "resnet_dt": ("fitting_resnet_dt",),
    },
    "learning_rate": {key: (key,) for key in ("decay_steps", "decay_rate", "start_lr")},
    "loss": {
        f"{end}_pref_{x}": (f"{end}_pref_{x}",)
        for x in ("e", "f", "v", "ae", "pf")
        for end in ("start", "limit")
    },
    "training": {
        key: (key,)
        for key in (
            *("systems", "set_prefix", "stop_batch", "batch_size", "disp_file", "disp_freq"),
            *("numb_test", "save_freq", "save_ckpt", "disp_training", "time_training"),
            *("profiling", "profiling_file"),
        )
    },
}

#: Sections of later versions that are made here.
_SECTIONS = ("learning_rate", "loss", "training")

#: Keys that DeePMD-kit's own conversion leaves out, too, with the values that have no effect.
_DROPPED: dict[str, tuple[Any, ...]] = {
    "coord_norm": (True, False),
    "load_ckpt": (...,),
    "type_fitting_net": (False,),
}


def is_version0(draft: Draft) -> bool:
    """Return True if the keys of an input have no sections."""
    return "model" not in draft.data and any(key in draft.data for key in _SIGNS)


def add_sections(draft: Draft) -> None:
    """Move the keys of version 0 to the sections of version 1, as DeePMD-kit does."""
    data = draft.data
    smooth = data.pop("use_smooth", None)
    if smooth is not True:
        draft.problems.append(
            Problem(
                "use_smooth",
                f"is {'missing' if smooth is None else shown(smooth)}, but must be true: multifit "
                "does not have the descriptor loc_frame of DeePMD-kit 0.x",
            )
        )
    seed, resnet_dt = data.pop("seed", None), data.pop("resnet_dt", None)
    rcut = data.get("rcut")
    _refuse_others(draft)
    data["model"] = {"descriptor": {"type": "se_e2_a"}, "fitting_net": {}}
    data |= {"learning_rate": {"type": "exp"}, "loss": {}, "training": {}}
    for section, keys in _MOVED.items():
        for key, names in keys.items():
            for name in names:
                draft.move("", name, section, key)
    _complete(data, seed, resnet_dt, rcut)
    for key, harmless in _DROPPED.items():
        if key in data and (harmless == (...,) or data[key] in harmless):
            del data[key]


def _refuse_others(draft: Draft) -> None:
    """Note sections of later versions, which would be overwritten, and misspelled keys."""
    names = {name for keys in _MOVED.values() for known in keys.values() for name in known}
    names |= {*_DROPPED, "use_smooth", "seed", "resnet_dt"}
    for key in sorted(draft.data.keys() - names):
        if key in _SECTIONS:
            says = "is a section of later versions beside keys of DeePMD-kit 0.x; use one style"
        elif hint := did_you_mean(key, names):
            says = f"is not a known key{hint}"
        else:
            continue
        del draft.data[key]
        draft.problems.append(Problem(key, says))


def _complete(data: dict[str, Any], seed: Any, resnet_dt: Any, rcut: Any) -> None:
    """Give the sections what several of them share, and the defaults of version 0."""
    descriptor, fitting = data["model"]["descriptor"], data["model"]["fitting_net"]
    descriptor.setdefault("resnet_dt", False if resnet_dt is None else resnet_dt)
    fitting.setdefault("resnet_dt", True if resnet_dt is None else resnet_dt)
    if rcut is not None:
        descriptor.setdefault("rcut_smth", rcut)
    if seed is not None:
        for section in (descriptor, fitting, data["training"]):
            section["seed"] = seed

"""DeePMD-kit options that multifit does not have.

Such a key is an error that says so, unless its value means "off" or has no effect; then it is
dropped. No option that has an effect is silently ignored.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .. import descriptors
from ._draft import Draft, Problem, shown

#: For keys that have no effect on their own, whatever their value.
ANYTHING: tuple[Any, ...] = (...,)

#: dotted path of a key → its values that are accepted and dropped
KEYS: dict[str, tuple[Any, ...]] = {
    "nvnmd": ({}, {"enable": False}),
    "loss_dict": (),
    # models
    "model.model_dict": (),
    "model.shared_dict": (),
    "model.use_srtab": (),
    "model.smin_alpha": ANYTHING,  # for use_srtab
    "model.sw_rmin": ANYTHING,  # for use_srtab
    "model.sw_rmax": ANYTHING,  # for use_srtab
    "model.srtab_add_bias": ANYTHING,  # for use_srtab
    "model.descriptor.lmax": (1,),
    "model.modifier": (None,),
    "model.compress": (),
    "model.spin": (),
    "model.finetune_head": (),
    "model.model_branch_alias": ((),),
    "model.info": ({},),
    "model.bridging_method": ("None", "none"),
    "model.bridging_r_inner": ANYTHING,  # for bridging_method
    "model.bridging_r_outer": ANYTHING,  # for bridging_method
    "model.use_compile": (False,),
    "model.enable_tf32": (False,),
    # data
    "training.training_data.set_prefix": ("set",),
    "training.training_data.min_pair_dist": (0,),
    "training.validation_data.set_prefix": ("set",),
    # the run
    "training.numb_test": ANYTHING,  # without effect since DeePMD-kit 2
    "training.data_dict": (),
    "training.model_prob": ({},),
    "training.num_epoch_dict": ({},),
    "training.stat_file_mode": ("update",),
    "training.save_dir": (None,),
    "training.ckpt_keep_ratio": (None,),
    "training.ema_ckpt_keep": (None,),
    "training.disp_avg": (False,),
    "training.profiling": (False,),
    "training.profiling_file": ANYTHING,  # for profiling
    "training.enable_profiler": (False,),
    "training.zero_stage": (0,),
    "training.neighbor_graph_method": ("auto",),
    "training.enable_compile": (False, True),  # JAX always compiles, PyTorch never
    "training.enable_tf32": (False,),
    "validating.ema_full_validation": (False,),
    "validating.compiled_infer": (False, True),  # likewise
    "validating.tf32_infer": (False,),
    "validating.amp_infer": (False,),
}

#: Keys whose value is of no importance, so that giving them has no effect.
INERT = {path for path, harmless in KEYS.items() if harmless is ANYTHING} | {
    "training.enable_compile",
    "validating.compiled_infer",
}

#: section → types in DeePMD-kit, with their other names; some descriptors are here
_FOREIGN: dict[str, tuple[str, ...]] = {
    "model": (
        *("frozen", "pairtab", "pairwise_dprc", "linear_ener", "inner_potential"),
        *("dpa4", "DPA4", "sezm", "SeZM"),
    ),
    "model.descriptor": (
        *("loc_frame", "se_e2_r", "se_r", "se_e3", "se_at", "se_a_3be"),
        *("se_t", "se_a_tpe", "se_a_ebd", "se_a_mask"),
        *("hybrid", "se_atten", "dpa1", "se_atten_v2"),
        *("dpa3", "dpa4", "DPA4", "sezm", "SeZM", "dpa4c"),
        "DPA4C",
    ),
    "model.fitting_net": ("dipole", "polar", "property", "population", "dpa4_ener", "sezm_ener"),
    "loss": ("ener_hess", "ener_spin", "dens", "population", "property", "tensor"),
    "optimizer": ("LKF", "AdaMuon", "HybridMuon"),
}

_HERE = {*descriptors.available(), *descriptors.aliases()}

#: section → its types in DeePMD-kit that are not here
TYPES = {
    section: tuple(name for name in names if section != "model.descriptor" or name not in _HERE)
    for section, names in _FOREIGN.items()
}

#: dotted path of a key → beginnings of texts that have a meaning in DeePMD-kit
TEXTS: dict[str, tuple[str, ...]] = {
    "validating.validation_metric": ("S:", "s:"),
}

SAYS = "a DeePMD-kit option that multifit does not have (yet)"

#: dotted path of a key → what it is part of, if its name does not say so
PART_OF = {
    **dict.fromkeys(
        ("model.model_dict", "model.shared_dict", "loss_dict", "training.data_dict"),
        "multi-task training",
    ),
    "model.use_srtab": "a pair potential at short distances",
    "model.modifier": "a long-range model",
    "nvnmd": "training for NVNMD hardware",
}

#: dotted path of a key → what there is instead
INSTEAD = dict.fromkeys(
    ("training.profiling", "training.enable_profiler"),
    "; multifit train --profile tells where the time goes",
)

#: Keys from which other problems of an input follow.
DECISIVE = ("nvnmd", "model.model_dict", "model.spin")


def drop(draft: Draft) -> list[str]:
    """Remove the keys of the table from the draft; one with an effect is a problem.

    Returns
    -------
    inert
        The dotted paths of those that were there without an effect, whatever their value.
    """
    inert = []
    for path, place, harmless in _places(draft):
        key = path.rpartition(".")[2]
        given = draft.section(place)
        if given is None or key not in given:
            continue
        value = given.pop(key)
        if path in INERT:
            inert.append(path)
        if harmless is not ANYTHING and not any(_same(value, h) for h in harmless):
            accepted = " or ".join(shown(h) for h in harmless)
            draft.problems.append(
                Problem(
                    f"{place}.{key}".lstrip("."),
                    f"is {shown(value)}, {SAYS}{_part_of(path)}: "
                    + (f"the key must be {accepted} or left out" if harmless else "leave it out")
                    + INSTEAD.get(path, ""),
                )
            )
    return inert


def _part_of(path: str) -> str:
    whole = PART_OF.get(path)
    return f", part of {whole}" if whole else ""


def without_consequences(problems: list[Problem]) -> list[Problem]:
    """Return problems without those that follow from an option or a type that is not here."""
    foreign = [problem for problem in problems if SAYS in problem.says]
    for problem in foreign:
        if problem.path in DECISIVE:
            return [problem]
    types = [problem for problem in foreign if problem.path.endswith(".type")]
    sections = tuple(problem.path.removesuffix("type") for problem in types)
    # The outermost type comes first: other models have other descriptors, and these other losses.
    types.sort(key=lambda problem: (not problem.path.startswith("model."), len(problem.path)))
    return types + [each for each in problems if not each.path.startswith(sections or ("\0",))]


def _places(draft: Draft) -> Iterator[tuple[str, str, tuple[Any, ...]]]:
    """Yield each key of the table, a section that may have it, and its accepted values."""
    for path, harmless in KEYS.items():
        for place in draft.places(path.rpartition(".")[0]):
            yield path, place, harmless


def is_foreign_text(path: str, value: object) -> bool:
    """Return True if DeePMD-kit accepts a value that multifit does not."""
    return isinstance(value, str) and value.startswith(TEXTS.get(path, ()))


def _same(a: Any, b: Any) -> bool:
    """Return True if two values are the same in JSON, where true is not 1."""
    return isinstance(a, bool) == isinstance(b, bool) and bool(a == b)

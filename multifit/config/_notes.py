"""Keys in an input that do not affect its run."""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce
from typing import Any

from ._config import Config

#: Key → keys that have an effect only if it is given or true.
NEEDED: dict[str, tuple[str, ...]] = {
    "loss.use_huber": ("loss.huber_delta",),
    "training.enable_ema": ("training.ema_decay",),
    "training.tensorboard": ("training.tensorboard_log_dir", "training.tensorboard_freq"),
    "validating.full_validation": (
        *("validating.validation_freq", "validating.save_best", "validating.save_best_dir"),
        *("validating.max_best_ckpt", "validating.validation_metric"),
        *("validating.full_val_file", "validating.full_val_start"),
    ),
    "validating.save_best": ("validating.save_best_dir", "validating.max_best_ckpt"),
}

#: Sections with data, where sys_probs replaces auto_prob.
DATA = ("training.training_data", "training.validation_data")


def notes(config: Config, processes: int = 1) -> list[str]:
    """Return a sentence for each group of keys that the input gives and that have no effect.

    Parameters
    ----------
    config
        As returned by :func:`multifit.config.load` or :func:`multifit.config.parse`: defaults
        are not mentioned.
    processes
        Number of processes of the run.

    Examples
    --------
    >>> notes(load("input.json"))  # doctest: +SKIP
    ['training.ema_decay has no effect without training.enable_ema']
    """
    return list(_notes(config, processes))


def _notes(config: Config, processes: int) -> Iterator[str]:
    if config.style:
        yield (
            f"the input is in the style of DeePMD-kit {config.style} and was converted to the "
            "current one"
        )
    told: set[str] = set()
    for switch, keys in NEEDED.items():
        if not _value(config, switch):
            inert = [key for key in keys if _is_given(config, key) and key not in told]
            told.update(inert)
            if inert:
                yield f"{_have_no_effect(inert)} without {switch}"
    for section in DATA:
        key = f"{section}.auto_prob"
        if _is_given(config, key) and _value(config, f"{section}.sys_probs") is not None:
            yield f"{key} has no effect beside sys_probs"
    if config.model.fitting_net.dim_case_embd:
        yield (
            "model.fitting_net.dim_case_embd has no effect in a run that starts from nothing: "
            "there is one task, and its inputs are 0"
        )
    inert = [
        f"model.descriptor{place}.{key}"
        for place, part in config.model.descriptor.parts()
        for key in part.without_effect
        if _is_given(part, key)
    ]
    if inert:
        yield f"{_have_no_effect(inert)} in multifit, which computes the same in its own way"
    rate = config.learning_rate
    if "warmup_start_factor" in rate.model_fields_set and not (
        rate.warmup_steps or rate.warmup_ratio
    ):
        yield "learning_rate.warmup_start_factor has no effect without a warm-up"
    scaled = "scale_by_worker" in rate.model_fields_set and rate.scale_by_worker != "none"
    if scaled and processes == 1:
        yield "learning_rate.scale_by_worker has no effect: there is one process"
    if config.dropped:
        yield f"{_have_no_effect(config.dropped)} in multifit"


def _have_no_effect(keys: list[str] | tuple[str, ...]) -> str:
    if len(keys) == 1:
        return f"{keys[0]} has no effect"
    return f"{', '.join(keys[:-1])} and {keys[-1]} have no effect"


def _value(config: Config, path: str) -> object:
    return reduce(getattr, path.split("."), config)


def _is_given(whole: Any, path: str) -> bool:
    """Return True if the input, or a section of it, has the key."""
    *sections, key = path.split(".")
    section = reduce(getattr, sections, whole)
    return section is not None and key in section.model_fields_set

"""The ``training`` and ``validating`` sections: data, length of the run, what is written."""

from __future__ import annotations

import re
from typing import Annotated, Self

from annotated_types import Gt, MinLen
from pydantic import AfterValidator, Field, model_validator

from .. import sections as t

#: How far the sum of probabilities may be off 1.
_ROUNDING = 1e-6

METRICS = tuple(f"{what}:{how}" for what in "EFV" for how in ("MAE", "RMSE"))

_BLOCK = r";\d{1,9}:\d{1,9}:\d+(\.\d*)?([eE][+-]?\d{1,3})?"


def _auto_prob(rule: str) -> str:
    if not re.fullmatch(rf"prob_uniform|prob_sys_size({_BLOCK})*", rule):
        raise ValueError("unknown rule")
    return rule


def _metric(name: str) -> str:
    if name.strip().upper() not in METRICS:
        raise ValueError("unknown metric")
    return name.strip().upper()


Systems = Annotated[
    Annotated[str, MinLen(1)] | Annotated[tuple[t.Text, ...], MinLen(1)],
    t.Words("a path, or a list of one or more paths"),
]
AutoProb = Annotated[
    str,
    AfterValidator(_auto_prob),
    t.Words(
        'one of "prob_uniform", "prob_sys_size", "prob_sys_size;start:end:weight;..." with '
        "ranges of systems"
    ),
]
Metric = Annotated[str, AfterValidator(_metric), t.Words("one of " + ", ".join(METRICS))]
Epochs = Annotated[Annotated[float, Gt(0)] | None, t.Words("a number > 0, or null")]


class _DataSection(t.Section):
    """What training and validation data share."""

    systems: Systems = Field(
        description="Folders (or HDF5 files) with the data; a folder that is no system itself is "
        "searched for systems."
    )
    batch_size: t.BatchSize = Field(
        default="auto",
        description="Frames in a batch: a number, one for each system, or a rule. `auto:N` takes "
        "the least number of frames with N atoms or more (`auto`: 32), `max:N` the largest with "
        "at most N atoms, and `filter:N` also leaves out systems of more than N atoms.",
    )
    auto_prob: AutoProb = Field(
        default="prob_sys_size",
        description="How probable a system is: all the same, in proportion to its number of "
        "batches, or so within ranges of systems that have a weight.",
    )
    sys_probs: t.Numbers = Field(
        default=None,
        description="Probability of each system, instead of `auto_prob`; what is left is shared "
        "by the systems with a negative number, in proportion to their number of batches.",
    )

    @model_validator(mode="after")
    def _probabilities_add_up(self) -> Self:
        if self.sys_probs is None:
            return self
        total = sum(p for p in self.sys_probs if p >= 0)
        free = any(p < 0 for p in self.sys_probs)
        if total > 1 + _ROUNDING or (not free and total < 1 - _ROUNDING):
            raise t.relation(
                "sys_probs",
                f"adds up to {total:g}, but must add up to {'at most 1' if free else '1'}",
            )
        return self


class TrainingDataSection(_DataSection):
    """The data that are fitted."""


class ValidationDataSection(_DataSection):
    """The data that errors are shown for during the run."""

    numb_btch: t.Positive = Field(default=1, description="Batches that an error is averaged over.")


class TrainingSection(t.Section):
    """The run: data, number of steps, and what is written how often."""

    training_data: TrainingDataSection = Field(description="The data that are fitted.")
    validation_data: ValidationDataSection | None = Field(
        default=None, description="The data that errors are shown for during the run."
    )
    numb_steps: t.MaybePositive = Field(
        default=None, description="Number of steps, one batch each."
    )
    numb_epoch: Epochs = Field(
        default=None,
        description="Number of passes through the training data (a fraction is fine), instead of "
        "`numb_steps`.",
    )
    seed: t.Seed = Field(default=None, description="Seed of the order in which frames are drawn.")
    disp_file: t.Text = Field(default="lcurve.out", description="File of the learning curve.")
    disp_freq: t.Positive = Field(default=1000, description="Steps between two lines of the curve.")
    save_freq: t.Positive = Field(default=1000, description="Steps between two checkpoints.")
    save_ckpt: t.Text = Field(
        default="model.ckpt", description="Start of the names of checkpoints."
    )
    max_ckpt_keep: t.Positive = Field(default=5, description="How many checkpoints are kept.")
    disp_training: t.Flag = Field(default=True, description="Whether progress is shown.")
    time_training: t.Flag = Field(
        default=True, description="Whether progress is shown with timings."
    )
    tensorboard: t.Flag = Field(
        default=False, description="Whether TensorBoard events are written."
    )
    tensorboard_log_dir: t.Text = Field(default="log", description="Folder of TensorBoard events.")
    tensorboard_freq: t.Positive = Field(default=1, description="Steps between two events.")
    stat_file: t.MaybeText = Field(
        default=None,
        description="Where statistics of the data are kept between runs: an HDF5 file (`.h5`, "
        "`.hdf5`) or a folder.",
    )
    gradient_max_norm: t.MaybeNotNegative = Field(
        default=None,
        description="Length to which a longer gradient is cut; 0 or null cuts nothing.",
    )
    enable_ema: t.Flag = Field(
        default=False,
        description="Whether an exponential moving average of the parameters is kept in the "
        "checkpoints, and written as `model_ema.dp` at the end.",
    )
    ema_decay: t.BelowOne = Field(
        default=0.999, description="Share of the old average in the new one, at each step."
    )
    change_bias_after_training: t.Flag = Field(
        default=False,
        description="Whether the output bias per type is fitted again to the errors of the "
        "finished model.",
    )
    early_stopping: t.Count = Field(
        default=0,
        description="Validations without a better error after which the run ends; 0 never ends "
        "early. Not a key of DeePMD-kit.",
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.numb_steps is None and self.numb_epoch is None:
            raise t.relation("numb_steps", "is missing, and so is numb_epoch: one must be given")
        if self.numb_steps is not None and self.numb_epoch is not None:
            raise t.relation("numb_epoch", "is given beside numb_steps, but must replace it")
        if self.early_stopping and self.validation_data is None:
            raise t.relation(
                "early_stopping",
                f"is {self.early_stopping}, but must be 0 without validation_data",
            )
        return self


class ValidatingSection(t.Section):
    """Validation on all validation data, and the best checkpoint."""

    full_validation: t.Flag = Field(
        default=False, description="Whether all validation data are evaluated during the run."
    )
    validation_freq: t.Positive = Field(
        default=5000, description="Steps between two evaluations of all validation data."
    )
    save_best: t.Flag = Field(
        default=True, description="Whether a model that is better than all before it is kept apart."
    )
    save_best_dir: t.MaybeText = Field(
        default=None,
        description="Folder of the best models; null is the one of `training.save_ckpt`.",
    )
    max_best_ckpt: t.Positive = Field(
        default=1, description="How many of the best models are kept."
    )
    validation_metric: Metric = Field(
        default="E:MAE",
        description="What makes a model better: the mean absolute or root-mean-square error of "
        "the energy per atom (E), force (F) or virial per atom (V).",
    )
    full_val_file: t.Text = Field(default="val.log", description="File of the validation errors.")
    full_val_start: t.NotNegative = Field(
        default=0.5,
        description="When it starts: a fraction of the run below 1, never at 1, a step above 1.",
    )

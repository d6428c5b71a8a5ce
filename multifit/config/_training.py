"""The ``training`` and ``validating`` sections: data, length of the run, what is written."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from annotated_types import Gt, MinLen
from pydantic import AfterValidator, Field, model_validator

from .. import sections as t
from ..data import NAMES, Grouping, Reading
from ..errors import did_you_mean

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
Patterns = Annotated[
    Annotated[tuple[t.Text, ...], MinLen(1)] | None,
    t.Words("a list of one or more patterns of folders, or null"),
]
LabelNames = Annotated[
    dict[str, t.Text | tuple[t.Text, ...]],
    t.Words("an object with a name or a list of names for each of some labels"),
]
Species = Annotated[
    dict[str, t.Text], t.Words("an object with the name of an element for each of some species")
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
ComputePrecision = Annotated[Literal["float16", "bfloat16"], t.Words('"float16" or "bfloat16"')]
OutputPrecision = Annotated[Literal["float32", "float64"], t.Words('"float32" or "float64"')]
Epochs = Annotated[Annotated[float, Gt(0)] | None, t.Words("a number > 0, or null")]


class _DataSection(t.Section):
    """Keys common to training and validation data."""

    systems: Systems = Field(
        description="Folders, HDF5 files, LMDB files or files of atoms (.xyz, .extxyz, and .traj, "
        ".db or .json of ASE) with the data; a folder is searched for systems."
    )
    rglob_patterns: Patterns = Field(
        default=None,
        description="Patterns of the folders that are systems, such as `water*`, at any depth "
        "below the folders in `systems`; null takes all.",
    )
    keys: LabelNames = Field(
        default={},
        description="Names of labels in files of atoms, such as "
        '`{"energy": "REF_energy", "force": ["dft_forces", "forces"]}`; the first that a frame has '
        "is read, and an empty list leaves a label out. Not a key of DeePMD-kit.",
    )
    species: Species = Field(
        default={},
        description='Elements of species in the data, such as `{"OW": "O", "HW1": "H"}`. '
        "Not a key of DeePMD-kit.",
    )
    batch_size: t.BatchSize = Field(
        default="auto",
        description="Number of frames per batch: one number, one per system, or a rule. `auto:N` "
        "is the smallest number of frames with at least N atoms (`auto`: 32). `max:N` is the "
        "largest with at most N atoms; `filter:N` also excludes systems of more than N atoms. With "
        "`mixed:N` each of N frames is drawn from a system by its probability, among systems that "
        "have the same labels. `mix:N`, for LMDB files, is `max:N` with frames of similar sizes in "
        "one batch.",
    )
    auto_prob: AutoProb = Field(
        default="prob_sys_size",
        description="Probability of each system: uniform, proportional to its number of batches, "
        "or proportional within weighted ranges of systems (of `frame_system_ids` in an LMDB "
        "file).",
    )
    sys_probs: t.Numbers = Field(
        default=None,
        description="Probability of each system; replaces `auto_prob`. Systems with a negative "
        "number share the remainder in proportion to their number of batches.",
    )

    @property
    def reading(self) -> Reading:
        """Names of labels and elements in the data."""
        keys = {k: (names,) if isinstance(names, str) else names for k, names in self.keys.items()}
        return Reading(keys, self.species)

    @property
    def grouping(self) -> Grouping:
        """Arrangement of the frames of an LMDB file in systems."""
        mix = isinstance(self.batch_size, str) and self.batch_size.startswith("mix:")
        return Grouping(mix, self.auto_prob if self.sys_probs is None else "")

    @model_validator(mode="after")
    def _names_labels(self) -> Self:
        for key in self.keys:
            if key not in NAMES:
                raise t.relation(
                    "keys",
                    f"names the label {key!r}, but must name some of {', '.join(NAMES)}"
                    f"{did_you_mean(key, NAMES)}",
                )
        return self

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
    """Training data."""


class ValidationDataSection(_DataSection):
    """Validation data, used for the errors shown during the run."""

    numb_btch: t.Positive = Field(
        default=1, description="Number of batches that errors are averaged over."
    )


class MixedPrecisionSection(t.Section):
    """Half precision of the nets, but for the output layer of the fitting net."""

    compute_prec: ComputePrecision = Field(
        default="float16",
        description="Precision of the embedding nets and of the hidden layers of the fitting net; "
        "it replaces their key `precision`. Their parameters are in float32.",
    )
    output_prec: OutputPrecision = Field(
        default="float32",
        description="Precision of the output layer of the fitting net. Its parameters, "
        "energies, forces and sums over atoms are at least as precise. DeePMD-kit trains with "
        "`float32` only.",
    )


class TrainingSection(t.Section):
    """Data, number of steps and output of the run."""

    training_data: TrainingDataSection = Field(description="Training data.")
    validation_data: ValidationDataSection | None = Field(
        default=None, description="Validation data, used for the errors shown during the run."
    )
    numb_steps: t.MaybePositive = Field(
        default=None, description="Number of steps, with one batch each."
    )
    numb_epoch: Epochs = Field(
        default=None,
        description="Number of passes through the training data, possibly fractional; replaces "
        "`numb_steps`.",
    )
    seed: t.Seed = Field(default=None, description="Seed of the order of frames.")
    disp_file: t.Text = Field(default="lcurve.out", description="File of the learning curve.")
    disp_freq: t.Positive = Field(
        default=1000, description="Number of steps between two lines of the learning curve."
    )
    save_freq: t.Positive = Field(
        default=1000, description="Number of steps between two checkpoints."
    )
    save_ckpt: t.Text = Field(
        default="model.ckpt", description="Prefix of the names of checkpoints."
    )
    max_ckpt_keep: t.Positive = Field(default=5, description="Number of checkpoints to keep.")
    disp_training: t.Flag = Field(default=True, description="Show progress.")
    time_training: t.Flag = Field(default=True, description="Show timings with the progress.")
    tensorboard: t.Flag = Field(default=False, description="Write TensorBoard events.")
    tensorboard_log_dir: t.Text = Field(default="log", description="Folder of TensorBoard events.")
    tensorboard_freq: t.Positive = Field(
        default=1, description="Number of steps between two events."
    )
    stat_file: t.MaybeText = Field(
        default=None,
        description="HDF5 file (`.h5`, `.hdf5`) or folder that caches the statistics of the data "
        "between runs.",
    )
    mixed_precision: MixedPrecisionSection | None = Field(
        default=None,
        description="Half precision of the nets, but for the output layer of the fitting net.",
    )
    gradient_max_norm: t.MaybeNotNegative = Field(
        default=None,
        description="Maximum norm of the gradient; larger gradients are scaled down. 0 or null "
        "disables clipping.",
    )
    acc_freq: t.Positive = Field(
        default=1,
        description="Number of steps whose gradients make one update of the parameters, by their "
        "mean: N steps train as one with N times the batch size, in the memory of one. "
        "`numb_steps` and all other numbers of steps count batches, and the learning rate is that "
        "of the first of the N steps.",
    )
    enable_ema: t.Flag = Field(
        default=False,
        description="Keep an exponential moving average of the parameters in the checkpoints, and "
        "write it as `model_ema.dp` at the end.",
    )
    ema_decay: t.BelowOne = Field(
        default=0.999,
        description="Decay factor of the moving average per update of the parameters.",
    )
    change_bias_after_training: t.Flag = Field(
        default=False,
        description="Refit the output bias per type to the errors of the trained model.",
    )
    early_stopping: t.Count = Field(
        default=0,
        description="Stop after this number of validations without improvement; 0 never stops "
        "early. Not a key of DeePMD-kit.",
    )

    memory: t.MaybeSize = Field(
        default=None,
        description="Memory for the neighbours and batches that a run keeps between steps, and "
        "limit for a batch with Hessians: a number of MB or a size such as `2 GB`; 0 keeps "
        "nothing. Processes of a run on one host share it. The default keeps 256 MB, or less if "
        "less than eight times as much is free. "
        "Not a key of DeePMD-kit.",
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
    """Validation on all validation data, and the best checkpoints."""

    full_validation: t.Flag = Field(
        default=False, description="Evaluate all validation data during the run."
    )
    validation_freq: t.Positive = Field(
        default=5000, description="Number of steps between two full validations."
    )
    save_best: t.Flag = Field(
        default=True, description="Save a model that is better than all previous ones."
    )
    save_best_dir: t.MaybeText = Field(
        default=None,
        description="Folder of the best models; null uses the folder of `training.save_ckpt`.",
    )
    max_best_ckpt: t.Positive = Field(default=1, description="Number of best models to keep.")
    validation_metric: Metric = Field(
        default="E:MAE",
        description="Error that ranks models: mean absolute or root-mean-square error of the "
        "energy per atom (E), the force (F) or the virial per atom (V).",
    )
    full_val_file: t.Text = Field(default="val.log", description="File of the validation errors.")
    full_val_start: t.NotNegative = Field(
        default=0.5,
        description="Start of full validation: a value below 1 is a fraction of the run, 1 "
        "disables it, and a value above 1 is a step.",
    )

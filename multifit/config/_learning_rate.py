"""The ``learning_rate`` section: three schedules with a common warm-up."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from .. import sections as t
from ..optim.learning_rate import DEFAULT_STOP_LR

Scaling = Annotated[Literal["linear", "sqrt", "none"], t.Words("one of linear, sqrt, none")]
DecayType = Annotated[
    Literal["inverse_linear", "cosine", "linear"],
    t.Words("one of inverse_linear, cosine, linear"),
]


class _Schedule(t.Section):
    """Keys common to all schedules."""

    start_lr: t.AboveZero = Field(description="Learning rate at the start of the decay.")
    stop_lr: t.MaybeNotNegative = Field(
        default=None,
        description="Learning rate at the end of the decay; 5e-8 if `stop_lr_ratio` is not given "
        "either.",
    )
    stop_lr_ratio: t.MaybeRatio = Field(
        default=None,
        description="Final learning rate as a fraction of `start_lr`; replaces `stop_lr`.",
    )
    warmup_steps: t.Count = Field(
        default=0,
        description="Number of steps in which the learning rate rises linearly to `start_lr`.",
    )
    warmup_ratio: t.MaybeBelowOne = Field(
        default=None, description="Warm-up as a fraction of all steps; replaces `warmup_steps`."
    )
    warmup_start_factor: t.NotNegative = Field(
        default=0.0,
        description="Learning rate at the start of the warm-up, as a fraction of `start_lr`.",
    )
    scale_by_worker: Scaling = Field(
        default="linear",
        description="Factor on `start_lr` and `stop_lr` in a run of N processes: N (linear), √N "
        "(sqrt) or 1 (none). Without the key it is 1.",
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.stop_lr is not None and self.stop_lr_ratio is not None:
            raise t.relation("stop_lr_ratio", "is given beside stop_lr, but must replace it")
        if self.warmup_steps and self.warmup_ratio is not None:
            raise t.relation("warmup_ratio", "is given beside warmup_steps, but must replace it")
        stop = self.stop_lr
        if stop is None and self.stop_lr_ratio is None:
            stop = DEFAULT_STOP_LR
        if stop is not None and stop > self.start_lr:
            raise t.relation("stop_lr", f"is {stop}, but must be at most start_lr, {self.start_lr}")
        return self


class ExpSection(_Schedule):
    """Exponential decay, stepwise or smooth."""

    type: Literal["exp"] = Field(default="exp", description="Type of schedule.")
    decay_steps: t.Positive = Field(
        default=5000, description="Number of steps between two decreases of the learning rate."
    )
    decay_rate: t.MaybeUpToOne = Field(
        default=None,
        description="Factor of each decrease; by default the learning rate reaches `stop_lr` at "
        "the end of the run.",
    )
    smooth: t.Flag = Field(default=False, description="Decay continuously instead of stepwise.")


class CosineSection(_Schedule):
    """Cosine decay from ``start_lr`` to ``stop_lr``."""

    type: Literal["cosine"] = Field(description="Type of schedule.")


class WSDSection(_Schedule):
    """Warm-up, a stable phase at ``start_lr``, and decay at the end of the run."""

    type: Literal["wsd"] = Field(description="Type of schedule.")
    decay_phase_ratio: t.UpToOne = Field(
        default=0.1, description="Length of the decay as a fraction of all steps."
    )
    decay_type: DecayType = Field(default="inverse_linear", description="Shape of the decay.")

    @model_validator(mode="after")
    def _does_not_end_at_zero(self) -> Self:
        for key, given in (("stop_lr", self.stop_lr), ("stop_lr_ratio", self.stop_lr_ratio)):
            if given == 0:
                raise t.relation(key, "is 0, but must be > 0 for the wsd schedule")
        return self


LearningRateSection = Annotated[
    ExpSection | CosineSection | WSDSection, Field(discriminator="type")
]

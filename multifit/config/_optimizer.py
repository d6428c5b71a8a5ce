"""The ``optimizer`` section: Adam and AdamW."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from .. import sections as t


class _Moments(t.Section):
    """Keys common to both optimizers."""

    adam_beta1: t.BelowOne = Field(
        default=0.9, description="Decay factor of the running mean of the gradient."
    )
    adam_beta2: t.BelowOne = Field(
        default=0.999, description="Decay factor of the running mean of the squared gradient."
    )


class AdamSection(_Moments):
    """Adam."""

    type: Literal["Adam"] = Field(default="Adam", description="Type of optimizer.")
    weight_decay: t.NotNegative = Field(
        default=0.0,
        description="L2 penalty: this factor times the parameters is added to the gradient.",
    )


class AdamWSection(_Moments):
    """Adam with decoupled weight decay."""

    type: Literal["AdamW"] = Field(description="Type of optimizer.")
    weight_decay: t.NotNegative = Field(
        default=0.001,
        description="Decoupled weight decay: each step subtracts this factor times the learning "
        "rate times the parameters.",
    )


OptimizerSection = Annotated[AdamSection | AdamWSection, Field(discriminator="type")]

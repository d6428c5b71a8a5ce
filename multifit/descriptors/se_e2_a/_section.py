"""The ``model.descriptor`` section of se_e2_a."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from ... import sections as t


class SeE2ASection(t.RadialSection):
    """The smooth two-body embedding se_e2_a, which describes the environment of an atom."""

    key_aliases: ClassVar[dict[str, str]] = {"n_axis_neuron": "axis_neuron"}
    can_vanish: ClassVar[bool] = True

    type: Literal["se_e2_a"] = Field(description="Kind of descriptor.")
    axis_neuron: t.Positive = Field(
        default=4,
        description="How many columns of the embedding enter the second factor of D = TᵀT.",
    )

    @property
    def dim_out(self) -> int:
        """Length of one atom's descriptor."""
        return self.neuron[-1] * self.axis_neuron

    @model_validator(mode="after")
    def _axis_is_part_of_the_embedding(self) -> Self:
        if self.axis_neuron > self.neuron[-1]:
            raise t.relation(
                "axis_neuron",
                f"is {self.axis_neuron}, but must be at most the last width of neuron, "
                f"{self.neuron[-1]}",
            )
        return self

"""The ``model.descriptor`` section of se_e2_a."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from ... import sections as t
from ...rules import Rule
from .._rules import AXIS_RULES


class SeE2ASection(t.RadialSection):
    """The smooth two-body embedding se_e2_a, which describes the environment of an atom."""

    key_aliases: ClassVar[dict[str, str]] = {"n_axis_neuron": "axis_neuron"}
    can_vanish: ClassVar[bool] = True
    rules: ClassVar[tuple[Rule, ...]] = AXIS_RULES

    type: Literal["se_e2_a"] = Field(description="Kind of descriptor.")
    axis_neuron: t.Positive = Field(
        default=4,
        description="How many columns of the embedding enter the second factor of D = TᵀT.",
    )

    @property
    def dim_out(self) -> int:
        """Length of one atom's descriptor."""
        return self.neuron[-1] * self.axis_neuron

"""Keys that sections of descriptors with embedded types share."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from .. import sections as t

Mode = Annotated[Literal["concat", "strip"], t.Words('one of "concat" and "strip"')]
Style = Annotated[
    Literal["res_avg", "res_incr", "res_residual"],
    t.Words('one of "res_avg", "res_incr" and "res_residual"'),
]
Initial = Annotated[Literal["norm", "const"], t.Words('one of "norm" and "const"')]
Number = Annotated[float, t.Words("a number")]

#: Descriptions of keys whose defaults differ.
NSEL = (
    "How many neighbours of all types together an atom can have{}; the farthest beyond that are "
    "dropped. `auto` counts them in the training data, multiplies the largest count by a factor "
    "(`auto:F`, 1.1 by default) and rounds up to a multiple of 4."
)
APPENDS = "Whether the embedded type of an atom is appended to its descriptor."
MODE = (
    "How types enter: `concat` as input of the embedding net, `strip` through a net of their own, "
    "whose output scales that of the embedding net of the {}."
)
STYLE = (
    "How a feature and its updates are combined: `res_avg` adds all and divides by the root of "
    "their number, `res_incr` divides only the updates, and `res_residual` multiplies each update "
    "by a trainable vector."
)
RESIDUAL = "Initial size of these vectors."
INITIAL = (
    "Whether they start with random components of this standard deviation (`norm`) or with equal "
    "ones (`const`)."
)


class TypeKeys(t.RuledSection):
    """The keys of the type embedding."""

    use_econf_tebd: t.Flag = Field(
        default=False,
        description="Whether types are embedded from the electron configurations of the elements "
        "in `type_map`.",
    )
    use_tebd_bias: t.Flag = Field(
        default=False, description="Whether the layer that embeds types has a bias."
    )


class MessageSection(t.PairsSection, TypeKeys):
    """The keys of descriptors that pass messages."""

    mixed_types: ClassVar[bool] = True

    precision: t.Precision = Field(
        default="default",
        description="Floating-point precision of all nets and layers; default is float64.",
    )

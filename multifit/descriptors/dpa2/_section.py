"""The ``model.descriptor`` section of dpa2."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field

from ... import sections as t
from ...rules import Rule
from .._typed_section import (
    APPENDS,
    INITIAL,
    MODE,
    NSEL,
    RESIDUAL,
    STYLE,
    Initial,
    MessageSection,
    Mode,
    Number,
    Style,
)
from ._rules import REPFORMER_RULES, REPINIT_RULES, RULES
from ._settings import Repformer, Repinit

_SMTH = "Distance in Å from which the weight of a neighbour falls to 0 at `{}`."
_UPDATE = "Whether features of {} are updated by {}."


class RepinitSection(t.RuledSection):
    """The first block of dpa2, which passes no messages: se_atten without attention."""

    rules: ClassVar[tuple[Rule, ...]] = REPINIT_RULES

    rcut: t.Cutoff = Field(description="Cut-off radius in Å.")
    rcut_smth: t.NotNegative = Field(description=_SMTH.format("rcut"))
    nsel: t.OneSel = Field(description=NSEL.format(" within `rcut`"))
    neuron: t.SomeWidths = Field(
        default=(25, 50, 100),
        description="Widths of the hidden layers of the embedding net. A layer as wide as the one "
        "before it, or twice as wide, adds its input to its output.",
    )
    axis_neuron: t.Width = Field(
        default=16,
        description="How many columns of the embedding enter the second factor of D = TᵀT.",
    )
    tebd_dim: t.Width = Field(default=8, description="Length of the embedding of a type.")
    tebd_input_mode: Mode = Field(default="concat", description=MODE.format("distance"))
    set_davg_zero: t.Flag = Field(
        default=True,
        description="Whether the mean that the environment is shifted by is set to 0.",
    )
    activation_function: t.Activation = Field(
        default="tanh", description="Activation function of the embedding nets."
    )
    type_one_side: t.Flag = Field(
        default=False,
        description="Whether the embedding depends on the type of the neighbour alone, rather than "
        "on the types of both atoms.",
    )
    resnet_dt: t.Flag = Field(
        default=False,
        description="Whether the layers that add their input have a trainable step size.",
    )
    use_three_body: t.Flag = Field(
        default=False,
        description="Whether the embedding se_e3_tebd of angles is appended to the block's output.",
    )
    three_body_neuron: t.SomeWidths = Field(
        default=(2, 4, 8), description="Widths of the hidden layers of the net of angles."
    )
    three_body_sel: t.OneSel = Field(
        default=40, description=NSEL.format(" within `three_body_rcut`")
    )
    three_body_rcut: t.Cutoff = Field(
        default=4.0, description="Cut-off radius in Å of neighbours that form angles."
    )
    three_body_rcut_smth: t.NotNegative = Field(
        default=0.5, description=_SMTH.format("three_body_rcut")
    )


class RepformerSection(t.RuledSection):
    """The second block of dpa2: layers that pass messages among atoms and pairs."""

    rules: ClassVar[tuple[Rule, ...]] = REPFORMER_RULES

    rcut: t.Cutoff = Field(
        description="Cut-off radius in Å of messages; shorter than that of `repinit`."
    )
    rcut_smth: t.NotNegative = Field(description=_SMTH.format("rcut"))
    nsel: t.OneSel = Field(
        description=NSEL.format(" within `rcut`")
        + " Sums over neighbours are divided by it or its root."
    )
    nlayers: t.Positive = Field(default=3, description="Number of layers.")
    g1_dim: t.Width = Field(default=128, description="Length of the features of an atom.")
    g2_dim: t.Width = Field(default=16, description="Length of the features of a pair.")
    axis_neuron: t.Width = Field(
        default=4,
        description="How many columns of the features enter the second factor of symmetric "
        "products.",
    )
    direct_dist: t.Flag = Field(
        default=False,
        description="Whether pairs start from their distance and vector over `rcut`, rather than "
        "from the environment matrix.",
    )
    update_g1_has_conv: t.Flag = Field(
        default=True, description=_UPDATE.format("atoms", "those of neighbours times their pairs'")
    )
    update_g1_has_drrd: t.Flag = Field(
        default=True,
        description=_UPDATE.format("atoms", "products of neighbours' features over angles"),
    )
    update_g1_has_grrg: t.Flag = Field(
        default=True,
        description=_UPDATE.format("atoms", "products of pairs' features over angles"),
    )
    update_g1_has_attn: t.Flag = Field(
        default=True, description=_UPDATE.format("atoms", "attention to neighbours")
    )
    update_g2_has_g1g1: t.Flag = Field(
        default=True, description=_UPDATE.format("pairs", "the product of their atoms' features")
    )
    update_g2_has_attn: t.Flag = Field(
        default=True, description=_UPDATE.format("pairs", "attention to other pairs of an atom")
    )
    use_sqrt_nnei: t.Flag = Field(
        default=True,
        description="Whether sums in symmetric products are divided by the root of the number of "
        "neighbours, rather than by the number.",
    )
    g1_out_conv: t.Flag = Field(
        default=True,
        description="Whether the convolution is an update of its own, rather than an input of the "
        "map that the symmetric products share.",
    )
    g1_out_mlp: t.Flag = Field(
        default=True,
        description="Whether a map of an atom's own features is an update of its own, rather than "
        "these features an input of the shared map.",
    )
    update_h2: t.Flag = Field(
        default=False, description="Whether attention updates the vectors of pairs as well."
    )
    attn1_hidden: t.Width = Field(
        default=64, description="Length of the vectors in the attention to neighbours."
    )
    attn1_nhead: t.Width = Field(default=4, description="Number of its heads.")
    attn2_hidden: t.Width = Field(
        default=16, description="Length of the vectors in the attention among pairs."
    )
    attn2_nhead: t.Width = Field(default=4, description="Number of its heads.")
    attn2_has_gate: t.Flag = Field(
        default=False,
        description="Whether its logits are multiplied by the products of the pairs' vectors.",
    )
    activation_function: t.Activation = Field(
        default="tanh", description="Activation function of the layers."
    )
    update_style: Style = Field(
        default="res_avg",
        description=STYLE,
    )
    update_residual: Number = Field(default=0.001, description=RESIDUAL)
    update_residual_init: Initial = Field(default="norm", description=INITIAL)
    set_davg_zero: t.Flag = Field(
        default=True,
        description="Whether the mean that the environment is shifted by is set to 0.",
    )
    trainable_ln: t.Flag = Field(
        default=True, description="Whether training changes the layer norms of attention."
    )
    ln_eps: t.MaybeAboveZero = Field(
        default=None,
        description="Number added to the variance in layer norms; null is 1e-5.",
    )


class Dpa2Section(MessageSection):
    """The descriptor dpa2 (DPA-2): messages between atoms and pairs."""

    rules: ClassVar[tuple[Rule, ...]] = RULES
    key_aliases: ClassVar[dict[str, str]] = {
        "repformer_add_type_ebd_to_seq": "add_tebd_to_repinit_out"
    }

    type: Literal["dpa2"] = Field(description="Kind of descriptor.")
    repinit: RepinitSection = Field(description="The block without messages.")
    repformer: RepformerSection = Field(description="The layers that pass messages.")
    concat_output_tebd: t.Flag = Field(default=True, description=APPENDS)
    smooth: t.Flag = Field(
        default=True,
        description="Whether attention, messages and, with `strip`, the factor of types fade out "
        "at the cut-offs. Without, the energy jumps when a neighbour enters or leaves.",
    )
    add_tebd_to_repinit_out: t.Flag = Field(
        default=False,
        description="Whether a map of the embedded type is added to the output of `repinit`.",
    )

    @property
    def rcut(self) -> float:
        """The longest cut-off radius in Å."""
        return self.repinit.rcut

    @property
    def numbers(self) -> tuple[int | str, ...]:
        """Numbers of neighbours within ``rcut`` and within the ``shells``."""
        return self.repinit.nsel, self.repformer.nsel, self.repinit.three_body_sel

    @property
    def shells(self) -> tuple[float, ...]:
        """The shorter cut-offs of messages and of angles, in Å."""
        return self.repformer.rcut, self.repinit.three_body_rcut

    @property
    def neuron(self) -> tuple[int, ...]:
        """Widths of the embedding net."""
        return self.repinit.neuron

    @property
    def dim_out(self) -> int:
        """Length of one atom's descriptor."""
        return self.repformer.g1_dim + self.repinit.tebd_dim * self.concat_output_tebd

    def with_numbers(self, script: dict[str, Any], numbers: Sequence[int]) -> None:
        """Put numbers of neighbours into this section as a dict, for model files."""
        script["repinit"]["nsel"], script["repformer"]["nsel"], *angles = numbers
        if angles:
            script["repinit"]["three_body_sel"] = angles[0]

    def options(self, numbers: Sequence[int]) -> dict[str, Any]:
        """Return the settings of the descriptor."""
        first, second, angles = numbers
        own = {name: getattr(self, name) for name in type(self).model_fields}
        inner = {
            "repinit": Repinit(**_options(self.repinit, nsel=first, three_body_sel=angles)),
            "repformer": Repformer(**_options(self.repformer, nsel=second)),
        }
        return own | inner


def _options(section: t.Section, **numbers: int) -> dict[str, Any]:
    return {name: getattr(section, name) for name in type(section).model_fields} | numbers

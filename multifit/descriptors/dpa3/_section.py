"""The ``model.descriptor`` section of dpa3."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field

from ... import sections as t
from ...rules import Rule
from .._typed_section import (
    APPENDS,
    INITIAL,
    NSEL,
    RESIDUAL,
    STYLE,
    Initial,
    MessageSection,
    Number,
    Style,
)
from ._rules import RULES


class RepflowSection(t.RuledSection):
    """The pairs, angles and layers of dpa3."""

    rules: ClassVar[tuple[Rule, ...]] = RULES

    n_dim: t.Width = Field(default=128, description="Length of the features of an atom.")
    e_dim: t.Width = Field(default=64, description="Length of the features of a pair.")
    a_dim: t.Width = Field(default=64, description="Length of the features of an angle.")
    nlayers: t.Positive = Field(default=6, description="Number of layers.")
    e_rcut: t.Cutoff = Field(description="Cut-off radius of pairs in Å.")
    e_rcut_smth: t.AboveZero = Field(
        description="Distance in Å from which the weight of a pair falls to 0 at `e_rcut`."
    )
    e_sel: t.OneSel = Field(
        description=NSEL.format("") + " Sums over neighbours are divided by it."
    )
    a_rcut: t.Cutoff = Field(
        description="Cut-off radius in Å of neighbours that form angles; at most `e_rcut`."
    )
    a_rcut_smth: t.AboveZero = Field(
        description="Distance in Å from which the weight of a neighbour in angles falls to 0 at "
        "`a_rcut`."
    )
    a_sel: t.OneSel = Field(
        description="How many neighbours of an atom can form angles, the nearest of them; `auto` "
        "as of `e_sel`."
    )
    a_compress_rate: t.Count = Field(
        default=0,
        description="Features enter angles compressed: those of atoms to `a_dim` divided by this, "
        "those of pairs to half of that; 0 for no compression.",
    )
    a_compress_e_rate: t.Positive = Field(
        default=1, description="How many times more components of pairs than that enter angles."
    )
    a_compress_use_split: t.Flag = Field(
        default=False,
        description="Whether compression takes the first components instead of linear maps.",
    )
    n_multi_edge_message: t.Positive = Field(
        default=1, description="Number of messages that a pair sends to its atom."
    )
    axis_neuron: t.Width = Field(
        default=4,
        description="How many columns of the features enter the second factor of the symmetric "
        "product.",
    )
    update_angle: t.Flag = Field(default=True, description="Whether there are features of angles.")
    update_style: Style = Field(
        default="res_residual",
        description=STYLE,
    )
    update_residual: Number = Field(default=0.1, description=RESIDUAL)
    update_residual_init: Initial = Field(default="const", description=INITIAL)
    fix_stat_std: t.NotNegative = Field(
        default=0.3,
        description="Number that the environment is divided by; 0 computes it from the data.",
    )
    skip_stat: t.Flag = Field(default=False, description="Old form of `fix_stat_std`: true is 0.3.")
    optim_update: t.Flag = Field(
        default=True, description="Without effect: maps of several inputs are always sums of maps."
    )
    smooth_edge_update: t.Flag = Field(
        default=False,
        description="Whether angles send nothing to pairs beyond `a_rcut`. If false, the features "
        "of such a pair take the place of a message, and energies jump where a pair gets there.",
    )
    edge_init_use_dist: t.Flag = Field(
        default=False,
        description="Whether pairs start from their distance, without the activation function.",
    )
    use_exp_switch: t.Flag = Field(
        default=False,
        description="Whether weights fall as exp(−exp(20 (r − r_smth) / r_smth)), which is not 0 "
        "at the cut-off: values such as 5.3 and 6.0, or 3.5 and 4.0, leave about 1e-6.",
    )
    use_dynamic_sel: t.Flag = Field(
        default=False,
        description="Whether sums are divided by `e_sel` and `a_sel` over `sel_reduce_factor`, so "
        "that these may be as large as to keep all neighbours (1200 and 300).",
    )
    sel_reduce_factor: t.AboveZero = Field(
        default=10.0, description="Divisor of `e_sel` and `a_sel` with `use_dynamic_sel`."
    )
    sequential_update: t.Flag = Field(
        default=False,
        description="Whether a layer updates pairs, angles and atoms one after the other, rather "
        "than all from the features before.",
    )


class Dpa3Section(MessageSection):
    """The descriptor dpa3 (DPA-3): messages between atoms, pairs and angles."""

    without_effect: ClassVar[tuple[str, ...]] = ("repflow.optim_update", "use_loc_mapping")
    inner_aliases: ClassVar[dict[str, dict[str, str]]] = {
        "repflow": {"edge_use_dist": "edge_init_use_dist", "use_env_envelope": "use_exp_switch"}
    }

    type: Literal["dpa3"] = Field(description="Kind of descriptor.")
    repflow: RepflowSection = Field(description="Pairs, angles and layers.")
    concat_output_tebd: t.Flag = Field(default=False, description=APPENDS)
    activation_function: t.Activation = Field(
        default="silu", description="Activation function of the layers."
    )
    use_loc_mapping: t.Flag = Field(
        default=True,
        description="Without effect: in DeePMD-kit, false prepares a model for several processes "
        "of LAMMPS.",
    )

    @property
    def rcut(self) -> float:
        """Cut-off radius in Å."""
        return self.repflow.e_rcut

    @property
    def shells(self) -> tuple[float, ...]:
        """Shorter cut-offs in Å with a number of neighbours of their own."""
        return (self.repflow.a_rcut,)

    @property
    def dim_out(self) -> int:
        """Length of one atom's descriptor."""
        return self.repflow.n_dim * (1 + self.concat_output_tebd)

    @property
    def numbers(self) -> Sequence[int | str]:
        """``e_sel`` and ``a_sel``."""
        return (self.repflow.e_sel, self.repflow.a_sel)

    def with_numbers(self, script: dict[str, Any], numbers: Sequence[int]) -> None:
        """Put numbers of neighbours into this section as a dict, for model files."""
        script["repflow"] |= dict(zip(("e_sel", "a_sel"), numbers, strict=True))

    def options(self, numbers: Sequence[int]) -> dict[str, Any]:
        """Return the settings of the descriptor."""
        repflow = {name: getattr(self.repflow, name) for name in RepflowSection.model_fields}
        e_sel, a_sel = numbers
        return {**super().options(numbers), **repflow, "e_sel": e_sel, "a_sel": a_sel}

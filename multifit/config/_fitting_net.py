"""The ``model.fitting_net`` section."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, Literal, Self

from annotated_types import MinLen
from pydantic import Field, model_validator

from .. import sections as t
from ..fitting import broken, gives_energies

Trainable = Annotated[
    bool | tuple[bool, ...], t.Words("true, false, or a list of true and false, one per layer")
]
LayerNames = Annotated[
    tuple[str | None, ...] | None,
    t.Words("a list with a name or null for each layer, or null"),
]
Electrons = Annotated[
    Annotated[tuple[t.NotNegative, ...], MinLen(1), t.OrByName()] | None,
    t.Words(
        "a list with a number ≥ 0 for each type, an object from the names in type_map to numbers "
        "≥ 0, or null"
    ),
]


class _FittingNet(t.Section):
    """One dense residual network per type, whatever it gives."""

    type: str
    numb_fparam: t.Count = Field(
        default=0, description="How many frame parameters (`fparam.npy`) enter the network."
    )
    numb_aparam: t.Count = Field(
        default=0, description="How many atomic parameters (`aparam.npy`) enter the network."
    )
    default_fparam: t.Numbers = Field(
        default=None, description="Frame parameters of data that have no `fparam.npy`."
    )
    dim_case_embd: t.Count = Field(
        default=0,
        description="Number of branches of a multi-task model, told apart by a one-hot input, "
        "which is 0 in a run that starts from nothing.",
    )
    neuron: t.Widths = Field(
        default=(120, 120, 120),
        description="Widths of the hidden layers. A layer as wide as the one before it adds its "
        "input to its output.",
    )
    activation_function: t.Activation = Field(
        default="tanh", description="Activation function of the fitting net."
    )
    precision: t.Precision = Field(
        default="default",
        description="Floating-point precision of the fitting net; default is float64.",
    )
    resnet_dt: t.Flag = Field(
        default=True,
        description="Whether the layers that add their input have a trainable step size.",
    )
    trainable: Trainable = Field(
        default=True,
        description="Whether training changes the fitting net; a list says it for each hidden "
        "layer and the output layer.",
    )
    rcond: t.MaybeBelowOne = Field(
        default=None,
        description="Relative size below which singular values count as 0 in the least-squares "
        "fit of the output bias per type; null takes the machine precision.",
    )
    seed: t.Seed = Field(
        default=None,
        description="Seed of the initial parameters; null draws another one in each run.",
    )

    @model_validator(mode="after")
    def _layers_fit_together(self) -> Self:
        found = broken(self)
        if found is not None:
            raise t.relation(*found)
        return self


class EnergyFittingNetSection(_FittingNet):
    """How an atom's descriptor becomes its energy: one dense residual network per type."""

    type: Literal["ener"] = Field(default="ener", description="What is fitted.")
    atom_ener: t.Energies = Field(
        default=(),
        description="Energy in eV of an isolated atom of each type; null leaves a type free. Needs "
        "`set_davg_zero` in the descriptor.",
    )
    layer_name: LayerNames = Field(
        default=None,
        description="Names of the layers, hidden and output; layers of one name share their "
        "parameters, in the nets of all types. A layer without a name has its own.",
    )
    use_aparam_as_mask: t.Flag = Field(
        default=False,
        description="Whether `aparam.npy` marks real atoms instead of entering the net: one of "
        "which it is 0 is not there.",
    )
    tot_ener_zero: t.Flag = Field(
        default=False,
        description="Whether the mean of the atomic energies of a frame is subtracted, so that "
        "their sum is 0. Needs a loss of atomic energies.",
    )

    #: What the net gives, as models and ``preset_out_bias`` call it, and how many numbers that is.
    var_name: ClassVar[str] = "energy"
    dim_out: ClassVar[int] = 1

    @property
    def gives_energies(self) -> bool:
        """Whether ``atom_ener`` has an energy for any type."""
        return gives_energies(self)


class DosFittingNetSection(_FittingNet):
    """How an atom's descriptor becomes its density of states: one dense residual network per type.

    The keys after ``numb_dos`` are not DeePMD-kit's.
    """

    type: Literal["dos"] = Field(description="What is fitted.")
    numb_dos: t.Positive = Field(
        default=300, description="At how many energies the density of states is given."
    )
    emin: t.MaybeNumber = Field(
        default=None,
        description="First energy of an even grid in eV. Without a grid, that of the data "
        "(`energies.npy`) counts, if there is one.",
    )
    emax: t.MaybeNumber = Field(default=None, description="Last energy of that grid in eV.")
    energies: t.MaybeText = Field(
        default=None,
        description="A `.npy` file with the `numb_dos` energies in eV, increasing, instead of "
        "`emin` and `emax`.",
    )
    fermi_aligned: t.Flag = Field(
        default=False,
        description="Whether the energies are relative to the Fermi level of each frame "
        "(`efermi.npy`), to which labels are shifted. Needs a grid: `emin` and `emax`, or "
        "`energies`.",
    )
    electrons: Electrons = Field(
        default=None,
        description="How many electrons of the density of states an atom of each type has, as "
        '`[4, 1]` or `{"Si": 4, "H": 1}`; tells the Fermi level and the gap. Needs a grid, here or '
        "in the data.",
    )

    #: What the net gives, as models and ``preset_out_bias`` call it.
    var_name: ClassVar[str] = "dos"
    #: Options that only energies have are no keys here, but off, so that all can ask for them.
    atom_ener: ClassVar[tuple[float | None, ...]] = ()
    layer_name: ClassVar[tuple[str | None, ...] | None] = None
    use_aparam_as_mask: ClassVar[bool] = False
    tot_ener_zero: ClassVar[bool] = False
    gives_energies: ClassVar[bool] = False

    @property
    def dim_out(self) -> int:
        """How many numbers the net gives for an atom."""
        return self.numb_dos

    @property
    def has_grid(self) -> bool:
        """Whether the input says at which energies the density of states is given."""
        return self.emin is not None or self.energies is not None

    @model_validator(mode="after")
    def _grid_fits_together(self) -> Self:
        _check_ends(self)
        if self.emin is not None and self.energies is not None:
            raise t.relation(
                "energies",
                "is given beside emin and emax, but both say which energies there are: keep one",
            )
        if self.has_grid and self.numb_dos < 2:
            source = "energies" if self.emin is None else "emin and emax"
            raise t.relation(
                "numb_dos", f"is {self.numb_dos}, but must be at least 2 with {source}"
            )
        if self.fermi_aligned and not self.has_grid:
            raise t.relation(
                "fermi_aligned",
                "is true, but must be false without a grid of energies to shift to: give emin and "
                "emax, or energies",
            )
        return self


def _check_ends(net: DosFittingNetSection) -> None:
    """Raise if emin and emax are not the ends of an even grid of different numbers."""
    emin, emax = net.emin, net.emax
    if emin is None or emax is None:
        if emin != emax:
            key, other = ("emin", "emax") if emin is None else ("emax", "emin")
            raise t.relation(key, f"is missing, but must be given beside {other}")
        return
    if emin >= emax:
        raise t.relation("emin", f"is {emin}, but must be < emax, {emax}")
    step = (emax - emin) / max(net.numb_dos - 1, 1)
    if not 2 * math.ulp(max(abs(emin), abs(emax))) < step < math.inf:
        raise t.relation(
            "emax",
            f"is {emax}, but must be as far from emin, {emin}, that {net.numb_dos} numbers between "
            "them differ, and no farther than the largest number",
        )


FittingNetSection = Annotated[
    EnergyFittingNetSection | DosFittingNetSection, Field(discriminator="type")
]

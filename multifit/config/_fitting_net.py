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
    """One dense residual network per type, for any quantity."""

    type: str
    numb_fparam: t.Count = Field(
        default=0, description="Number of frame parameters (`fparam.npy`)."
    )
    numb_aparam: t.Count = Field(
        default=0, description="Number of atomic parameters (`aparam.npy`)."
    )
    default_fparam: t.Numbers = Field(
        default=None, description="Frame parameters for data without `fparam.npy`."
    )
    dim_case_embd: t.Count = Field(
        default=0,
        description="Number of branches of a multi-task model, encoded as a one-hot input, "
        "which is 0 in a new run.",
    )
    neuron: t.Widths = Field(
        default=(120, 120, 120),
        description="Widths of the hidden layers. A layer as wide as its input, or twice as wide, "
        "has a residual connection.",
    )
    activation_function: t.Activation = Field(
        default="tanh", description="Activation function of the fitting net."
    )
    precision: t.Precision = Field(
        default="default",
        description="Floating-point precision of the fitting net; `default` is float64.",
    )
    resnet_dt: t.Flag = Field(
        default=True,
        description="Use a trainable time step in layers with a residual connection.",
    )
    trainable: Trainable = Field(
        default=True,
        description="Train the fitting net; a list sets this for each hidden layer and the output "
        "layer.",
    )
    rcond: t.MaybeBelowOne = Field(
        default=None,
        description="Relative cut-off for small singular values in the least-squares fit of the "
        "output bias per type; null uses the machine precision.",
    )
    seed: t.Seed = Field(
        default=None,
        description="Seed of the initial parameters; null draws a random seed for each run.",
    )

    @model_validator(mode="after")
    def _layers_fit_together(self) -> Self:
        found = broken(self)
        if found is not None:
            raise t.relation(*found)
        return self


class EnergyFittingNetSection(_FittingNet):
    """Energy of an atom from its descriptor: one dense residual network per type."""

    type: Literal["ener"] = Field(default="ener", description="Type of fitting net.")
    atom_ener: t.Energies = Field(
        default=(),
        description="Energy in eV of an isolated atom of each type; null leaves a type free. "
        "Requires `set_davg_zero` in the descriptor.",
    )
    layer_name: LayerNames = Field(
        default=None,
        description="Names of the hidden layers and the output layer. Layers with the same name "
        "share their parameters, across the nets of all types; null does not share.",
    )
    use_aparam_as_mask: t.Flag = Field(
        default=False,
        description="Use `aparam.npy` as a mask instead of an input of the net: atoms with 0 are "
        "absent.",
    )
    tot_ener_zero: t.Flag = Field(
        default=False,
        description="Subtract the mean of the atomic energies of a frame, so that their sum is 0. "
        "Requires a loss term of atomic energies.",
    )

    #: What the net gives, as models and ``preset_out_bias`` call it, and how many numbers that is.
    var_name: ClassVar[str] = "energy"
    dim_out: ClassVar[int] = 1

    @property
    def gives_energies(self) -> bool:
        """Whether ``atom_ener`` has an energy for any type."""
        return gives_energies(self)


class DosFittingNetSection(_FittingNet):
    """Density of states of an atom from its descriptor: one dense residual network per type.

    DeePMD-kit does not have the keys after ``numb_dos``.
    """

    type: Literal["dos"] = Field(description="Type of fitting net.")
    numb_dos: t.Positive = Field(
        default=300, description="Number of energies of the density of states."
    )
    emin: t.MaybeNumber = Field(
        default=None,
        description="First energy of a uniform grid in eV. Without a grid in the input, the grid "
        "of the data (`energies.npy`) is used, if there is one.",
    )
    emax: t.MaybeNumber = Field(default=None, description="Last energy of that grid in eV.")
    energies: t.MaybeText = Field(
        default=None,
        description="`.npy` file with the `numb_dos` energies in eV, in increasing order; replaces "
        "`emin` and `emax`.",
    )
    fermi_aligned: t.Flag = Field(
        default=False,
        description="Shift the labels of each frame by its Fermi level (`efermi.npy`), so that "
        "energies are relative to it. Requires a grid: `emin` and `emax`, or `energies`.",
    )
    electrons: Electrons = Field(
        default=None,
        description="Number of electrons per atom of each type within the grid, as `[4, 1]` or "
        '`{"Si": 4, "H": 1}`; determines the Fermi level and the gap. Requires a grid, here or in '
        "the data.",
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

"""The ``model.fitting_net`` section."""

from __future__ import annotations

import math
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import MinLen
from pydantic import Field

from .. import sections as t
from ..fitting import FITTING_RANGES, FITTING_RULES
from ..rules import WIDTH, Ranges, Rule
from ._options import OptionsSection

LayerNames = Annotated[
    tuple[str | None, ...] | None,
    t.Words("a list with a name or null for each layer, or null"),
]
OutputPrecision = Annotated[
    t.Precision | None, t.Words(f"one of {', '.join(t.PRECISIONS)}, or null")
]
Electrons = Annotated[
    Annotated[tuple[t.NotNegative, ...], MinLen(1), t.OrByName()] | None,
    t.Words(
        "a list with a number ≥ 0 for each type, an object from the names in type_map to numbers "
        "≥ 0, or null"
    ),
]


class _FittingNet(OptionsSection):
    """One dense residual network per type, for any quantity."""

    ranges: ClassVar[Ranges] = FITTING_RANGES
    rules: ClassVar[tuple[Rule, ...]] = FITTING_RULES

    type: str
    numb_fparam: int = Field(default=0, description="Number of frame parameters (`fparam.npy`).")
    numb_aparam: int = Field(default=0, description="Number of atomic parameters (`aparam.npy`).")
    default_fparam: tuple[float, ...] | None = Field(
        default=None, description="Frame parameters for data without `fparam.npy`."
    )
    dim_case_embd: int = Field(
        default=0,
        description="Number of branches of a multi-task model, encoded as a one-hot input, "
        "which is 0 in a new run.",
    )
    neuron: tuple[int, ...] = Field(
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
    output_precision: OutputPrecision = Field(
        default=None,
        description="Floating-point precision of the output layer; null is that of the others. "
        "Not a key of DeePMD-kit, which has `training.mixed_precision`.",
    )
    resnet_dt: bool = Field(
        default=True,
        description="Use a trainable time step in layers with a residual connection.",
    )
    trainable: bool | tuple[bool, ...] = Field(
        default=True,
        description="Train the fitting net; a list sets this for each hidden layer and the output "
        "layer.",
    )
    rcond: float | None = Field(
        default=None,
        description="Relative cut-off for small singular values in the least-squares fit of the "
        "output bias per type; null uses the machine precision.",
    )
    seed: t.Seed = Field(
        default=None,
        description="Seed of the initial parameters; null draws a random seed for each run.",
    )


class EnergyFittingNetSection(_FittingNet):
    """Energy of an atom from its descriptor: one dense residual network per type."""

    type: Literal["ener"] = Field(default="ener", description="Type of fitting net.")
    atom_ener: tuple[float | None, ...] = Field(
        default=(),
        description="Energy in eV of an isolated atom of each type; null leaves a type free. "
        "Requires `set_davg_zero` in the descriptor.",
    )
    layer_name: LayerNames = Field(
        default=None,
        description="Names of the hidden layers and the output layer. Layers with the same name "
        "share their parameters, across the nets of all types; null does not share.",
    )
    use_aparam_as_mask: bool = Field(
        default=False,
        description="Use `aparam.npy` as a mask instead of an input of the net: atoms with 0 are "
        "absent.",
    )
    tot_ener_zero: bool = Field(
        default=False,
        description="Subtract the mean of the atomic energies of a frame, so that their sum is 0. "
        "Requires a loss term of atomic energies.",
    )

    #: Output of the net, as named in models and ``preset_out_bias``, and its number of components.
    var_name: ClassVar[str] = "energy"
    dim_out: ClassVar[int] = 1
    #: An option for densities of states only is not a key here, but off.
    electrons: ClassVar[tuple[float, ...] | None] = None


def _has_one_end(options: Any) -> bool:
    return (options.emin is None) != (options.emax is None)


def _has_ends(options: Any) -> bool:
    return options.emin is not None and options.emax is not None


def _has_equal_points(options: Any) -> bool:
    """Return True if points of the even grid would be equal, or farther apart than any number."""
    emin, emax = options.emin, options.emax
    step = (emax - emin) / max(options.numb_dos - 1, 1)
    return not 2 * math.ulp(max(abs(emin), abs(emax))) < step < math.inf


#: Relations of ``emin``, ``emax`` and ``energies``, each of which makes a grid of ``numb_dos``.
_GRID_RULES: tuple[Rule, ...] = (
    Rule(
        "emin",
        lambda o: _has_one_end(o) and o.emin is None,
        "is missing, but must be given beside emax",
    ),
    Rule("emax", _has_one_end, "is missing, but must be given beside emin"),
    Rule(
        "emin",
        lambda o: _has_ends(o) and o.emin >= o.emax,
        lambda o: f"is {o.emin}, but must be < emax, {o.emax}",
    ),
    Rule(
        "emax",
        lambda o: _has_ends(o) and _has_equal_points(o),
        lambda o: (
            f"is {o.emax}, but must be as far from emin, {o.emin}, that {o.numb_dos} numbers "
            "between them differ, and no farther than the largest number"
        ),
    ),
    Rule(
        "energies",
        lambda o: o.emin is not None and o.energies is not None,
        "is given beside emin and emax, but both say which energies there are: keep one",
    ),
    Rule(
        "numb_dos",
        lambda o: o.has_grid and o.numb_dos < 2,
        lambda o: (
            f"is {o.numb_dos}, but must be at least 2 with "
            f"{'energies' if o.emin is None else 'emin and emax'}"
        ),
    ),
    Rule(
        "fermi_aligned",
        lambda o: o.fermi_aligned and not o.has_grid,
        "is true, but must be false without a grid of energies to shift to: give emin and emax, or "
        "energies",
    ),
)


class DosFittingNetSection(_FittingNet):
    """Density of states of an atom from its descriptor: one dense residual network per type.

    DeePMD-kit does not have the keys after ``numb_dos``.
    """

    ranges: ClassVar[Ranges] = {**FITTING_RANGES, "numb_dos": WIDTH}
    rules: ClassVar[tuple[Rule, ...]] = (*FITTING_RULES, *_GRID_RULES)

    type: Literal["dos"] = Field(description="Type of fitting net.")
    numb_dos: int = Field(default=300, description="Number of energies of the density of states.")
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

    #: Output of the net, as named in models and ``preset_out_bias``.
    var_name: ClassVar[str] = "dos"
    #: Options for energies only are not keys here, but off, so that all classes have them.
    atom_ener: ClassVar[tuple[float | None, ...]] = ()
    layer_name: ClassVar[tuple[str | None, ...] | None] = None
    use_aparam_as_mask: ClassVar[bool] = False
    tot_ener_zero: ClassVar[bool] = False

    @property
    def dim_out(self) -> int:
        """The number of outputs for an atom."""
        return self.numb_dos

    @property
    def has_grid(self) -> bool:
        """True if the input has the energies of the density of states."""
        return self.emin is not None or self.energies is not None


FittingNetSection = Annotated[
    EnergyFittingNetSection | DosFittingNetSection, Field(discriminator="type")
]

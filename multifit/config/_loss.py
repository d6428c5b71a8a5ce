"""The ``loss`` section: which labels are fitted, and how much each counts over the run."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from ..loss import DOS_RANGES, DOS_RULES, DOS_TERMS, ENERGY_RANGES, ENERGY_RULES, ENERGY_TERMS, has
from ..rules import Ranges, Rule
from ._options import OptionsSection

_LOSS_FUNC = "Squared errors (mse) or absolute errors (mae)."

_TERMS = {**ENERGY_TERMS, **DOS_TERMS}


def _start(term: str) -> str:
    title = _TERMS[term].title
    return f"Prefactor of the {title} at the start of the run (off if both prefactors are 0)."


def _limit(term: str) -> str:
    return f"Prefactor of the {_TERMS[term].title} in the limit of learning rate 0."


class EnergyLossSection(OptionsSection):
    """Loss of energy, force and virial.

    Prefactors follow the learning rate: limit + (start − limit)·lr/start_lr.
    """

    ranges: ClassVar[Ranges] = ENERGY_RANGES
    rules: ClassVar[tuple[Rule, ...]] = ENERGY_RULES

    type: Literal["ener"] = Field(default="ener", description="Type of loss.")
    start_pref_e: float = Field(default=0.02, description=_start("e"))
    limit_pref_e: float = Field(default=1.0, description=_limit("e"))
    start_pref_f: float = Field(default=1000.0, description=_start("f"))
    limit_pref_f: float = Field(default=1.0, description=_limit("f"))
    start_pref_v: float = Field(default=0.0, description=_start("v"))
    limit_pref_v: float = Field(default=0.0, description=_limit("v"))
    start_pref_h: float = Field(default=0.0, description=_start("h"))
    limit_pref_h: float = Field(default=0.0, description=_limit("h"))
    start_pref_ae: float = Field(default=0.0, description=_start("ae"))
    limit_pref_ae: float = Field(default=0.0, description=_limit("ae"))
    start_pref_pf: float = Field(default=0.0, description=_start("pf"))
    limit_pref_pf: float = Field(default=0.0, description=_limit("pf"))
    use_default_pf: bool = Field(
        default=False,
        description="Use the weight 1 in systems without `atom_pref.npy`; otherwise the weighted "
        "force is off there. Not available on every backend.",
    )
    relative_f: float | None = Field(
        default=None,
        description="Divide force errors by the norm of the labelled force plus this number in "
        "eV/Å.",
    )
    enable_atom_ener_coeff: bool = Field(
        default=False,
        description="Sum atomic energies with the coefficients of `atom_ener_coeff.npy`; they are "
        "1 if the file is missing.",
    )
    start_pref_gf: float = Field(default=0.0, description=_start("gf"))
    limit_pref_gf: float = Field(default=0.0, description=_limit("gf"))
    numb_generalized_coord: int = Field(
        default=0, description="Number of generalized coordinates, the columns of `drdq.npy`."
    )
    use_huber: bool = Field(
        default=False,
        description="Use the Huber loss for energy, force and virial: quadratic below "
        "`huber_delta`, linear above.",
    )
    loss_func: str = Field(default="mse", description=_LOSS_FUNC)
    f_use_norm: bool = Field(
        default=False,
        description="Use the norm of the force error vector of an atom instead of its components; "
        "requires `mae` or `use_huber`.",
    )
    huber_delta: float | tuple[float, float, float] = Field(
        default=0.01, description="Threshold of the Huber loss: one number, or one for each label."
    )
    intensive_ener_virial: bool = Field(
        default=False,
        description="Divide squared errors of energy and virial by the square of the number of "
        "atoms instead of the number.",
    )

    #: An option for densities of states only is not a key here, but off.
    shift_agnostic: ClassVar[int] = 0

    def has(self, term: str) -> bool:
        """Return True if a term of :data:`multifit.loss.ENERGY_TERMS` is part of the loss."""
        return has(self, term)


class DosLossSection(OptionsSection):
    """Loss of densities of states and of their running sums.

    Prefactors follow the learning rate: limit + (start − limit)·lr/start_lr. DeePMD-kit does not
    have the keys after the prefactors.
    """

    ranges: ClassVar[Ranges] = DOS_RANGES
    rules: ClassVar[tuple[Rule, ...]] = DOS_RULES

    type: Literal["dos"] = Field(description="Type of loss.")
    start_pref_dos: float = Field(default=0.0, description=_start("dos"))
    limit_pref_dos: float = Field(default=0.0, description=_limit("dos"))
    start_pref_cdf: float = Field(default=0.0, description=_start("cdf"))
    limit_pref_cdf: float = Field(default=0.0, description=_limit("cdf"))
    start_pref_ados: float = Field(default=1.0, description=_start("ados"))
    limit_pref_ados: float = Field(default=1.0, description=_limit("ados"))
    start_pref_acdf: float = Field(default=0.0, description=_start("acdf"))
    limit_pref_acdf: float = Field(default=0.0, description=_limit("acdf"))
    loss_func: str = Field(default="mse", description=_LOSS_FUNC)
    use_huber: bool = Field(
        default=False,
        description="Use the Huber loss: quadratic below `huber_delta`, linear above.",
    )
    huber_delta: float = Field(default=0.01, description="Threshold of the Huber loss.")
    shift_agnostic: int = Field(
        default=0,
        description="Largest rigid shift in energy, in grid points, that does not count as an "
        "error.",
    )

    #: Options for energies only are not keys here, but off, so that all classes have them.
    use_default_pf: ClassVar[bool] = False
    enable_atom_ener_coeff: ClassVar[bool] = False

    def has(self, term: str) -> bool:
        """Return True if a term of :data:`multifit.loss.DOS_TERMS` is part of the loss."""
        return has(self, term)


LossSection = Annotated[EnergyLossSection | DosLossSection, Field(discriminator="type")]

"""The ``loss`` section: which labels are fitted, and how much each counts over the run."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from .. import sections as t
from ..loss import DOS_RULES, DOS_TERMS, ENERGY_RULES, ENERGY_TERMS, broken, has

LossFunction = Annotated[Literal["mse", "mae"], t.Words("one of mse, mae")]
HuberDelta = Annotated[
    t.AboveZero | tuple[t.AboveZero, t.AboveZero, t.AboveZero],
    t.Words("a number > 0, or three of them for [energy, force, virial]"),
]

_LOSS_FUNC = "Whether errors are squared (mse) or taken absolutely (mae)."

_TERMS = {**ENERGY_TERMS, **DOS_TERMS}


def _start(term: str) -> str:
    what = _TERMS[term].title
    return f"Prefactor of the {what} at the start of the run (0 here and at the end: no label)."


def _limit(term: str) -> str:
    return f"Prefactor of the {_TERMS[term].title} in the limit of learning rate 0."


class EnergyLossSection(t.Section):
    """The loss of energy, force and virial.

    A prefactor goes with the learning rate: limit + (start − limit)·lr/start_lr.
    """

    type: Literal["ener"] = Field(default="ener", description="Kind of loss.")
    start_pref_e: t.NotNegative = Field(default=0.02, description=_start("e"))
    limit_pref_e: t.NotNegative = Field(default=1.0, description=_limit("e"))
    start_pref_f: t.NotNegative = Field(default=1000.0, description=_start("f"))
    limit_pref_f: t.NotNegative = Field(default=1.0, description=_limit("f"))
    start_pref_v: t.NotNegative = Field(default=0.0, description=_start("v"))
    limit_pref_v: t.NotNegative = Field(default=0.0, description=_limit("v"))
    start_pref_h: t.NotNegative = Field(default=0.0, description=_start("h"))
    limit_pref_h: t.NotNegative = Field(default=0.0, description=_limit("h"))
    start_pref_ae: t.NotNegative = Field(default=0.0, description=_start("ae"))
    limit_pref_ae: t.NotNegative = Field(default=0.0, description=_limit("ae"))
    start_pref_pf: t.NotNegative = Field(default=0.0, description=_start("pf"))
    limit_pref_pf: t.NotNegative = Field(default=0.0, description=_limit("pf"))
    use_default_pf: t.Flag = Field(
        default=False,
        description="Whether atoms of systems without `atom_pref.npy` have the weight 1; else the "
        "weighted force is off there. Not on every backend.",
    )
    relative_f: t.MaybeAboveZero = Field(
        default=None,
        description="Shift in eV/Å: force errors are divided by the length of the labelled force "
        "plus this.",
    )
    enable_atom_ener_coeff: t.Flag = Field(
        default=False,
        description="Whether the energy is a sum of atomic energies with the coefficients of "
        "`atom_ener_coeff.npy`, 1 where it is missing.",
    )
    start_pref_gf: t.NotNegative = Field(default=0.0, description=_start("gf"))
    limit_pref_gf: t.NotNegative = Field(default=0.0, description=_limit("gf"))
    numb_generalized_coord: t.Count = Field(
        default=0, description="Number of generalized coordinates, the columns of `drdq.npy`."
    )
    use_huber: t.Flag = Field(
        default=False,
        description="Whether errors are squared below `huber_delta` and grow in a straight line "
        "above it (energy, force, virial).",
    )
    loss_func: LossFunction = Field(default="mse", description=_LOSS_FUNC)
    f_use_norm: t.Flag = Field(
        default=False,
        description="Whether the force error is the length of the error vector of an atom; needs "
        "`mae` or `use_huber`.",
    )
    huber_delta: HuberDelta = Field(
        default=0.01, description="Where the Huber loss turns; one number or one for each label."
    )
    intensive_ener_virial: t.Flag = Field(
        default=False,
        description="Whether squared errors of energy and virial are divided by the square of "
        "the number of atoms, rather than by the number.",
    )

    def has(self, term: str) -> bool:
        """Whether a term of :data:`multifit.loss.ENERGY_TERMS` is part of the loss."""
        return has(self, term)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        rule = broken(self, ENERGY_RULES)
        if rule is not None:
            raise t.relation(rule.key, rule.says(self))
        return self


class DosLossSection(t.Section):
    """The loss of densities of states and of what they add up to from the first energy on.

    A prefactor goes with the learning rate: limit + (start − limit)·lr/start_lr. The keys after the
    prefactors are not DeePMD-kit's.
    """

    type: Literal["dos"] = Field(description="Kind of loss.")
    start_pref_dos: t.NotNegative = Field(default=0.0, description=_start("dos"))
    limit_pref_dos: t.NotNegative = Field(default=0.0, description=_limit("dos"))
    start_pref_cdf: t.NotNegative = Field(default=0.0, description=_start("cdf"))
    limit_pref_cdf: t.NotNegative = Field(default=0.0, description=_limit("cdf"))
    start_pref_ados: t.NotNegative = Field(default=1.0, description=_start("ados"))
    limit_pref_ados: t.NotNegative = Field(default=1.0, description=_limit("ados"))
    start_pref_acdf: t.NotNegative = Field(default=0.0, description=_start("acdf"))
    limit_pref_acdf: t.NotNegative = Field(default=0.0, description=_limit("acdf"))
    loss_func: LossFunction = Field(default="mse", description=_LOSS_FUNC)
    use_huber: t.Flag = Field(
        default=False,
        description="Whether errors are squared below `huber_delta` and grow in a straight line "
        "above it.",
    )
    huber_delta: t.AboveZero = Field(default=0.01, description="Where the Huber loss turns.")
    shift_agnostic: t.Count = Field(
        default=0,
        description="The largest rigid shift in energy, in points of the grid, that does not count "
        "as an error.",
    )

    #: An option that only energies have is no key here, but off, so that all can ask for it.
    use_default_pf: ClassVar[bool] = False

    def has(self, term: str) -> bool:
        """Whether a term of :data:`multifit.loss.DOS_TERMS` is part of the loss."""
        return has(self, term)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        rule = broken(self, DOS_RULES)
        if rule is not None:
            raise t.relation(rule.key, rule.says(self))
        return self


LossSection = Annotated[EnergyLossSection | DosLossSection, Field(discriminator="type")]

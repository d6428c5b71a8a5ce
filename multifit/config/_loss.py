"""The ``loss`` section: which labels are fitted, and how much each counts over the run."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from . import _types as t

LossFunction = Annotated[Literal["mse", "mae"], t.Words("one of mse, mae")]
HuberDelta = Annotated[
    t.AboveZero | tuple[t.AboveZero, t.AboveZero, t.AboveZero],
    t.Words("a number > 0, or three of them for [energy, force, virial]"),
]

#: Labels with a pair of prefactors: the suffix of the keys and what they weigh.
TERMS = {
    "e": "energy",
    "f": "force",
    "v": "virial",
    "h": "Hessian",
    "ae": "atomic energy",
    "pf": "force weighted per atom",
    "gf": "generalized force",
}


def _start(what: str) -> str:
    return f"Prefactor of the {what} at the start of the run (0 here and at the end: no label)."


def _limit(what: str) -> str:
    return f"Prefactor of the {what} in the limit of learning rate 0."


class EnergyLossSection(t.Section):
    """The loss of energy, force and virial.

    A prefactor goes with the learning rate: limit + (start − limit)·lr/start_lr.
    """

    type: Literal["ener"] = Field(default="ener", description="Kind of loss.")
    start_pref_e: t.NotNegative = Field(default=0.02, description=_start("energy"))
    limit_pref_e: t.NotNegative = Field(default=1.0, description=_limit("energy"))
    start_pref_f: t.NotNegative = Field(default=1000.0, description=_start("force"))
    limit_pref_f: t.NotNegative = Field(default=1.0, description=_limit("force"))
    start_pref_v: t.NotNegative = Field(default=0.0, description=_start("virial"))
    limit_pref_v: t.NotNegative = Field(default=0.0, description=_limit("virial"))
    start_pref_h: t.NotNegative = Field(default=0.0, description=_start("Hessian"))
    limit_pref_h: t.NotNegative = Field(default=0.0, description=_limit("Hessian"))
    start_pref_ae: t.NotNegative = Field(default=0.0, description=_start("atomic energy"))
    limit_pref_ae: t.NotNegative = Field(default=0.0, description=_limit("atomic energy"))
    start_pref_pf: t.NotNegative = Field(default=0.0, description=_start("force weighted per atom"))
    limit_pref_pf: t.NotNegative = Field(default=0.0, description=_limit("force weighted per atom"))
    use_default_pf: t.Flag = Field(
        default=False, description="Whether atoms without `atom_pref.npy` have the weight 1."
    )
    relative_f: t.MaybeAboveZero = Field(
        default=None,
        description="Shift in eV/Å: force errors are divided by the length of the labelled force "
        "plus this.",
    )
    enable_atom_ener_coeff: t.Flag = Field(
        default=False,
        description="Whether the energy is a sum of atomic energies with the coefficients of "
        "`atom_ener_coeff.npy`.",
    )
    start_pref_gf: t.NotNegative = Field(default=0.0, description=_start("generalized force"))
    limit_pref_gf: t.NotNegative = Field(default=0.0, description=_limit("generalized force"))
    numb_generalized_coord: t.Count = Field(
        default=0, description="Number of generalized coordinates, the columns of `drdq.npy`."
    )
    use_huber: t.Flag = Field(
        default=False,
        description="Whether errors are squared below `huber_delta` and grow in a straight line "
        "above it (energy, force, virial).",
    )
    loss_func: LossFunction = Field(
        default="mse", description="Whether errors are squared (mse) or taken absolutely (mae)."
    )
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
        """Whether a term of ``TERMS`` is part of the loss."""
        return bool(getattr(self, f"start_pref_{term}") or getattr(self, f"limit_pref_{term}"))

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if not any(self.has(term) for term in TERMS):
            raise t.relation("", "has only prefactors 0, but must fit at least one label")
        if self.f_use_norm and not (self.use_huber or self.loss_func == "mae"):
            raise t.relation(
                "f_use_norm",
                'is true, but must be false unless use_huber is true or loss_func is "mae"',
            )
        if self.intensive_ener_virial and (self.use_huber or self.loss_func == "mae"):
            other = "use_huber" if self.use_huber else 'loss_func "mae"'
            raise t.relation(
                "intensive_ener_virial",
                f"is true, which changes squared errors only, but must be false with {other}",
            )
        if self.has("gf") and not self.numb_generalized_coord:
            raise t.relation(
                "numb_generalized_coord", "is 0, but must be > 0 with a generalized-force term"
            )
        if self.use_huber:
            _check_huber(self)
        return self


def _check_huber(loss: EnergyLossSection) -> None:
    """Raise for what has no Huber form."""
    if loss.loss_func == "mae":
        raise t.relation("use_huber", 'is true, but must be false with loss_func "mae"')
    for term in ("pf", "gf", "h"):
        if loss.has(term):
            raise t.relation("use_huber", f"is true, but must be false with a {TERMS[term]} term")
    if loss.relative_f is not None:
        raise t.relation("use_huber", "is true, but must be false with relative_f")

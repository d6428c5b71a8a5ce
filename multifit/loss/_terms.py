"""The tables of the losses: their terms and labels.

Keys, shapes and names of metrics are those of :mod:`multifit.outputs`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ..data import WEIGHTS
from ..outputs import DOS, ENERGY, OutputDef

#: One axis of a label: a number, the coordinates of all atoms of a frame, the generalized
#: coordinates, or the points of the energy grid.
Axis = int | Literal["3natoms", "generalized", "numb_dos"]


@dataclass(frozen=True)
class Term:
    """One row of a table of terms.

    Attributes
    ----------
    title
        The fitted quantity, in messages and descriptions.
    prediction
        Key of the model's output.
    label
        Key of the label to compare with.
    metric
        Rest of the metric's name after ``rmse_`` or ``mae_``.
    more
        Additional labels required by the term.
    default_option
        Option that sets these to 1 if they are missing from the data.
    per_atom_option
        Option that makes the term a sum of atomic predictions.
    atomic, coefficients
        Key of these predictions, and of the label with their coefficients.
    squared
        True if errors are always squared.
    total_metric
        An additional metric with ``loss_func = "mae"``: the error that is not divided by the
        number of atoms.
    """

    title: str
    prediction: str
    label: str
    metric: str
    more: tuple[str, ...] = ()
    default_option: str = ""
    per_atom_option: str = ""
    atomic: str = ""
    coefficients: str = ""
    squared: bool = False
    total_metric: str = ""


@dataclass(frozen=True)
class LossLabel:
    """One row of the table of labels.

    Attributes
    ----------
    per_atom
        True for a label of atoms, False for one of frames.
    shape
        Axes after that of atoms or frames.
    default
        Value if the data have no such label.
    """

    per_atom: bool
    shape: tuple[Axis, ...] = ()
    default: float = 0.0

    def axes(self, natoms: int, generalized: int = 0, numb_dos: int = 0) -> tuple[int, ...]:
        """Return the shape for one atom or frame.

        Parameters
        ----------
        natoms
            Atoms of a frame, including virtual ones.
        generalized
            Number of generalized coordinates.
        numb_dos
            Number of points of the energy grid.
        """
        sizes = {"3natoms": 3 * natoms, "generalized": generalized, "numb_dos": numb_dos}
        return tuple(axis if isinstance(axis, int) else sizes[axis] for axis in self.shape)


#: Suffix of a pair of prefactors → the term.
Table = Mapping[str, Term]


def _term(output: OutputDef, key: str, title: str, **options: Any) -> Term:
    """Return the term for a row of ``output.curves``, with its arrays and its metric."""
    curve = next(each for each in output.curves if each.term == key)
    variable = output.variables[curve.variable]
    return Term(title, variable.key, str(variable.label), curve.metric, **options)


ENERGY_TERMS: dict[str, Term] = {
    "e": _term(
        *(ENERGY, "e", "energy"),
        per_atom_option="enable_atom_ener_coeff",
        atomic=ENERGY.atomic.key,
        coefficients=ENERGY.coefficients,
        total_metric="e_all",
    ),
    "f": _term(ENERGY, "f", "force"),
    "v": _term(ENERGY, "v", "virial"),
    "h": _term(ENERGY, "h", "Hessian"),
    "ae": _term(ENERGY, "ae", "atomic energy"),
    "pf": _term(
        *(ENERGY, "pf", "force weighted per atom"),
        more=("atom_pref",),
        default_option="use_default_pf",
    ),
    "gf": _term(ENERGY, "gf", "generalized force", more=("drdq",), squared=True),
}

DOS_TERMS: dict[str, Term] = {
    "dos": _term(DOS, "dos", "density of states"),
    "cdf": _term(DOS, "cdf", "running sum of the density of states"),
    "ados": _term(DOS, "ados", "density of states of each atom"),
    "acdf": _term(DOS, "acdf", "running sum of the density of states of each atom"),
}


def _labels(output: OutputDef) -> dict[str, LossLabel]:
    """Return the labels of an output; in a batch, the first axis is that of atoms or frames."""
    rows = {}
    for variable in output.labelled:
        axes: list[Any] = [{"components": "numb_dos"}.get(str(x), x) for x in variable.shape]
        if axes[:1] == ["3natoms"]:
            axes[:1] = ["natoms", 3]
        per_atom = axes[:1] == ["natoms"]
        rows[str(variable.label)] = LossLabel(per_atom, tuple(axes[per_atom:]))
    return rows


#: All labels of the terms.
LABELS: dict[str, LossLabel] = {
    **_labels(ENERGY),
    "atom_pref": LossLabel(per_atom=True, default=1.0),
    "drdq": LossLabel(per_atom=True, shape=(3, "generalized")),
    "atom_ener_coeff": LossLabel(per_atom=True, default=1.0),
    **_labels(DOS),
    **{key: LossLabel(per_atom=False, default=1.0) for key in WEIGHTS},
}


def has(options: Any, term: str) -> bool:
    """Return True if a term is active: its prefactor is not 0 at the start, or in the limit."""
    return bool(getattr(options, f"start_pref_{term}") or getattr(options, f"limit_pref_{term}"))


def predictions(table: Table) -> dict[str, str]:
    """Return prediction → the label of the same shape."""
    return {term.prediction: term.label for term in table.values()}


def labels(table: Table) -> tuple[str, ...]:
    """Return the labels of all terms, including those that depend on an option."""
    terms = table.values()
    found = [term.label for term in terms]
    found += [key for term in terms for key in (*term.more, term.coefficients) if key]
    return tuple(dict.fromkeys(found))

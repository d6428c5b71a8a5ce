"""The table of outputs: everything a model can predict, as data.

A row of :data:`OUTPUTS` defines one output: its arrays with their labels, units and shapes, its
derivatives, and how errors of it are tabulated, plotted and written. Models, metrics, tables,
files and plots read the row; only fitting nets and losses have separate code for an output.
A new output is a row here, a fitting net and a loss.

>>> from multifit.outputs import OUTPUTS
>>> energy = OUTPUTS["energy"]
>>> energy.unit, [variable.key for variable in energy.derivatives]
('eV', ['force', 'virial', 'atom_virial', 'hessian'])
>>> [quantity.title for quantity in OUTPUTS["dos"].quantities]
['DOS', 'DOS/atom', 'CDF/atom', 'atomic DOS', 'atomic CDF']
"""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

#: One axis of an array of one frame: a number, the atoms, their Cartesian coordinates, or the
#: components of the output, whose number is a setting of the fitting net.
Axis = int | Literal["natoms", "3natoms", "components"]

#: How the values of atoms become the value of a frame.
Reduction = Literal["sum", "mean"]


@dataclass(frozen=True)
class Hook:
    """A function or class that is imported when it is first called."""

    module: str
    name: str

    def __call__(self, *args: Any) -> Any:
        """Return the result of the function."""
        return getattr(importlib.import_module(self.module), self.name)(*args)


@dataclass(frozen=True)
class Variable:
    """One array that a model returns."""

    key: str  #: in the outputs of a model
    title: str  #: in tables and plots
    unit: str
    shape: tuple[Axis, ...] = ()  #: axes of one frame
    label: str = ""  #: key in the data; empty if data have no such label
    file: str = ""  #: stem of the detail file and of its columns
    running_sum: tuple[str, str] | None = None  #: key and title of the sums up to each component
    on_request: bool = False  #: True if it is computed on request only

    @property
    def atom_axes(self) -> int:
        """Number of axes over atoms or their coordinates; 0 for a value of a frame."""
        return sum(axis in ("natoms", "3natoms") for axis in self.shape)

    @property
    def has_components(self) -> bool:
        """True if one axis is over the components of the output."""
        return "components" in self.shape

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the detail file: ``fx``, ``fy``, ``fz``."""
        axes = ("xyz" for axis in self.shape if axis == 3)
        return tuple(self.file + "".join(letters) for letters in itertools.product(*axes))


@dataclass(frozen=True)
class Quantity:
    """A prediction compared with its label: two columns of an error table."""

    key: str  #: in :class:`multifit.evaluation.metrics.Errors`
    title: str
    unit: str
    variable: Variable  #: the array of the model
    per_atom: bool = False  #: True if errors are divided by the number of atoms
    cumulative: bool = False  #: True if sums up to each component are compared

    @property
    def label(self) -> str:
        """Key of the label."""
        return self.variable.label


@dataclass(frozen=True)
class ErrorTable:
    """A table of ``multifit test``."""

    title: str
    quantities: tuple[str, ...]
    optional: bool = False  #: True if it is left out where the data have none of the labels


@dataclass(frozen=True)
class Curve:
    """A metric of a loss in learning curves and progress lines."""

    term: str  #: of the loss, as in ``start_pref_<term>``
    metric: str  #: rest of the metric's name after ``rmse_`` or ``mae_``
    symbol: str  #: in a progress line
    title: str  #: in the legend of the plot
    unit: str  #: empty if the legend has none
    colour: str
    variable: str  #: key of the array that is compared
    relative: bool = False  #: True if an option of the loss divides it by the label's length


@dataclass(frozen=True)
class OutputDef:
    """One row of the table: an output, made of the contributions of the atoms.

    The hooks for labels take the number of components (``dim_out``) and the model's grid first.
    """

    name: str  #: ``var_name`` of the fitting net, and key of the array of a frame
    type: str  #: of fitting net and loss, in ``input.json`` and model files
    title: str  #: in messages
    plural: str
    short: str  #: in tables
    model: str  #: name of such a model, with its article
    feature: str  #: row of the support matrix
    unit: str
    shape: tuple[Axis, ...]  #: axes of one frame
    label: str  #: key in the data
    atomic: Variable  #: the contribution of each atom
    file: str = ""  #: as of :class:`Variable`
    running_sum: tuple[str, str] | None = None  #: as of :class:`Variable`
    reduction: Reduction = "sum"
    derivatives: tuple[Variable, ...] = ()  #: with respect to positions and cell
    components: str = ""  #: key of ``fitting_net`` with their number; empty for one number
    coefficients: str = ""  #: label with the coefficient of each atom in the sum, if there is one
    bias_from_atoms: bool = False  #: True if labels of atoms tell the bias of a type
    references: tuple[str, ...] = ()  #: labels that change how :attr:`label` is read
    tables: tuple[ErrorTable, ...] = ()
    summary: tuple[str, ...] = ()  #: quantities in the table after training
    of_frames: tuple[str, ...] = ()  #: quantities in the table of single frames
    expected: tuple[str, ...] = ()  #: labels whose absence ``multifit test`` reports
    note: str = ""  #: sentence below the tables
    panels: tuple[tuple[str, str], ...] = ()  #: two parity plots: quantity and title of each
    curves: tuple[Curve, ...] = ()  #: in the order of a progress line
    brief: tuple[str, ...] = ()  #: metrics that a progress bar shows
    validation: tuple[tuple[str, str], ...] = ()  #: letter of ``validation_metric``, quantity
    has_grid: bool = False  #: True if a model may know the energies of the components
    load_labels: Hook | None = None  #: (dim_out, grid, system, frames, keys) → arrays
    check_labels: Hook | None = None  #: (dim_out, grid, systems); raises for labels of other sizes
    plot: Hook = Hook("multifit.plots", "Parity")  #: (model) → :class:`multifit.plots.Plot`

    @cached_property
    def total(self) -> Variable:
        """The array of a frame."""
        more = (self.shape, self.label, self.file, self.running_sum)
        return Variable(self.name, self.short, self.unit, *more)

    @cached_property
    def variables(self) -> dict[str, Variable]:
        """All arrays by key, in the order of tables and files: those on request come last."""
        now = [each for each in self.derivatives if not each.on_request]
        later = [each for each in self.derivatives if each.on_request]
        return {each.key: each for each in (self.total, *now, self.atomic, *later)}

    @cached_property
    def labelled(self) -> tuple[Variable, ...]:
        """The arrays that data may have labels of."""
        return tuple(each for each in self.variables.values() if each.label)

    @cached_property
    def quantities(self) -> tuple[Quantity, ...]:
        """Comparisons with labels: of the arrays, of values per atom, and of running sums."""
        return tuple(q for each in self.labelled for q in _quantities(each, self.reduction))

    @property
    def of_atoms(self) -> tuple[str, ...]:
        """Keys of the quantities that each atom has."""
        return tuple(q.key for q in self.quantities if q.variable.atom_axes == 1)


def _quantities(variable: Variable, reduction: Reduction) -> Iterator[Quantity]:
    """Yield the comparisons of one array; a sum over atoms is compared per atom, too."""
    label, title, unit = variable.label, variable.title, variable.unit
    yield Quantity(label, title, unit, variable)
    per_atom = variable.atom_axes == 0 and reduction == "sum"
    if per_atom:
        yield Quantity(f"{label}_per_atom", f"{title}/atom", unit, variable, per_atom=True)
    if variable.running_sum is not None:
        key, title = variable.running_sum
        if per_atom:
            key, title = f"{key}_per_atom", f"{title}/atom"
        yield Quantity(key, title, f"Σ {unit}", variable, per_atom, cumulative=True)


ENERGY = OutputDef(
    name="energy",
    type="ener",
    title="energy",
    plural="energies",
    short="energy",
    model="an energy model",
    feature="energy, atomic energy",
    unit="eV",
    shape=(),
    label="energy",
    file="e",
    atomic=Variable("atom_energy", "atomic energy", "eV", ("natoms",), "atom_ener", "ae"),
    derivatives=(
        Variable("force", "force", "eV/Å", ("natoms", 3), "force", "f"),
        Variable("virial", "virial", "eV", (3, 3), "virial", "v"),
        Variable("atom_virial", "atomic virial", "eV", ("natoms", 3, 3), on_request=True),
        Variable(
            *("hessian", "Hessian", "eV/Å²", ("3natoms", "3natoms"), "hessian", "h"),
            on_request=True,
        ),
    ),
    coefficients="atom_ener_coeff",
    tables=(
        ErrorTable("Energy", ("energy", "energy_per_atom")),
        ErrorTable("Force and virial", ("force", "virial", "virial_per_atom")),
        ErrorTable("Atomic energy", ("atom_ener",), optional=True),
        ErrorTable("Hessian", ("hessian",), optional=True),
    ),
    summary=("energy_per_atom", "force", "virial_per_atom", "atom_ener", "hessian"),
    of_frames=("energy_per_atom", "force", "virial_per_atom"),
    expected=("energy", "force", "virial"),
    panels=(("energy_per_atom", "energy per atom"), ("force", "force components")),
    curves=(
        Curve("e", "e", "E", "energy", "eV/atom", "C1", "energy"),
        Curve("f", "f", "F", "force", "eV/Å", "C0", "force", relative=True),
        Curve("v", "v", "V", "virial", "eV/atom", "C2", "virial"),
        Curve("h", "h", "H", "Hessian", "eV/Å²", "C6", "hessian"),
        Curve("ae", "ae", "AE", "atomic energy", "eV", "C3", "atom_energy"),
        Curve("pf", "pf", "PF", "weighted force", "eV/Å", "C4", "force", relative=True),
        Curve("gf", "gf", "GF", "generalized force", "", "C5", "force"),
    ),
    brief=("f", "e"),
    validation=(("E", "energy_per_atom"), ("F", "force"), ("V", "virial_per_atom")),
)

DOS = OutputDef(
    name="dos",
    type="dos",
    title="density of states",
    plural="densities of states",
    short="DOS",
    model="a DOS model",
    feature="densities of states, global and atomic, and a fitting net for them",
    unit="states/eV",
    shape=("components",),
    label="dos",
    file="dos",
    running_sum=("cdf", "CDF"),
    atomic=Variable(
        *("atom_dos", "atomic DOS", "states/eV", ("natoms", "components"), "atom_dos", "ados"),
        running_sum=("atom_cdf", "atomic CDF"),
    ),
    components="numb_dos",
    bias_from_atoms=True,
    references=("efermi",),
    tables=(
        ErrorTable("Density of states", ("dos", "dos_per_atom", "cdf_per_atom")),
        ErrorTable("Density of states of atoms", ("atom_dos", "atom_cdf"), optional=True),
    ),
    summary=("dos_per_atom", "cdf_per_atom", "atom_dos"),
    of_frames=("dos_per_atom", "cdf_per_atom"),
    expected=("dos", "atom_dos"),
    note="CDF: running sums of the DOS, as in the loss; not multiplied by the spacing of the "
    "energies",
    curves=(
        Curve("dos", "global_dos", "DOS", "DOS/atom", "states/eV", "C0", "dos"),
        Curve("cdf", "global_cdf", "CDF", "CDF/atom", "Σ states/eV", "C1", "dos"),
        Curve("ados", "local_dos", "ADOS", "atomic DOS", "states/eV", "C2", "atom_dos"),
        Curve("acdf", "local_cdf", "ACDF", "atomic CDF", "Σ states/eV", "C3", "atom_dos"),
    ),
    brief=("global_dos", "local_dos"),
    has_grid=True,
    load_labels=Hook("multifit.dos", "load_labels"),
    check_labels=Hook("multifit.dos", "check_labels"),
    plot=Hook("multifit.plots", "Spectra"),
)

#: ``var_name`` of a fitting net → the output. A model predicts one of them.
OUTPUTS: dict[str, OutputDef] = {row.name: row for row in (ENERGY, DOS)}

#: The output of an input that names none.
DEFAULT = ENERGY


def quantities() -> dict[str, Quantity]:
    """Return the quantities of all outputs by key."""
    return {q.key: q for output in OUTPUTS.values() for q in output.quantities}


def curves() -> dict[str, Curve]:
    """Return the curves of all outputs by metric, in the order of progress lines."""
    return {each.metric: each for output in OUTPUTS.values() for each in output.curves}

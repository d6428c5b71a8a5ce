"""The table of outputs: complete rows, in agreement with models, data and the tables of errors."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from _cases import assemble, build, crystal, draw, molecule

from multifit import models as mdl
from multifit import outputs
from multifit.backend import get_backend
from multifit.config._config import sections
from multifit.console.tables import heading
from multifit.data import LABELS
from multifit.evaluation.labels import load, require_comparable
from multifit.evaluation.metrics import Errors
from multifit.evaluation.per_frame import atom_errors
from multifit.evaluation.predictions import Chunk, compared
from multifit.inference.potential import Potential
from multifit.loss import DOS_TERMS, ENERGY_TERMS, DosLossConfig, EnergyLossConfig
from multifit.outputs import DOS, ENERGY, OUTPUTS, ErrorTable, OutputDef, Variable
from multifit.support import FEATURES
from multifit.train.report.progress import describe

POINTS = 4
MODELS = {"energy": build(), "dos": build(numb_dos=POINTS)}
LOSSES: dict[str, Any] = {"energy": EnergyLossConfig(1e-3), "dos": DosLossConfig(1e-3, POINTS)}
EVERY = pytest.mark.parametrize("output", OUTPUTS.values(), ids=OUTPUTS)

#: A row that multifit does not have, with all that a reader may ask for.
DIPOLE = OutputDef(
    name="dipole",
    type="dipole",
    title="dipole moment",
    plural="dipole moments",
    short="dipole",
    model="a dipole model",
    feature="dipole moments",
    unit="e·Å",
    shape=(3,),
    label="dipole",
    file="d",
    atomic=Variable("atom_dipole", "atomic dipole", "e·Å", ("natoms", 3), "atom_dipole", "ad"),
    tables=(ErrorTable("Dipole", ("dipole", "dipole_per_atom")),),
    summary=("dipole_per_atom", "atom_dipole"),
    of_frames=("dipole_per_atom",),
    expected=("dipole",),
    curves=(outputs.Curve("d", "d", "D", "dipole", "e·Å/atom", "C0", "dipole"),),
)


@pytest.fixture
def dipole(monkeypatch: pytest.MonkeyPatch) -> OutputDef:
    monkeypatch.setitem(OUTPUTS, "dipole", DIPOLE)
    return DIPOLE


def shape(variable: Variable, natoms: int) -> tuple[int, ...]:
    sizes = {"natoms": natoms, "3natoms": 3 * natoms, "components": POINTS}
    return tuple(axis if isinstance(axis, int) else sizes[axis] for axis in variable.shape)


def test_keys_are_unique() -> None:
    assert [row.name for row in OUTPUTS.values()] == list(OUTPUTS)
    rows = list(OUTPUTS.values())
    assert len({row.type for row in rows}) == len(rows)
    for keys in (
        [key for row in rows for key in row.variables],
        [each.label for row in rows for each in row.labelled],
        [each.file for row in rows for each in row.labelled],
        [quantity.key for row in rows for quantity in row.quantities],
        [curve.metric for row in rows for curve in row.curves],
        [curve.symbol for row in rows for curve in row.curves],
    ):
        assert len(set(keys)) == len(keys)
    assert list(outputs.quantities()) == [q.key for row in rows for q in row.quantities]


@EVERY
def test_rows_are_complete(output: OutputDef) -> None:
    texts = ("title", "plural", "short", "model", "feature", "unit", "label", "file")
    assert all(getattr(output, name) for name in texts)
    for each in output.labelled:
        assert each.title
        assert each.unit
        assert each.file
        assert each.columns
    assert bool(output.components) == output.total.has_components == output.atomic.has_components
    known = {quantity.key for quantity in output.quantities}
    used = [key for table in output.tables for key in table.quantities]
    used += [*output.summary, *output.of_frames, *output.of_atoms]
    used += [key for key, _ in output.panels] + [key for _, key in output.validation]
    assert set(used) <= known
    assert known <= {key for table in output.tables for key in table.quantities}
    assert output.plot.name != "Parity" or len(output.panels) == 2
    assert set(output.brief) <= {curve.metric for curve in output.curves}
    assert {curve.variable for curve in output.curves} <= set(output.variables)
    assert set(output.expected) <= {each.label for each in output.labelled}


@EVERY
def test_headings_have_the_units(output: OutputDef) -> None:
    for quantity in output.quantities:
        assert quantity.variable.unit in quantity.unit
        name, unit = heading(quantity.key).split("\n")
        assert quantity.unit in unit
        assert quantity.per_atom == ("/atom" in name + unit)


@pytest.mark.parametrize("system", [crystal(), molecule()], ids=["crystal", "molecule"])
@EVERY
def test_models_return_the_arrays_of_the_row(output: OutputDef, system: Any) -> None:
    model = MODELS[output.name]
    assert model.output is output
    potential = Potential(model, draw(model))
    asked = [each.key for each in output.variables.values() if each.on_request]
    got = potential.predict(system.coord, system.atype, system.cell, **dict.fromkeys(asked, True))
    assert {key: x.shape[1:] for key, x in got.items()} == {
        key: shape(each, len(system.atype)) for key, each in output.variables.items()
    }
    want = got[output.atomic.key].sum(axis=1)
    np.testing.assert_allclose(got[output.name], want, rtol=1e-12, atol=1e-12)


@EVERY
def test_models_compute_the_rest_at_once(output: OutputDef) -> None:
    model = MODELS[output.name]
    batch, _ = assemble(model, [crystal()])
    got = mdl.evaluate(get_backend("numpy"), model, draw(model), batch)
    assert set(got) == {each.key for each in output.variables.values() if not each.on_request}


@EVERY
def test_data_know_the_labels(output: OutputDef) -> None:
    for each in output.labelled:
        axes = tuple("ndof" if axis == "components" else axis for axis in each.shape)
        assert LABELS[each.label].shape == axes
    more = [output.coefficients] if output.coefficients else []
    assert {*more, *output.references} <= set(LABELS)


@EVERY
def test_losses_agree_with_the_row(output: OutputDef) -> None:
    loss, terms = LOSSES[output.name], {"energy": ENERGY_TERMS, "dos": DOS_TERMS}[output.name]
    assert {curve.term for curve in output.curves} == set(terms)
    for curve in output.curves:
        term, variable = terms[curve.term], output.variables[curve.variable]
        assert loss.metric(curve.term) == f"rmse_{curve.metric}"
        assert (term.prediction, term.label) == (variable.key, variable.label)
        assert loss.kind(variable.label).per_atom == (variable.atom_axes > 0)


@EVERY
def test_inputs_have_the_types(output: OutputDef) -> None:
    nets, losses = sections()["model.fitting_net"], sections()["loss"]
    for classes in (nets, losses):
        assert output.type in [each.model_fields["type"].annotation.__args__[0] for each in classes]
    (net,) = [each for each in nets if each.var_name == output.name]
    assert not output.components or output.components in net.model_fields
    assert output.name in FEATURES


@EVERY
def test_hooks_can_be_imported(output: OutputDef) -> None:
    model = MODELS[output.name]
    require_comparable(model, [])
    assert output.plot(model).required(atoms=False) in {(), (output.label,)}


def test_hessians_are_compared_on_request() -> None:
    labels = ("energy", "force", "virial", "atom_ener")
    assert compared(MODELS["energy"]) == labels
    assert compared(MODELS["energy"], hessian=True) == (*labels, "hessian")
    assert compared(MODELS["dos"], hessian=True) == ("dos", "atom_dos")


def test_columns_follow_from_shapes() -> None:
    assert ENERGY.total.columns == ("e",)
    assert ENERGY.variables["force"].columns == ("fx", "fy", "fz")
    assert ENERGY.variables["virial"].columns[:4] == ("vxx", "vxy", "vxz", "vyx")
    assert ENERGY.variables["hessian"].columns == ("h",)
    assert DOS.atomic.columns == ("ados",)


def test_a_mean_over_atoms_is_not_compared_per_atom() -> None:
    mean = replace(DIPOLE, reduction="mean")
    assert [quantity.key for quantity in DIPOLE.quantities] == [
        *("dipole", "dipole_per_atom", "atom_dipole"),
    ]
    assert [quantity.key for quantity in mean.quantities] == ["dipole", "atom_dipole"]


def test_a_new_row_reaches_metrics_and_headings(dipole: OutputDef) -> None:
    label = {"dipole": np.zeros((2, 3)), "atom_dipole": np.zeros((2, 4, 3))}
    output = {"dipole": np.full((2, 3), 2.0), "atom_dipole": np.full((2, 4, 3), 0.5)}
    real = np.array([[True] * 4, [True] * 2 + [False] * 2])
    errors = Errors()
    errors.add(output, label, real)
    assert errors.number == {"dipole": 6, "dipole_per_atom": 6, "atom_dipole": 18}
    assert errors.mae("dipole") == 2.0
    assert errors.mae("dipole_per_atom") == 0.75
    assert errors.rmse("atom_dipole") == 0.5
    assert heading("dipole_per_atom") == "dipole\ne·Å/atom"
    assert heading("atom_dipole") == "atomic dipole\ne·Å"
    assert dipole.total.columns == ("dx", "dy", "dz")
    atype = np.where(real, 0, -1)
    chunk = Chunk(np.arange(2), atype, np.ones(atype.shape), output, label)
    np.testing.assert_allclose(atom_errors("dipole", chunk)["atom_dipole"], 0.5)


def test_a_new_row_reaches_progress_and_model(dipole: OutputDef) -> None:
    assert describe({"rmse": 1.0, "rmse_d": 0.25}) == "D 2.50e-01"
    model = build()
    model = replace(model, fitting=replace(model.fitting, var_name="dipole", dim_out=3))
    assert model.output is dipole
    assert compared(model) == ("dipole", "atom_dipole")

    class Data:
        def load(self, frames: np.ndarray, keys: tuple[str, ...]) -> dict[str, np.ndarray]:
            return dict.fromkeys(keys, frames)

    assert set(load(model, Data(), np.arange(2), ["dipole"])) == {"dipole"}  # type: ignore[arg-type]

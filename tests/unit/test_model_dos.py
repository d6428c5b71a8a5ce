"""Models of densities of states: brute force, symmetries, exclusions, the standard, files."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import _brute as brute
import numpy as np
import pytest
from _backends import StrictBackend
from _cases import System, assemble, build, crystal, draw, evaluate, molecule, parameters
from _compare import same

import multifit
from multifit import files
from multifit import models as mdl
from multifit.backend import get_backend
from multifit.dos import Grid
from multifit.errors import ConfigError, FileFormatError, UnsupportedError
from multifit.tree import Tree

POINTS = 4
OPTIONS: dict[str, dict[str, Any]] = {
    "one side": {},
    "two sides, excluded pairs": {"type_one_side": False, "exclude_types": ((0, 1),)},
    "hidden pairs, excluded atoms": {
        **{"pair_exclude_types": ((0, 0),), "atom_exclude_types": (1,)},
    },
    "excluded by the fitting net": {"fitting_exclude": (0,)},
    "mixed types, protected": {"mixed_types": True, "env_protection": 0.2},
    "fparam and aparam": {"numb_fparam": 2, "numb_aparam": 1},
    "linear": {"fitting_neuron": ()},
    "cut at sel": {"sel": (3, 4)},
}
SYSTEMS = {"crystal": crystal, "molecule": molecule}
EVERY = pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
GRID = Grid((-2.0, -0.5, 1.0, 4.0), fermi_aligned=True, electrons=(6.0, 1.0))


def _case(options: dict[str, Any]) -> tuple[mdl.Model, Tree]:
    model = build(numb_dos=POINTS, **options)
    return model, draw(model)


def _by_hand(model: mdl.Model, params: Tree, system: System, extra: dict[str, Any]) -> np.ndarray:
    """Return the densities of states of the atoms, (natoms, POINTS)."""
    fit, p = model.fitting, params["fitting"]
    found = np.zeros((len(system.atype), POINTS))
    for i, a in enumerate(system.atype):
        if a in model.atom_exclude_types:
            continue
        found[i] = params["out_bias"][a]
        if a in fit.exclude_types:
            continue
        hidden = model.pair_exclude_types
        parts = [brute.descriptor(model.descriptor, params["descriptor"], system, i, hidden)]
        for kind, rows in extra.items():
            row = rows[0] if kind == "fparam" else rows[0, i]
            parts.append((row - p[f"{kind}_avg"]) * p[f"{kind}_inv_std"])
        net = p["nets"]["0" if fit.mixed_types else str(a)]
        found[i] += brute.network(net, np.concatenate(parts), linear_end=True)
        found[i] += p["bias_atom_e"][a]
    return found


@pytest.mark.parametrize("make", SYSTEMS.values(), ids=SYSTEMS)
@EVERY
def test_densities_are_those_of_brute_force(options: dict[str, Any], make: Any) -> None:
    (model, params), system = _case(options), make()
    extra = parameters(model, [system])
    out = evaluate(model, params, [system], **extra)
    want = _by_hand(model, params, system, extra)
    same(out, {"dos": want.sum(axis=0)[None], "atom_dos": want}, rtol=1e-12)


@EVERY
def test_the_core_needs_no_more_than_the_standard(
    options: dict[str, Any], strict: StrictBackend
) -> None:
    (model, params), systems = _case(options), [crystal(), crystal(3)]
    extra = parameters(model, systems)
    want = evaluate(model, params, systems, **extra)
    same(evaluate(model, params, systems, strict, True, **extra), want, rtol=1e-12)
    same(evaluate(model, params, systems, strict, True, 160, **extra), want, rtol=1e-10)


def test_there_are_no_derivatives_to_ask_for() -> None:
    model, params = _case({})
    batch, _ = assemble(model, [crystal()])
    out = mdl.evaluate(get_backend("numpy"), model, params, batch, forces=True, atom_virial=True)
    assert set(out) == {"dos", "atom_dos"}
    assert not model.output.derivatives


def test_frames_do_not_see_one_another() -> None:
    model, params = _case({"type_one_side": False})
    systems = [crystal(), molecule(), molecule(4), crystal(2)]
    alone = [evaluate(model, params, [one]) for one in systems]
    for static in (False, True):
        for key, x in evaluate(model, params, systems, static_shapes=static).items():
            same(x, np.concatenate([one[key] for one in alone]), rtol=1e-12)


def test_moving_turning_and_renaming_change_nothing() -> None:
    (model, params), system = _case({}), molecule()
    # Statistics of angular components are the same for x, y and z, or the net could see directions.
    for name, value in (("davg", 0.0), ("dstd", 0.4)):
        params["descriptor"][name][..., 1:] = value
    turn, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))
    order = np.array([3, 0, 4, 2, 1])
    moved = System((system.coord @ turn + 3.0)[order], system.atype[order], None)
    got, want = evaluate(model, params, [moved]), evaluate(model, params, [system])
    same(got, {"dos": want["dos"], "atom_dos": want["atom_dos"][order]}, rtol=1e-11)


def test_virtual_and_missing_atoms_count_for_nothing() -> None:
    (model, params), system = _case({}), molecule()
    far = np.concatenate([system.coord, [[0.5, 0.5, 0.5]]])
    more = System(far, np.append(system.atype, -1), None)
    same(evaluate(model, params, [more]), evaluate(model, params, [system]), rtol=1e-14)
    none = System(np.zeros((2, 3)), np.array([-1, -1]), None)
    empty = {"dos": np.zeros((1, POINTS)), "atom_dos": np.zeros((0, POINTS))}
    same(evaluate(model, params, [none]), empty, rtol=0.0)


def test_atoms_of_excluded_types_are_not_compared() -> None:
    (model, _), backend = _case({"atom_exclude_types": (1,)}), get_backend("numpy")
    batch, layout = assemble(model, [crystal(), crystal(3)])
    atoms = mdl.compared_atoms(backend, model, batch)
    kinds = crystal().atype[layout.atom]
    same(atoms.mask, (kinds == 0).astype(float), rtol=0.0)
    same(atoms.natoms, [2.0, 2.0], rtol=0.0)
    energies = build(atom_exclude_types=(1,))
    every = mdl.compared_atoms(backend, energies, batch)
    same(every.natoms, [6.0, 6.0], rtol=0.0)


def test_float32_nets_give_float64() -> None:
    model, params = _case({"precision": "float32"})
    out = evaluate(model, params, [crystal()])
    assert {str(x.dtype) for x in out.values()} == {"float64"}


# The grid, and files.


def test_a_model_and_its_grid_survive_their_file(tmp_path: Any) -> None:
    for name, options in OPTIONS.items():
        model, params = _case(options)
        for one in (model, replace(model, grid=GRID)):
            content = mdl.to_content(one, params)
            assert ("dos_grid" in content) == (one.grid is not None), name
            again, back = mdl.from_content(content)
            # Files say of each layer whether it is trained.
            assert replace(again, fitting=one.fitting) == one
            same(back, params, rtol=0.0)
    path = tmp_path / "model.json"
    files.write(path, mdl.to_content(replace(model, grid=GRID), params))
    assert multifit.load(path).model.grid == GRID


@pytest.mark.parametrize(
    ("options", "grid", "says"),
    [
        ({}, GRID, "a grid of energies is for densities of states only"),
        ({"numb_dos": 3}, GRID, "the grid has 4 energies, but numb_dos is 3"),
        (
            {"numb_dos": POINTS},
            replace(GRID, electrons=(1.0,)),
            "electrons has 1 entries, but there are 2 types",
        ),
    ],
)
def test_a_grid_fits_its_model(options: dict[str, Any], grid: Grid, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        build(**options, grid=grid)


def _refused(tmp_path: Any, change: Any, **options: Any) -> str:
    model = build(**{"numb_dos": POINTS, "grid": GRID, **options})
    content = mdl.to_content(model, draw(model))
    change(content)
    path = tmp_path / "model.dp"
    files.write(path, content)
    with pytest.raises((FileFormatError, UnsupportedError)) as caught:
        multifit.load(path)
    return str(caught.value)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda c: c["dos_grid"].update(energies=[0.0, 1.0]), "the grid has 2 energies, but numb_"),
        (lambda c: c["dos_grid"].update(energies=[0.0, 2.0, 1.0, 3.0]), "energies must increase"),
        (lambda c: c["dos_grid"].pop("electrons"), "has the keys energies, fermi_aligned, elec"),
        (lambda c: c["model"]["fitting"].update(dim_out=5), "dim_out is 5, but fitting.nets.0 giv"),
        (lambda c: c["model"]["fitting"].update(type="ener"), "var_name is 'dos', but a fitting"),
        (
            lambda c: c["model"]["fitting"].update(type="invar", var_name="band"),
            "the file's model fits 'band'; multifit reads models of 'energy' and 'dos'",
        ),
        (
            lambda c: c["model"]["@variables"].update(out_bias=np.zeros((1, 2, 3))),
            "out_bias has the shape (1, 2, 3)",
        ),
    ],
)
def test_files_that_contradict_themselves_are_refused(
    tmp_path: Any, change: Any, says: str
) -> None:
    assert says in _refused(tmp_path, change)


def test_a_model_of_several_energies_is_refused(tmp_path: Any) -> None:
    def change(content: Any) -> None:
        del content["dos_grid"]
        content["model"]["fitting"].update(type="invar", var_name="energy")

    assert "the file's model has 4 energies; multifit reads models of one" in _refused(
        tmp_path, change
    )

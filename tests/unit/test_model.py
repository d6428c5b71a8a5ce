"""The energy model: brute force, differences, symmetries, exclusions, and the strict standard."""

from __future__ import annotations

from typing import Any

import _brute as brute
import numpy as np
import pytest
from _backends import StrictBackend
from _cases import (
    System,
    assemble,
    build,
    crystal,
    draw,
    energy,
    evaluate,
    molecule,
    parameters,
    series,
)
from _compare import same
from _derivatives import by_differences
from hypothesis import given
from hypothesis import strategies as st

from multifit import models as mdl
from multifit.backend import get_backend
from multifit.descriptors import _chebyshev as cheb
from multifit.descriptors._coefficients import tails as tails_of
from multifit.errors import FileFormatError, UnsupportedError
from multifit.tree import flatten, map_leaves

OPTIONS: dict[str, dict[str, Any]] = {
    "one side": {},
    "two sides": {"type_one_side": False},
    "excluded pairs": {"exclude_types": ((0, 1),), "type_one_side": False},
    "hidden pairs": {"pair_exclude_types": ((0, 0),)},
    "excluded atoms": {"atom_exclude_types": (1,)},
    "excluded by the fitting net": {"fitting_exclude": (0,)},
    "mixed types, protected": {"mixed_types": True, "env_protection": 0.2},
    "no timestep": {"resnet_dt": False},
    "fparam and aparam": {"numb_fparam": 2, "numb_aparam": 1},
    "three types, one absent": {"sel": (8, 12, 4), "type_one_side": False},
}
CUT = {"cut at sel": {"sel": (3, 4)}}
SYSTEMS = {"crystal": crystal, "molecule": molecule}


def _case(options: dict[str, Any], system: System) -> tuple[mdl.Model, Any, dict[str, Any]]:
    model = build(**options)
    return model, draw(model), parameters(model, [system])


@pytest.mark.parametrize("make", SYSTEMS.values(), ids=SYSTEMS)
@pytest.mark.parametrize("options", (OPTIONS | CUT).values(), ids=OPTIONS | CUT)
def test_energies_are_those_of_brute_force(options: dict[str, Any], make: Any) -> None:
    system = make()
    model, params, extra = _case(options, system)
    out = evaluate(model, params, [system], **extra)
    want = brute.atom_energies(model, params, system, *[x[0] for x in extra.values()])
    same(out["atom_energy"], want, rtol=1e-12)
    same(out["energy"], [want.sum()], rtol=1e-12)


@pytest.mark.parametrize("make", SYSTEMS.values(), ids=SYSTEMS)
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_forces_are_the_slope_of_the_energy(options: dict[str, Any], make: Any) -> None:
    system = make()
    model, params, extra = _case(options, system)
    out = evaluate(model, params, [system], **extra)
    slope = by_differences(
        lambda x: energy(model, params, system.moved(x), **extra), system.coord, step=1e-4
    )
    same(out["force"], -slope, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("make", SYSTEMS.values(), ids=SYSTEMS)
@pytest.mark.parametrize("key", ["two sides", "excluded pairs", "excluded atoms"])
def test_the_virial_is_the_slope_under_strain(key: str, make: Any) -> None:
    system = make()
    model, params, extra = _case(OPTIONS[key], system)
    out = evaluate(model, params, [system], **extra)

    def strained(strain: np.ndarray) -> float:
        stretch = np.eye(3) + strain
        cell = None if system.cell is None else system.cell @ stretch
        return energy(model, params, system.moved(system.coord @ stretch, cell), **extra)

    slope = by_differences(strained, np.zeros((3, 3)), step=1e-4)
    same(out["virial"][0], -slope, rtol=1e-8, atol=1e-10)
    same(out["atom_virial"].sum(axis=0).T, out["virial"][0], rtol=1e-10)


@pytest.mark.parametrize("key", OPTIONS)
def test_the_core_needs_no_more_than_the_standard(key: str, strict: StrictBackend) -> None:
    systems = [crystal(), crystal(3)]
    model = build(**OPTIONS[key])
    params, extra = draw(model), parameters(model, systems)
    out = evaluate(model, params, systems, strict, static_shapes=True, **extra)
    same(out, evaluate(model, params, systems, **extra), rtol=1e-12)


# Embedding nets as Chebyshev series.


@pytest.mark.parametrize("key", OPTIONS)
def test_the_series_gives_the_same_numbers(key: str, strict: StrictBackend) -> None:
    systems = [crystal(), crystal(3)]
    model = build(**OPTIONS[key])
    params, extra = draw(model), parameters(model, systems)
    direct = evaluate(model, params, systems, **extra)
    # Differentiating a series of K terms costs a factor of about K² of the last digit.
    same(evaluate(model, params, systems, coefficients=160, **extra), direct, rtol=1e-9)
    got = evaluate(model, params, systems, strict, True, coefficients=160, **extra)
    same(got, direct, rtol=1e-9)


@pytest.mark.parametrize("activation", sorted(cheb.SMOOTH))
def test_the_series_converges_for_smooth_activations(activation: str) -> None:
    model = build(activation=activation)
    params = draw(model)
    direct = evaluate(model, params, [molecule()])
    same(evaluate(model, params, [molecule()], coefficients=160), direct, rtol=1e-9)


def test_the_tail_tells_whether_the_series_is_exact() -> None:
    model = build()
    params = draw(model)
    tails = []
    for k in (8, 24, 48, 160):
        basis = series(model, [molecule()], k)["near"]
        tails.append(tails_of(model.descriptor, params["descriptor"], basis, [0, 1], [0, 1]).max())
    assert tails[0] > 1e-6
    assert tails[-1] < 1e-13
    direct = evaluate(model, params, [molecule()])["energy"]
    errors = [
        float(np.abs(evaluate(model, params, [molecule()], coefficients=k)["energy"] - direct)[0])
        for k in (4, 8, 24, 160)
    ]
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > 1e-6 > 1e-12 > errors[-1]


def test_float32_runs_on_the_standard(strict: StrictBackend) -> None:
    model = build(precision="float32", numb_fparam=1)
    params, extra = draw(model), parameters(model, [crystal()])
    out = evaluate(model, params, [crystal()], strict, **extra)
    same(out, evaluate(model, params, [crystal()], **extra), rtol=1e-5)


@pytest.mark.parametrize("make", SYSTEMS.values(), ids=SYSTEMS)
def test_float32_nets_are_near_float64(make: Any) -> None:
    system = make()
    single, double = build(precision="float32"), build(precision="float64")
    params = draw(double)
    rough = map_leaves(np.copy, params)
    for name, x in flatten(draw(single)).items():
        *path, last = name.split(".")
        node = rough
        for step in path:
            node = node[step]
        node[last] = node[last].astype(x.dtype)
    got, want = evaluate(single, rough, [system]), evaluate(double, params, [system])
    assert {str(x.dtype) for x in got.values()} == {"float64"}
    same(got, want, rtol=2e-5)
    assert np.abs(got["force"] - want["force"]).max() > 0.0


def test_forces_are_left_out_on_request() -> None:
    model = build()
    batch, _ = assemble(model, [crystal()])
    numpy = get_backend("numpy")
    out = mdl.evaluate(numpy, model, draw(model), batch, forces=False)
    assert set(out) == {"energy", "atom_energy"}
    assert set(mdl.evaluate(numpy, model, draw(model), batch)) == {
        *("energy", "atom_energy", "force", "virial")
    }


# Symmetries.

_angles = st.floats(-3.0, 3.0)
_shift = st.tuples(*[st.floats(-20.0, 20.0)] * 3)


def _rotation(a: float, b: float, c: float) -> np.ndarray:
    def about(axis: int, angle: float) -> np.ndarray:
        i, j = (k for k in range(3) if k != axis)
        r = np.eye(3)
        r[i, i] = r[j, j] = np.cos(angle)
        r[i, j], r[j, i] = -np.sin(angle), np.sin(angle)
        return r

    return about(0, a) @ about(1, b) @ about(2, c)


@pytest.mark.parametrize("make", SYSTEMS.values(), ids=SYSTEMS)
@given(shift=_shift)
def test_translation_changes_nothing(make: Any, shift: tuple[float, float, float]) -> None:
    system, model = make(), build(type_one_side=False)
    params = draw(model)
    moved = system.moved(system.coord + np.array(shift))
    same(evaluate(model, params, [moved]), evaluate(model, params, [system]), rtol=1e-10)


@pytest.mark.parametrize("make", SYSTEMS.values(), ids=SYSTEMS)
@given(a=_angles, b=_angles, c=_angles, mirror=st.booleans())
def test_rotation_turns_forces_and_virials(
    make: Any, a: float, b: float, c: float, mirror: bool
) -> None:
    system, model = make(), build(type_one_side=False)
    params = draw(model)
    # Statistics of angular components are the same for x, y and z, or the net could see directions.
    for name, value in (("davg", 0.0), ("dstd", 0.4)):
        params["descriptor"][name][..., 1:] = value
    turn = _rotation(a, b, c) * (-1.0 if mirror else 1.0)
    cell = None if system.cell is None else system.cell @ turn
    out = evaluate(model, params, [system])
    same(out["virial"][0], out["virial"][0].T)
    got = evaluate(model, params, [system.moved(system.coord @ turn, cell)])
    same(got["energy"], out["energy"])
    same(got["force"], out["force"] @ turn, rtol=1e-9)
    same(got["virial"], turn.T @ out["virial"] @ turn, rtol=1e-9)
    same(got["atom_virial"], turn.T @ out["atom_virial"] @ turn, rtol=1e-9)


@pytest.mark.parametrize("make", SYSTEMS.values(), ids=SYSTEMS)
@given(data=st.data())
def test_the_order_of_atoms_does_not_matter(make: Any, data: Any) -> None:
    system, model = make(), build(type_one_side=False)
    params = draw(model)
    order = np.array(data.draw(st.permutations(range(len(system.atype)))))
    got = evaluate(model, params, [System(system.coord[order], system.atype[order], system.cell)])
    out = evaluate(model, params, [system])
    for key in ("atom_energy", "force", "atom_virial"):
        same(got[key], out[key][order])
    same(got["virial"], out["virial"])


def test_forces_sum_to_zero() -> None:
    for make in SYSTEMS.values():
        model = build(sel=(3, 4))
        out = evaluate(model, draw(model), [make()])
        same(out["force"].sum(axis=0), np.zeros(3), atol=1e-13)


# Unusual atoms.


def test_isolated_atoms_have_an_energy_and_no_force() -> None:
    model = build(type_one_side=False)
    params = draw(model)
    alone = System(np.zeros((1, 3)), np.array([1]), None)
    one = evaluate(model, params, [alone])
    same(one["energy"], brute.atom_energies(model, params, alone), rtol=1e-12)
    same(one["force"], np.zeros((1, 3)), atol=0.0)
    apart = System(np.diag([0.0, 30.0, 60.0]), np.array([1, 1, 0]), None)
    three = evaluate(model, params, [apart])
    same(three["atom_energy"][:2], np.repeat(one["energy"], 2), rtol=1e-14)
    for key in ("force", "virial", "atom_virial"):
        same(three[key], np.zeros_like(three[key]), atol=0.0)


def test_isolated_atoms_take_fparam_and_aparam() -> None:
    model = build(numb_fparam=1, numb_aparam=2)
    params = draw(model)
    apart = System(np.diag([0.0, 30.0, 60.0]), np.array([1, 1, 0]), None)
    extra = parameters(model, [apart])
    want = brute.atom_energies(model, params, apart, extra["fparam"][0], extra["aparam"][0])
    same(evaluate(model, params, [apart], **extra)["atom_energy"], want, rtol=1e-12)


def test_virtual_atoms_are_not_there() -> None:
    model, system = build(), molecule()
    params = draw(model)
    more = System(
        np.concatenate([system.coord, [[0.5, 0.5, 0.5]]]), np.append(system.atype, -1), None
    )
    same(evaluate(model, params, [more]), evaluate(model, params, [system]), rtol=1e-14)


def test_a_frame_without_atoms_has_no_energy() -> None:
    model = build()
    batch, _ = assemble(model, [System(np.zeros((2, 3)), np.array([-1, -1]), None)])
    out = mdl.evaluate(get_backend("numpy"), model, draw(model), batch, atom_virial=True)
    same(out["energy"], [0.0])
    same(out["virial"], np.zeros((1, 3, 3)))
    assert out["force"].shape == (0, 3)


def test_excluded_atoms_count_for_nothing_but_are_seen() -> None:
    model, free = build(atom_exclude_types=(1,)), build()
    params, system = draw(free), crystal()
    got, want = evaluate(model, params, [system]), evaluate(free, params, [system])
    hydrogen = system.atype == 1
    same(got["atom_energy"][hydrogen], np.zeros(4), atol=0.0)
    same(got["atom_energy"][~hydrogen], want["atom_energy"][~hydrogen], rtol=0.0)
    assert np.all(got["force"][hydrogen] != 0.0)


def test_hidden_pairs_do_not_see_each_other() -> None:
    model = build(pair_exclude_types=((0, 1),))
    params, system = draw(model), molecule()
    moved = system.moved(system.coord + np.where(system.atype == 1, 0.05, 0.0)[:, None])
    same(evaluate(model, params, [moved])["energy"], evaluate(model, params, [system])["energy"])


def test_frames_do_not_see_one_another() -> None:
    """Frames of any size, with and without a cell, give in one batch what each gives alone."""
    systems = [crystal(), molecule(), molecule(4), crystal(2)]
    model = build(type_one_side=False)
    params = draw(model)
    alone = [evaluate(model, params, [one]) for one in systems]
    for static in (False, True):
        got = evaluate(model, params, systems, static_shapes=static)
        for key, x in got.items():
            same(x, np.concatenate([one[key] for one in alone]), rtol=1e-11)


# Files.


def test_a_model_survives_its_file_form() -> None:
    for options in (OPTIONS | CUT).values():
        model = build(**options)
        params = draw(model)
        again, back = mdl.deserialize(mdl.serialize(model, params))
        assert again.descriptor == model.descriptor
        assert again.atom_exclude_types == model.atom_exclude_types
        assert again.pair_exclude_types == model.pair_exclude_types
        same(back, params, rtol=0.0)


def test_a_model_of_another_kind_is_refused() -> None:
    model = build()
    node = mdl.serialize(model, draw(model))
    with pytest.raises(UnsupportedError, match="spin_ener"):
        mdl.deserialize({**node, "type": "spin_ener"})
    with pytest.raises(UnsupportedError, match="dpa9"):
        mdl.deserialize({**node, "descriptor": {**node["descriptor"], "type": "dpa9"}})
    with pytest.raises(FileFormatError, match="newer multifit"):
        mdl.deserialize({**node, "@version": 99})
    with pytest.raises(FileFormatError, match="lacks descriptor"):
        mdl.deserialize({key: x for key, x in node.items() if key != "descriptor"})
    with pytest.raises(FileFormatError, match="type_map has 1 elements"):
        mdl.deserialize({**node, "type_map": ["O"]})


def test_names_of_what_is_trained_are_names_of_parameters() -> None:
    for options in OPTIONS.values():
        model = build(**options)
        names = list(mdl.trainable_names(model))
        every = set(flatten(mdl.init(model, 1, 2)))
        assert len(names) == len(set(names))
        assert set(names) <= every
        rest = {name.rpartition(".")[2] for name in every - set(names)}
        assert rest <= {
            *("davg", "dstd", "out_bias", "bias_atom_e"),
            *("fparam_avg", "fparam_inv_std", "aparam_avg", "aparam_inv_std"),
        }

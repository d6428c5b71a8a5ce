"""What every registered descriptor must do, on every backend; nothing here names one of them.

A descriptor that is added is tested without a change of this file: its ``examples`` are the cases,
and files ``reference/NAME_*.dp`` with ``.npz`` beside them are compared with DeePMD-kit.
"""

from __future__ import annotations

import functools
import itertools
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _backends import INSTALLED, TRAINABLE, StrictBackend
from _cases import (
    System,
    assemble,
    batcher,
    crystal,
    draw,
    energy,
    evaluate,
    frame,
    model_of,
    molecule,
    section_of,
)
from _compare import same
from _domains import Domain, total

from multifit import descriptors, files
from multifit import models as mdl
from multifit.backend import get_backend
from multifit.config import parse
from multifit.descriptors import Descriptor
from multifit.errors import ConfigError, TrainingError
from multifit.inference.model_file import read_model
from multifit.inference.potential import Potential
from multifit.neighbors.frame import Frame
from multifit.nn.stacking import stacked
from multifit.support import FEATURES
from multifit.tree import Tree, flatten, map_leaves, unflatten

HERE = Path(__file__).parent / "reference"
CASES = {
    f"{name}-{k}": example
    for name, found in descriptors.available().items()
    for k, example in enumerate(found.examples())
}
FIRST = [next(iter(found.examples())) for found in descriptors.available().values()]
SYSTEMS = (crystal(), molecule())

_model = functools.partial(model_of, mixed_types=False)


@pytest.fixture(params=CASES)
def descriptor(request: pytest.FixtureRequest) -> Descriptor:
    return CASES[request.param]


def _parts(descriptor: Descriptor) -> tuple[Any, ...]:
    """Return the parts of a descriptor that has several; else itself."""
    return getattr(descriptor, "list", (descriptor,))


def _with(descriptor: Descriptor, **changes: Any) -> Descriptor:
    """Return the settings with other options, of each part if there are several."""
    if hasattr(descriptor, "list"):
        return replace(descriptor, list=tuple(_with(part, **changes) for part in descriptor.list))  # type: ignore[type-var]
    own = {key: x for key, x in changes.items() if _has(descriptor, key)}
    return replace(descriptor, **own)  # type: ignore[type-var]


def _is_smooth(descriptor: Descriptor) -> bool:
    """Return False for a kink, next to which finite differences say nothing."""
    return not any(
        "relu" in str(getattr(part, "activation_function", "")) for part in _parts(descriptor)
    )


def _draw(model: mdl.Model) -> Tree:
    """Return random networks, with the statistics of a few frames."""
    params, own = draw(model), model.descriptor
    frames = [_frame(model, system) for system in SYSTEMS]
    found = own.statistics(own.sums(frames), 0.01)
    params["descriptor"] = unflatten({**flatten(params["descriptor"]), **found})
    return params


def _frame(model: mdl.Model, system: System) -> Frame:
    return frame(batcher(model), system)


def _near(got: Any, want: Any, descriptor: Descriptor) -> None:
    """Assert that finite differences confirm a derivative."""
    rtol = 1e-6 if _is_smooth(descriptor) else 1e-4
    same(got, want, rtol=rtol, atol=2e-9 + rtol * float(np.abs(want).max()))


@pytest.mark.parametrize("system", SYSTEMS, ids=["crystal", "molecule"])
def test_forces_and_virial_are_derivatives_of_the_energy(
    descriptor: Descriptor, system: System
) -> None:
    model = _model(descriptor)
    params, h = _draw(model), 1e-5
    out = evaluate(model, params, [system])
    force = np.zeros_like(system.coord)
    for i, c in np.ndindex(force.shape):
        ends = []
        for sign in (1.0, -1.0):
            coord = system.coord.copy()
            coord[i, c] += sign * h
            ends.append(energy(model, params, system.moved(coord)))
        force[i, c] = -(ends[0] - ends[1]) / (2 * h)
    _near(out["force"], force, descriptor)
    virial = np.zeros((3, 3))
    for a, b in np.ndindex(3, 3):
        ends = []
        for sign in (1.0, -1.0):
            strain = np.eye(3)
            strain[b, a] += sign * h
            cell = None if system.cell is None else system.cell @ strain
            ends.append(energy(model, params, System(system.coord @ strain, system.atype, cell)))
        virial[a, b] = -(ends[0] - ends[1]) / (2 * h)
    _near(out["virial"][0], virial, descriptor)


def test_the_energy_has_the_symmetries_of_space(descriptor: Descriptor) -> None:
    model, system = _model(descriptor), crystal()
    params = _draw(model)
    want = evaluate(model, params, [system])
    turn, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))
    assert system.cell is not None
    turned = system.moved(system.coord @ turn + 0.7, system.cell @ turn)
    got = evaluate(model, params, [turned])
    same(got["energy"], want["energy"])
    same(got["force"], want["force"] @ turn, rtol=1e-9)
    same(got["virial"], turn.T @ want["virial"] @ turn, rtol=1e-9)
    order = np.random.default_rng(1).permutation(len(system.atype))
    got = evaluate(model, params, [System(system.coord[order], system.atype[order], system.cell)])
    same(got["atom_energy"], want["atom_energy"][order])


def test_the_energy_is_smooth_at_the_cutoff(descriptor: Descriptor) -> None:
    """An atom that leaves the cut-off takes nothing with it: no step, and no step in the force."""
    model = _model(descriptor)
    # With a mean ≠ 0 the slot of an excluded pair is not an empty one, as in DeePMD-kit.
    excludes = any(part.exclude_types for part in _parts(descriptor))
    params = mdl.init(model, 1, 2) if excludes else _draw(model)
    rcut = descriptor.requires().rcut

    def at(r: float, other: int) -> dict[str, Any]:
        pair = System(
            np.array([[0.0, 0, 0], [r, 0, 0], [0, 1.1, 0]]), np.array([0, other, 1]), None
        )
        return evaluate(model, params, [pair])

    for other in range(2):
        inside, outside = at(rcut - 1e-7, other), at(rcut + 1e-7, other)
        same(inside["energy"], outside["energy"], rtol=0, atol=1e-12)
        same(inside["force"], outside["force"], rtol=0, atol=1e-9)


def test_ghosts_of_an_engine_pass_messages(descriptor: Descriptor) -> None:
    """Ghosts are centres, too: their features are messages to the local atoms."""
    if descriptor.requires().hops == 1:
        pytest.skip("tests/consistency/test_pairs.py has pairs without messages")
    model, system = _model(descriptor), molecule()
    potential, n = Potential(model, _draw(model)), len(system.atype)
    want, domains = potential.predict(system.coord, system.atype), []
    for local in ([0, 3], [1, 2, 4]):
        order = np.array([*local, *(k for k in range(n) if k not in local)])
        coord = system.coord[order]
        i, j = np.nonzero(~np.eye(n, dtype=bool))
        rij = coord[j] - coord[i]
        domains.append(Domain(rij, i, j, system.atype[order], len(local), order))
    got = total(n, domains, [potential.evaluate_pairs(*one.arguments) for one in domains])
    for key in ("energy", "atom_energy", "force", "virial"):
        same(got[key], want[key][0], rtol=1e-9)


@pytest.mark.parametrize("name", [*INSTALLED, "strict"])
def test_backends_agree(descriptor: Descriptor, name: str, strict: StrictBackend) -> None:
    model = _model(descriptor)
    params = _draw(model)
    backend = strict if name == "strict" else get_backend(name)
    # One batch, because compilers need seconds for each shape.
    want = evaluate(model, params, SYSTEMS)
    got = evaluate(model, params, SYSTEMS, backend, static_shapes=True)
    same(got, want, rtol=1e-9)
    same(got["energy"], want["energy"])


@pytest.mark.parametrize("name", TRAINABLE)
def test_gradients_of_energies_and_forces_agree(descriptor: Descriptor, name: str) -> None:
    """Those of a loss of both, by all trainable parameters, are finite differences on NumPy."""
    if name == "tensorflow" and descriptor not in FIRST:
        pytest.skip("one case of each descriptor: it compiles as JAX does, which has all cases")
    model, backend = _model(descriptor), get_backend(name)
    flat, names = flatten(_draw(model)), list(mdl.trainable_names(model))
    batch, _ = assemble(model, [crystal()])
    trainable = {key: backend.asarray(flat[key]) for key in names}
    rest = {key: backend.asarray(x) for key, x in flat.items() if key not in trainable}

    def loss(part: Any, others: Any, batch: Any) -> tuple[Any, Any]:
        out = mdl.evaluate(backend, model, unflatten({**others, **part}), batch)
        xp = backend.xp
        return xp.sum(out["energy"]) + xp.sum(out["force"] * out["force"]), {}

    run = backend.compile(backend.value_and_grad(loss))
    (_, _), grads = run(trainable, rest, map_leaves(backend.asarray, batch))
    rng, h = np.random.default_rng(3), 1e-6
    way = {key: rng.normal(size=np.shape(flat[key])) for key in names}
    ends = []
    for sign in (1.0, -1.0):
        moved = {k: x + sign * h * way[k] if k in way else x for k, x in flat.items()}
        out = mdl.evaluate(get_backend("numpy"), model, unflatten(moved), batch)
        ends.append(out["energy"].sum() + (out["force"] ** 2).sum())
    slope = (ends[0] - ends[1]) / (2 * h)
    got = sum((backend.to_numpy(grads[key]) * way[key]).sum() for key in names)
    same(got, slope, rtol=1e-5 if _is_smooth(descriptor) else 1e-3)


@pytest.mark.parametrize("name", ["numpy", *INSTALLED])
def test_a_plan_changes_nothing(descriptor: Descriptor, name: str) -> None:
    model = _model(descriptor)
    params = _draw(model)
    want = Potential(model, params, embedding="direct")
    got = Potential(model, params, name)
    for system in SYSTEMS if name == "numpy" else SYSTEMS[:1]:
        args = (system.coord, system.atype, system.cell)
        same(got.predict(*args), want.predict(*args), rtol=1e-8)


def test_the_state_of_a_planner_restores_it(descriptor: Descriptor) -> None:
    model, numpy = _model(descriptor), get_backend("numpy")
    params = _draw(model)
    one, two = (descriptor.planner(numpy, train=True) for _ in range(2))
    nearest = np.full((2, 2), 0.8)
    plan = one.plan_for(nearest, lambda: params)
    two.restore(one.state())
    assert two.covers(nearest)
    assert (plan is None) == (two.plan is None)
    if plan is not None and two.plan is not None:
        same(two.plan.host, plan.host)


def test_parts_of_a_frame_give_the_whole(descriptor: Descriptor) -> None:
    model, system = _model(descriptor), crystal()
    params = _draw(model)
    args = (system.coord, system.atype, system.cell)
    want = Potential(model, params).predict(*args, atom_virial=True)
    got = Potential(model, params, atoms_at_once=2).predict(*args, atom_virial=True)
    same(got, want, rtol=1e-9)


def test_the_hessian_is_the_derivative_of_the_forces(descriptor: Descriptor) -> None:
    model, system, h = _model(descriptor), molecule(), 1e-5
    potential = Potential(model, _draw(model), embedding="direct")
    got = potential.predict(system.coord, system.atype, hessian=True)["hessian"][0]
    want = np.zeros_like(got)
    for i, c in np.ndindex(system.coord.shape):
        ends = []
        for sign in (1.0, -1.0):
            coord = system.coord.copy()
            coord[i, c] += sign * h
            ends.append(potential.predict(coord, system.atype)["force"].ravel())
        want[3 * i + c] = -(ends[0] - ends[1]) / (2 * h)
    _near(got, want, descriptor)


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("suffix", [".dp", ".json"])
def test_a_file_gives_the_model_back(
    descriptor: Descriptor, precision: str, suffix: str, tmp_path: Path
) -> None:
    model = _model(_with(descriptor, precision=precision))
    params = _draw(model)
    files.write(tmp_path / f"model{suffix}", mdl.to_content(model, params))
    back, found, _ = read_model(tmp_path / f"model{suffix}")
    assert back.descriptor == model.descriptor
    system = crystal()
    args = (system.coord, system.atype, system.cell)
    got, want = (Potential(m, p).predict(*args) for m, p in ((back, found), (model, params)))
    same(got, want, rtol=1e-12 if precision == "float64" else 1e-5)


def test_its_section_of_an_input_describes_it(descriptor: Descriptor) -> None:
    sels = [(8, 12) if _has(part, "sel") else part.requires().slots for part in _parts(descriptor)]
    for name in (descriptor.name, *descriptor.aliases):
        config = parse(_input({**section_of(descriptor), "type": name}), "input")
        built = descriptors.build_parts(config.model.descriptor, sels, ["O", "H"])
        assert built == _with(descriptor, sel=(8, 12))
    assert config.model.descriptor.dim_out == descriptor.dim_out


def _has(descriptor: Descriptor, name: str) -> bool:
    """Return True if a descriptor has a setting of this name."""
    return name in (field.name for field in fields(descriptor))  # type: ignore[arg-type]


def _input(section: dict[str, Any]) -> dict[str, Any]:
    return {
        "model": {"type_map": ["O", "H"], "descriptor": section, "fitting_net": {}},
        "learning_rate": {"start_lr": 1e-3, "stop_lr": 1e-5},
        "training": {"training_data": {"systems": "data"}, "numb_steps": 1},
    }


@pytest.mark.parametrize(("kind", "wrong"), [("rcut", -1.0), ("rcut", "6"), ("sel", -2)])
def test_an_option_out_of_range_is_refused_in_python_too(
    descriptor: Descriptor, kind: str, wrong: Any
) -> None:
    checked = [
        (part, field.name)
        for part in _parts(descriptor)
        for field in fields(part)
        if field.name.rpartition("_")[2] == kind
    ]
    if not checked:
        pytest.skip(f"no option of its own is a {kind}: tests/unit has those of its blocks")
    for part, name in checked:
        value = (1, wrong) if isinstance(getattr(part, name), tuple) else wrong
        with pytest.raises(ConfigError, match=f"{name}.* must be .*, but is "):
            replace(part, **{name: value})


def test_statistics_have_the_shapes_of_parameters(descriptor: Descriptor) -> None:
    model = _model(descriptor)
    params = flatten(descriptor.init(0))
    frames = [_frame(model, system) for system in SYSTEMS]
    found = descriptor.statistics(descriptor.sums(frames), 0.01)
    for name, value in found.items():
        assert value.shape == params[name].shape
        assert np.isfinite(value).all()
    parts = descriptor.sums(frames[:1]) + descriptor.sums(frames[1:])
    same(descriptor.statistics(parts, 0.01), found)
    assert set(descriptor.trainable_names()) <= set(params)
    assert not set(found) & set(descriptor.trainable_names())


def test_types_in_another_order_are_the_same_model(descriptor: Descriptor) -> None:
    if descriptor.requires().sel[0] == 0 or descriptor.requires().sel[1] == 0:
        pytest.skip("its two types cannot be exchanged")
    model = _model(descriptor)
    params = _draw(model)
    other: Any = _flipped(descriptor)
    fresh = other.init(9)
    shared = [(0, 1), (1, 0)]
    try:
        found = other.remap_types(fresh, descriptor, params["descriptor"], shared)
    except TrainingError as exc:
        pytest.skip(str(exc))
    swapped = {
        "descriptor": found,
        "fitting": {
            **params["fitting"],
            "nets": {"0": params["fitting"]["nets"]["1"], "1": params["fitting"]["nets"]["0"]},
            "bias_atom_e": params["fitting"]["bias_atom_e"][::-1],
        },
        "out_bias": params["out_bias"][::-1],
    }
    # The statistics of a centre are those of its first shared neighbour for all neighbours.
    flat = flatten(params["descriptor"])
    for name, value in flat.items():
        if name.rpartition(".")[2] in ("davg", "dstd") and value.ndim == 3:
            flat[name] = np.repeat(value[:, 1:], 2, axis=1)
    params["descriptor"] = unflatten(flat)
    swapped["descriptor"] = other.remap_types(fresh, descriptor, params["descriptor"], shared)
    system = crystal()
    want = evaluate(model, params, [system])
    got = evaluate(
        _model(other, ("H", "O")), swapped, [System(system.coord, 1 - system.atype, system.cell)]
    )
    same(got, want, rtol=1e-9)


def _flipped(descriptor: Descriptor) -> Descriptor:
    """Return the settings for the two types in the other order."""
    if hasattr(descriptor, "list"):
        return replace(descriptor, list=tuple(map(_flipped, descriptor.list)))  # type: ignore[type-var]
    changes: dict[str, Any] = {}
    for name in ("sel", "type_map"):
        if _has(descriptor, name):
            changes[name] = getattr(descriptor, name)[::-1]
    if _has(descriptor, "exclude_types"):
        changes["exclude_types"] = tuple((1 - a, 1 - b) for a, b in descriptor.exclude_types)
    return replace(descriptor, **changes)  # type: ignore[type-var]


def test_what_is_said_of_it(descriptor: Descriptor) -> None:
    lines = list(descriptor.describe(["O", "H"]))
    assert lines[0][0] == "descriptor"
    assert descriptor.name in lines[0][1]
    assert all(isinstance(text, str) for line in lines for text in line)
    assert FEATURES[f"descriptor {descriptor.name}"].title == f"descriptor {descriptor.name}"


def test_nets_of_many_types_may_be_in_one_array(
    descriptor: Descriptor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run and a prediction keep the parameters of more than FEW nets of a kind together."""
    model = _model(descriptor)
    params = _draw(model)
    want = evaluate(model, params, [crystal()])
    monkeypatch.setattr("multifit.nn.stacking.FEW", 1)
    got = evaluate(model, unflatten(stacked(flatten(params))), [crystal()])
    same(got, want, rtol=1e-11)


REFERENCES = sorted(
    {
        path
        for name, path in itertools.product(descriptors.available(), sorted(HERE.glob("*.dp")))
        if path.stem.startswith(f"{name}_")
    }
)


@pytest.mark.parametrize("embedding", ["direct", "auto"])
@pytest.mark.parametrize("path", REFERENCES, ids=lambda path: path.stem)
def test_the_numbers_are_those_of_deepmd_kit(path: Path, embedding: str) -> None:
    known = np.load(path.with_suffix(".npz"))
    model, params, _ = read_model(path)
    got = Potential(model, params, embedding=embedding).predict(
        known["in_coord"],
        known["in_atype"],
        known["in_box"].reshape(-1, 3, 3) if "in_box" in known else None,
        atom_virial="out_atom_virial" in known,
    )
    rtol = 1e-11 if embedding == "direct" else 1e-9
    same(got["energy"], known["out_energy"][:, 0], rtol=1e-12)
    same(got["atom_energy"], known["out_atom_energy"][:, :, 0], rtol=rtol)
    same(got["force"], known["out_force"], rtol=rtol)
    same(got["virial"], known["out_virial"].reshape(-1, 3, 3), rtol=rtol)
    # With messages the virial of an atom is a matter of convention.
    if "out_atom_virial" in known and model.descriptor.requires().hops == 1:
        same(got["atom_virial"], known["out_atom_virial"].reshape(*got["atom_virial"].shape), rtol)

"""jax-md runs a model: its energy function is the potential, and JAX differentiates it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from _cases import System, build, crystal, draw, model_of

from multifit.descriptors import get_descriptor
from multifit.errors import DataError, EngineError
from multifit.inference.potential import Potential

pytest.importorskip("jax", reason="JAX is not installed")
pytest.importorskip("jax_md", reason="jax-md is not installed")

import jax
import jax.numpy as jnp
from jax_md import simulate, space

from multifit.interfaces.jaxmd import energy_neighbor_list

# jax-md's own lists have int32, into which it writes int64 where JAX has 64 bits.
pytestmark = pytest.mark.filterwarnings("ignore:scatter inputs have incompatible:FutureWarning")

EXACT = 1e-9
LENGTH = 8.4


def potential(**options: Any) -> Potential:
    model = build(**options)
    return Potential(model, draw(model), "jax")


def box(number: int = 40) -> System:
    """Return atoms in a cube that is just wide enough, types mixed."""
    rng, places = np.random.default_rng(3), []
    while len(places) < number:
        one = rng.uniform(0, LENGTH, size=3)
        away = [(one - other + LENGTH / 2) % LENGTH - LENGTH / 2 for other in places]
        if all(np.linalg.norm(x) > 1.1 for x in away):
            places.append(one)
    return System(np.array(places), rng.integers(0, 2, size=number), LENGTH * np.eye(3))


def periodic(model: Potential, system: System, **options: Any) -> tuple[Any, Any, Any]:
    """Return the neighbours, the energy function and the shift of positions."""
    displacement, shift = space.periodic(LENGTH)
    neighbor_fn, energy_fn = energy_neighbor_list(
        displacement, LENGTH, model, system.atype, **options
    )
    return neighbor_fn.allocate(jnp.asarray(system.coord)), energy_fn, shift


@pytest.mark.parametrize(
    "options",
    [
        {},
        {
            "sel": (3, 4),
            "pair_exclude_types": ((0, 0),),
            "exclude_types": ((1, 1),),
            "numb_fparam": 1,
            "numb_aparam": 2,
        },
    ],
    ids=["plain", "cut at sel, excluded, parameters"],
)
def test_energy_and_gradient_are_those_of_predict(options: dict[str, Any]) -> None:
    model, system = potential(**options), box()
    rng, extra = np.random.default_rng(0), {}
    if "numb_fparam" in options:
        extra = {"fparam": rng.normal(size=1), "aparam": rng.normal(size=(len(system.atype), 2))}
    neighbors, energy_fn, _ = periodic(model, system, **extra)
    energy, gradient = jax.jit(jax.value_and_grad(energy_fn))(jnp.asarray(system.coord), neighbors)
    want = model.predict(system.coord, system.atype, system.cell, **extra)
    assert float(energy) == pytest.approx(want["energy"][0], abs=EXACT)
    np.testing.assert_allclose(-np.asarray(gradient), want["force"][0], atol=EXACT)


def test_atomic_energies_are_in_the_order_of_the_atoms() -> None:
    model, system = potential(), box()
    neighbors, energy_fn, _ = periodic(model, system, per_particle=True)
    want = model.predict(system.coord, system.atype, system.cell)["atom_energy"][0]
    found = jax.jit(energy_fn)(jnp.asarray(system.coord), neighbors)
    np.testing.assert_allclose(np.asarray(found), want, atol=EXACT)


def test_molecules_have_no_box() -> None:
    model, one = potential(), box(12)
    displacement, _ = space.free()
    neighbor_fn, energy_fn = energy_neighbor_list(
        displacement, 1.0e3, model, one.atype, disable_cell_list=True
    )
    place = jnp.asarray(one.coord)
    gradient = jax.jit(jax.grad(energy_fn))(place, neighbor_fn.allocate(place))
    want = model.predict(one.coord, one.atype)["force"][0]
    np.testing.assert_allclose(-np.asarray(gradient), want, atol=EXACT)


def test_compiled_dynamics_conserve_energy() -> None:
    model, system = potential(), box()
    neighbors, energy_fn, shift = periodic(model, system)
    init, apply = simulate.nve(energy_fn, shift, 1e-3)
    key, place = jax.random.PRNGKey(0), jnp.asarray(system.coord)
    start = init(key, place, 0.01, mass=20.0, neighbor=neighbors)

    @jax.jit
    def run(state: Any, neighbors: Any) -> Any:
        def step(_: int, both: Any) -> Any:
            state, neighbors = both
            neighbors = neighbors.update(state.position)
            return apply(state, neighbor=neighbors), neighbors

        return jax.lax.fori_loop(0, 20, step, (state, neighbors))

    @jax.jit
    def total(state: Any, neighbors: Any) -> Any:
        kinetic = jnp.sum(state.momentum**2 / (2 * state.mass))
        return energy_fn(state.position, neighbors) + kinetic

    end, last = run(start, neighbors)
    assert not bool(last.did_buffer_overflow)
    moved = np.abs(np.asarray(end.position) - system.coord).max()
    assert moved > 1e-4
    want = float(total(start, neighbors))
    assert float(total(end, last)) == pytest.approx(want, abs=1e-5)


def test_what_jax_md_cannot_do_is_refused() -> None:
    displacement, _ = space.periodic(LENGTH)
    model, one = potential(), crystal()
    with pytest.raises(EngineError, match="repeat the structure"):
        energy_neighbor_list(displacement, 6.0, model, one.atype)
    with pytest.raises(EngineError, match="repeat the structure"):
        energy_neighbor_list(displacement, 6.0, model, one.atype, fractional_coordinates=True)
    with pytest.raises(EngineError, match="jax-md needs it on JAX"):
        energy_neighbor_list(
            displacement, LENGTH, Potential(model.model, draw(model.model)), one.atype
        )
    with pytest.raises(DataError, match="virtual"):
        energy_neighbor_list(displacement, LENGTH, model, [-1, 0])
    masked = potential(numb_aparam=1, use_aparam_as_mask=True)
    with pytest.raises(EngineError, match="masks atoms"):
        energy_neighbor_list(displacement, LENGTH, masked, one.atype)


def test_positions_that_do_not_fit_are_refused() -> None:
    model, system = potential(), box()
    neighbors, energy_fn, _ = periodic(model, system)
    place = jnp.asarray(system.coord)
    with pytest.raises(DataError, match=r"positions have the shape \(39, 3\), but species has 40"):
        energy_fn(place[:-1], neighbors)
    with pytest.raises(DataError, match="positions are float32, but must be float64"):
        energy_fn(place.astype(jnp.float32), neighbors)


@pytest.mark.parametrize("name", ["dpa2", "dpa3"])
def test_neighbours_in_the_order_of_distance_are_not_made(name: str) -> None:
    model = model_of(next(iter(get_descriptor(name).examples())))
    passing = Potential(model, draw(model), "jax")
    with pytest.raises(EngineError, match=f"{name} needs neighbours in the order of distance"):
        periodic(passing, box())

"""torch-sim runs many structures at once with a model, and gets what the model predicts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from _cases import build, crystal, draw
from _cli_files import dos_model

from multifit.errors import EngineError
from multifit.inference.potential import Potential

pytest.importorskip("ase", reason="ase is not installed")
ts = pytest.importorskip("torch_sim", reason="torch-sim is not installed")

import torch  # noqa: E402
from ase import Atoms  # noqa: E402
from torch_sim.models.interface import validate_model_outputs  # noqa: E402

from multifit.interfaces import torchsim  # noqa: E402


def potential(*names: str, **options: Any) -> Potential:
    model = build(**options)
    return Potential(replace(model, type_map=names or model.type_map), draw(model), "torch")


def structures(number: int) -> list[Atoms]:
    """Return different structures: of different sizes, and no two alike."""
    found = []
    for k in range(number):
        one = crystal(k)
        atoms = Atoms(["OH"[a] for a in one.atype], one.coord, cell=one.cell, pbc=True)
        found.append(atoms * (1 + k % 2, 1, 1))
    return found


def state(systems: list[Atoms]) -> Any:
    return ts.io.atoms_to_state(systems, torch.device("cpu"), torch.float64)


def test_the_validation_of_torch_sim_passes() -> None:
    model = torchsim.MultifitModel(potential("Si", "Fe", sel=(20, 20)))
    validate_model_outputs(model, torch.device("cpu"), torch.float64)


def test_many_structures_get_the_outputs_of_predict() -> None:
    model, systems = torchsim.MultifitModel(potential()), structures(20)
    found = model(state(systems))
    start = 0
    for k, atoms in enumerate(systems):
        want = model.potential.predict(atoms.positions, atoms.symbols, atoms.cell.array)
        stop = start + len(atoms)
        assert found["energy"][k].item() == pytest.approx(want["energy"][0], abs=1e-10)
        np.testing.assert_allclose(found["forces"][start:stop], want["force"][0], atol=1e-10)
        stress = -(want["virial"][0] + want["virial"][0].T) / 2 / atoms.get_volume()
        np.testing.assert_allclose(found["stress"][k], stress, atol=1e-12)
        start = stop


def test_stress_is_the_derivative_with_respect_to_strain() -> None:
    model, atoms, h = torchsim.MultifitModel(potential(), skin=0.0), structures(1)[0], 1e-5
    stress = model(state([atoms]))["stress"][0].numpy()
    strained = []
    for sign in (1, -1):
        moved, strain = atoms.copy(), np.eye(3)
        strain[0, 1] = strain[1, 0] = sign * h / 2
        strain[2, 2] += sign * h
        moved.set_cell(moved.cell.array @ strain, scale_atoms=True)
        strained.append(model(state([moved]))["energy"].item())
    slope = (strained[0] - strained[1]) / (2 * h) / atoms.get_volume()
    assert slope == pytest.approx(stress[0, 1] + stress[2, 2], abs=1e-7)


def total_energy(model: Any, systems: list[Atoms], steps: int) -> Any:
    """Return the potential and kinetic energy of each structure after some steps."""
    # Renamed after version 0.3.
    nve = ts.Integrator.nve if hasattr(ts, "Integrator") else ts.integrators.nve
    run = {"n_steps": steps, "temperature": 50, "timestep": 0.0002, "seed": 1}
    final = ts.integrate(system=systems, model=model, integrator=nve, **run)
    kinetic = 0.5 * (final.momenta**2 / final.masses[:, None]).sum(dim=1)
    return final.energy.index_add(0, final.system_idx, kinetic)


def test_dynamics_of_twenty_structures_conserve_energy() -> None:
    model, systems = torchsim.MultifitModel(potential()), structures(20)
    one, many = (total_energy(model, systems, steps) for steps in (1, 15))
    assert len(many) == 20
    assert (many - one).abs().max() < 2e-4


def test_relaxation_lowers_the_energies() -> None:
    model, systems = torchsim.MultifitModel(potential()), structures(3)
    before = model(state(systems))["energy"]
    fire = ts.Optimizer.fire if hasattr(ts, "Optimizer") else ts.optimizers.fire
    with pytest.warns(UserWarning, match="max steps"):
        relaxed = ts.optimize(system=systems, model=model, optimizer=fire, max_steps=10)
    assert (relaxed.energy < before).all()


def test_what_torch_sim_cannot_give_is_refused() -> None:
    with pytest.raises(EngineError, match="takes fparam or aparam"):
        torchsim.MultifitModel(potential(numb_fparam=2))
    other = dos_model()
    with pytest.raises(EngineError, match="give an energy model"):
        torchsim.MultifitModel(Potential(other, draw(other)))
    with pytest.raises(AttributeError, match="no attribute 'Model'"):
        _ = torchsim.Model


def test_forces_and_stress_can_be_left_out_and_states_be_mappings() -> None:
    model = torchsim.MultifitModel(potential())
    model.compute_forces = model.compute_stress = False
    one = state(structures(1))
    keys = ("positions", "cell", "pbc", "atomic_numbers", "system_idx")
    assert set(model({key: getattr(one, key) for key in keys})) == {"energy"}

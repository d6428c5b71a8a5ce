"""Make the reference models and their energies with deepmd-kit 3.2.0 and its NumPy backend.

Run in an environment with deepmd-kit, from the root of the repository::

    python tests/reference/make.py

The seeds are fixed. Each case is a model file ``NAME.dp`` as deepmd-kit writes it, and inputs and
energies in ``NAME.npz``: ``coord`` (natoms, 3), ``atype``, ``cell``, where needed ``fparam`` and
``aparam``, and ``energy`` and ``atom_energy`` with the cell (``crystal_``) and without
(``molecule_``).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
RCUT, SMOOTH = 3.6, 1.5

#: name → options of the descriptor, of the fitting net and of the model
CASES: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "one_side": ({"type_one_side": True}, {}, {}),
    "two_sides": ({"type_one_side": False}, {}, {}),
    "excluded": (
        {"type_one_side": False, "exclude_types": [[0, 1]], "env_protection": 0.2},
        {},
        {},
    ),
    "hidden": ({}, {}, {"pair_exclude_types": [[0, 0]], "atom_exclude_types": [1]}),
    "parameters": ({"resnet_dt": True}, {"numb_fparam": 1, "numb_aparam": 2}, {}),
    "float32": ({"precision": "float32"}, {"precision": "float32"}, {}),
    "activations": (
        {"activation_function": "gelu", "resnet_dt": True},
        {"activation_function": "silut:0.5", "mixed_types": True},
        {},
    ),
    # Oxygen is cut at three. The whole is not: deepmd-kit's NumPy core keeps the Σ sel nearest of
    # any type before it looks at types, its TensorFlow backend and multifit do not.
    "cut_at_sel": ({"sel": [3, 20], "type_one_side": False}, {"resnet_dt": False}, {}),
}


def make_model(name: str, seed: int) -> Any:
    """Return deepmd-kit's model, with random statistics and biases."""
    from deepmd.dpmodel.descriptor.se_e2_a import DescrptSeA
    from deepmd.dpmodel.fitting.ener_fitting import EnergyFittingNet
    from deepmd.dpmodel.model.ener_model import EnergyModel

    descriptor_options, fitting_options, model_options = CASES[name]
    rng = np.random.default_rng(seed)
    options = {"sel": [8, 12], "neuron": [4, 8], "axis_neuron": 3} | descriptor_options
    descriptor = DescrptSeA(RCUT, SMOOTH, seed=seed, **options)
    sel, dtype = options["sel"], descriptor["davg"].dtype
    # One row for each neighbour type, repeated for each of its slots.
    davg = np.repeat(rng.normal(scale=0.2, size=(2, 2, 4)), sel, axis=1)
    dstd = np.repeat(rng.uniform(0.2, 0.8, size=(2, 2, 4)), sel, axis=1)
    descriptor["davg"], descriptor["dstd"] = davg.astype(dtype), dstd.astype(dtype)
    fitting = EnergyFittingNet(
        2, descriptor.get_dim_out(), neuron=[8, 8], seed=seed + 1, **fitting_options
    )
    fitting["bias_atom_e"] = rng.normal(size=(2, 1))
    for key in ("fparam", "aparam"):
        if (n := fitting_options.get(f"numb_{key}", 0)) > 0:
            fitting[f"{key}_avg"] = rng.normal(size=n)
            fitting[f"{key}_inv_std"] = rng.uniform(0.5, 2.0, size=n)
    model = EnergyModel(descriptor, fitting, type_map=["O", "H"], **model_options)
    model.atomic_model.out_bias = rng.normal(size=(1, 2, 1))
    return model


def make_inputs(name: str, seed: int) -> dict[str, np.ndarray]:
    """Return seven atoms in a triclinic cell that is smaller than twice the cut-off."""
    rng = np.random.default_rng(seed)
    cell = np.array([[4.6, 0.1, 0.0], [0.7, 4.3, 0.2], [-0.5, 0.4, 4.9]])
    grid = np.stack(np.meshgrid([0.0, 0.5], [0.0, 0.5], [0.0, 0.5]), axis=-1).reshape(-1, 3)[:7]
    inputs = {
        "coord": (grid + rng.uniform(-0.08, 0.08, size=grid.shape)) @ cell,
        "atype": np.array([0, 1, 1, 0, 1, 1, 0]),
        "cell": cell,
    }
    fitting_options = CASES[name][1]
    if n := fitting_options.get("numb_fparam"):
        inputs["fparam"] = rng.normal(size=(1, n))
    if n := fitting_options.get("numb_aparam"):
        inputs["aparam"] = rng.normal(size=(1, 7, n))
    return inputs


def evaluate(model: Any, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return deepmd-kit's energies of the crystal and of the molecule."""
    found = {}
    extra = {key: inputs[key] for key in ("fparam", "aparam") if key in inputs}
    for system, box in (("crystal", inputs["cell"].reshape(1, 9)), ("molecule", None)):
        out = model(inputs["coord"][None], inputs["atype"][None], box, **extra)
        found[f"{system}_energy"] = np.asarray(out["energy"]).reshape(1)
        found[f"{system}_atom_energy"] = np.asarray(out["atom_energy"]).reshape(1, -1)
    return found


def main() -> None:
    """Write all cases next to this file."""
    from deepmd.dpmodel.utils.serialization import save_dp_model

    for number, name in enumerate(CASES):
        model, inputs = make_model(name, 10 * number), make_inputs(name, 10 * number + 5)
        save_dp_model(str(HERE / f"{name}.dp"), {"model": model.serialize()})
        np.savez_compressed(HERE / f"{name}.npz", **inputs, **evaluate(model, inputs))


if __name__ == "__main__":
    main()

"""Make the reference models and their outputs with deepmd-kit 3.2.0 and its NumPy backend.

Run in an environment with deepmd-kit, from the root of the repository::

    python tests/reference/make.py [NAME …]

The seeds are fixed. Each case is a model file ``NAME.dp`` as deepmd-kit writes it, and inputs and
outputs in ``NAME.npz``: ``coord`` (natoms, 3), ``atype``, ``cell``, where needed ``fparam`` and
``aparam``, and ``energy`` and ``atom_energy``, or ``dos`` and ``atom_dos``, with the cell
(``crystal_``) and without (``molecule_``). ``dos_losses`` has no model: ``make_losses`` says what
it holds. With names, only these are made.
"""

from __future__ import annotations

import sys
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
    "dos_plain": ({"type_one_side": True}, {"numb_dos": 6}, {}),
    "dos_parameters": (
        {"type_one_side": False, "exclude_types": [[0, 1]], "resnet_dt": True},
        {"numb_dos": 5, "numb_fparam": 1, "numb_aparam": 2, "activation_function": "gelu"},
        {},
    ),
    "dos_cases": (
        {"env_protection": 0.2},
        {
            "numb_dos": 4,
            "mixed_types": True,
            "dim_case_embd": 2,
            "numb_fparam": 2,
            "default_fparam": [0.3, -0.6],
            "trainable": [True, False, True],
        },
        {"pair_exclude_types": [[0, 0]], "atom_exclude_types": [0]},
    ),
    "dos_float32": ({"precision": "float32"}, {"numb_dos": 3, "precision": "float32"}, {}),
}

#: Prefactors of the DOS loss, at the start and in the limit, for each case of ``dos_losses.npz``.
LOSSES: dict[str, dict[str, tuple[float, float]]] = {
    "dos": {"dos": (2.0, 0.5)},
    "cdf": {"cdf": (2.0, 0.5)},
    "ados": {"ados": (2.0, 0.5)},
    "acdf": {"acdf": (0.0, 0.5)},
    "defaults": {"dos": (1.0, 1.0), "cdf": (1000.0, 1.0)},
    "all": {"dos": (0.3, 1.5), "cdf": (10.0, 1.0), "ados": (0.0, 2.0), "acdf": (0.7, 0.0)},
}


def make_model(name: str, seed: int) -> Any:
    """Return deepmd-kit's model, with random statistics and biases."""
    from deepmd.dpmodel.descriptor.se_e2_a import DescrptSeA
    from deepmd.dpmodel.fitting.dos_fitting import DOSFittingNet
    from deepmd.dpmodel.fitting.ener_fitting import EnergyFittingNet
    from deepmd.dpmodel.model.dos_model import DOSModel
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
    numb_dos = fitting_options.get("numb_dos", 0)
    fitting = (DOSFittingNet if numb_dos else EnergyFittingNet)(
        2, descriptor.get_dim_out(), neuron=[8, 8], seed=seed + 1, **fitting_options
    )
    fitting["bias_atom_e"] = rng.normal(size=(2, numb_dos or 1))
    if n := fitting_options.get("dim_case_embd", 0):
        fitting["case_embd"] = np.eye(n)[-1]
    for key in ("fparam", "aparam"):
        if (n := fitting_options.get(f"numb_{key}", 0)) > 0:
            fitting[f"{key}_avg"] = rng.normal(size=n)
            fitting[f"{key}_inv_std"] = rng.uniform(0.5, 2.0, size=n)
    kind = DOSModel if numb_dos else EnergyModel
    model = kind(descriptor, fitting, type_map=["O", "H"], **model_options)
    model.atomic_model.out_bias = rng.normal(size=(1, 2, numb_dos or 1))
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
    """Return deepmd-kit's outputs for the crystal and for the molecule."""
    found = {}
    extra = {key: inputs[key] for key in ("fparam", "aparam") if key in inputs}
    for system, box in (("crystal", inputs["cell"].reshape(1, 9)), ("molecule", None)):
        out = model(inputs["coord"][None], inputs["atype"][None], box, **extra)
        if "dos" in out:
            found |= {f"{system}_{key}": np.asarray(out[key]) for key in ("dos", "atom_dos")}
            continue
        found[f"{system}_energy"] = np.asarray(out["energy"]).reshape(1)
        found[f"{system}_atom_energy"] = np.asarray(out["atom_energy"]).reshape(1, -1)
    return found


def make_losses(seed: int) -> dict[str, np.ndarray]:
    """Return inputs of the DOS loss, and what deepmd-kit makes of them.

    ``prediction_`` and ``label_`` of ``dos`` (3, 6) and ``atom_dos`` (3, 5, 6), ``mask`` (3, 5),
    ``learning_rate`` and ``start``; and for each case ``CASE.start_pref_…`` and ``…limit_pref_…``,
    ``CASE.loss`` and its metrics, and the same where all atoms are real as ``CASE.whole.…``.
    """
    from deepmd.dpmodel.loss.dos import DOSLoss

    rng, shapes = np.random.default_rng(seed), {"dos": (3, 6), "atom_dos": (3, 5, 6)}
    sides = {
        side: {key: rng.normal(size=shape) for key, shape in shapes.items()}
        for side in ("prediction", "label")
    }
    mask = np.arange(5)[None, :] < np.array([5, 2, 4])[:, None]
    found = {f"{side}_{key}": x for side, arrays in sides.items() for key, x in arrays.items()}
    rate, start = 4e-4, 1e-3
    found |= {"mask": mask, "learning_rate": np.asarray(rate), "start": np.asarray(start)}
    label = sides["label"] | {f"find_{key}": 1.0 for key in shapes}
    for case, terms in LOSSES.items():
        options = {
            f"{when}_pref_{term}": terms.get(term, (0.0, 0.0))[k]
            for term in ("dos", "cdf", "ados", "acdf")
            for k, when in enumerate(("start", "limit"))
        }
        found |= {f"{case}.{key}": np.asarray(x) for key, x in options.items()}
        for name, extra in ((case, {"mask": mask}), (f"{case}.whole", {})):
            loss, metrics = DOSLoss(start, 6, **options).call(
                rate, 5, sides["prediction"] | extra, label
            )
            found |= {f"{name}.{key}": np.asarray(x) for key, x in metrics.items()}
            found[f"{name}.loss"] = np.asarray(loss)
    return found


def main(names: list[str]) -> None:
    """Write all cases, or those that are named, next to this file."""
    from deepmd.dpmodel.utils.serialization import save_dp_model

    for number, name in enumerate(CASES):
        if names and name not in names:
            continue
        model, inputs = make_model(name, 10 * number), make_inputs(name, 10 * number + 5)
        save_dp_model(str(HERE / f"{name}.dp"), {"model": model.serialize()})
        np.savez_compressed(HERE / f"{name}.npz", **inputs, **evaluate(model, inputs))
    if not names or "dos_losses" in names:
        np.savez_compressed(HERE / "dos_losses.npz", **make_losses(1000))


if __name__ == "__main__":
    main(sys.argv[1:])

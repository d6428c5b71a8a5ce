"""Model files that multifit writes, opened by deepmd-kit, give the same numbers there.

Runs where ``MULTIFIT_PEER_PYTHON`` is an interpreter with deepmd-kit 3.2 (``nox -s peer``).
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _cases import build, crystal, draw, molecule, parameters
from _compare import same

import multifit
from multifit import files
from multifit import models as mdl
from multifit.dos import Grid

PEER = os.environ.get("MULTIFIT_PEER_PYTHON", "")
pytestmark = [
    pytest.mark.skipif(not PEER, reason="MULTIFIT_PEER_PYTHON names no Python with deepmd-kit"),
    pytest.mark.timeout(300),
]

CASES: dict[str, dict[str, Any]] = {
    "plain": {"resnet_dt": False},
    "two_sides": {"type_one_side": False, "activation": "gelu"},
    "excluded": {"exclude_types": ((0, 1),), "type_one_side": False, "env_protection": 0.3},
    "hidden": {"pair_exclude_types": ((1, 1),), "atom_exclude_types": (0,)},
    "mixed": {"mixed_types": True, "activation": "silut:1.5"},
    "parameters": {"numb_fparam": 2, "numb_aparam": 1, "activation": "softplus"},
    "float32": {"precision": "float32", "activation": "sigmoid"},
    "relu6": {"activation": "relu6", "env_protection": 0.1},
    "cases": {"dim_case_embd": 2, "numb_fparam": 1},
    "atom_ener": {"atom_ener": (-1.5, None), "numb_fparam": 1},
    "shared_layers": {"layer_name": ("a", "b", None)},
    "all_real": {"use_aparam_as_mask": True, "numb_aparam": 1},
    "three_types": {"sel": (8, 12, 4), "neuron": (4, 4, 8), "fitting_neuron": (3,)},
    "dos": {"numb_dos": 7, "resnet_dt": False},
    "dos_two_sides": {
        **{"numb_dos": 5, "type_one_side": False, "activation": "gelu"},
        **{"exclude_types": ((0, 1),), "atom_exclude_types": (0,)},
    },
    "dos_parameters": {
        **{"numb_dos": 3, "numb_fparam": 2, "numb_aparam": 1, "dim_case_embd": 2},
        **{"mixed_types": True},
    },
    "dos_grid": {"numb_dos": 4, "grid": Grid((-3.0, -1.0, 0.5, 4.0), True, (6.0, 1.0))},
    "dos_float32": {"numb_dos": 6, "precision": "float32"},
}


def _model(name: str) -> tuple[mdl.Model, Any]:
    model = build(**CASES[name])
    return model, draw(model, seed=sorted(CASES).index(name))


def _inputs(name: str) -> dict[str, np.ndarray]:
    system = crystal(sorted(CASES).index(name))
    inputs = {"coord": system.coord, "atype": system.atype, "cell": system.cell}
    model, _ = _model(name)
    if model.fitting.use_aparam_as_mask:
        inputs["aparam"] = np.ones((len(system.atype), 1))
    return inputs | parameters(model, [system])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with every model, its inputs, and what deepmd-kit makes of them."""
    folder = tmp_path_factory.mktemp("peer")
    for name in CASES:
        model, params = _model(name)
        content = {**mdl.to_content(model, params), "model_def_script": {}}
        files.write(folder / f"{name}.dp", content)
        np.savez(folder / f"{name}.npz", **_inputs(name))
    script = Path(__file__).with_name("evaluate.py")
    done = subprocess.run(
        [PEER, str(script), str(folder)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.mark.parametrize("name", CASES)
def test_deepmd_kit_computes_the_same(name: str, folder: Path) -> None:
    with np.load(folder / f"{name}.out.npz") as stored:
        theirs = dict(stored)
    potential, inputs = multifit.load(folder / f"{name}.dp"), _inputs(name)
    assert tuple(theirs["type_map"]) == potential.type_map
    coord, atype, cell = (inputs.pop(key) for key in ("coord", "atype", "cell"))
    rtol = 1e-10 if "float32" not in name else 1e-5
    output = potential.model.output
    for system, box in (("crystal", cell), ("molecule", None)):
        got = potential.predict(coord, atype, box, **inputs)
        for key in (output.name, output.atomic.key):
            same(theirs[f"{system}_{key}"], got[key], rtol=rtol)


def test_a_file_survives_the_way_through_deepmd_kit(folder: Path, tmp_path: Path) -> None:
    """Read and written again by deepmd-kit, a model gives the same numbers."""
    code = (
        "import sys\n"
        "from deepmd.dpmodel.model.base_model import BaseModel\n"
        "from deepmd.dpmodel.utils.serialization import load_dp_model, save_dp_model\n"
        "model = BaseModel.deserialize(load_dp_model(sys.argv[1])['model'])\n"
        "save_dp_model(sys.argv[2], {'model': model.serialize()})\n"
    )
    system, rng = molecule(), np.random.default_rng(0)
    for name in ("two_sides", "three_types", "dos", "dos_parameters"):
        again = tmp_path / f"{name}.dp"
        command = [PEER, "-c", code, str(folder / f"{name}.dp"), str(again)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
        one, other = multifit.load(folder / f"{name}.dp"), multifit.load(again)
        sizes = one.model.fitting.parameters
        shapes = {"fparam": (1,), "aparam": (1, len(system.atype))}
        extra = {key: rng.normal(size=(*shapes[key], n)) for key, n in sizes.items()}
        given = (system.coord, system.atype)
        same(other.predict(*given, **extra), one.predict(*given, **extra), rtol=1e-14)

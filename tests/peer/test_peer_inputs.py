"""Inputs in earlier styles mean the same as after deepmd-kit's own conversion.

Runs where ``MULTIFIT_PEER_PYTHON`` is an interpreter with deepmd-kit 3.2 (``nox -s peer``).
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from multifit import config

PEER = os.environ.get("MULTIFIT_PEER_PYTHON", "")
pytestmark = [
    pytest.mark.skipif(not PEER, reason="MULTIFIT_PEER_PYTHON names no Python with deepmd-kit"),
    pytest.mark.timeout(300),
]

FLAT: dict[str, Any] = {
    **{"use_smooth": True, "sel_a": [46, 92], "rcut_smth": 5.8, "rcut": 6.0, "seed": 1},
    **{"filter_neuron": [25, 50, 100], "filter_resnet_dt": False, "resnet_dt": True},
    **{"coord_norm": True, "type_fitting_net": False, "systems": ["data"], "set_prefix": "set"},
    **{"stop_batch": 1000, "batch_size": [1], "start_lr": 0.001, "decay_steps": 500},
    **{"decay_rate": 0.95, "start_pref_e": 0.02, "limit_pref_e": 8, "start_pref_f": 1000},
    **{"limit_pref_f": 1, "start_pref_v": 0, "limit_pref_v": 0, "disp_file": "curve.out"},
    **{"disp_freq": 100, "numb_test": 10, "save_freq": 500, "save_ckpt": "ckpt"},
    **{"load_ckpt": "ckpt", "disp_training": True, "time_training": False, "profiling": False},
}
EARLY = {"n_axis_neuron": 16, "n_neuron": [240, 240, 240]}
LATE = {"axis_neuron": 8, "fitting_neuron": [24, 24], "fitting_resnet_dt": False}
ATOMIC = {"start_pref_ae": 1.0, "limit_pref_ae": 2.0}
VERSION1: dict[str, Any] = {
    "model": {"descriptor": {"type": "se_a", "sel": [46, 92]}, "fitting_net": {"neuron": [24, 24]}},
    "learning_rate": {"type": "exp", "start_lr": 1e-3, "decay_steps": 100, "decay_rate": 0.9},
    "loss": {"start_pref_e": 0.02},
    "training": {
        **{"systems": ["data"], "set_prefix": "set", "batch_size": 2, "stop_batch": 400},
        **{"auto_prob_style": "prob_uniform", "numb_test": 3, "adam_beta1": 0.8},
    },
}
INPUTS = {
    "early": FLAT | EARLY,
    "late": FLAT | LATE | ATOMIC,
    "no_seed": {key: FLAT[key] for key in FLAT if key not in ("disp_file", "seed")} | LATE,
    "version1": VERSION1,
}


@pytest.mark.parametrize("name", INPUTS)
def test_deepmd_kit_converts_to_the_same(name: str, tmp_path: Path) -> None:
    path = tmp_path / "input.json"
    path.write_text(json.dumps(INPUTS[name]))
    script = Path(__file__).with_name("convert.py")
    done = subprocess.run(
        [PEER, str(script), str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    theirs = config.normalize(json.loads(done.stdout.splitlines()[-1]))
    assert config.normalize(INPUTS[name]) == theirs

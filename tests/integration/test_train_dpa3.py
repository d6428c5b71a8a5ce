"""Runs with DPA-3: numbers of neighbours from the data, other types, densities of states."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _backends import INSTALLED
from _compare import same
from _water import dos_recipe, fit, labelled, put, recipe, write, write_spectra

import multifit
from multifit import cli
from multifit.descriptors.dpa3 import Dpa3
from multifit.inference.model_file import read_model

REPFLOW: dict[str, Any] = {
    **{"e_rcut": 3.8, "e_rcut_smth": 1.5, "e_sel": "auto", "a_rcut": 3.0, "a_rcut_smth": 1.2},
    **{"a_sel": "auto:1.5", "n_dim": 6, "e_dim": 4, "a_dim": 4, "nlayers": 2, "axis_neuron": 2},
}
SECTION = {"model.descriptor": {"type": "dpa3", "repflow": REPFLOW, "seed": 1}}


def _train(folder: Path, name: str, given: dict[str, Any], *options: str) -> Dpa3:
    """Train with an input, and return the descriptor of the model."""
    path = folder / f"{name}.json"
    path.write_text(json.dumps(given))
    args = ["train", str(path), "--backend", "torch", "--output", str(folder / name), *options]
    assert cli.main(args) == 0
    model, _, _ = read_model(folder / name / "model.dp")
    assert isinstance(model.descriptor, Dpa3)
    return model.descriptor


@pytest.mark.skipif("torch" not in INSTALLED, reason="PyTorch is not installed")
def test_numbers_of_neighbours_are_counted_and_other_types_added(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "data", labelled())
    given = put(recipe("data", 2), SECTION)
    found = _train(tmp_path, "first", given)
    assert 4 <= found.a_sel <= found.e_sel
    assert found.e_sel % 4 == found.a_sel % 4 == 0
    assert f"sel [{found.e_sel}, {found.a_sel}], rcut 3.8 and 3.0 Å" in capsys.readouterr().out
    more = put(
        given,
        {
            "model.type_map": ["H", "C", "O"],
            "model.descriptor.repflow.e_sel": found.e_sel,
            "model.descriptor.repflow.a_sel": 5,
        },
    )
    start = str(tmp_path / "first" / "model.dp")
    tuned = _train(tmp_path, "second", more, "--finetune", start)
    assert (tuned.ntypes, tuned.e_sel, tuned.a_sel) == (3, found.e_sel, 5)
    said = " ".join(capsys.readouterr().out.split())
    assert "new types: C" in said
    assert f"sel is [{found.e_sel}, 5] in the input and [{found.e_sel}, {found.a_sel}]" in said
    assert f"sel [{found.e_sel}, 5] is too small in" in said
    assert "(sel 5, in" in said
    assert "within 3 Å" in said


FIRST: dict[str, Any] = {
    **{"rcut": 3.6, "rcut_smth": 1.5, "nsel": 40, "neuron": [3, 6], "axis_neuron": 2},
    "tebd_dim": 3,
}
SECOND: dict[str, Any] = {
    **{"rcut": 3.0, "rcut_smth": 1.0, "nsel": 30, "nlayers": 2, "g1_dim": 5, "g2_dim": 4},
    **{"axis_neuron": 2, "attn1_hidden": 3, "attn1_nhead": 2, "attn2_hidden": 3},
    "attn2_nhead": 2,
}


@pytest.mark.skipif("torch" not in INSTALLED, reason="PyTorch is not installed")
@pytest.mark.parametrize(
    "section",
    [
        {"type": "dpa2", "repinit": FIRST, "repformer": SECOND},
        {"type": "dpa3", "repflow": {**REPFLOW, "e_sel": 60, "a_sel": 30}},
    ],
    ids=lambda section: section["type"],
)
def test_densities_of_states_are_trained_with_messages(
    section: dict[str, Any], tmp_path: Path
) -> None:
    frames = labelled(4)
    write_spectra(tmp_path / "data", frames)
    given = put(dos_recipe("data", 1), {"model.descriptor": section})
    out = fit(tmp_path, given, backend="torch")
    potential = multifit.load(out / "model.dp", "torch")
    got = potential.predict(frames.coord, frames.atype, frames.cell)
    assert potential.model.descriptor.name == section["type"]
    assert np.isfinite(got["dos"]).all()
    same(got["dos"], got["atom_dos"].sum(axis=1), rtol=1e-12, atol=1e-12)
    assert np.ptp(got["dos"], axis=0).max() > 1e-6  # frames differ

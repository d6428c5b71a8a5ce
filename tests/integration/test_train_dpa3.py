"""A run with DPA-3: numbers of neighbours from the data, and fine-tuning to other types."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from _backends import INSTALLED
from _water import labelled, put, recipe, write

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

"""Systems of many sizes and compositions are few shapes to a backend that compiles."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pytest
from _water import Frames, fit, recipe, write
from rich.console import Console

SYSTEMS = 200


def some_atoms(rng: np.random.Generator) -> Frames:
    """Return one frame of 3 to 24 atoms on a grid, of which any part is oxygen."""
    n = int(rng.integers(3, 25))
    grid = np.stack(np.meshgrid(*[np.arange(3)] * 3), axis=-1).reshape(-1, 3)
    coord = 1.3 * grid[rng.permutation(len(grid))[:n]] + rng.uniform(-0.1, 0.1, (n, 3))
    atype = (rng.uniform(size=n) < rng.uniform()).astype(int)
    force = rng.normal(size=(1, n, 3))
    return Frames(coord[None], atype, None, np.array([-3.0 * n]), force, np.zeros((1, 3, 3)))


def test_two_hundred_systems_are_compiled_six_times_at_most(tmp_path: Path) -> None:
    pytest.importorskip("jax")
    rng = np.random.default_rng(8)
    names = [f"s{k}" for k in range(SYSTEMS)]
    for name in names:
        write(tmp_path / name, some_atoms(rng))
    given = recipe(
        names,
        steps=150,
        training__training_data={"systems": names, "batch_size": "auto:40"},
        training__validation_data={"systems": names[::5], "batch_size": "auto:40"},
        training__disp_freq=10,
        training__save_freq=150,
        model__descriptor__sel=[27, 27],
    )
    text = io.StringIO()
    fit(tmp_path, given, backend="jax", console=Console(file=text, width=120))
    printed = text.getvalue()
    wanted = r"compiled the training step for (\d) shapes? and the validation for (\d)"
    found = re.search(wanted, printed)
    assert found, printed
    steps, validations = map(int, found.groups())
    assert 1 <= steps <= 4
    assert 1 <= validations <= 2
    assert printed.count("compiling") == steps + validations

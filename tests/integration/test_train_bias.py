"""The energy that each type starts with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from _water import ATOMIC, column, fit, labelled, recipe, write

from multifit.inference.model_file import read_model


def bias(folder: Path) -> np.ndarray:
    """Return the output bias of a trained model, (ntypes,)."""
    return read_model(folder / "model.dp")[1]["out_bias"][:, 0]


def test_types_that_contribute_nothing_are_left_out_of_the_fit(tmp_path: Path) -> None:
    frames = labelled()
    write(tmp_path / "data", frames)
    out = fit(tmp_path, recipe(steps=1, model__atom_exclude_types=[0]))
    hydrogens = int((frames.atype == 1).sum())
    assert bias(out)[1] == pytest.approx(frames.energy.mean() / hydrogens, rel=0.05)
    assert column(out, "rmse_e_trn")[0] < 1.0


@pytest.fixture
def with_atomic(tmp_path: Path) -> Path:
    """Return a folder with a system whose atomic energies differ from the fitted ones."""
    frames = labelled()
    atomic = np.tile(ATOMIC[frames.atype] + 1.0, (len(frames.coord), 1))
    write(tmp_path / "data", frames, atom_ener=atomic)
    return tmp_path


def test_atomic_energies_count_where_the_loss_compares_with_them(with_atomic: Path) -> None:
    out = fit(with_atomic, recipe(steps=1, loss__start_pref_ae=1.0))
    np.testing.assert_allclose(bias(out), ATOMIC + 1.0, rtol=1e-12)


def test_atomic_energies_do_not_count_without_their_term(with_atomic: Path) -> None:
    out = fit(with_atomic, recipe(steps=1))
    assert np.abs(bias(out) - ATOMIC - 1.0).max() > 0.1


def test_a_preset_comes_before_atomic_energies(with_atomic: Path) -> None:
    preset = {"energy": [-7.5, None]}
    given = recipe(steps=1, loss__start_pref_ae=1.0, model__preset_out_bias=preset)
    np.testing.assert_allclose(bias(fit(with_atomic, given)), [-7.5, ATOMIC[1] + 1.0], rtol=1e-12)

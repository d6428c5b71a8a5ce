"""Runs of densities of states that go on from others: restart, other models, another bias."""

from __future__ import annotations

import io
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _backends import TRAINABLE
from _water import (
    ENERGIES,
    column,
    dos_recipe,
    fit,
    labelled,
    put,
    recipe,
    spectra,
    write,
    write_spectra,
)
from rich.console import Console

import multifit
from multifit import files
from multifit.cli import main
from multifit.dos import Grid, even_grid
from multifit.errors import TrainingError
from multifit.inference.model_file import read_model
from multifit.tree import flatten

NET = "model.fitting_net"
GRID = {f"{NET}.emin": -4, f"{NET}.emax": 4}
STEPS = 8
OPTIONS: dict[str, Any] = {
    "training__save_freq": 4,
    "training__enable_ema": True,
    "training__validation_data": {"systems": "data", "batch_size": 1},
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with data, runs with energies and without, and one of energies."""
    folder = tmp_path_factory.mktemp("start")
    frames = labelled(5)
    write_spectra(folder / "bare", frames)
    write_spectra(folder / "data", frames, energies=ENERGIES, efermi=np.zeros(5))
    write(folder / "energies", frames)
    fit(folder, dos_recipe(steps=STEPS, **OPTIONS))
    fit(folder, dos_recipe("bare", 2), output=folder / "without")
    fit(folder, recipe("energies", 2), output=folder / "ener")
    return folder


def said(folder: Path, given: dict[str, Any], to: Path, **start: Path) -> str:
    """Return what a run says."""
    text = io.StringIO()
    fit(folder, given, output=to, console=Console(file=text, width=400), **start)
    return text.getvalue()


def refusal(folder: Path, changes: dict[str, Any], to: Path, **start: Path) -> str:
    """Return why a run is refused, after checking that it wrote nothing."""
    with pytest.raises(TrainingError) as caught:
        fit(folder, put(dos_recipe(steps=STEPS), changes), output=to, **start)
    assert not list(to.rglob("*.*"))
    return str(caught.value)


def test_a_restart_repeats_every_number(whole: Path, tmp_path: Path) -> None:
    for name in ("model.ckpt-4.dp", "lcurve.out"):
        shutil.copy(whole / "out" / name, tmp_path)
    start = tmp_path / "model.ckpt-4.dp"
    out = fit(whole, dos_recipe(steps=STEPS, **OPTIONS), output=tmp_path, restart=start)
    assert (out / "lcurve.out").read_text() == (whole / "out/lcurve.out").read_text()
    for name in ("model.dp", "model_ema.dp", f"model.ckpt-{STEPS}.dp"):
        got, want = (read_model(folder / name) for folder in (out, whole / "out"))
        assert got[0] == want[0]
        assert got[0].grid == Grid(tuple(ENERGIES))
        for key, value in flatten(want[1]).items():
            np.testing.assert_array_equal(flatten(got[1])[key], value, err_msg=key)
    states = [files.read(f / f"model.ckpt-{STEPS}.dp")["training"] for f in (out, whole / "out")]
    assert states[0]["best"] == states[1]["best"]


# That all backends do the same is proven elsewhere; others take long to compile.
@pytest.mark.skipif("jax" not in TRAINABLE, reason="JAX is not installed")
def test_a_restart_on_another_backend(whole: Path, tmp_path: Path) -> None:
    given = dos_recipe(steps=STEPS, **OPTIONS | {"training__validation_data": None})
    start = whole / "out/model.ckpt-4.dp"
    out = fit(whole, given, output=tmp_path, backend="jax", restart=start)
    for metric in ("rmse_trn", "rmse_global_dos_trn", "rmse_local_dos_trn"):
        want = column(whole / "out", metric)[4:]
        np.testing.assert_allclose(column(out, metric), want, rtol=1e-8)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {**GRID, f"{NET}.numb_dos": 9},
            "does not fit the input: model.fitting_net.numb_dos is 9 in the input and 11 in the",
        ),
        (
            GRID,
            "does not fit the input: the grid of energies (emin and emax, or energies, of "
            "model.fitting_net) is a list of 11 from -4 to 4 in the input and a list of 11 from "
            "-5 to 5 in the file; ",
        ),
        ({**GRID, f"{NET}.fermi_aligned": True}, "aligned is true in the input and false in the"),
        ({f"{NET}.neuron": [8, 9]}, "model.fitting_net.neuron is [8, 9] in the input and [8, 8]"),
    ],
    ids=["numb_dos", "grid", "aligned", "neuron"],
)
@pytest.mark.parametrize("how", ["restart", "init_model", "finetune"])
def test_another_model_is_refused(
    whole: Path, tmp_path: Path, changes: dict[str, Any], words: str, how: str
) -> None:
    text = refusal(whole, changes, tmp_path, **{how: whole / "out/model.ckpt-4.dp"})
    start = words.replace("does not fit the input", "cannot be fine-tuned with this input")
    assert (start if how == "finetune" else words) in text
    assert "model.ckpt-4.dp" in text


@pytest.mark.parametrize("how", ["restart", "init_model", "finetune"])
def test_energies_and_densities_of_states_do_not_mix(whole: Path, tmp_path: Path, how: str) -> None:
    text = refusal(whole, {}, tmp_path, **{how: whole / "ener/model.ckpt-2.dp"})
    assert ': model.fitting_net.type is "dos" in the input and "ener" in the file; ' in text
    given = recipe("energies", 4)
    with pytest.raises(TrainingError) as caught:
        fit(whole, given, output=tmp_path, **{how: whole / "out/model.ckpt-4.dp"})
    assert 'fitting_net.type is "ener" in the input and "dos" in the file; ' in str(caught.value)


def test_another_entry_of_the_grid_is_named(whole: Path, tmp_path: Path) -> None:
    other = ENERGIES.copy()
    other[3] += 0.01
    np.save(whole / "grid.npy", other)
    start = {"init_model": whole / "out/model.dp"}
    text = refusal(whole, {f"{NET}.energies": "grid.npy"}, tmp_path, **start)
    assert "is a list of 11 from -5 to 5 with [3] -1.99 in the input and one with [3] -2 in" in text
    # Rounding is no other grid.
    np.save(whole / "grid.npy", np.linspace(-5, 5, 11) * (1 + 1e-14))
    given = dos_recipe(steps=1, model__fitting_net__energies="grid.npy")
    fit(whole, given, output=tmp_path, init_model=whole / "out/model.dp")


def test_a_grid_may_be_given_later(whole: Path, tmp_path: Path) -> None:
    given = put(dos_recipe("bare", 3), {**GRID, f"{NET}.electrons": [6, 1]})
    text = said(whole, given, tmp_path, restart=whole / "without/model.ckpt-2.dp")
    assert "densities of states at 11 energies, -4 to 4 eV\n" in text
    assert "model.fitting_net.emin null → -4" in text
    grid = multifit.load(tmp_path / "model.dp").model.grid
    assert grid == Grid(even_grid(-4, 4, 11), electrons=(6.0, 1.0))


@pytest.mark.parametrize("how", ["restart", "init_model", "finetune"])
def test_a_grid_that_is_lost_is_told(whole: Path, tmp_path: Path, how: str) -> None:
    text = said(whole, dos_recipe("bare", 5), tmp_path, **{how: whole / "out/model.ckpt-4.dp"})
    assert (
        "the old model's energies, -5 to 5 eV, are given up: give model.fitting_net.emin " in text
    )
    assert multifit.load(tmp_path / "model.dp").model.grid is None


def test_another_preset_is_another_run(whole: Path, tmp_path: Path) -> None:
    given = dos_recipe(steps=3, model__preset_out_bias={"dos": {"H": [0.25] * 11}})
    with pytest.raises(TrainingError, match=r"preset_out_bias is not what .* trained with for H: "):
        fit(whole, given, output=tmp_path, restart=whole / "out/model.ckpt-4.dp")
    text = said(whole, given, tmp_path, init_model=whole / "out/model.dp")
    assert "preset_out_bias replaces what the file has of H\n" in text
    np.testing.assert_allclose(read_model(tmp_path / "model.dp")[1]["out_bias"][1], 0.25)


def test_parameters_are_those_of_the_other_model(whole: Path, tmp_path: Path) -> None:
    before = multifit.load(whole / "out/model.dp")
    given = dos_recipe(steps=1, learning_rate__start_lr=1e-12, learning_rate__stop_lr=1e-13)
    out = fit(whole, given, output=tmp_path, init_model=whole / "out/model.dp")
    frames = labelled(5)
    now = multifit.load(out / "model.dp").predict(frames.coord, frames.atype, frames.cell)
    want = before.predict(frames.coord, frames.atype, frames.cell)
    np.testing.assert_allclose(now["dos"], want["dos"], atol=1e-9)


@pytest.mark.parametrize("missing", ["dos", "atom_dos"])
def test_fine_tuning_with_other_types(whole: Path, tmp_path: Path, missing: str) -> None:
    frames = labelled(4)
    found = {key: value + 0.3 for key, value in spectra(frames).items()}
    data = write_spectra(tmp_path / "tune", frames, [missing], **found)
    np.save(data / "energies.npy", ENERGIES)
    other = {"model.type_map": ["H", "He", "O"], "model.descriptor.sel": [20, 2, 12]}
    slow = {"learning_rate.start_lr": 1e-12, "learning_rate.stop_lr": 1e-13}
    given = put(dos_recipe("tune", 1), other | slow)
    text = said(tmp_path, given, tmp_path / "out", finetune=whole / "out/model.dp")
    assert "density of states per type fitted to the data" in text
    assert "new types: He" in text
    model = multifit.load(tmp_path / "out/model.dp")
    assert model.type_map == ("H", "He", "O")
    got = model.predict(frames.coord, 2 * (1 - frames.atype), frames.cell)
    label = found["dos" if missing == "atom_dos" else "atom_dos"]
    rest = got["dos" if missing == "atom_dos" else "atom_dos"] - label
    means = [rest.mean(axis=0)]
    if missing == "dos":
        means = [rest[:, frames.atype == a].mean(axis=(0, 1)) for a in range(2)]
    np.testing.assert_allclose(means, 0.0, atol=1e-9)


# multifit change-bias


@pytest.mark.parametrize("mode", ["change", "set"])
@pytest.mark.parametrize("missing", ["dos", "atom_dos", ""])
def test_change_bias(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], missing: str, mode: str
) -> None:
    frames = labelled(4)
    fewer = replace(
        frames, coord=frames.coord[:, 1:], atype=frames.atype[1:], force=frames.force[:, 1:]
    )
    systems = {
        write_spectra(tmp_path / f"{len(f.atype)}", f, [missing]): f for f in (frames, fewer)
    }
    path, new = whole / "out/model.dp", tmp_path / "new.dp"
    data = [str(folder) for folder in systems]
    assert main(["change-bias", str(path), "-s", *data, "-m", mode, "-o", str(new)]) == 0
    text = capsys.readouterr().out
    assert ("rmse of the density of states/atom over 8 frames: " in text) == (missing != "dos")
    assert ("rmse of the atomic density of states over 44 atoms: " in text) == (
        missing != "atom_dos"
    )
    model, old = multifit.load(path), read_model(path)[1]["out_bias"]
    counts: list[Any] = []
    rests: list[Any] = []
    atoms: tuple[list[Any], list[Any]] = ([], [])
    for f in systems.values():
        label, got = spectra(f), model.predict(f.coord, f.atype, f.cell)
        for key in label:
            label[key] = label[key] - got[key] if mode == "change" else label[key]
        counts += [np.bincount(f.atype, minlength=2)] * 4
        rests += list(label["dos"])
        for a in range(2):
            atoms[a].extend(label["atom_dos"][:, f.atype == a].reshape(-1, 11))
    want = np.stack([np.mean(each, axis=0) for each in atoms])
    if missing == "atom_dos":
        want = np.linalg.lstsq(np.array(counts), np.array(rests))[0]
    found = read_model(new)[1]["out_bias"]
    np.testing.assert_allclose(found, want + (old if mode == "change" else 0), atol=1e-10)
    # What is said of the errors is so.
    if missing == "":
        changed = multifit.load(new)
        squares = [
            (changed.predict(f.coord, f.atype, f.cell)["atom_dos"] - spectra(f)["atom_dos"]).ravel()
            for f in systems.values()
        ]
        rmse = np.sqrt(np.mean(np.concatenate(squares) ** 2))
        assert f"states/eV before, {rmse:.3e} states/eV after" in text


def test_change_bias_without_labels(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(whole / "out/model.dp")
    assert main(["change-bias", path, "-s", str(whole / "energies")]) == 2
    assert "no dos or atom_dos in the data" in capsys.readouterr().err
    assert main(["change-bias", path, "-b", "1", "2"]) == 2
    assert "-b gives one energy for each type, but the model predicts a density of states" in (
        capsys.readouterr().err
    )

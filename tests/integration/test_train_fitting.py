"""The options of the fitting net from ``input.json``: what they do, and that a run goes on."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _backends import TRAINABLE
from _water import ATOMIC, Frames, curve, fit, labelled, recipe, write
from rich.console import Console
from test_train_restart import agree

import multifit
from multifit import config, files
from multifit.backend import get_backend
from multifit.cli import main
from multifit.data import open_systems
from multifit.errors import DataError, TrainingError, UnsupportedError
from multifit.evaluation import bias
from multifit.evaluation.predictions import compare
from multifit.train import train

STEPS, NET = 8, "model__fitting_net__"
ALONE = {f"{NET}atom_ener": [-4.0, None], "model__descriptor__set_davg_zero": True}
ATOMS = {"loss__start_pref_ae": 1.0, "loss__limit_pref_ae": 1.0}
MASK = {f"{NET}numb_aparam": 1, f"{NET}use_aparam_as_mask": True}

OPTIONS: dict[str, dict[str, Any]] = {
    "dim_case_embd": {f"{NET}dim_case_embd": 2},
    "atom_ener": ALONE,
    "layer_name": {f"{NET}layer_name": ["a", "b", None], f"{NET}neuron": [16, 16]},
    "use_aparam_as_mask": {**MASK, "model__descriptor__sel": "auto"},
    "tot_ener_zero": {f"{NET}tot_ener_zero": True, **ATOMS},
    "float16": {f"{NET}precision": "float16", "model__descriptor__precision": "float16"},
    "mixed precision": {"training__mixed_precision": {"output_prec": "float64"}},
    "float32": {f"{NET}precision": "float32", "model__descriptor__precision": "float32"},
    "bfloat16": {f"{NET}precision": "bfloat16"},
    "default_fparam": {f"{NET}numb_fparam": 2, f"{NET}default_fparam": [0.5, -1.0]},
    "linear": {f"{NET}neuron": []},
    "frozen layers": {f"{NET}trainable": [False, True, False]},
    "rcond": {f"{NET}rcond": 1e-3},
}


def _frames() -> Frames:
    return labelled(4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with data, in which the last atom of each frame can be left out."""
    folder = tmp_path_factory.mktemp("fitting")
    frames = _frames()
    real = np.ones((4, len(frames.atype)))
    real[:, -1] = 0.0
    real[1, 0] = 0.0
    own = np.tile(np.where(frames.atype == 0, 0.3, -0.2), (4, 1))
    write(folder / "data", frames, aparam=real, atom_ener=own)
    return folder


@pytest.fixture(scope="module")
def runs(folder: Path) -> dict[str, Path]:
    """Return the outputs of the runs that were made so far."""
    return {}


def _given(key: str, steps: int = STEPS) -> dict[str, Any]:
    return recipe(steps=steps, training__save_freq=4, **OPTIONS[key])


def _run(key: str, folder: Path, runs: dict[str, Path]) -> Path:
    if key not in runs:
        runs[key] = fit(folder, _given(key), output=folder / key)
    return runs[key]


@pytest.mark.parametrize("key", OPTIONS)
def test_a_run_learns_and_goes_on(key: str, folder: Path, runs: dict[str, Path]) -> None:
    out = _run(key, folder, runs)
    assert np.isfinite(curve(out)[1]).all()
    half = folder / f"{key} again"
    fit(folder, _given(key), output=half, restart=out / "model.ckpt-4.dp")
    agree(half / f"model.ckpt-{STEPS}.dp", out / f"model.ckpt-{STEPS}.dp")
    agree(half / "model.dp", out / "model.dp")
    np.testing.assert_array_equal(curve(half)[1], curve(out)[1][4:])


def _first(path: Path) -> dict[str, Any]:
    node: dict[str, Any] = files.read(path)["model"]
    return node


# What each of them does.


def test_cases_are_inputs_that_are_zero(folder: Path, runs: dict[str, Path]) -> None:
    fitting = _first(_run("dim_case_embd", folder, runs) / "model.dp")["fitting"]
    assert fitting["dim_case_embd"] == 2
    assert not fitting["@variables"]["case_embd"].any()
    w = fitting["nets"]["networks"][0]["layers"][0]["@variables"]["w"]
    assert w.shape == (16 + 2, 8)


def test_a_case_stays_in_what_follows(folder: Path, runs: dict[str, Path], tmp_path: Path) -> None:
    content = files.read(_run("dim_case_embd", folder, runs) / "model.dp")
    content["model"]["fitting"]["@variables"]["case_embd"] = np.array([0.0, 1.0])
    files.write(tmp_path / "branch.dp", content)
    for how in ("finetune", "init_model"):
        start: dict[str, Any] = {how: tmp_path / "branch.dp"}
        out = fit(folder, _given("dim_case_embd", 2), output=tmp_path / how, **start)
        assert _first(out / "model.dp")["fitting"]["@variables"]["case_embd"].tolist() == [0, 1]


def test_an_isolated_atom_keeps_its_energy(
    folder: Path, runs: dict[str, Path], tmp_path: Path
) -> None:
    out = _run("atom_ener", folder, runs)
    change = {"training__change_bias_after_training": True}
    tuned = fit(
        folder,
        recipe(steps=3, **ALONE, **change),
        output=tmp_path / "tuned",
        finetune=out / "model.dp",
    )
    command = ["change-bias", str(out / "model.dp"), "-s", str(folder / "data")]
    assert main([*command, "-o", str(tmp_path / "changed.dp")]) == 0
    for path in (out / "model.dp", tuned / "model.dp", tmp_path / "changed.dp"):
        alone = multifit.load(path).predict(np.zeros((1, 3)), ["O"])
        assert alone["energy"] == [-4.0]
        bias = _first(path)["@variables"]["out_bias"]
        assert bias[0, 0, 0] == 0.0
        # The other type makes up for the energy that is given.
        assert abs(bias[0, 1, 0]) > 0.05
    # Whoever says so on the command line is told.
    given = ["change-bias", str(out / "model.dp"), "-b", "-1", "-1"]
    assert main([*given, "-o", str(tmp_path / "no.dp")]) == 2


def test_a_new_energy_can_be_given_to_a_trained_type(
    folder: Path, runs: dict[str, Path], tmp_path: Path
) -> None:
    out = _run("atom_ener", folder, runs)
    given = recipe(steps=2, **ALONE | {f"{NET}atom_ener": [-4.5, None]})
    text = io.StringIO()
    screen = Console(file=text, width=300)
    tuned = fit(folder, given, output=tmp_path, finetune=out / "model.dp", console=screen)
    assert multifit.load(tuned / "model.dp").predict(np.zeros((1, 3)), ["O"])["energy"] == [-4.5]
    assert "atom_ener replaces energies of the file: O -4 → -4.5 eV" in text.getvalue()


@pytest.mark.parametrize("given", [None, [None, None], [-4.0, None]])
def test_a_given_energy_is_not_lost_in_silence(
    folder: Path, runs: dict[str, Path], tmp_path: Path, given: list[float | None] | None
) -> None:
    path, text = _run("atom_ener", folder, runs) / "model.dp", io.StringIO()
    settings = recipe(steps=1, **ALONE | {f"{NET}atom_ener": given})
    fit(folder, settings, output=tmp_path, finetune=path, console=Console(file=text, width=300))
    lost = "the old model's atom_ener [-4.0, null] is given up: a fitted energy for O; give"
    assert (lost in text.getvalue()) == (given != [-4.0, None])
    assert "atom_ener replaces" not in text.getvalue()


@pytest.mark.parametrize("how", ["finetune", "init_model", "restart"])
def test_a_mean_that_should_be_zero_is_refused(
    folder: Path, runs: dict[str, Path], tmp_path: Path, how: str
) -> None:
    # With it an isolated atom would not have the energy that is given.
    path = _run("frozen layers", folder, runs) / f"model.ckpt-{STEPS}.dp"
    flags = {f"{NET}trainable": OPTIONS["frozen layers"][f"{NET}trainable"]}
    more = ALONE if how == "finetune" else {"model__descriptor__set_davg_zero": True}
    start: dict[str, Any] = {how: path}
    with pytest.raises(TrainingError, match=r"set_davg_zero is true, but .* of O in .*-8\.dp is"):
        fit(folder, recipe(steps=STEPS, **flags, **more), output=tmp_path, **start)


def test_layers_of_one_name_stay_equal(folder: Path, runs: dict[str, Path], tmp_path: Path) -> None:
    out = _run("layer_name", folder, runs)
    one, two = (net["layers"] for net in _first(out / "model.dp")["fitting"]["nets"]["networks"])
    for k, shared in enumerate([True, True, False]):
        w = [layers[k]["@variables"]["w"] for layers in (one, two)]
        assert np.array_equal(*w) == shared
    content = files.read(out / f"model.ckpt-{STEPS}.dp")
    assert content["layer_name"] == ["a", "b", None]
    moments = content["training"]["optimizer"]["m"]["@variables"]
    nets = {name.removeprefix("fitting.nets.")[:10] for name in moments if "nets." in name}
    assert nets == {"0.layers.0", "0.layers.1", "0.layers.2", "1.layers.2"}
    # Fine-tuning to other types takes what is shared along.
    given = recipe(steps=1, **OPTIONS["layer_name"], model__type_map=["H", "O"])
    given["model"]["descriptor"]["sel"].reverse()
    given["learning_rate"].update(start_lr=1e-300, stop_lr=1e-300)
    tuned = fit(folder, given, output=tmp_path, finetune=out / "model.dp")
    last = _first(tuned / "model.dp")["fitting"]["nets"]["networks"]
    for k, mine in ((0, two), (1, one)):
        for new, old in zip(last[k]["layers"], mine, strict=True):
            np.testing.assert_array_equal(new["@variables"]["w"], old["@variables"]["w"])


def test_virtual_atoms_are_not_there(folder: Path, tmp_path: Path) -> None:
    frames = _frames()
    less = Frames(
        frames.coord[:, :-1],
        frames.atype[:-1],
        frames.cell,
        frames.energy,
        frames.force[:, :-1],
        frames.virial,
    )
    real = np.ones((4, len(frames.atype)))
    real[:, -1] = 0.0
    write(tmp_path / "data", frames, aparam=real)
    write(tmp_path / "less", less)
    options: dict[str, Any] = {"loss__start_pref_v": 1.0, "training__stat_file": "stat.h5"}
    options["model__descriptor__sel"] = "auto"
    masked = fit(tmp_path, recipe(**options, **MASK), output=tmp_path / "masked")
    fewer = fit(tmp_path, recipe("less", **options), output=tmp_path / "fewer")
    np.testing.assert_allclose(curve(masked)[1], curve(fewer)[1], rtol=1e-9)
    node = _first(masked / "model.dp")
    for name in ("davg", "dstd"):
        want = _first(fewer / "model.dp")["descriptor"]["@variables"][name]
        np.testing.assert_allclose(node["descriptor"]["@variables"][name], want, rtol=1e-12)
    (system,) = open_systems(str(tmp_path / "data"), ("O", "H"))
    bias_data = bias.collect(multifit.load(masked / "model.dp"), [system])
    np.testing.assert_array_equal(bias_data.natoms, len(less.atype))
    np.testing.assert_array_equal(bias_data.counts.sum(axis=1), len(less.atype))
    with pytest.raises(DataError, match="less has no aparam, but the model takes 1 for each atom"):
        fit(tmp_path, recipe("less", **options, **MASK), output=tmp_path / "no")


@pytest.mark.parametrize("kind", ["training_data", "validation_data"])
def test_a_frame_without_atoms_is_refused(tmp_path: Path, kind: str) -> None:
    frames = _frames()
    real = np.ones((4, len(frames.atype)))
    write(tmp_path / "data", frames, aparam=real)
    real[2] = 0.0
    write(tmp_path / "empty", frames, aparam=real)
    given = recipe(steps=3, **MASK, **{f"training__{kind}__systems": "empty"})
    with pytest.raises(
        DataError, match=r"empty/set.000, frame 2 has no real atom: each has the aparam 0"
    ):
        fit(tmp_path, given)
    given = recipe(steps=1, **MASK)
    out = fit(tmp_path, given, output=tmp_path / "good")
    (system,) = open_systems(str(tmp_path / "empty"), ("O", "H"))
    with pytest.raises(DataError, match="has no real atom"):
        compare(multifit.load(out / "model.dp"), system)


def test_a_total_of_zero_leaves_atomic_energies(folder: Path, runs: dict[str, Path]) -> None:
    out = _run("tot_ener_zero", folder, runs)
    # DeePMD-kit's NumPy core refuses such a file: it would give the energies without it.
    assert files.read(out / "model.dp")["model"]["fitting"]["tot_ener_zero"] is True
    frames, potential = _frames(), multifit.load(out / "model.dp")
    got = potential.predict(frames.coord, frames.atype, frames.cell)
    np.testing.assert_allclose(got["energy"], 0.0, atol=1e-12)
    assert not got["force"].any()
    assert not got["virial"].any()
    # The bias of each type is the mean of its atomic labels, for the totals say nothing.
    bias = _first(out / "model.dp")["@variables"]["out_bias"].ravel()
    np.testing.assert_allclose(bias, [0.3, -0.2])
    names, rows = curve(out)
    assert rows[-1, names.index("rmse_ae_trn")] < rows[0, names.index("rmse_ae_trn")]


def test_half_precision_is_kept_in_float32(folder: Path, runs: dict[str, Path]) -> None:
    node = _first(_run("float16", folder, runs) / "model.dp")
    assert (node["descriptor"]["precision"], node["fitting"]["precision"]) == ("float16",) * 2
    layer = node["fitting"]["nets"]["networks"][0]["layers"][0]["@variables"]
    assert layer["w"].dtype == np.float32
    assert np.any(layer["w"] != layer["w"].astype(np.float16))


def test_half_precision_is_refused_before_data_are_read(tmp_path: Path) -> None:
    if "paddle" not in TRAINABLE:
        pytest.skip("paddle is not installed")
    with pytest.raises(UnsupportedError, match=r"paddle backend does not support .* float16"):
        fit(tmp_path, recipe("nowhere", **OPTIONS["float16"]), backend="paddle")


def test_a_backend_that_lacks_what_is_asked_for_reads_no_data(tmp_path: Path) -> None:
    given = config.parse(recipe("nowhere", **OPTIONS["bfloat16"]))
    with pytest.raises(UnsupportedError, match="numpy backend does not support"):
        train(given, get_backend("numpy"), base=tmp_path, output=tmp_path / "out")


def test_a_frozen_layer_stays(folder: Path, runs: dict[str, Path]) -> None:
    out = _run("frozen layers", folder, runs)
    early, late = (
        _first(out / name)["fitting"]["nets"]["networks"][0]["layers"]
        for name in ("model.ckpt-4.dp", "model.dp")
    )
    for k, moves in enumerate([False, True, False]):
        w = [layers[k]["@variables"]["w"] for layers in (early, late)]
        assert np.array_equal(*w) != moves


def test_a_net_without_hidden_layers_is_linear(folder: Path, runs: dict[str, Path]) -> None:
    fitting = _first(_run("linear", folder, runs) / "model.dp")["fitting"]
    (layer,) = fitting["nets"]["networks"][0]["layers"]
    assert layer["@variables"]["w"].shape == (16, 1)


def test_rcond_is_that_of_the_bias(folder: Path, runs: dict[str, Path]) -> None:
    frames = _frames()
    counts = np.array([[(frames.atype == a).sum() for a in range(2)]] * 4, dtype=float)
    want, *_ = np.linalg.lstsq(counts, frames.energy, rcond=1e-3)
    node = _first(_run("rcond", folder, runs) / "model.dp")
    np.testing.assert_allclose(node["@variables"]["out_bias"].ravel(), want, rtol=1e-12)
    assert node["fitting"]["rcond"] == 1e-3
    assert abs(want - ATOMIC).max() > 0.1  # one composition does not tell the types apart

"""Training with every kind of data and every setting that changes what is fitted."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _compare import same
from _water import Frames, column, curve, fit, labelled, put, recipe, write
from rich.console import Console

import multifit
from multifit.cli import main
from multifit.errors import ConfigError, DataError, TrainingError
from multifit.train.loop import run
from multifit.tree import flatten

VIRIAL = {"loss__start_pref_v": 1.0, "loss__limit_pref_v": 1.0}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write(tmp_path / "data", labelled(6))
    return tmp_path


def said(folder: Path, given: dict[str, Any], **more: Any) -> str:
    text = io.StringIO()
    fit(folder, given, console=Console(file=text, width=300), **more)
    return text.getvalue()


def drawn(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, list[int]]]:
    """Return a list that fills with (system, frames) of each step."""
    seen: list[tuple[int, list[int]]] = []
    advance = run._advance

    def watched(loop: Any, number: int) -> Any:
        def noted() -> Any:
            for ready in loop.inputs:
                ((system, frames),) = ready.prepared.work.picks
                seen.append((system, frames.tolist()))
                yield ready

        return advance(replace(loop, inputs=noted()), number)

    monkeypatch.setattr(run, "_advance", watched)
    return seen


# Labels


def test_a_label_that_one_system_lacks_is_off_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "a", labelled(4))
    write(tmp_path / "b", labelled(4), without=["virial"])
    seen = drawn(monkeypatch)
    text = said(tmp_path, recipe(["a", "b"], steps=12, **VIRIAL))
    assert "no virial.npy in b: the term v of the loss (virial) is off there" in text
    virial, systems = column(tmp_path / "out", "rmse_v_trn"), [system for system, _ in seen[:12]]
    assert set(systems) == {0, 1}
    assert np.isnan(virial).tolist() == [system == 1 for system in systems]
    assert np.isfinite(column(tmp_path / "out", "rmse_trn")).all()


@pytest.mark.parametrize("label", ["energy", "force"])
def test_a_missing_label_has_no_influence(tmp_path: Path, label: str) -> None:
    # Training without a label is training with its prefactor zero.
    write(tmp_path / "without", labelled(4), without=[label])
    write(tmp_path / "with", labelled(4))
    off = {f"loss__start_pref_{label[0]}": 0, f"loss__limit_pref_{label[0]}": 0}
    preset = {"model__preset_out_bias": {"energy": [-3.0, -1.0]}}
    first = fit(tmp_path, recipe("without", steps=5, **preset), output=tmp_path / "1")
    second = fit(tmp_path, recipe("with", steps=5, **off, **preset), output=tmp_path / "2")
    same(column(first, "rmse_trn"), column(second, "rmse_trn"), rtol=1e-12)
    assert np.isnan(column(first, f"rmse_{label[0]}_trn")).all()


def test_no_label_at_all_is_an_error(data: Path) -> None:
    bare = labelled(3)
    write(data / "bare", bare, without=["energy", "force", "virial"])
    with pytest.raises(DataError, match=r"no training system has any .* \(energy, force\)"):
        fit(data, recipe("bare", steps=1))
    held_out = {"training__validation_data": {"systems": "bare"}}
    with pytest.raises(DataError, match="no validation system has any"):
        fit(data, recipe("data", steps=1, **held_out))


def test_atomic_energies_are_fitted(tmp_path: Path) -> None:
    frames = labelled(4)
    rng = np.random.default_rng(3)
    own = np.array([-3.0, -1.0])[frames.atype] + rng.normal(scale=0.05, size=(4, 6))
    write(tmp_path / "data", frames, atom_ener=own)
    off = {f"loss__{end}_pref_{term}": 0 for end in ("start", "limit") for term in "ef"}
    on = {"loss__start_pref_ae": 10, "loss__limit_pref_ae": 10}
    out = fit(tmp_path, recipe(steps=30, **off, **on))
    assert curve(out)[0] == ["step", "rmse_trn", "rmse_ae_trn", "lr"]
    error = column(out, "rmse_ae_trn")
    assert error[-1] < 0.9 * error[0]


# Parameters of frames and atoms


def test_fparam_and_aparam_are_inputs_of_the_fitting_net(tmp_path: Path) -> None:
    frames, rng = labelled(4), np.random.default_rng(0)
    fparam, aparam = rng.normal(3.0, 2.0, size=(4, 2)), rng.normal(size=(4, 6, 1))
    write(tmp_path / "data", frames, fparam=fparam, aparam=aparam)
    sizes = {"model__fitting_net__numb_fparam": 2, "model__fitting_net__numb_aparam": 1}
    out = fit(tmp_path, recipe(steps=3, **sizes))
    model = multifit.load(out / "model.dp")
    fitting = model.params["fitting"]
    same(fitting["fparam_avg"], fparam.mean(axis=0))
    same(fitting["fparam_inv_std"], 1 / fparam.std(axis=0))
    same(fitting["aparam_avg"], aparam.reshape(-1, 1).mean(axis=0))

    def energy(f: np.ndarray, a: np.ndarray) -> np.ndarray:
        return model.predict(frames.coord, frames.atype, frames.cell, f, a)["energy"]

    base = energy(fparam, aparam)
    assert (energy(fparam + 1, aparam) != base).all()
    assert (energy(fparam, aparam + 1) != base).all()


def test_default_fparam_stands_in_for_a_missing_file(tmp_path: Path) -> None:
    frames = labelled(4)
    write(tmp_path / "without", frames)
    write(tmp_path / "with", frames, fparam=np.full((4, 1), 2.5))
    sizes = {"model__fitting_net__numb_fparam": 1, "model__fitting_net__default_fparam": [2.5]}
    curves = [
        curve(fit(tmp_path, recipe(name, steps=3, **sizes), output=tmp_path / f"{name}.out"))[1]
        for name in ("without", "with")
    ]
    np.testing.assert_array_equal(*curves)


@pytest.mark.parametrize("kind", ["fparam", "aparam"])
def test_missing_parameters_are_an_error(data: Path, kind: str) -> None:
    with pytest.raises(
        DataError, match=rf"data has no {kind}, but the model takes 1 for .* \(numb_{kind}\)"
    ):
        fit(data, recipe(steps=1, **{f"model__fitting_net__numb_{kind}": 1}))


# Formats of data


def mixed(folder: Path, frames: Frames) -> Path:
    """Write a folder of mixed_type with two virtual atoms and the atoms in reverse order."""
    n, more = len(frames.coord), 2
    order = slice(None, None, -1)
    types = np.concatenate([frames.atype[order], np.full(more, -1)])

    def padded(x: np.ndarray) -> np.ndarray:
        return np.concatenate([x[:, order], np.zeros((n, more, 3))], axis=1)

    other = Frames(
        padded(frames.coord),
        np.zeros(len(types), dtype=int),
        frames.cell,
        frames.energy,
        padded(frames.force),
        frames.virial,
    )
    write(folder, other, real_atom_types=np.tile(types, (n, 1)))
    return folder


def in_hdf5(folder: Path, frames: Frames) -> Path:
    """Write the same as a group of an HDF5 file."""
    import h5py

    source = write(folder.with_suffix(".tmp"), frames)
    path = folder.with_suffix(".hdf5")
    with h5py.File(path, "w") as file:
        group = file.create_group("water")
        group["type.raw"] = frames.atype
        group["type_map.raw"] = [b"O", b"H"]
        for each in (source / "set.000").iterdir():
            group[f"set.000/{each.name}"] = np.load(each)
    return path


def in_xyz(folder: Path, frames: Frames) -> Path:
    """Write the same as an extended xyz file."""
    ase = pytest.importorskip("ase")
    io = pytest.importorskip("ase.io")
    path = folder.with_suffix(".extxyz")
    images = []
    for k, coord in enumerate(frames.coord):
        symbols = [("O", "H")[t] for t in frames.atype]
        atoms = ase.Atoms(symbols, coord, cell=frames.cell, pbc=True)
        atoms.info |= {"energy": frames.energy[k], "virial": frames.virial[k].T}
        atoms.arrays["forces"] = frames.force[k]
        images.append(atoms)
    io.write(path, images, format="extxyz", write_results=False)
    return path


@pytest.mark.parametrize(("form", "rtol"), [(mixed, 1e-9), (in_hdf5, 0.0), (in_xyz, 1e-5)])
def test_every_format_gives_the_same_curve(data: Path, form: Any, rtol: float) -> None:
    other = form(data / "other", labelled(6))
    given = recipe(steps=4, training__training_data__batch_size=3, **VIRIAL)
    want = curve(fit(data, given))[1]
    got = curve(
        fit(data, put(given, {"training.training_data.systems": str(other)}), output=data / "2")
    )[1]
    np.testing.assert_allclose(got, want, rtol=rtol, atol=rtol)


def test_systems_without_a_cell_are_trained(tmp_path: Path) -> None:
    frames = labelled(5, cell=False)
    write(tmp_path / "data", frames)
    out = fit(tmp_path, recipe(steps=60))
    found = multifit.load(out / "model.dp").predict(frames.coord, frames.atype)
    start = column(out, "rmse_f_trn")[0]
    assert np.sqrt(np.mean((found["force"] - frames.force) ** 2)) < 0.8 * start


def test_systems_of_different_sizes_and_cells_mix(tmp_path: Path) -> None:
    write(tmp_path / "all/crystal", labelled(4))
    write(tmp_path / "all/deep/molecule", labelled(3, cell=False))
    given = recipe("all", steps=6, training__validation_data={"systems": ["all"]})
    text = said(tmp_path, given)
    assert "training on 7 frames in 2 systems" in text
    assert np.isfinite(curve(tmp_path / "out")[1]).all()


# Batches


@pytest.mark.parametrize(
    ("size", "frames"),
    [("auto:12", [2, 2]), ("max:18", [3, 3]), ([1, 3], [1, 3]), ("auto", [4, 4]), (2, [2, 2])],
    ids=str,
)
def test_batch_sizes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: Any, frames: list[int]
) -> None:
    for name in ("a", "b"):
        write(tmp_path / name, labelled(4))
    seen = drawn(monkeypatch)
    fit(tmp_path, recipe(["a", "b"], steps=6, training__training_data__batch_size=size))
    assert {(k, len(chosen)) for k, chosen in seen} <= set(enumerate(frames))


def test_probabilities_choose_the_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b", "c"):
        write(tmp_path / name, labelled(2))
    seen = drawn(monkeypatch)
    given = recipe(["a", "b", "c"], steps=12, training__training_data__sys_probs=[0.5, 0, 0.5])
    fit(tmp_path, given)
    assert {system for system, _ in seen} == {0, 2}


def test_epochs_count_frames(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = drawn(monkeypatch)
    given = recipe(steps=None, training__numb_epoch=2)
    out = fit(data, given)
    assert column(out, "step")[-1] == 6
    chosen = [frame for _, frames in seen[:6] for frame in frames]
    assert sorted(chosen) == sorted(list(range(6)) * 2)


# Settings of the model


def test_sel_can_be_found_in_the_data(data: Path) -> None:
    frames = labelled(6)
    counts = np.zeros(2, dtype=int)
    from multifit.neighbors.search import find_pairs

    for coord in frames.coord:
        pairs = find_pairs(coord, frames.cell, [True] * 3, 3.6)
        for kind in (0, 1):
            here = pairs.i[frames.atype[pairs.j] == kind]
            counts[kind] = max(counts[kind], np.bincount(here).max())
    text = said(data, recipe(steps=1, model__descriptor__sel="auto"))
    wanted = [int(-(-np.ceil(1.1 * n) // 4) * 4) for n in counts]
    assert f"sel {wanted}" in text


def trained_and_fresh(
    data: Path, **changes: Any
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return parameters after many steps and after one that moves nothing."""
    still = {"learning_rate__start_lr": 1e-20, "learning_rate__stop_lr": 1e-20}
    after = fit(data, recipe(steps=4, **changes), output=data / "after")
    before = fit(data, recipe(steps=1, **changes, **still), output=data / "before")
    return tuple(flatten(multifit.load(out / "model.dp").params) for out in (after, before))


def moved(after: dict[str, np.ndarray], before: dict[str, np.ndarray]) -> set[str]:
    return {k for k in after if not np.allclose(after[k], before[k], rtol=1e-12, atol=1e-15)}


def test_a_frozen_descriptor_stays(data: Path) -> None:
    changed = moved(*trained_and_fresh(data, model__descriptor__trainable=False))
    assert changed
    assert all(name.startswith("fitting.nets") for name in changed)


@pytest.mark.parametrize("flags", [[False, True, False], [True, False, True]])
def test_layers_of_the_fitting_net_are_frozen_one_by_one(data: Path, flags: list[bool]) -> None:
    changed = moved(*trained_and_fresh(data, model__fitting_net__trainable=flags))
    layers = {int(name.split(".")[4]) for name in changed if name.startswith("fitting.nets")}
    assert layers == {k for k, flag in enumerate(flags) if flag}
    assert any(name.startswith("descriptor.embeddings") for name in changed)


def test_nothing_trainable_is_an_error(data: Path) -> None:
    frozen = {"model__descriptor__trainable": False, "model__fitting_net__trainable": False}
    with pytest.raises(TrainingError, match="nothing is trainable"):
        fit(data, recipe(steps=1, **frozen))


def test_a_preset_bias_is_kept(data: Path) -> None:
    given = recipe(steps=2, model__preset_out_bias={"energy": {"O": -4.5}})
    bias = multifit.load(fit(data, given) / "model.dp").params["out_bias"][:, 0]
    frames = labelled(6)
    assert bias[0] == -4.5
    # Four H and two O: the rest of the energy is H's.
    same(bias[1], (frames.energy - 2 * -4.5).mean() / 4)


# Optimizer and loss


def test_a_long_gradient_is_cut(data: Path) -> None:
    # Adam does not see the length of one gradient, but how lengths differ between steps.
    free, cut, loose = (
        fit(data, recipe(steps=4, training__gradient_max_norm=n), output=data / str(n))
        for n in (None, 1e-4, 1e9)
    )
    np.testing.assert_array_equal(curve(free)[1], curve(loose)[1])
    assert not np.allclose(column(free, "rmse_trn")[-1], column(cut, "rmse_trn")[-1], rtol=1e-9)


def test_adamw_shrinks_the_parameters(data: Path) -> None:
    norms = []
    for decay in (0.0, 5.0):
        given = recipe(steps=10, optimizer={"type": "AdamW", "weight_decay": decay})
        out = fit(data, given, output=data / str(decay))
        weights = flatten(multifit.load(out / "model.dp").params["fitting"]["nets"])
        norms.append(sum(float((x * x).sum()) for x in weights.values()))
    assert norms[1] < 0.95 * norms[0]
    plain = fit(data, recipe(steps=10), output=data / "adam")
    np.testing.assert_array_equal(curve(plain)[1], curve(data / "0.0")[1])


@pytest.mark.parametrize(
    "loss",
    [
        {"loss__loss_func": "mae", "loss__f_use_norm": True},
        {"loss__use_huber": True, "loss__huber_delta": [0.01, 0.02, 0.03]},
        {"loss__intensive_ener_virial": True},
    ],
    ids=["mae", "huber", "intensive"],
)
def test_other_losses_go_down(data: Path, loss: dict[str, Any]) -> None:
    given = recipe(
        steps=40, training__training_data__batch_size=6, training__disp_freq=39, **VIRIAL, **loss
    )
    metric = "mae_f_trn" if "loss__loss_func" in loss else "rmse_f_trn"
    error = column(fit(data, given), metric)
    assert error[-1] < 0.8 * error[0]


# Which backend


@pytest.fixture
def command(data: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("MULTIFIT_BACKEND", raising=False)
    monkeypatch.chdir(data)
    (data / "input.json").write_text(json.dumps(recipe(steps=1)))
    return data


def backend_of(folder: Path, *arguments: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["train", "input.json", "-o", "out", *arguments]) == 0
    return capsys.readouterr().out.split()[0]


def test_the_backend_is_the_options_then_the_files_then_the_environments(
    command: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MULTIFIT_BACKEND", "torch")
    assert backend_of(command, capsys=capsys) == "torch"
    monkeypatch.setenv("MULTIFIT_BACKEND", "numpy")
    assert backend_of(command, "-b", "pytorch", capsys=capsys) == "torch"
    (command / "input.json").write_text(json.dumps(recipe(steps=1) | {"backend": "torch"}))
    assert backend_of(command, capsys=capsys) == "torch"
    (command / "input.json").write_text(json.dumps(recipe(steps=1) | {"backend": "numpy"}))
    assert backend_of(command, "-b", "torch", capsys=capsys) == "torch"
    assert main(["train", "input.json"]) == 2
    complaint = capsys.readouterr().err
    assert "the numpy backend does not support training, fine-tuning and restart" in complaint
    assert "; use jax or paddle or tensorflow or torch" in complaint


def test_sel_must_fit_the_types(data: Path) -> None:
    given = put(recipe(steps=1), {"model.type_map": None, "model.descriptor.sel": [12]})
    with pytest.raises(ConfigError, match=r"sel has 1 numbers, but there are 2 types \(O, H\)"):
        fit(data, given)


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("preset_out_bias", {"energy": [-1.0, None, None]}, r"\.energy .* has length 3, but must"),
        ("atom_exclude_types", [5], " .* names type 5, but must name types below 2"),
        ("pair_exclude_types", [[0, 5]], " .* names type 5, but must name types below 2"),
        ("descriptor__exclude_types", [[0, 5]], " .* names type 5, but must name types below 2"),
        ("fitting_net__atom_ener", [-1.0], " .* has length 1, but must have length 2, one entry"),
    ],
)
def test_types_that_only_the_data_know_are_checked(
    data: Path, key: str, value: Any, says: str
) -> None:
    zero = {"model__descriptor__set_davg_zero": True, "model__descriptor__sel": "auto"}
    given = recipe(steps=1, model__type_map=None, **zero, **{f"model__{key}": value})
    name = f"model.{key.replace('__', '.')}"
    with pytest.raises(ConfigError, match=rf"^{name}{says}") as caught:
        fit(data, given)
    assert "in the input (the types of the data are O, H)" in str(caught.value)

"""Training with the less common terms of the energy loss, and what the run says about them."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _backends import INSTALLED
from _cli_files import write_model
from _compare import same
from _water import ATOMIC, Frames, column, curve, fit, labelled, recipe, write
from rich.console import Console

import multifit
from multifit.cli import main
from multifit.data import open_systems
from multifit.errors import DataError, TrainingError
from multifit.evaluation.predictions import compare
from multifit.support import FEATURES

#: The loss of DeePMD-kit's page on fitting energies, section on default weights.
SEED_PAGE = {
    **{"start_pref_e": 0.02, "limit_pref_e": 1, "start_pref_f": 1000, "limit_pref_f": 1},
    **{"start_pref_v": 0, "limit_pref_v": 0, "start_pref_pf": 1.0, "limit_pref_pf": 1.0},
    "use_default_pf": True,
}
PF = {"loss__start_pref_pf": 1.0, "loss__limit_pref_pf": 1.0}
GF = {"loss__start_pref_gf": 1.0, "loss__limit_pref_gf": 1.0, "loss__numb_generalized_coord": 2}
H = {"loss__start_pref_h": 1.0, "loss__limit_pref_h": 1.0}
COEFFICIENTS = {"loss__enable_atom_ener_coeff": True}
FRAMES = 4


def ones(frames: Frames, *more: int) -> np.ndarray:
    """Return ones for every atom of every frame."""
    return np.ones((*frames.coord.shape[:2], *more))


def said(folder: Path, given: dict[str, Any], **more: Any) -> str:
    text = io.StringIO()
    fit(folder, given, console=Console(file=text, width=300), **more)
    return text.getvalue()


# Forces weighted per atom


def test_weights_come_from_their_file(tmp_path: Path) -> None:
    frames = labelled(FRAMES)
    write(tmp_path / "data", frames, atom_pref=4.0 * ones(frames))
    out = fit(tmp_path, recipe(steps=3, **PF))
    assert curve(out)[0] == [
        *("step", "rmse_trn", "rmse_e_trn", "rmse_f_trn", "rmse_pf_trn", "lr"),
    ]
    same(column(out, "rmse_pf_trn"), 2.0 * column(out, "rmse_f_trn"))


def test_an_atom_without_weight_is_not_fitted(tmp_path: Path) -> None:
    frames = labelled(FRAMES)
    weight, wrong = ones(frames), frames.force.copy()
    weight[:, 1], wrong[:, 1] = 0.0, 1e3
    write(tmp_path / "data", frames, atom_pref=weight)
    write(tmp_path / "wrong", frames, atom_pref=weight, force=wrong)
    off = {"loss__start_pref_f": 0, "loss__limit_pref_f": 0}
    runs = [
        fit(tmp_path, recipe(name, steps=3, **off, **PF), output=tmp_path / f"{name}.out")
        for name in ("data", "wrong")
    ]
    same(curve(runs[0])[1], curve(runs[1])[1], rtol=0.0)


def test_without_the_file_the_term_is_off_and_the_run_says_so(tmp_path: Path) -> None:
    frames = labelled(FRAMES)
    write(tmp_path / "a", frames, atom_pref=ones(frames))
    write(tmp_path / "b", frames, without=["force"])
    text = said(tmp_path, recipe(["a", "b"], steps=6, **PF))
    assert "no force.npy in b: the terms f, pf of the loss are off there" in text
    assert (
        "no atom_pref.npy in b: the term pf of the loss (force weighted per atom) is off there"
        in text
    )
    weighted = column(tmp_path / "out", "rmse_pf_trn")
    assert np.isnan(weighted).any()
    assert not np.isnan(weighted).all()
    off = {f"loss__{when}_pref_{term}": 0 for when in ("start", "limit") for term in "ef"}
    write(tmp_path / "c", frames)
    with pytest.raises(DataError, match=r"no training system has any .* \(force with atom_pref\)"):
        fit(tmp_path, recipe("c", steps=1, **off, **PF))


def test_the_seed_pages_example_trains_on_torch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "data", labelled(FRAMES))
    given = recipe(steps=3, loss=SEED_PAGE, training__validation_data={"systems": "data"})
    (tmp_path / "input.json").write_text(json.dumps(given))
    monkeypatch.chdir(tmp_path)
    assert main(["train", "input.json", "-b", "torch", "-o", "out"]) == 0
    assert "no atom_pref.npy in data: it is 1 for every atom there" in capsys.readouterr().out
    for kind in ("trn", "val"):
        weighted = column(tmp_path / "out", f"rmse_pf_{kind}")
        assert np.isfinite(weighted).all()
        same(weighted, column(tmp_path / "out", f"rmse_f_{kind}"))


def test_the_default_weight_leaves_files_as_they_are(tmp_path: Path) -> None:
    frames = labelled(FRAMES)
    write(tmp_path / "data", frames, atom_pref=9.0 * ones(frames))
    out = fit(tmp_path, recipe(steps=2, loss=SEED_PAGE))
    same(column(out, "rmse_pf_trn"), 3.0 * column(out, "rmse_f_trn"))


@pytest.mark.parametrize(
    "backend", [b for b in INSTALLED if b not in FEATURES["use_default_pf"].backends]
)
def test_the_default_weight_is_refused_before_data_are_read(
    backend: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = recipe("is/not/there", steps=1, loss=SEED_PAGE)
    with pytest.raises(NotImplementedError, match=f"the {backend} backend does not support"):
        fit(tmp_path, given, backend=backend)
    monkeypatch.chdir(tmp_path)
    assert main(["train", "input.json", "-b", backend, "-o", "out"]) == 2
    assert "use_default_pf" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_negative_weight_is_an_error(tmp_path: Path) -> None:
    frames = labelled(FRAMES)
    weight = ones(frames)
    weight[2, 3] = -0.5
    write(tmp_path / "data", frames, atom_pref=weight)
    says = r"set.000/atom_pref.npy, frame 2: the weight of atom 3 is -0.5, but must be ≥ 0"
    with pytest.raises(DataError, match=says):
        fit(tmp_path, recipe(steps=4, **PF))


# Relative and generalized forces


def test_relative_errors_are_divided_by_the_labels_length(tmp_path: Path) -> None:
    frames = labelled(FRAMES)
    write(tmp_path / "data", frames)
    for name, loss in (("plain", {}), ("relative", {"loss__relative_f": 1e6})):
        fit(tmp_path, recipe(steps=1, **loss), output=tmp_path / name)
    plain, relative = (column(tmp_path / name, "rmse_f_trn") for name in ("plain", "relative"))
    same(1e6 * relative, plain, rtol=1e-5)


def test_generalized_forces_are_projections(tmp_path: Path) -> None:
    # With two coordinates that move one atom along x and y, the error is that of two components.
    frames = labelled(FRAMES)
    drdq = 0.0 * ones(frames, 3, 2)
    drdq[:, 2, 0, 0] = drdq[:, 2, 1, 1] = 1.0
    weight = 0.0 * ones(frames)
    weight[:, 2] = 1.0
    write(tmp_path / "data", frames, drdq=drdq, atom_pref=weight)
    potential = write_model(tmp_path / "model.dp")
    predicted = potential.predict(frames.coord, frames.atype, frames.cell)["force"]
    given = recipe(steps=1, training__training_data__batch_size=FRAMES, **GF, **PF)
    given["model"] |= {"descriptor": _descriptor(potential), "fitting_net": _fitting(potential)}
    out = fit(tmp_path, given, init_model=tmp_path / "model.dp")
    error = (predicted - frames.force)[:, 2]
    same(column(out, "rmse_gf_trn"), np.array([np.sqrt((error[:, :2] ** 2).mean())]))
    number = frames.coord.shape[1] * 3 * FRAMES
    same(column(out, "rmse_pf_trn"), np.array([np.sqrt((error**2).sum() / number)]))


def _descriptor(potential: multifit.Potential) -> dict[str, Any]:
    d = potential.model.descriptor
    names = ("rcut", "rcut_smth", "axis_neuron", "type_one_side", "precision", "resnet_dt")
    lists = {"sel": list(d.sel), "neuron": list(d.neuron)}
    return (
        {"type": "se_e2_a", "activation_function": d.activation_function}
        | lists
        | {name: getattr(d, name) for name in names}
    )


def _fitting(potential: multifit.Potential) -> dict[str, Any]:
    f = potential.model.fitting
    names = ("resnet_dt", "precision", "activation_function")
    return {"neuron": list(f.neuron)} | {name: getattr(f, name) for name in names}


def test_another_number_of_generalized_coordinates_is_an_error(tmp_path: Path) -> None:
    frames = labelled(FRAMES)
    write(tmp_path / "data", frames, drdq=ones(frames, 3, 3))
    says = r"data/set.000/drdq.npy holds the derivatives of 3 generalized .*_coord is 2"
    with pytest.raises(DataError, match=says):
        fit(tmp_path, recipe(steps=1, **GF))
    write(tmp_path / "good", frames)
    held_out = {"training__validation_data": {"systems": ["good", "data"]}}
    with pytest.raises(DataError, match=says):
        fit(tmp_path, recipe("good", steps=1, **held_out, **GF))


# Energies with coefficients


@pytest.fixture
def reactions(tmp_path: Path) -> Path:
    """Return a folder whose data are energies of the types alone, times coefficients."""
    frames, rng = labelled(FRAMES), np.random.default_rng(5)
    coefficient = rng.normal(size=frames.coord.shape[:2])
    energy = (coefficient * ATOMIC[frames.atype]).sum(axis=1)
    write(tmp_path / "data", frames, energy=energy, atom_ener_coeff=coefficient)
    return tmp_path


def test_energies_are_sums_with_coefficients(reactions: Path) -> None:
    given = recipe(steps=2, training__training_data__batch_size=FRAMES, **COEFFICIENTS)
    out = fit(reactions, given)
    model = multifit.load(out / "model.dp")
    same(model.params["out_bias"][:, 0], ATOMIC)
    plain = fit(
        reactions,
        recipe(steps=1, loss__enable_atom_ener_coeff=False),
        output=reactions / "plain",
    )
    assert np.abs(multifit.load(plain / "model.dp").params["out_bias"][:, 0] - ATOMIC).max() > 0.1
    systems = open_systems("data", ["O", "H"], base=reactions)
    frames = labelled(FRAMES)
    weight = np.load(reactions / "data/set.000/atom_ener_coeff.npy")
    label = np.load(reactions / "data/set.000/energy.npy").ravel()
    found = model.predict(frames.coord, frames.atype, frames.cell)
    error = (weight * found["atom_energy"]).sum(axis=1) - label
    same(compare(model, systems[0], coefficients=True).rmse("energy"), np.sqrt((error**2).mean()))
    error = found["energy"] - label
    without = compare(model, systems[0])
    same(without.rmse("energy"), np.sqrt((error**2).mean()))


def test_the_bias_after_training_knows_the_coefficients(reactions: Path) -> None:
    changed = {"training__change_bias_after_training": True}
    out = fit(reactions, recipe(steps=2, **COEFFICIENTS, **changed))
    model = multifit.load(out / "model.dp")
    systems = open_systems("data", ["O", "H"], base=reactions)
    best = compare(model, systems[0], coefficients=True).rmse("energy")
    for shift in ([1e-3, 0.0], [0.0, 1e-3], [-1e-3, 0.0], [0.0, -1e-3]):
        params = model.params | {"out_bias": model.params["out_bias"] + np.array(shift)[:, None]}
        other = multifit.Potential(model.model, params)
        assert compare(other, systems[0], coefficients=True).rmse("energy") > best


def test_coefficients_that_are_missing_are_one(reactions: Path) -> None:
    write(reactions / "plain", labelled(FRAMES))
    text = said(reactions, recipe(["data", "plain"], steps=2, **COEFFICIENTS))
    assert "no atom_ener_coeff.npy in plain: it is 1 for every atom there" in text
    assert np.isfinite(column(reactions / "out", "rmse_e_trn")).all()


@pytest.mark.parametrize("options", [COEFFICIENTS, {}], ids=["with", "without"])
@pytest.mark.parametrize("name", ["model.dp", "ckpt-1.dp"])
def test_commands_take_coefficients_where_training_did(
    reactions: Path, capsys: pytest.CaptureFixture[str], options: dict[str, Any], name: str
) -> None:
    out = fit(reactions, recipe(steps=1, **options))
    path, data = str(_found(out, name)), str(reactions / "data")
    says = f"energies {'with' if options else 'without'} the coefficients of atom_ener_coeff.npy"
    model, systems = multifit.load(path), open_systems("data", ["O", "H"], base=reactions)
    errors = compare(model, systems[0], coefficients=bool(options))
    capsys.readouterr()
    assert main(["test", "-m", path, "-s", data]) == 0
    text = capsys.readouterr().out
    assert f"{errors.rmse('energy'):.3e}" in text
    assert says in text
    assert main(["change-bias", path, "-s", data, "-o", str(reactions / "new.dp")]) == 0
    text = capsys.readouterr().out
    assert f"{errors.rmse('energy_per_atom'):.3e} eV before" in text
    assert says in text
    assert main(["test", "-m", str(reactions / "new.dp"), "-s", data]) == 0
    assert says in capsys.readouterr().out


def _found(out: Path, name: str) -> Path:
    """Return a file of a run, whatever its checkpoints' names begin with."""
    return out / name if name == "model.dp" else next(out.glob("*-1.dp"))


# Hessians


def test_hessians_are_compared_and_fitted(tmp_path: Path) -> None:
    potential = write_model(tmp_path / "model.dp")
    frames = labelled(FRAMES)
    found = potential.predict(frames.coord, frames.atype, frames.cell, hessian=True)
    exact = {key: found[key] for key in ("energy", "force", "hessian")}
    shifted = exact | {"hessian": exact["hessian"] + 0.25}
    for name, arrays in (("exact", exact), ("shifted", shifted)):
        write(tmp_path / name, frames, **arrays)
        given = recipe(name, steps=1, training__training_data__batch_size=FRAMES, **H)
        given["model"] |= {"descriptor": _descriptor(potential), "fitting_net": _fitting(potential)}
        fit(tmp_path, given, init_model=tmp_path / "model.dp", output=tmp_path / f"{name}.out")
    assert column(tmp_path / "exact.out", "rmse_h_trn")[0] < 1e-10
    same(column(tmp_path / "shifted.out", "rmse_h_trn"), np.array([0.25]), rtol=1e-8)
    out = fit(tmp_path, recipe("shifted", steps=2, **H, **{"loss__loss_func": "mae"}))
    assert "mae_h_trn" in curve(out)[0]


def test_hessians_that_do_not_fit_into_memory_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = labelled(FRAMES)
    write(tmp_path / "data", frames, hessian=np.zeros((FRAMES, 18 * 18)))
    (tmp_path / "proc").mkdir()
    free = tmp_path / "proc" / "meminfo"
    monkeypatch.setattr("multifit.host.cgroups.ROOT", tmp_path)
    says = r"Hessians of 2 × 6 atoms of the training system data takes .*, but 0.102 MB are"
    free.write_text("MemTotal: 9999999 kB\nMemAvailable: 100 kB\n")
    with pytest.raises(TrainingError, match=says) as caught:
        fit(tmp_path, recipe(steps=1, **H))
    assert "or batch_size 1" in str(caught.value)
    assert not list((tmp_path / "out").glob("*.dp"))
    for text in ("MemAvailable: 10000000 kB\n", "nothing of the kind"):
        free.write_text(text)
        fit(tmp_path, recipe(steps=1, **H))
    with pytest.raises(TrainingError, match=r"but 0.01 MB are available \(training.memory\): use"):
        fit(tmp_path, recipe(steps=1, training__memory="10 kB", **H))

"""Training densities of states: labels, energies, biases, options, on every backend."""

from __future__ import annotations

import functools
import io
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _backends import TRAINABLE
from _compare import same
from _water import (
    ENERGIES,
    Frames,
    column,
    curve,
    dos_recipe,
    fit,
    labelled,
    put,
    spectra,
    write,
    write_spectra,
)
from rich.console import Console

import multifit
from multifit.data import open_systems
from multifit.dos import Grid, even_grid, levels
from multifit.errors import DataError
from multifit.evaluation.predictions import compare
from multifit.inference.model_file import read_model
from multifit.inference.potential import Potential
from multifit.tree import flatten

EVERY = {f"loss__start_pref_{term}": 1.0 for term in ("dos", "cdf", "ados", "acdf")}
METRICS = ("rmse_global_dos_trn", "rmse_local_dos_trn")


STAGES = ("start", "limit")


def said(folder: Path, given: dict[str, Any], **more: Any) -> str:
    """Return what a run says."""
    text = io.StringIO()
    fit(folder, given, console=Console(file=text, width=300), **more)
    return text.getvalue()


def fewer(frames: Frames) -> Frames:
    """Return the frames without their first atom: another composition."""
    force = frames.force[:, 1:]
    return replace(frames, coord=frames.coord[:, 1:], atype=frames.atype[1:], force=force)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_spectra(tmp_path / "data", labelled())
    return tmp_path


# Every backend


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return what trains on a backend with every term, once, and returns the folder."""
    folder = tmp_path_factory.mktemp("dos")
    write_spectra(folder / "data", labelled())
    write_spectra(folder / "total", fewer(labelled(4)), ["atom_dos"])

    @functools.cache
    def train(name: str) -> Path:
        given = dos_recipe(["data", "total"], 6, **EVERY, loss__shift_agnostic=1)
        return fit(folder, given, output=folder / name, backend=name)

    return train


def test_every_term_has_its_column(whole: Callable[[str], Path]) -> None:
    out = whole("torch")
    terms = ("global_cdf", "global_dos", "local_cdf", "local_dos")
    columns = ["step", "rmse_trn", *(f"rmse_{term}_trn" for term in terms), "lr"]
    assert curve(out)[0] == columns
    atomic = np.isnan(column(out, "rmse_local_cdf_trn"))
    assert 0 < atomic.sum() < 6  # steps on the system without labels of atoms
    np.testing.assert_array_equal(np.isnan(column(out, "rmse_local_dos_trn")), atomic)
    for name in ("rmse_trn", "rmse_global_cdf_trn", "rmse_global_dos_trn"):
        assert np.isfinite(column(out, name)).all()


@pytest.mark.parametrize("name", TRAINABLE)
def test_every_backend_trains_the_same(whole: Callable[[str], Path], name: str) -> None:
    one, other = (curve(whole(which))[1] for which in (name, "torch"))
    np.testing.assert_allclose(one, other, rtol=1e-8, equal_nan=True)
    one, other = (flatten(read_model(whole(which) / "model.dp")[1]) for which in (name, "torch"))
    for key, value in other.items():
        slack = 1e-8 * np.abs(value).max(initial=1e-3)
        np.testing.assert_allclose(one[key], value, rtol=1e-8, atol=slack, err_msg=key)


# Labels


@pytest.mark.parametrize("missing", ["dos", "atom_dos"])
def test_one_of_the_labels_is_enough(tmp_path: Path, missing: str) -> None:
    write_spectra(tmp_path / "data", labelled(), [missing])
    text = said(tmp_path, dos_recipe(steps=3))
    assert f"no {missing}.npy in data: the term {'a' * ('atom' in missing)}dos of the loss" in text
    for metric, label in zip(METRICS, ("dos", "atom_dos"), strict=True):
        assert np.isnan(column(tmp_path / "out", metric)).all() == (label == missing)
    # Training without a label is training with its prefactor zero.
    write_spectra(tmp_path / "both", labelled())
    term = {"dos": "dos", "atom_dos": "ados"}[missing]
    off = {f"loss__{end}_pref_{term}": 0 for end in ("start", "limit")}
    preset = {"model__preset_out_bias": {"dos": [[0.0] * 11] * 2}}
    one = fit(tmp_path, dos_recipe(steps=3, **preset), output=tmp_path / "1")
    other = fit(tmp_path, dos_recipe("both", 3, **off, **preset), output=tmp_path / "2")
    same(column(one, "rmse_trn"), column(other, "rmse_trn"), rtol=1e-12)


def test_the_other_name_of_the_file(data: Path) -> None:
    want = fit(data, dos_recipe(steps=2))
    shutil.copytree(data / "data", data / "named")
    inner = data / "named/set.000"
    (inner / "atom_dos.npy").rename(inner / "atomic_dos.npy")
    got = fit(data, dos_recipe("named", 2), output=data / "named_out")
    assert (got / "lcurve.out").read_text() == (want / "lcurve.out").read_text()


def test_a_label_that_one_system_lacks_is_off_there(data: Path) -> None:
    write_spectra(data / "more", labelled(4), ["atom_dos"])
    held_out = {"training__validation_data": {"systems": "more", "batch_size": 2}}
    text = said(data, dos_recipe(["data", "more"], 12, **held_out))
    assert "no atom_dos.npy in more: the term ados of the loss (density of states of each" in text
    assert "no atom_dos.npy in the validation data more: the term ados" in text
    atomic = np.isnan(column(data / "out", "rmse_local_dos_trn"))
    assert atomic.any()
    assert not atomic.all()
    assert np.isnan(column(data / "out", "rmse_local_dos_val")).all()
    assert np.isfinite(column(data / "out", "rmse_global_dos_val")).all()
    assert (data / "out/model_best.dp").exists()


def in_hdf5(folder: Path, frames: Frames, efermi: np.ndarray) -> str:
    """Write a system as an HDF5 file, and return its path."""
    import h5py

    source = write_spectra(folder / "source", frames, energies=ENERGIES, efermi=efermi)
    with h5py.File(folder / "data.hdf5", "w") as file:
        file["water/type.raw"] = frames.atype
        file["water/type_map.raw"] = np.array(["O", "H"], dtype="S1")
        file["water/energies"] = ENERGIES
        for path in (source / "set.000").iterdir():
            file[f"water/set.000/{path.name}"] = np.load(path)
    return "data.hdf5"


def mixed(folder: Path, frames: Frames, efermi: np.ndarray) -> str:
    """Write a system of mixed_type with a virtual atom and the atoms in reverse order."""
    n, natoms, _ = frames.coord.shape

    def padded(values: np.ndarray) -> np.ndarray:
        return np.concatenate([np.full_like(values[:, :1], 0.7), values[:, ::-1]], axis=1)

    types = np.concatenate([[-1], frames.atype[::-1]])
    found = spectra(frames)
    other = replace(frames, coord=padded(frames.coord), atype=np.zeros(natoms + 1, dtype=int))
    write(
        folder / "mixed",
        other,
        ("energy", "force", "virial"),
        dos=found["dos"],
        atom_dos=padded(found["atom_dos"]),
        real_atom_types=np.tile(types, (n, 1)),
        efermi=efermi,
    )
    np.save(folder / "mixed/energies.npy", ENERGIES)
    return "mixed"


@pytest.mark.parametrize(("form", "rtol"), [(mixed, 1e-8), (in_hdf5, 0.0)])
def test_every_form_of_data_gives_the_same_run(
    tmp_path: Path, form: Callable[[Path, Frames, np.ndarray], str], rtol: float
) -> None:
    frames = labelled(4)
    efermi = np.linspace(-0.4, 0.4, 4)
    write_spectra(tmp_path / "plain", frames, energies=ENERGIES, efermi=efermi)
    grid = {"emin": -4, "emax": 4, "fermi_aligned": True, "numb_dos": 9}
    options = {f"model__fitting_net__{key}": value for key, value in grid.items()}
    want = fit(tmp_path, dos_recipe("plain", 4, **options), output=tmp_path / "want")
    got = fit(tmp_path, dos_recipe(form(tmp_path, frames, efermi), 4, **options))
    for metric in ("rmse_trn", *METRICS):
        np.testing.assert_allclose(column(got, metric), column(want, metric), rtol=rtol)
    assert read_model(got / "model.dp")[0].grid == read_model(want / "model.dp")[0].grid


# The bias


def bias(folder: Path, name: str = "model.dp") -> np.ndarray:
    return np.asarray(read_model(folder / name)[1]["out_bias"])


def totals(systems: list[Frames]) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of atoms of each type and the DOS of all frames."""
    counts = [[np.bincount(s.atype, minlength=2)] * len(s.coord) for s in systems]
    return np.concatenate(counts), np.concatenate([spectra(s)["dos"] for s in systems])


def test_the_bias_is_the_least_squares_fit_to_frames(tmp_path: Path) -> None:
    systems = [labelled(4), fewer(labelled(4))]
    write_spectra(tmp_path / "a", systems[0], ["atom_dos"])
    write_spectra(tmp_path / "b", systems[1], ["atom_dos"])
    counts, labels = totals(systems)
    want = np.linalg.lstsq(counts, labels)[0]
    out = fit(tmp_path, dos_recipe(["a", "b"], 1))
    np.testing.assert_allclose(bias(out), want, rtol=1e-10)
    # What is given for a type is taken off before the other is fitted.
    given = np.arange(11) / 10
    preset = {"model__preset_out_bias": {"dos": {"H": given.tolist()}}}
    out = fit(tmp_path, dos_recipe(["a", "b"], 1, **preset), output=tmp_path / "preset")
    rest = labels - counts[:, 1:] * given
    np.testing.assert_allclose(bias(out)[1], given, rtol=1e-15)
    np.testing.assert_allclose(bias(out)[0], np.linalg.lstsq(counts[:, :1], rest)[0][0], rtol=1e-10)


def test_the_bias_is_the_mean_of_atoms_where_they_have_labels(data: Path) -> None:
    frames = labelled()
    each = spectra(frames)["atom_dos"]
    want = np.stack([each[:, frames.atype == a].mean(axis=(0, 1)) for a in range(2)])
    out = fit(data, dos_recipe(steps=1))
    np.testing.assert_allclose(bias(out), want, rtol=1e-12)
    preset = {"model__preset_out_bias": {"dos": [[0.5] * 11, None]}}
    out = fit(data, dos_recipe(steps=1, **preset), output=data / "preset")
    np.testing.assert_allclose(bias(out), [[0.5] * 11, want[1]], rtol=1e-12)


def test_the_bias_is_fitted_to_the_labels_that_the_loss_has(data: Path) -> None:
    # Atoms have but a part of the DOS: a loss of frames does not look at them.
    frames = labelled()
    each = spectra(frames)["atom_dos"]
    write_spectra(data / "part", frames, atom_dos=0.5 * each)
    counts, labels = totals([frames])
    frames_only = {f"loss__{when}_pref_{x}": 0.0 for x in ("ados", "acdf") for when in STAGES}
    out = fit(data, dos_recipe(["part"], 1, **frames_only))
    np.testing.assert_allclose(bias(out), np.linalg.lstsq(counts, labels)[0], rtol=1e-10)
    after = frames_only | {"training__change_bias_after_training": True}
    out = fit(data, dos_recipe(["part"], 1, **after), output=data / "after")
    found = multifit.load(out / "model.dp").predict(*_frames())["dos"]
    np.testing.assert_allclose((found - labels).mean(axis=0), 0.0, atol=1e-12)
    # And statistics that were stored for a loss of atoms are not taken for its own.
    stored = {"training__stat_file": str(data / "stat.h5")}
    fit(data, dos_recipe(["part"], 1, **stored), output=data / "atoms")
    out = fit(data, dos_recipe(["part"], 1, **frames_only, **stored), output=data / "frames")
    np.testing.assert_allclose(bias(out), np.linalg.lstsq(counts, labels)[0], rtol=1e-10)


@pytest.mark.parametrize("kept", ["dos", "atom_dos"])
def test_a_shift_needs_one_label_only(tmp_path: Path, kept: str) -> None:
    write_spectra(tmp_path / "data", labelled())
    others = ("ados", "acdf") if kept == "dos" else ("dos", "cdf")
    off = {f"loss__{when}_pref_{x}": 0.0 for x in others for when in STAGES}
    out = fit(tmp_path, dos_recipe(steps=2, loss__shift_agnostic=1, **off))
    assert np.isfinite(column(out, "rmse_trn")).all()


@pytest.mark.parametrize("missing", ["dos", "atom_dos"])
def test_the_bias_is_fitted_again_after_training(tmp_path: Path, missing: str) -> None:
    write_spectra(tmp_path / "data", labelled(), [missing])
    after = {"training__change_bias_after_training": True}
    plain = fit(tmp_path, dos_recipe(steps=3), output=tmp_path / "plain") / "model.dp"
    moved = fit(tmp_path, dos_recipe(steps=3, **after)) / "model.dp"
    (system,) = open_systems(["data"], ["O", "H"], base=tmp_path)
    label = system.label(np.arange(6), "dos" if missing == "atom_dos" else "atom_dos")
    for path, zero in ((plain, False), (moved, True)):
        found = multifit.load(path).predict(*_frames())
        if missing == "atom_dos":
            rest = (found["dos"] - label).mean(axis=0)
        else:
            rest = (found["atom_dos"] - label)[:, labelled().atype == 0].mean(axis=(0, 1))
        assert (np.abs(rest).max() < 1e-12) == zero


def _frames(number: int = 6) -> tuple[Any, ...]:
    frames = labelled(number)
    return frames.coord, frames.atype, frames.cell


# Energies


def on_grid(**keys: Any) -> dict[str, Any]:
    return {f"model__fitting_net__{key}": value for key, value in keys.items()}


def model_of(folder: Path, given: dict[str, Any]) -> Potential:
    return multifit.load(fit(folder, given) / "model.dp")


def test_a_grid_of_the_input(data: Path) -> None:
    assert model_of(data, dos_recipe(steps=1)).model.grid is None
    text = said(data, dos_recipe(steps=1, **on_grid(emin=-5, emax=5, electrons={"H": 1, "O": 6})))
    assert "densities of states at 11 energies, -5 to 5 eV\n" in text
    assert "electrons of an atom for Fermi levels and gaps: O 6, H 1\n" in text
    found = multifit.load(data / "out/model.dp").model.grid
    assert found == Grid(even_grid(-5, 5, 11), electrons=(6.0, 1.0))
    np.save(data / "grid.npy", ENERGIES**3)
    found = model_of(data, dos_recipe(steps=1, **on_grid(energies="grid.npy"))).model.grid
    assert found == Grid(tuple(ENERGIES**3))


def test_doubtful_numbers_of_electrons_are_said(data: Path) -> None:
    write_spectra(data / "late", labelled(), energies=np.linspace(-2.0, 5.0, 11))
    text = said(data, dos_recipe(["late"], 1, **on_grid(electrons=[0.01, 0.01])))
    assert "late do not begin at 0 at -2 eV: states below are not counted" in text
    few = said(data, dos_recipe(steps=1, **on_grid(emin=-5, emax=5, electrons=[99.0, 0.0])))
    assert (
        "electrons in the range of the grid, but model.fitting_net.electrons gives 198: such" in few
    )


def test_the_grid_of_the_data(tmp_path: Path) -> None:
    write_spectra(tmp_path / "a", labelled(4), energies=ENERGIES)
    write_spectra(tmp_path / "b", labelled(4), energies=ENERGIES)
    write_spectra(tmp_path / "bare", labelled(4))
    text = said(tmp_path, dos_recipe(["a", "b"], 1))
    assert "densities of states at 11 energies, -5 to 5 eV, from energies.npy of the data\n" in text
    model = multifit.load(tmp_path / "out/model.dp")
    assert model.model.grid == Grid(tuple(ENERGIES))
    text = said(tmp_path, dos_recipe(["a", "bare"], 1))
    assert "no energies.npy in bare: the model will not know the energies of its den" in text
    assert multifit.load(tmp_path / "out/model.dp").model.grid is None


@pytest.mark.parametrize("aligned", [False, True])
def test_labels_are_interpolated_to_the_grid(tmp_path: Path, aligned: bool) -> None:
    frames, fine = labelled(4), np.linspace(-6.0, 6.0, 49)
    efermi = np.array([-0.7, 0.13, 0.0, 0.9]) if aligned else np.zeros(4)
    write_spectra(tmp_path / "data", frames, energies=fine, efermi=efermi)
    found = spectra(frames, fine)
    coarse = np.linspace(-4.0, 4.0, 11)
    by_hand = {
        key: np.stack(
            [
                np.apply_along_axis(lambda y, f=f: np.interp(coarse + efermi[f], fine, y), -1, x)
                for f, x in enumerate(values)
            ]
        )
        for key, values in found.items()
    }
    write_spectra(tmp_path / "hand", frames, **by_hand)
    options = on_grid(emin=-4, emax=4, fermi_aligned=aligned)
    out = fit(tmp_path, dos_recipe(steps=4, **options))
    want = fit(tmp_path, dos_recipe("hand", 4), output=tmp_path / "want")
    for metric in ("rmse_trn", *METRICS):
        np.testing.assert_allclose(column(out, metric), column(want, metric), rtol=1e-10)
    np.testing.assert_allclose(bias(out), bias(want), rtol=1e-10)
    model = multifit.load(out / "model.dp")
    assert model.model.grid == Grid(even_grid(-4, 4, 11), fermi_aligned=aligned)
    one, other = open_systems(["data", "hand"], ["O", "H"], base=tmp_path)
    plain = multifit.load(want / "model.dp")
    got, expected = compare(model, one), compare(plain, other)
    assert got.rmse("dos") == pytest.approx(expected.rmse("dos"), rel=1e-9)


def test_what_a_trained_model_predicts(tmp_path: Path) -> None:
    write_spectra(tmp_path / "data", labelled(), energies=ENERGIES)
    model = model_of(tmp_path, dos_recipe(steps=2, **on_grid(electrons=[1.0, 1.0])))
    found = model.predict(*_frames())
    assert set(found) == {
        *("dos", "atom_dos", "energies", "fermi_level", "gap", "vbm", "cbm", "electrons"),
    }
    assert found["atom_dos"].shape == (6, 6, 11)
    np.testing.assert_allclose(found["atom_dos"].sum(axis=1), found["dos"], rtol=1e-12)
    assert model.model.grid is not None
    want = levels(model.model.grid, found["dos"], np.full(6, 6.0))
    np.testing.assert_array_equal(found["fermi_level"], want.fermi_level)
    np.testing.assert_allclose(found["electrons"], want.electrons)
    assert np.isfinite(found["fermi_level"]).all()
    for wrong in (np.nan, -1.0):
        with pytest.raises(DataError, match="electrons must be finite numbers ≥ 0"):
            model.predict(*_frames(), electrons=wrong)
    other = model.predict(*_frames(), electrons=4.0)
    assert (other["fermi_level"] < found["fermi_level"]).all()


# Options


@pytest.mark.parametrize(
    "options",
    [
        {"loss__loss_func": "mae"},
        {"loss__use_huber": True, "loss__huber_delta": 0.1},
        {"loss__shift_agnostic": 2},
        {
            "model__descriptor__precision": "float32",
            "model__fitting_net__precision": "float32",
        },
    ],
    ids=["mae", "huber", "shift", "float32"],
)
def test_options_train(data: Path, options: dict[str, Any]) -> None:
    # The same frames in each step, so that the errors of two steps can be compared.
    given = dos_recipe(steps=12, training__training_data__batch_size=6, **options)
    out = fit(data, given)
    kind = "mae" if "loss__loss_func" in options else "rmse"
    for metric in (f"{kind}_global_dos_trn", f"{kind}_local_dos_trn"):
        errors = column(out, metric)
        assert np.isfinite(errors).all()
        assert errors[-1] < errors[0]
    if "model__fitting_net__precision" in options:
        nets = read_model(out / "model.dp")[1]["fitting"]["nets"]["0"]
        assert {x.dtype.name for x in flatten(nets).values()} == {"float32"}


def test_a_shift_is_no_error(data: Path) -> None:
    start = fit(data, dos_recipe(steps=1), output=data / "start") / "model.dp"
    found = multifit.load(start).predict(*_frames())
    moved = {key: np.roll(found[key], 2, axis=-1) for key in ("dos", "atom_dos")}
    write_spectra(data / "moved", labelled(), **moved)
    errors = []
    for largest in (0, 2):
        given = dos_recipe("moved", 1, loss__shift_agnostic=largest)
        out = fit(data, given, output=data / f"{largest}", init_model=start)
        errors.append([column(out, metric)[0] for metric in METRICS])
    assert max(errors[1]) < 1e-12 < 1e-3 < min(errors[0])


def test_statistics_are_kept_in_a_file(data: Path) -> None:
    given = dos_recipe(steps=2, training__stat_file="stat.h5")
    assert "statistics read from" not in said(data, given)
    first = (data / "out/lcurve.out").read_text()
    assert "statistics read from" in said(data, given)
    assert (data / "out/lcurve.out").read_text() == first
    # A bias fitted at other energies is another one.
    np.save(data / "data/energies.npy", ENERGIES)
    assert "statistics read from" not in said(
        data, put(given, {"model.fitting_net.emin": -4, "model.fitting_net.emax": 4})
    )


def test_the_moving_average_is_a_model_too(tmp_path: Path) -> None:
    write_spectra(tmp_path / "data", labelled(), energies=ENERGIES)
    average = {"training__enable_ema": True, "training__ema_decay": 0.5}
    out = fit(tmp_path, dos_recipe(steps=3, **average))
    model, mean = (multifit.load(out / name) for name in ("model.dp", "model_ema.dp"))
    assert mean.model == model.model
    assert (mean.predict(*_frames())["dos"] != model.predict(*_frames())["dos"]).any()

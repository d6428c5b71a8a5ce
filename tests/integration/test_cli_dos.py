"""``multifit test`` and ``multifit show`` for densities of states."""

from __future__ import annotations

import errno
import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from _cases import build, draw, molecule
from _cli_files import dos_model, frames, write_dos, write_labelled, write_model, write_system

from multifit import dos, plots
from multifit.cli import main
from multifit.data import open_systems
from multifit.dos import Grid, even_grid
from multifit.errors import DataError
from multifit.evaluation.per_frame import atom_errors, filling, frame_errors
from multifit.evaluation.predictions import predictions
from multifit.inference.potential import Potential
from multifit.inference.runner import Runner
from multifit.plots import Spectra, _spectra

GRID = Grid(even_grid(-3.0, 3.0, 13), electrons=(0.25, 0.5))


def rows_of(text: str, name: str) -> list[list[str]]:
    """Return what stands behind a name at the start of a line."""
    lines = [line.split() for line in text.splitlines()]
    return [words[1:] for words in lines if words[:1] == [name]]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("MULTIFIT_BACKEND", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def potential(folder: Path) -> Potential:
    return write_model(folder / "m.dp", dos_model())


@pytest.fixture
def on_grid(folder: Path) -> Potential:
    """Return a model that knows its energies, whose DOS is nowhere below zero."""
    model = dos_model(13, GRID)
    params = draw(model)
    params["out_bias"] += 9.0
    return write_model(folder / "g.dp", model, params)


# ------------------------------------------------------------------------------------------ test


def test_errors_are_those_of_the_labels(folder, potential, capsys) -> None:
    write_dos(folder / "data", potential, shift=0.5)
    assert main(["test", "-m", "m.dp", "-s", "data"]) == 0
    out = capsys.readouterr().out
    frames_, atoms = rows_of(out, "data")
    # Sums of 1, 2, …, 5 times the same error.
    cdf = [f"{0.5 * np.sqrt(11):.3e}", f"{0.5 * 3:.3e}"]
    assert frames_ == ["5", *["3.000e+00"] * 2, *["5.000e-01"] * 2, *cdf]
    assert atoms == ["5", *["5.000e-01"] * 2, *cdf]
    for words in (
        "Density of states\n",
        "DOS/atom",
        "CDF/atom",
        " Σ states/eV\n",
        "CDF: running sums",
    ):
        assert words in out
    for words in ("energy", "force", "virial", "Hessian"):
        assert f"{words} " not in out.replace("the energies", "")
    assert "—" not in out


def test_missing_labels_are_dashes_with_a_note(folder, potential, capsys) -> None:
    write_dos(folder / "a", potential)
    write_dos(folder / "b", potential, keys=("dos",))
    write_dos(folder / "c", potential, keys=("atom_dos",))
    assert main(["test", "-m", "m.dp", "-s", "a", "b", "c"]) == 0
    out = capsys.readouterr().out
    assert rows_of(out, "c")[0] == ["5", *["—"] * 6]
    assert rows_of(out, "b")[1] == ["5", *["—"] * 4]
    assert "— 1 of 3 systems have no dos: c" in out
    assert "— 1 of 3 systems have no atom_dos: b" in out
    assert main(["test", "-m", "m.dp", "-s", "b"]) == 0
    out = capsys.readouterr().out
    assert "— the data have no atom_dos to compare with" in out
    assert "of atoms" not in out


def test_detail_files_are_those_of_the_frames(folder, potential, capsys) -> None:
    found = write_dos(folder / "a", potential, 2, shift=0.5)
    write_dos(folder / "b", potential, 3, keys=("dos",))
    assert main(["test", "-m", "m.dp", "-s", "a", "b", "-d", "x.y"]) == 0
    assert "wrote x.y.dos.out.0 … x.y.dos.out.4, x.y.ados.out.0 … x.y.ados.out.1\n" in (
        capsys.readouterr().out
    )
    assert len(list(folder.glob("x.y.*"))) == 7
    label, prediction = np.loadtxt("x.y.dos.out.1").T
    np.testing.assert_allclose(prediction, found["dos"][1], rtol=0, atol=1e-12)
    np.testing.assert_allclose(prediction - label, 3.0, rtol=0, atol=1e-12)
    label, prediction = np.loadtxt("x.y.ados.out.1").T
    np.testing.assert_allclose(prediction, found["atom_dos"][1].ravel(), rtol=0, atol=1e-12)
    np.testing.assert_allclose(prediction - label, 0.5, rtol=0, atol=1e-12)
    header = (folder / "x.y.dos.out.2").read_text().splitlines()[0]
    assert header == "# b, frame 0: data_dos pred_dos"


def test_virtual_atoms_have_no_details(folder, potential) -> None:
    coord, system = frames(2)
    found = potential.predict(coord, system.atype, system.cell)
    more = np.concatenate([coord, coord[:, :1] + 0.5], axis=1)
    label = np.concatenate([found["atom_dos"], np.full((2, 1, 5), 9.0)], axis=1)
    virtual = replace(system, atype=np.zeros(7, dtype=int))
    write_system(folder / "data", more, virtual, dos=found["dos"], atom_dos=label)
    types = np.append(system.atype, -1)
    np.save(folder / "data/set.000/real_atom_types.npy", np.tile(types, (2, 1)))
    arguments = ["--per-frame", "-d", "x", "--plot", "x.png", "--plot-atoms"]
    assert main(["test", "-m", "m.dp", "-s", "data", *arguments]) == 0
    assert np.loadtxt("x.ados.out.0").shape == (30, 2)
    atoms = np.loadtxt("x.atoms.out")
    assert atoms.shape == (12, 5)
    assert np.abs(atoms[:, 3:]).max() < 1e-9
    assert np.loadtxt("x.frames.out")[:, 1].tolist() == [6, 6]


def test_errors_of_frames_and_atoms(folder, potential, capsys) -> None:
    write_dos(folder / "a", potential, 2, shift=np.array([0.5, 0.25]))
    write_dos(folder / "b", potential, 1, keys=("dos",))
    assert main(["test", "-m", "m.dp", "-s", "a", "b", "--per-frame", "-d", "x"]) == 0
    out = capsys.readouterr().out
    table = out[out.index("\nFrames") :]
    root = np.sqrt(11)
    assert rows_of(table, "a") == [
        ["0", "5.000e-01", f"{0.5 * root:.3e}"],
        ["1", "2.500e-01", f"{0.25 * root:.3e}"],
    ]
    assert "Fermi" not in table
    wanted = [[0, 6, 0.5, 0.5 * root], [1, 6, 0.25, 0.25 * root], [0, 6, 0, 0]]
    np.testing.assert_allclose(np.loadtxt("x.frames.out"), wanted, rtol=1e-8, atol=1e-9)
    atoms = np.loadtxt("x.atoms.out")
    assert atoms[:, :3].tolist() == [
        [frame, atom, kind] for frame in (0, 1) for atom, kind in enumerate([0, 1, 1, 0, 1, 1])
    ]
    np.testing.assert_allclose(atoms[:6, 3], 0.5, rtol=1e-8)
    np.testing.assert_allclose(atoms[6:, 4], 0.25 * root, rtol=1e-8)
    lines = (folder / "x.atoms.out").read_text().splitlines()
    assert lines[0] == "# a: frame atom type rmse_atom_dos rmse_atom_cdf (types: 0 O, 1 H)"


def test_levels_of_frames_are_those_of_labels_and_predictions(folder, on_grid, capsys) -> None:
    found = write_dos(folder / "data", on_grid, 2, shift=0.75, shape=molecule())
    electrons = 2 * 0.25 + 3 * 0.5
    label, output = (
        dos.levels(GRID, x, np.full(2, electrons)) for x in (found["dos"] - 3.75, found["dos"])
    )
    assert np.isfinite(label.fermi_level).all()
    np.testing.assert_allclose(found["fermi_level"], output.fermi_level)
    assert main(["test", "-m", "g.dp", "-s", "data", "--per-frame", "-d", "x"]) == 0
    out = capsys.readouterr().out
    row = rows_of(out[out.index("\nFrames") :], "data")[1]
    wanted = [label.fermi_level, output.fermi_level, label.gap, output.gap]
    assert row[3:] == [f"{x[1]:.3f}" for x in wanted]
    got = np.loadtxt("x.frames.out")[:, 4:]
    np.testing.assert_allclose(got, np.stack(wanted, axis=1), rtol=1e-8)
    header = (folder / "x.frames.out").read_text().splitlines()[0]
    assert header.endswith("label_fermi fermi label_gap gap")


def test_levels_that_are_not_in_the_grid_are_dashes_with_a_note(folder, on_grid, capsys) -> None:
    model = replace(on_grid.model, grid=replace(GRID, electrons=(1e3, 1e3)))
    few = write_model(folder / "few.dp", model, draw(model))
    write_dos(folder / "data", few, 1)
    assert main(["test", "-m", "few.dp", "-s", "data", "--per-frame"]) == 0
    out = capsys.readouterr().out
    assert rows_of(out[out.index("\nFrames") :], "data")[0][3:] == ["—"] * 4
    assert "— 1 frame without a Fermi level or gap" in out


def test_energy_models_have_errors_of_frames_too(folder, capsys) -> None:
    potential = write_model(folder / "e.dp")
    write_labelled(folder / "data", potential, 2, energy=0.6, force=0.02, virial=None)
    assert main(["test", "-m", "e.dp", "-s", "data", "--per-frame", "-d", "x"]) == 0
    out = capsys.readouterr().out
    assert rows_of(out[out.index("\nFrames") :], "data")[1] == ["1", "1.000e-01", "2.000e-02"]
    assert np.isnan(np.loadtxt("x.frames.out")[:, 4]).all()
    np.testing.assert_allclose(np.loadtxt("x.atoms.out")[:, 3], 0.02, rtol=1e-8)


def test_coefficients_of_energies_are_nothing_to_say(folder, potential, capsys) -> None:
    write_dos(folder / "data", potential, 1)
    np.save(folder / "data/set.000/energy.npy", np.zeros((1, 1)))
    np.save(folder / "data/set.000/atom_ener_coeff.npy", np.ones((1, 6)))
    np.save(folder / "data/set.000/hessian.npy", np.ones((1, 18 * 18)))
    assert main(["test", "-m", "m.dp", "-s", "data"]) == 0
    out = capsys.readouterr().out
    assert "coefficients" not in out
    assert "Hessian" not in out


# ------------------------------------------------------------------------------------------ plot


@pytest.mark.parametrize(
    ("ending", "start"), [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("SVG", b"<?xml")]
)
def test_the_ending_chooses_the_format(folder, potential, capsys, ending: str, start) -> None:
    write_dos(folder / "data", potential, 1)
    name = f"p.{ending}"
    assert main(["test", "-m", "m.dp", "-s", "data", "--plot", name]) == 0
    assert (folder / name).read_bytes().startswith(start)
    assert f"wrote {name}\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "about"),
    [
        (["--plot", "p.jpg"], "unknown ending '.jpg' (did you mean 'png'?)"),
        (["--plot", "p"], "p has no ending"),
        (["--plot", "no/p.png"], "the folder no of the figure does not exist"),
        (["--plot", "full.png"], "full.png is a folder"),
        (["--plot", "p.png", "-s", "atoms"], "no data system has dos to plot"),
        (["--plot", "p.png", "--plot-atoms", "-s", "whole"], "has dos and atom_dos to plot"),
        (["--plot-atoms"], "--plot FILE"),
        (["--plot", "p.png", "--plot-atoms", "-m", "e.dp"], "predicts energies"),
        (["--hessian"], "m.dp predicts a density of states, which has no Hessian"),
        (["-s", "other"], "holds 7 numbers for each frame, but numb_dos is 5"),
    ],
)
def test_refused_before_anything_is_predicted(
    folder, potential, capsys, monkeypatch, arguments: list[str], about: str
) -> None:
    write_model(folder / "e.dp")
    write_dos(folder / "data", potential, 1)
    write_dos(folder / "whole", potential, 1, keys=("dos",))
    write_dos(folder / "atoms", potential, 1, keys=("atom_dos",))
    coord, system = frames(1)
    write_system(folder / "other", coord, system, dos=np.zeros((1, 7)))
    (folder / "full.png").mkdir()
    monkeypatch.setattr(Runner, "run", None)
    assert main(["test", "-m", "m.dp", "-s", "data", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert about in err
    assert err.count("\n") == 1


def test_a_figure_that_can_not_be_written_is_an_error(tmp_path) -> None:
    figure = plots.new_figure(1, 1)
    with pytest.raises(DataError, match=r"p\.png cannot be written"):
        plots.save(figure, tmp_path / "gone" / "p.png")


def test_a_full_disk_leaves_the_figure_that_was_there(tmp_path, monkeypatch) -> None:
    path = tmp_path / "p.png"
    path.write_bytes(b"before")

    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match=r"p\.png could not be .*No space.*unchanged"):
        plots.save(plots.new_figure(1, 1), path)
    assert path.read_bytes() == b"before"


def spectra(potential: Potential, *paths: str) -> Spectra:
    found = Spectra(potential.model)
    for system in open_systems(list(paths), potential.type_map):
        for chunk in predictions(potential, system):
            found.add(system, chunk)
    return found


def test_best_median_and_worst_are_by_the_error_of_the_dos(folder, potential) -> None:
    write_dos(folder / "a", potential, 3, shift=np.array([0.3, 0.1, 0.5]))
    write_dos(folder / "b", potential, 2, shift=np.array([0.2, 0.7]), shape=molecule())
    write_dos(folder / "c", potential, 2, keys=("atom_dos",))
    found = spectra(potential, "a", "b", "c")
    names = {title: (each.system, each.frame) for title, each in found.chosen().items()}
    assert names == {"best frame": ("a", 1), "median frame": ("a", 0), "worst frame": ("b", 1)}
    worst = found.chosen()["worst frame"]
    assert worst.dos_error == pytest.approx(0.7)
    assert worst.cdf_error == pytest.approx(0.7 * np.sqrt(11))
    np.testing.assert_allclose(worst.prediction - worst.label, 0.7, rtol=1e-5)
    pair = spectra(potential, "b")
    assert list(pair.chosen()) == ["best frame", "worst frame"]
    pair.frames.pop()
    assert list(pair.chosen()) == ["the only frame"]
    pair.frames.pop()
    assert pair.chosen() == {}
    assert pair.median() is None


def test_fermi_levels_come_from_the_dos_or_the_data(folder, on_grid) -> None:
    write_dos(folder / "data", on_grid, 2, shape=molecule())
    np.save(folder / "data/set.000/efermi.npy", np.array([0.5, -0.5]))
    system = open_systems("data", on_grid.type_map)[0]
    chunk = next(predictions(on_grid, system))
    wanted = filling(on_grid.model, chunk)
    for each, label, output in zip(
        spectra(on_grid, "data").frames, wanted.label_fermi, wanted.fermi, strict=True
    ):
        assert (each.label_fermi, each.fermi) == (label, output)
    silent = write_model(
        folder / "s.dp", replace(on_grid.model, grid=replace(GRID, electrons=None))
    )
    first, second = spectra(silent, "data").frames
    assert (first.label_fermi, second.label_fermi) == (0.5, -0.5)
    assert np.isnan(first.fermi)


def panels(figure) -> dict[str, list[str]]:
    """Return the texts in each panel of a figure, by its title."""
    return {
        axes.get_title(): [text.get_text() for text in axes.texts]
        for axes in figure.findobj(lambda each: hasattr(each, "get_xlim"))
        if axes.get_title()
    }


def test_panels_name_frames_and_their_errors(folder, on_grid) -> None:
    write_dos(folder / "a", on_grid, 3, shift=np.array([0.3, 0.1, 0.5]))
    found = spectra(on_grid, "a")
    system = open_systems("a", on_grid.type_map)[0]
    chunk = next(predictions(on_grid, system, np.array([0])))
    figure = plots.dos_figure(on_grid.model, found.chosen(), ("a, frame 0", chunk))
    figure.draw_without_rendering()
    got = panels(figure)
    assert got["best frame\na, frame 1"] == ["rmse 0.1 states/eV"]
    assert got["mean of 2 O"] == got["mean of 4 H"] == ["rmse 0.3 states/eV"]
    assert sum(name.startswith("worst") for name in got) == 2
    axes = figure.subfigs[0].axes
    assert {each.get_xlabel() for each in axes} == {"energy, eV"}
    legend = figure.subfigs[0].legends[0]
    assert [text.get_text() for text in legend.get_texts()] == [
        "label",
        "prediction",
        "Fermi level (label)",
        "Fermi level (prediction)",
    ]


def test_without_energies_there_are_components(folder, potential) -> None:
    write_dos(folder / "a", potential, 1)
    figure = plots.dos_figure(potential.model, spectra(potential, "a").chosen())
    assert {each.get_xlabel() for each in figure.axes} == {"component of the DOS"}


def test_atoms_are_those_of_the_median_frame_with_labels(folder, potential, monkeypatch) -> None:
    write_dos(folder / "a", potential, 3, keys=("dos",))
    write_dos(folder / "b", potential, 2, shift=0.5)
    shown = []
    draw = plots.dos_figure
    monkeypatch.setattr(_spectra, "dos_figure", lambda *args: shown.append(args) or draw(*args))
    arguments = ["--plot", "p.png", "--plot-atoms", "-n", "2"]
    assert main(["test", "-m", "m.dp", "-s", "a", "b", *arguments]) == 0
    (_, _, (name, chunk)), *_ = shown
    assert name == "the median frame: b, frame 0"
    np.testing.assert_allclose(atom_errors("dos", chunk)["atom_dos"], 0.5)
    assert frame_errors(chunk)[0].rmse("atom_dos") == pytest.approx(0.5)


def test_energy_models_have_parity_plots(folder, capsys) -> None:
    potential = write_model(folder / "e.dp")
    write_labelled(folder / "data", potential, 2, energy=0.6)
    assert main(["test", "-m", "e.dp", "-s", "data", "--plot", "p.png"]) == 0
    assert (folder / "p.png").read_bytes().startswith(b"\x89PNG")


# ------------------------------------------------------------------------------------------ show


def shown(capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    lines = capsys.readouterr().out.splitlines()
    return dict(re.split("  +", line.strip(), maxsplit=1) for line in lines)


def test_show_the_grid(folder, capsys) -> None:
    write_model(folder / "m.dp", dos_model(13, GRID))
    assert main(["show", "m.dp"]) == 0
    got = shown(capsys)
    assert got["kind"] == "DOS model"
    assert got["components"] == "13 for each atom, states/eV"
    assert got["energies"] == "-3 to 3 eV: 13 with even steps of 0.5 eV"
    assert got["zero of energy"] == "the data's"
    assert got["electrons"] == "O 0.25  H 0.5  (those of an atom in the DOS)"
    assert got["bias"].endswith("(mean of 13 components, states/eV)")


def test_show_an_uneven_grid_from_the_fermi_level(folder, capsys) -> None:
    write_model(folder / "m.dp", dos_model(3, Grid((-1.0, 0.0, 0.25), fermi_aligned=True)))
    assert main(["show", "m.dp", "grid"]) == 0
    got = shown(capsys)
    assert got["energies"] == "-1 to 0.25 eV: 3 with steps of 0.25 to 1 eV"
    assert got["zero of energy"] == "the Fermi level of each frame (fermi_aligned)"
    assert got["electrons"].startswith("not known")


def test_show_no_grid(folder, capsys) -> None:
    write_model(folder / "m.dp", dos_model())
    assert main(["show", "m.dp", "grid"]) == 0
    assert shown(capsys) == {"components": "5 for each atom, states/eV", "energies": "not known"}
    write_model(folder / "e.dp", build())
    assert main(["show", "e.dp", "grid"]) == 0
    assert capsys.readouterr().out == ""

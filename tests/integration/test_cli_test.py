"""``multifit test`` and the comparison behind it."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import ase
import ase.io
import numpy as np
import pytest
from _cases import build, draw, molecule
from _cli_files import frames, write_labelled, write_model, write_system

import multifit
from multifit.backend import get_backend
from multifit.cli import main
from multifit.data import open_systems
from multifit.errors import DataError
from multifit.evaluation.metrics import Errors
from multifit.evaluation.predictions import compare, predictions, spread_frames
from multifit.inference.potential import Potential


def numbers(line: str) -> list[str]:
    return line.split()[1:]


def lines_of(text: str, name: str) -> list[list[str]]:
    return [numbers(line) for line in text.splitlines() if line.strip().startswith(name)]


@pytest.fixture
def case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Potential]:
    monkeypatch.delenv("MULTIFIT_BACKEND", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path, write_model(tmp_path / "model.dp")


def test_errors_are_those_of_the_labels(case, capsys) -> None:
    folder, potential = case
    write_labelled(folder / "data", potential, energy=0.6, force=0.02, virial=1.2)
    assert main(["test", "-m", "model.dp", "-s", "data"]) == 0
    energy, force = lines_of(capsys.readouterr().out, "data")
    assert energy == ["5", *["6.000e-01"] * 2, *["1.000e-01"] * 2]
    assert force == ["5", *["2.000e-02"] * 2, *["1.200e+00"] * 2, *["2.000e-01"] * 2]


def test_total_weighs_systems_by_their_frames(case, capsys) -> None:
    folder, potential = case
    write_labelled(folder / "data" / "a", potential, 3, energy=0.3)
    write_labelled(folder / "data" / "b", potential, 1, energy=0.7)
    assert main(["test", "-m", "model.dp", "-s", "data"]) == 0
    total = lines_of(capsys.readouterr().out, "total")[0]
    assert total[0] == "4"
    assert total[1] == f"{np.sqrt((3 * 0.09 + 0.49) / 4):.3e}"
    assert total[2] == "4.000e-01"


def test_missing_labels_are_dashes_with_a_note(case, capsys) -> None:
    folder, potential = case
    write_labelled(folder / "a", potential)
    write_labelled(folder / "b", potential, virial=None)
    assert main(["test", "-m", "model.dp", "-s", "a", "b"]) == 0
    out = capsys.readouterr().out
    assert lines_of(out, "b")[1][3:] == ["—"] * 4
    assert "— 1 of 2 systems have no virial: b" in out
    assert "energy:" not in out


def test_output_of_a_pipe_is_plain_and_narrow(case, capsys) -> None:
    folder, potential = case
    for name in ("one_system_with_quite_a_long_name_300K", "another_[bold]_of_these"):
        write_labelled(folder / "somewhere" / "deep" / name, potential, 1)
    assert main(["test", "-m", "model.dp", "-s", "somewhere"]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    tables = [line for line in out.splitlines() if not line.startswith("warning: ")]
    assert max(map(len, tables)) <= 100
    assert "[bold]" in out
    assert "in somewhere/deep" in out


def test_a_reader_that_goes_away_is_no_failure(case) -> None:
    folder, potential = case
    write_labelled(folder / "data", potential, 1)
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "multifit", "test", "-m", "model.dp", "-s", "data"]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")


def test_numb_test_takes_the_first_frames(case, capsys) -> None:
    folder, potential = case
    write_labelled(folder / "data", potential, 5)
    assert main(["test", "-m", "model.dp", "-s", "data", "-n", "2"]) == 0
    assert lines_of(capsys.readouterr().out, "data")[0][0] == "2"


def test_list_of_systems_may_have_comments(case, capsys) -> None:
    folder, potential = case
    write_labelled(folder / "a", potential, 2)
    (folder / "list").write_text("# mine\n\na\n")
    assert main(["test", "-m", "model.dp", "-f", "list"]) == 0
    assert lines_of(capsys.readouterr().out, "a")[0][0] == "2"


def test_detail_files_hold_labels_and_predictions(case, capsys) -> None:
    folder, potential = case
    found = write_labelled(folder / "a", potential, 3, energy=0.6, force=0.5, virial=0.25)
    write_labelled(folder / "b", potential, 2, virial=None)
    assert main(["test", "-m", "model.dp", "-s", "a", "b", "-d", "run.1"]) == 0
    names = ["e", "e_peratom", "f", "v", "v_peratom"]
    out = {name: np.loadtxt(folder / f"run.1.{name}.out") for name in names}
    assert {k: v.shape for k, v in out.items()} == {
        "e": (5, 2),
        "e_peratom": (5, 2),
        "f": (30, 6),
        "v": (3, 18),
        "v_peratom": (3, 18),
    }
    np.testing.assert_allclose(out["e"][:3, 1], found["energy"], rtol=0, atol=1e-12)
    np.testing.assert_allclose(out["e"][:3, 0], found["energy"] - 0.6, rtol=0, atol=1e-12)
    np.testing.assert_allclose(out["e_peratom"] * 6, out["e"], rtol=0, atol=1e-12)
    np.testing.assert_allclose(out["f"][:18, 3:], found["force"].reshape(-1, 3), atol=1e-12)
    np.testing.assert_allclose(out["v"][:, :9] + 0.25, out["v"][:, 9:], rtol=0, atol=1e-12)
    header = (folder / "run.1.f.out").read_text().splitlines()[0]
    assert header == "# a: data_fx data_fy data_fz pred_fx pred_fy pred_fz"
    assert "wrote run.1.e.out" in capsys.readouterr().out


def test_detail_files_are_made_anew(case) -> None:
    folder, potential = case
    write_labelled(folder / "a", potential, 2)
    for _ in range(2):
        assert main(["test", "-m", "model.dp", "-s", "a", "-d", "x"]) == 0
    assert np.loadtxt(folder / "x.e.out").shape == (2, 2)


def test_detail_files_of_an_earlier_run_are_named(case, capsys) -> None:
    folder, potential = case
    write_labelled(folder / "a", potential, 2)
    write_labelled(folder / "b", potential, 1, virial=None)
    Path("x.notes.out").write_text("mine")
    given = ["test", "-m", "model.dp", "-d", "x", "-s"]
    assert main([*given, "a"]) == 0
    assert "earlier run" not in capsys.readouterr().out
    assert main([*given, "b"]) == 0
    said = capsys.readouterr().out
    assert "warning: x.v.out, x.v_peratom.out are 2 files of an earlier run, which this" in said


def test_types_that_had_to_be_guessed_are_said(case, capsys) -> None:
    folder, potential = case
    for name in ("named", "bare"):
        write_labelled(folder / name, potential, 2)
    (folder / "bare/type_map.raw").unlink()
    assert main(["test", "-m", "model.dp", "-s", "named", "bare"]) == 0
    told = "bare has no type_map.raw, unlike other systems: 0 is taken as O, 1 as H"
    assert f"warning: {told}" in capsys.readouterr().out
    assert main(["test", "-m", "model.dp", "-s", "bare"]) == 0
    assert "\nbare has no type_map.raw: 0 is taken as O, 1 as H" in capsys.readouterr().out
    assert main(["change-bias", "model.dp", "-s", "named", "bare"]) == 0
    assert told in capsys.readouterr().out
    assert main(["neighbor-stat", "-s", "named", "bare", "-r", "3"]) == 0
    assert told in capsys.readouterr().out


def test_labels_under_other_names_are_said(case, capsys) -> None:
    del case
    coord, system = frames(1)
    atoms = ase.Atoms("".join("OH"[a] for a in system.atype), coord[0], cell=system.cell, pbc=True)
    atoms.info["REF_energy"] = 1.0
    ase.io.write("ref.xyz", atoms)
    assert main(["test", "-m", "model.dp", "-s", "ref.xyz"]) == 2
    said = capsys.readouterr().err
    assert "but ref.xyz holds REF_energy: read them with --keys energy=REF_energy" in said
    assert main(["test", "-m", "model.dp", "-s", "ref.xyz", "--keys", "energy=REF_energy"]) == 0


def test_atomic_energies_are_compared_where_there_are_any(case, capsys) -> None:
    folder, potential = case
    coord, system = frames(2)
    found = potential.predict(coord, system.atype, system.cell)
    write_system(folder / "data", coord, system, atom_ener=found["atom_energy"] - 0.125)
    assert main(["test", "-m", "model.dp", "-s", "data", "-d", "x"]) == 0
    assert lines_of(capsys.readouterr().out, "data")[2] == ["2", "1.250e-01", "1.250e-01"]
    assert np.loadtxt(folder / "x.ae.out").shape == (12, 2)


def test_backends_agree_over_chunks(case, backends) -> None:
    folder, potential = case
    write_labelled(folder / "data", potential, 5, energy=0.6, force=0.01, virial=0.3)
    system = open_systems(str(folder / "data"), potential.type_map)[0]
    wanted = compare(potential, system)
    params = draw(potential.model)
    for name in backends:
        got = compare(Potential(potential.model, params, name, atoms_at_once=13), system)
        assert got.number == wanted.number, name
        for key in wanted.number:
            np.testing.assert_allclose(got.rmse(key), wanted.rmse(key), rtol=1e-9, err_msg=name)


def test_a_compiler_meets_one_number_of_frames(case, monkeypatch) -> None:
    folder, _ = case
    model = build(numb_fparam=2)
    backend = replace(get_backend("numpy"), static_shapes=True)  # type: ignore[type-var]
    potential = Potential(model, draw(model), backend, atoms_at_once=13)
    coord, system = frames(5)
    fparam = np.arange(10.0).reshape(5, 2)
    write_system(folder / "data", coord, system, fparam=fparam)
    met = []
    networks = potential.runner.evaluator
    start = networks.start

    def watch(batch, *rest):
        met.append((len(batch["natoms"]), len(batch["atype"])))
        return start(batch, *rest)

    monkeypatch.setattr(networks, "start", watch)
    data = open_systems(str(folder / "data"), model.type_map)[0]
    chunks = list(predictions(potential, data))
    assert len(met) == 3
    assert len(set(met)) == 1
    assert [len(chunk.output["energy"]) for chunk in chunks] == [2, 2, 1]
    wanted = Potential(model, draw(model)).predict(coord, system.atype, system.cell, fparam)
    energy = np.concatenate([chunk.output["energy"] for chunk in chunks])
    np.testing.assert_allclose(energy, wanted["energy"], rtol=0, atol=1e-12)


def test_spread_frames_reach_over_the_system(case) -> None:
    folder, potential = case
    write_labelled(folder / "a", potential, 10)
    system = open_systems(str(folder / "a"), potential.type_map)[0]
    assert spread_frames(system, 4).tolist() == [0, 2, 5, 7]
    assert len(spread_frames(system, 0)) == len(spread_frames(system, 99)) == 10


def test_virtual_atoms_count_nowhere(case) -> None:
    folder, potential = case
    coord, system = frames(2)
    found = potential.predict(coord, system.atype, system.cell)
    # The same frames with a virtual atom behind, once with another label for it.
    more = np.concatenate([coord, coord[:, :1] + 0.5], axis=1)
    force = np.concatenate([found["force"] - 0.5, np.full((2, 1, 3), 9.0)], axis=1)
    types = np.append(system.atype, -1)
    virtual = replace(system, atype=np.zeros(7, dtype=int))
    write_system(folder / "data", more, virtual, energy=found["energy"] - 0.6, force=force)
    np.save(folder / "data/set.000/real_atom_types.npy", np.tile(types, (2, 1)))
    errors = compare(potential, open_systems(str(folder / "data"), potential.type_map)[0])
    assert errors.number["force"] == 36
    assert errors.rmse("force") == pytest.approx(0.5)
    assert errors.mae("energy_per_atom") == pytest.approx(0.1)
    assert main(["test", "-m", "model.dp", "-s", "data", "-d", "x"]) == 0
    assert np.loadtxt("x.f.out").shape == (12, 6)


def test_molecules_have_no_cell(case) -> None:
    folder, potential = case
    write_labelled(folder / "m", potential, 3, energy=0.5, shape=molecule())
    errors = compare(potential, open_systems(str(folder / "m"), potential.type_map)[0])
    assert errors.mae("energy_per_atom") == pytest.approx(0.1)
    assert errors.mae("force") == pytest.approx(0.0, abs=1e-12)


def test_fparam_and_aparam_come_from_the_data_or_the_default(case) -> None:
    folder, _ = case
    model = build(numb_fparam=1, numb_aparam=2)
    params = draw(model)
    default = replace(model, fitting=replace(model.fitting, default_fparam=(0.5,)))
    coord, system = frames(2)
    aparam = np.random.default_rng(3).normal(size=(2, 6, 2))
    write_system(folder / "with", coord, system, aparam=aparam, fparam=np.full((2, 1), 0.5))
    write_system(folder / "without", coord, system, aparam=aparam)
    write_system(folder / "wrong", coord, system, aparam=aparam, fparam=np.zeros((2, 3)))
    write_system(folder / "neither", coord, system, fparam=np.zeros((2, 1)))
    names = ["with", "without", "wrong", "neither"]
    given, lacking, wrong, neither = open_systems(
        [str(folder / name) for name in names], model.type_map
    )
    wanted = next(predictions(Potential(model, params), given)).output["energy"]
    direct = Potential(model, params).predict(
        coord, system.atype, system.cell, np.array([0.5]), aparam
    )
    np.testing.assert_allclose(wanted, direct["energy"], rtol=0, atol=1e-12)
    got = next(predictions(Potential(default, params), lacking)).output["energy"]
    np.testing.assert_array_equal(got, wanted)
    for system_, about in (
        (lacking, "without has no fparam, but the model takes 1 for each frame"),
        (wrong, r"has 3 fparam for each frame, but the model takes 1 \(numb_fparam\)"),
        (neither, "no aparam"),
    ):
        with pytest.raises(DataError, match=about):
            list(predictions(Potential(model, params), system_))


ERRORS = {
    "no model": (["-m", "nothing.dp", "-s", "data"], "nothing.dp does not exist"),
    "truncated": (["-m", "short.dp", "-s", "data"], "short.dp is"),
    "foreign": (["-m", "foreign.json", "-s", "data"], "holds no model"),
    "no data": (["-m", "model.dp", "-s", "nowhere"], "nowhere does not exist"),
    "no system": (["-m", "model.dp", "-s", "empty"], "no system found in empty"),
    "no list": (["-m", "model.dp", "-f", "nolist"], "nolist cannot be read"),
    "empty list": (["-m", "model.dp", "-f", "emptylist"], "lists no data systems"),
    "binary list": (["-m", "model.dp", "-f", "model.dp"], "not a text file"),
    "element": (["-m", "model.dp", "-s", "iron"], "'Fe'"),
    "backend": (["-m", "model.dp", "-s", "data", "--backend", "troch"], "did you mean 'torch'?"),
    "folder": (["-m", "model.dp", "-s", "data", "-d", "no/x"], "no of the detail files does not"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_bad_input_is_one_sentence(case, capsys, name: str) -> None:
    folder, potential = case
    write_labelled(folder / "data", potential, 1)
    write_labelled(folder / "iron", potential, 1)
    (folder / "iron" / "type_map.raw").write_text("O\nFe\n")
    (folder / "empty").mkdir()
    (folder / "emptylist").write_text("\n# nothing\n")
    (folder / "short.dp").write_bytes((folder / "model.dp").read_bytes()[:3000])
    (folder / "foreign.json").write_text('{"a": 1}')
    arguments, about = ERRORS[name]
    assert main(["test", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert about in err
    assert err.startswith("multifit: error: ")
    assert err.count("\n") == 1


def test_detail_file_that_can_not_be_written_is_an_error(case, capsys) -> None:
    folder, potential = case
    write_labelled(folder / "data", potential, 1)
    (folder / "x.e.out").mkdir()
    assert main(["test", "-m", "model.dp", "-s", "data", "-d", "x"]) == 2
    assert "x.e.out is a folder" in capsys.readouterr().err


def test_backend_comes_from_the_environment(case, capsys, monkeypatch) -> None:
    folder, potential = case
    write_labelled(folder / "data", potential, 1)
    monkeypatch.setenv("MULTIFIT_BACKEND", "jaks")
    assert main(["test", "-m", "model.dp", "-s", "data"]) == 2
    assert "unknown backend 'jaks'" in capsys.readouterr().err
    assert main(["test", "-m", "model.dp", "-s", "data", "--backend", "numpy"]) == 0


def test_negative_number_of_frames_is_refused(case, capsys) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["test", "-m", "model.dp", "-s", "data", "-n", "-1"])
    assert "negative" in capsys.readouterr().err


def test_hessians_are_compared_on_request(case, capsys) -> None:
    folder, potential = case
    coord, system = frames(2)
    found = potential.predict(coord, system.atype, system.cell, hessian=True)
    arrays = {"energy": found["energy"], "hessian": found["hessian"] - 0.25}
    write_system(folder / "data", coord, system, **arrays)
    assert main(["test", "-m", "model.dp", "-s", "data"]) == 0
    out = capsys.readouterr().out
    assert "Hessians are compared with --hessian only; they are in data\n" in out
    assert "eV/Å²" not in out
    assert main(["test", "-m", "model.dp", "-s", "data", "--hessian", "-d", "x"]) == 0
    out = capsys.readouterr().out
    assert lines_of(out, "data")[2] == ["2", "2.500e-01", "2.500e-01"]
    assert "--hessian" not in out
    label, prediction = np.loadtxt("x.h.out").T
    np.testing.assert_allclose(prediction - label, 0.25, rtol=0, atol=1e-12)
    np.testing.assert_allclose(prediction, found["hessian"].ravel(), rtol=0, atol=1e-12)


def test_hessians_that_are_nowhere_are_not_mentioned_unless_asked_for(case, capsys) -> None:
    folder, potential = case
    write_labelled(folder / "data", potential, 1)
    assert main(["test", "-m", "model.dp", "-s", "data"]) == 0
    assert "essian" not in capsys.readouterr().out
    assert main(["test", "-m", "model.dp", "-s", "data", "--hessian"]) == 0
    assert "— the data have no hessian to compare with" in capsys.readouterr().out


def test_hessians_of_virtual_atoms_count_nowhere() -> None:
    real = np.array([[True, False]])
    label = np.full((1, 6, 6), 9.0)
    label[0, :3, :3] = 0.5
    errors = Errors()
    errors.add({"hessian": np.ones((1, 6, 6))}, {"hessian": label}, real)
    assert errors.number["hessian"] == 9
    assert errors.mae("hessian") == 0.5
    assert errors.only("force") == Errors()


def test_hessians_of_backends_that_compile_come_for_each_frame_once(case) -> None:
    folder, potential = case
    static = replace(get_backend("numpy"), static_shapes=True)  # type: ignore[type-var]
    coord, system = frames(3)
    found = potential.predict(coord, system.atype, system.cell, hessian=True)
    write_system(folder / "data", coord, system, hessian=found["hessian"] - 0.5)
    data = open_systems(str(folder / "data"), potential.type_map)[0]
    padded = Potential(potential.model, draw(potential.model), static, atoms_at_once=13)
    errors = compare(padded, data, hessian=True)
    assert errors.number["hessian"] == 3 * 18 * 18
    assert errors.rmse("hessian") == pytest.approx(0.5)


def test_data_without_labels_are_an_error(case, capsys) -> None:
    folder, _ = case
    coord, system = frames(2)
    write_system(folder / "bare", coord, system)
    write_system(folder / "spectra", coord, system, dos=np.ones((2, 5)))
    for name, has in (("bare", "no labels at all"), ("spectra", "dos")):
        assert main(["test", "-m", "model.dp", "-s", name]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert f"nothing to compare in {name}: the model is an energy model and needs one of" in err
        assert err.rstrip().endswith(f"but the data have {has}")


def test_a_folder_is_no_beginning_of_detail_files(case, capsys) -> None:
    folder, potential = case
    write_labelled(folder / "data", potential, 1)
    assert main(["test", "-m", "model.dp", "-s", "data", "-d", "data/"]) == 2
    said = capsys.readouterr().err
    assert "--detail-file is data/, a folder; add the beginning of the names of files" in said


@pytest.mark.parametrize(
    ("backend", "widths", "warned"),
    [
        ("TensorFlow", (8, 16), "8 to 16"),
        ("TensorFlow", (8, 8), ""),
        ("TensorFlow", (12, 4), "12 to 12, the first layer"),
        ("PyTorch", (8, 16), ""),
    ],
)
def test_a_conversion_that_changes_energies_is_warned_of(
    case, backend: str, widths: tuple[int, ...], warned: str
) -> None:
    folder, _ = case
    written = {"software": "deepmd-kit", "backend": backend}
    write_model(folder / "tf.dp", build(fitting_neuron=widths), **written)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        multifit.load(folder / "tf.dp")
    said = [str(each.message) for each in caught]
    assert bool(said) == bool(warned)
    assert all(f"(widths {warned})" in each for each in said)

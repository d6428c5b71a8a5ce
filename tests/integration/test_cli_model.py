"""``multifit show``, ``convert`` and ``change-bias``."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from _cases import build, draw, molecule
from _cli_files import frames, write_labelled, write_model, write_system

from multifit import files
from multifit import models as mdl
from multifit.cli import main
from multifit.data import open_systems
from multifit.evaluation.bias import collect, fit_bias, shifted_bias, type_bias, with_type_bias
from multifit.inference.loading import load
from multifit.inference.potential import Potential
from multifit.tree import flatten


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("MULTIFIT_BACKEND", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def flat(content: object, prefix: str = "") -> dict[str, object]:
    """Return the leaves of nested dicts and lists."""
    if isinstance(content, dict):
        items = content.items()
    elif isinstance(content, list):
        items = enumerate(content)
    else:
        return {prefix: content}
    return {k: v for key, value in items for k, v in flat(value, f"{prefix}/{key}").items()}


def same(got: object, wanted: object) -> None:
    """Fail unless two contents are equal, bit for bit; what changed the file is its origin."""
    a, b = (
        {key: x for key, x in flat(content).items() if not key.startswith("/provenance")}
        for content in (got, wanted)
    )
    assert a.keys() == b.keys()
    for key, value in b.items():
        if isinstance(value, np.ndarray):
            assert a[key].dtype == value.dtype, key
            assert a[key].tobytes() == value.tobytes(), key
        else:
            assert a[key] == value, key


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().out.splitlines()


# ------------------------------------------------------------------------------------------ show


def test_show_counts_parameters(folder, capsys) -> None:
    model = build()
    model = replace(model, fitting=replace(model.fitting, trainable=(True, False, True)))
    potential = write_model(folder / "m.dp", model, time="2025-01-01", backend="jax")
    assert main(["show", "m.dp"]) == 0
    shown = dict(re.split("  +", line.strip(), maxsplit=1) for line in lines(capsys))
    sizes = {name: x.size for name, x in flatten(potential.params).items()}
    nets = {name: n for name, n in sizes.items() if ".nets." in name or "embeddings" in name}
    # Names are fitting.nets.K.layers.L.w.
    frozen = sum(n for name, n in nets.items() if ".nets." in name and ".layers.1." in name)
    total = sum(nets.values())
    assert frozen > 0
    wanted = f"{total:,} ({total - frozen:,} trainable, {frozen:,} frozen)"
    assert shown["parameters"] == wanted
    assert shown["cut-off"] == "3.6 Å, smooth from 1.5 Å"
    assert shown["written by"] == "multifit 0.1.0 (jax)"
    assert shown["written at"] == "2025-01-01"


def test_show_says_what_differs_from_the_usual(folder, capsys) -> None:
    model = build(
        sel=(8, 12, 4),
        exclude_types=((0, 1),),
        atom_exclude_types=(2,),
        pair_exclude_types=((1, 2),),
        numb_fparam=1,
        numb_aparam=2,
        mixed_types=True,
    )
    model = replace(model, fitting=replace(model.fitting, default_fparam=(0.5,)))
    write_model(folder / "m.dp", model, training={"step": 400})
    assert main(["show", "m.dp"]) == 0
    out = capsys.readouterr().out
    for words in (
        "checkpoint of an energy model, step 400",
        "O–H, H–C",
        "excluded types  C",
        "(default [0.5])",
        "2 for each atom",
        "one for all types",
    ):
        assert words in out


def test_show_a_net_without_hidden_layers(folder, capsys) -> None:
    model = build(fitting_neuron=())
    write_model(folder / "m.dp", model)
    assert main(["show", "m.dp", "fitting-net"]) == 0
    width = model.descriptor.dim_out
    wanted = f"fitting nets  2 × {width}-1, one for each type, float64\n"
    assert capsys.readouterr().out == wanted


@pytest.mark.parametrize(
    ("numbers", "wanted"),
    [
        ((0, 0), "2 numbers, all 0"),
        ((0, 1, 0), "3 numbers, 1 for case 1 and 0 for the others"),
        ((0.5, 1), "2 numbers: 0.5 1"),
        ((0,), "1 number, all 0"),
    ],
)
def test_show_the_case(folder, capsys, numbers: tuple[float, ...], wanted: str) -> None:
    model = build(dim_case_embd=len(numbers))
    params = draw(model)
    params["fitting"]["case_embd"] = np.array(numbers, dtype=np.float64)
    files.write(folder / "m.dp", {"model": mdl.serialize(model, params)})
    assert main(["show", "m.dp", "fitting-net"]) == 0
    assert f"\ncase          {wanted}\n" in capsys.readouterr().out


def test_show_only_what_was_asked_for(folder, capsys) -> None:
    potential = write_model(folder / "m.dp")
    assert main(["show", "m.dp", "type-map", "bias"]) == 0
    bias = type_bias(potential.model, potential.params)
    wanted = f"energy bias  O {bias[0, 0]:.6f}  H {bias[1, 0]:.6f}  (eV/atom)"
    assert capsys.readouterr().out == f"type map     O H\n{wanted}\n"
    assert main(["show", "m.dp", "sise"]) == 2
    assert "did you mean 'size'?" in capsys.readouterr().err


def test_show_the_input(folder, capsys) -> None:
    script = {"type_map": ["O", "H"], "descriptor": {"rcut": 3.6}}
    write_model(folder / "m.dp", model_def_script=script)
    assert main(["show", "m.dp", "--input"]) == 0
    assert json.loads(capsys.readouterr().out) == script
    write_model(folder / "n.dp")
    assert main(["show", "n.dp", "--input"]) == 2
    assert "model_def_script" in capsys.readouterr().err


# --------------------------------------------------------------------------------------- convert


@pytest.mark.parametrize("ending", ["json", "yaml"])
def test_convert_there_and_back_keeps_every_bit(folder, ending: str) -> None:
    if ending == "yaml":
        pytest.importorskip("yaml")
    write_model(folder / "a.dp", build(precision="float32"), something_else=[1, None, "x"])
    assert main(["convert", "a.dp", f"b.{ending}"]) == 0
    assert main(["convert", f"b.{ending}", "c.dp"]) == 0
    same(files.read("c.dp"), files.read("a.dp"))
    assert Path("c.dp").read_bytes() == Path("a.dp").read_bytes()


def test_convert_makes_a_model_of_a_checkpoint(folder, capsys) -> None:
    write_model(folder / "ckpt.dp", training={"step": 3})
    assert main(["convert", "ckpt.dp", "m.dp"]) == 0
    assert "training" not in files.read("m.dp")
    assert "without the state of the training" in capsys.readouterr().out
    load("m.dp")


def test_convert_replaces_only_by_force(folder, capsys) -> None:
    write_model(folder / "a.dp")
    (folder / "b.json").write_text("mine")
    assert main(["convert", "a.dp", "b.json"]) == 2
    assert "--force" in capsys.readouterr().err
    assert (folder / "b.json").read_text() == "mine"
    assert main(["convert", "a.dp", "b.json", "--force"]) == 0
    load("b.json")


@pytest.mark.parametrize(
    ("source", "target", "about"),
    [
        ("none.dp", "b.dp", "none.dp does not exist"),
        ("a.dp", "b.txt", "unknown ending '.txt'"),
        ("a.pb", "b.dp", "frozen DeePMD-kit model"),
        ("foreign.json", "b.dp", "holds no model"),
        ("a.dp", "no/b.dp", "create it first"),
    ],
)
def test_convert_refuses(folder, capsys, source: str, target: str, about: str) -> None:
    write_model(folder / "a.dp")
    (folder / "foreign.json").write_text("{}")
    assert main(["convert", source, target]) == 2
    assert about in capsys.readouterr().err


# ----------------------------------------------------------------------------------- change-bias


def data(folder: Path, potential: Potential, shift: tuple[float, float]) -> None:
    """Write a crystal (2 O, 4 H) and a molecule (2 O, 3 H) with energies shifted per type."""
    write_labelled(folder / "data" / "c", potential, 3, energy=-2 * shift[0] - 4 * shift[1])
    write_labelled(
        folder / "data" / "m", potential, 3, energy=-2 * shift[0] - 3 * shift[1], shape=molecule()
    )


def test_change_finds_the_shift(folder, capsys) -> None:
    potential = write_model(folder / "m.dp")
    data(folder, potential, (0.5, -0.25))
    assert main(["change-bias", "m.dp", "-s", "data"]) == 0
    out = capsys.readouterr().out
    assert "+0.500000" in out
    assert "-0.250000" in out
    assert "independent" not in out
    before, after = files.read("m.dp"), files.read("m_updated.dp")
    got = after["model"]["@variables"].pop("out_bias") - before["model"]["@variables"].pop(
        "out_bias"
    )
    np.testing.assert_allclose(got, [[[0.5], [-0.25]]], rtol=0, atol=1e-9)
    same(after, before)
    assert main(["test", "-m", "m_updated.dp", "-s", "data", "-d", "x"]) == 0
    label, prediction = np.loadtxt("x.e.out").T
    np.testing.assert_allclose(prediction, label, rtol=0, atol=1e-8)


def test_one_composition_fixes_only_a_sum(folder, capsys) -> None:
    potential = write_model(folder / "m.dp")
    write_labelled(folder / "data", potential, 3, energy=-1.0)
    assert main(["change-bias", "m.dp", "-s", "data", "-o", "n.json"]) == 0
    out = capsys.readouterr().out
    assert "1 independent composition of 2 types" in out
    assert "1.667e-01 eV before" in out
    old, new = (type_bias(p.model, p.params) for p in (load("m.dp"), load("n.json")))
    # The shortest of all (x, y) with 2 x + 4 y = 1.
    np.testing.assert_allclose(new - old, [[0.1], [0.2]], rtol=0, atol=1e-9)


def test_set_fits_the_labels_alone(folder) -> None:
    write_model(folder / "m.dp")
    for name, shape, atoms in (("c", None, (2, 4)), ("m", molecule(), (2, 3))):
        coord, system = frames(2, shape)
        energy = np.full(2, atoms[0] * -90.0 + atoms[1] * -15.0)
        write_system(folder / "data" / name, coord, system, energy=energy)
    assert main(["change-bias", "m.dp", "-s", "data", "-m", "set"]) == 0
    new = load("m_updated.dp")
    np.testing.assert_allclose(type_bias(new.model, new.params)[:, 0], [-90.0, -15.0], atol=1e-8)


def test_given_biases_are_those_of_the_types(folder, capsys) -> None:
    write_model(folder / "m.dp")
    assert main(["change-bias", "m.dp", "-b", "-93.57", "-187.1", "-o", "n.dp"]) == 0
    assert "-93.570000" in capsys.readouterr().out
    new = load("n.dp")
    np.testing.assert_allclose(type_bias(new.model, new.params)[:, 0], [-93.57, -187.1], atol=1e-12)


def test_a_changed_bias_drops_the_uncertainty(folder, capsys) -> None:
    write_model(folder / "m.dp", uncertainty={"scale": 1.0})
    assert main(["change-bias", "m.dp", "-b", "1", "2", "-o", "n.dp"]) == 0
    assert "the uncertainty is dropped" in capsys.readouterr().out
    assert "uncertainty" not in files.read(folder / "n.dp")


def test_given_biases_with_data_are_judged(folder, capsys) -> None:
    potential = write_model(folder / "m.dp")
    data(folder, potential, (0.5, -0.25))
    wanted = type_bias(potential.model, potential.params) + np.array([[0.5], [-0.25]])
    values = [repr(float(x)) for x in wanted[:, 0]]
    assert main(["change-bias", "m.dp", "-s", "data", "-b", *values]) == 0
    text = capsys.readouterr().out.partition("before, ")[2]
    assert float(text.split()[0]) < 1e-9


def test_checkpoint_keeps_its_training(folder) -> None:
    write_model(folder / "c.dp", training={"step": 7})
    assert main(["change-bias", "c.dp", "-b", "1", "2"]) == 0
    assert files.read("c_updated.dp")["training"] == {"step": 7}


@pytest.mark.parametrize(
    ("arguments", "about"),
    [
        ([], "-s DATA"),
        (["-b", "1"], "2 types (O, H)"),
        (["-b", "1", "nan"], "not finite"),
        (["-s", "unlabelled"], "no energy in the data"),
        (["-s", "nowhere"], "nowhere does not exist"),
        (["-b", "1", "2", "-o", "n.txt"], "unknown ending"),
    ],
)
def test_change_bias_refuses(folder, capsys, arguments: list[str], about: str) -> None:
    write_model(folder / "m.dp")
    coord, system = frames(1)
    write_system(folder / "unlabelled", coord, system)
    assert main(["change-bias", "m.dp", *arguments]) == 2
    assert about in capsys.readouterr().err
    assert not (folder / "m_updated.dp").exists()


def test_types_without_atoms_or_with_a_preset_stay(folder) -> None:
    model = replace(build(sel=(8, 12, 4)), preset_out_bias=(-3.0, None, None))
    params = draw(model)
    potential = Potential(model, params)
    write_labelled(folder / "data", potential, 4, energy=0.4)
    bias_data = collect(potential, open_systems(str(folder / "data"), model.type_map))
    old = type_bias(model, params)
    for mode in ("change", "set"):
        new = fit_bias(model, params, bias_data, mode)
        assert new[0] == pytest.approx(-3.0)
        assert new[2] == old[2]
    change = fit_bias(model, params, bias_data, "change")
    assert bias_data.rmse_per_atom(change - old) == pytest.approx(0.0, abs=1e-9)


def test_excluded_types_are_not_given_what_they_do_not_show(folder) -> None:
    model = build(atom_exclude_types=(1,), fitting_exclude=(0,))
    params = draw(model)
    potential = Potential(model, params)
    assert type_bias(model, params)[0] == params["out_bias"][0, 0]
    write_labelled(folder / "data", potential, 2, energy=-1.0)
    systems = open_systems(str(folder / "data"), model.type_map)
    bias = shifted_bias(potential, systems, 1)
    np.testing.assert_allclose(bias - params["out_bias"], [[0.5], [0.0]], rtol=0, atol=1e-9)


def test_shifted_bias_without_energies_is_the_old_one(folder) -> None:
    potential = write_model(folder / "m.dp")
    coord, system = frames(1)
    write_system(folder / "data", coord, system)
    systems = open_systems(str(folder / "data"), potential.type_map)
    np.testing.assert_array_equal(shifted_bias(potential, systems), potential.params["out_bias"])


def test_with_type_bias_is_what_type_bias_reads() -> None:
    model = build()
    params = draw(model)
    params["out_bias"] = with_type_bias(model, params, np.array([[1.0], [2.0]]))
    np.testing.assert_allclose(type_bias(model, params)[:, 0], [1.0, 2.0], rtol=0, atol=1e-14)

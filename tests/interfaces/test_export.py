"""Exported models: the same numbers as multifit, in a process without it."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _backends import StrictBackend
from _cases import build, crystal, draw, molecule
from _domains import Domain, divide
from _reload import describing, reload

from multifit import descriptors, files
from multifit import models as mdl
from multifit.backend import get_backend
from multifit.backend.dynamic import Dynamic, DynamicArithmetic
from multifit.cli import main
from multifit.errors import ConfigError, FileFormatError, MultifitError, UnsupportedError
from multifit.fitting import Fitting
from multifit.inference.potential import Potential
from multifit.interfaces.export import FORMATS, export, export_model
from multifit.interfaces.export._files import ABOUT, place
from multifit.interfaces.export._function import INPUTS, ModelFunction
from multifit.tree import Tree, map_leaves

#: Names of modules of the frameworks.
MODULES = {"torch": "torch", "jax": "jax", "tensorflow": "tensorflow", "paddle": "paddle"}

#: Set to also compile .pt2 packages, which takes a minute of a core.
SLOW = "MULTIFIT_TEST_PT2"

MODELS: dict[str, mdl.Model] = {
    "plain": build(),
    "cut at sel": build(sel=(3, 5)),
    "one type without neighbours": build(sel=(8, 0)),
    "two-side": build(type_one_side=False, exclude_types=((0, 1),)),
    "pair_exclude_types": build(pair_exclude_types=((0, 1),)),
    "atom_exclude_types": build(atom_exclude_types=(1,)),
    "fparam and aparam": build(numb_fparam=2, numb_aparam=1, atom_ener=(1.0, None)),
    "use_aparam_as_mask": build(numb_aparam=1, use_aparam_as_mask=True),
    "mixed_types": build(mixed_types=True, layer_name=(None, "a", None), dim_case_embd=2),
    "three types": build(sel=(4, 6, 2)),
    "dos": build(numb_dos=4, atom_exclude_types=(0,)),
}


def fitting_of(descriptor: Any) -> mdl.Model:
    """Return a model of two types with a descriptor."""
    return mdl.Model(("O", "H"), descriptor, Fitting(2, descriptor.dim_out, neuron=(4,)))


def domains() -> dict[str, Domain]:
    """Return domains of three sizes: half of a crystal with ghosts, all of it, and a molecule."""
    return {
        "half": divide(crystal(), [0, 0, 0, 1, 1, 1])[1],
        "crystal": divide(crystal(), [0] * 6)[0],
        "molecule": divide(molecule(), [0] * 5)[0],
    }


def extra(model: mdl.Model, domain: Domain) -> dict[str, np.ndarray]:
    """Return fparam and aparam, if the model has them."""
    rng = np.random.default_rng(3)
    sizes = {"nall": len(domain.atype), "nlocal": domain.nlocal}
    found = {}
    for each in ModelFunction(model, draw(model)).inputs[len(INPUTS) :]:
        shape = [sizes[axis] if isinstance(axis, str) else axis for axis in each.shape]
        found[each.name] = rng.normal(size=shape)
    if model.fitting.use_aparam_as_mask:
        found["aparam"] = (domain.owner[:, None] != 2).astype(np.float64)
    return found


def inputs(model: mdl.Model, domain: Domain) -> dict[str, np.ndarray]:
    """Return what an exported function takes."""
    known = {"rij": domain.rij, "i": domain.i, "j": domain.j, "atype": domain.atype}
    whole = {key: x if key == "rij" else x.astype(np.int64) for key, x in known.items()}
    return {**whole, "local": np.arange(domain.nlocal), **extra(model, domain)}


def expected(model: mdl.Model, params: Tree, domain: Domain) -> dict[str, np.ndarray]:
    """Return what multifit finds."""
    return Potential(model, params).evaluate_pairs(*domain.arguments, **extra(model, domain))


def same(
    found: Sequence[Any] | dict[str, Any], model: mdl.Model, params: Tree, domain: Domain
) -> None:
    """Check outputs against multifit's."""
    want = expected(model, params, domain)
    if not isinstance(found, dict):
        names = [each.name for each in ModelFunction(model, params).outputs]
        found = dict(zip(names, found, strict=True))
    assert set(found) == set(want)
    single = 1e5 if model.fitting.precision == "float32" else 1.0
    for key, x in want.items():
        relative = single * (1e-9 if key == "force" else 1e-10)
        scale = max(1.0, float(np.abs(x).max(initial=0.0)))
        np.testing.assert_allclose(found[key], x, rtol=0, atol=relative * scale, err_msg=key)
        assert np.asarray(found[key]).dtype == np.float64


# The function


@pytest.mark.parametrize("finds", [True, False])
@pytest.mark.parametrize("name", MODELS)
def test_function_agrees_with_evaluate_pairs(name: str, finds: bool) -> None:
    model, numpy = MODELS[name], get_backend("numpy")
    params = draw(model)
    function = ModelFunction(model, params)
    for domain in domains().values():
        given = list(inputs(model, domain).values())
        same(
            function(numpy, params, given, np.flatnonzero if finds else None), model, params, domain
        )


@pytest.mark.parametrize("name", descriptors.available())
def test_every_descriptor_can_be_exported_unless_it_passes_messages(name: str) -> None:
    numpy = get_backend("numpy")
    for descriptor in descriptors.get_descriptor(name).examples():
        model = fitting_of(descriptor)
        if descriptor.requires().hops > 1:
            with pytest.raises(UnsupportedError, match="but exports take pairs of local atoms"):
                ModelFunction(model, draw(model))
            continue
        params = draw(model)
        function = ModelFunction(model, params)
        for domain in domains().values():
            found = function(numpy, params, list(inputs(model, domain).values()))
            same(found, model, params, domain)


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_function_in_lower_precision(precision: str) -> None:
    model = build(precision=precision)
    params = draw(model)
    found = ModelFunction(model, params)(
        get_backend("numpy"), params, list(inputs(model, domains()["crystal"]).values())
    )
    want = expected(model, params, domains()["crystal"])
    tolerance = {"float32": 2e-6, "float16": 2e-2}[precision]
    np.testing.assert_allclose(found[1], want["force"], atol=tolerance)


def test_function_is_one_of_the_standard(strict: StrictBackend) -> None:
    model = build(pair_exclude_types=((0, 1),), numb_fparam=1, numb_aparam=1)
    params = draw(model)
    domain = domains()["half"]
    given = [strict.asarray(x) for x in inputs(model, domain).values()]
    found = ModelFunction(model, params)(strict, map_leaves(strict.asarray, params), given)
    same([strict.to_numpy(x) for x in found], model, params, domain)


def test_function_of_arrays_with_unknown_sizes() -> None:
    numpy = get_backend("numpy")
    xp = Dynamic(numpy.xp, lambda x: x.shape, lambda x: isinstance(x, np.ndarray | np.generic))
    model = MODELS["fparam and aparam"]
    params = draw(model)
    domain = domains()["half"]
    found = ModelFunction(model, params)(
        DynamicArithmetic(numpy, xp),
        map_leaves(xp.sized, params),
        [xp.sized(x) for x in inputs(model, domain).values()],
        lambda mask: xp.sized(np.flatnonzero(mask.value)),
    )
    same([x.value for x in found], model, params, domain)


def test_virtual_atoms_have_no_part() -> None:
    model = build()
    params = draw(model)
    domain = domains()["crystal"]
    given = inputs(model, domain)
    given["atype"] = np.where(domain.owner == 1, -1, given["atype"])
    function = ModelFunction(model, params)
    found = function(get_backend("numpy"), params, list(given.values()))
    want = Potential(model, params).evaluate_pairs(
        domain.rij, domain.i, domain.j, given["atype"], domain.nlocal
    )
    for each, x in zip(function.outputs, found, strict=True):
        np.testing.assert_allclose(x, want[each.name], atol=1e-12)


def test_example_has_different_sizes() -> None:
    function = ModelFunction(MODELS["fparam and aparam"], draw(MODELS["fparam and aparam"]))
    given = function.example()
    assert len({len(x) for x in given[:1]} | {len(given[3]), len(given[4])}) == 3
    for each, x in zip(function.inputs, given, strict=True):
        assert x.dtype == each.dtype
        assert x.ndim == len(each.shape)


# The formats


@pytest.mark.parametrize("name", FORMATS)
def test_exports_run_without_multifit(name: str, tmp_path: Path) -> None:
    if not importlib.util.find_spec(MODULES[FORMATS[name]]):
        pytest.skip(f"{FORMATS[name]} is not installed")
    if name == "pt2" and not os.environ.get(SLOW):
        pytest.skip(f"compiles for a minute; set {SLOW}=1")
    models = {
        "energy": build(
            sel=(4, 6),
            type_one_side=False,
            pair_exclude_types=((0, 0),),
            numb_fparam=2,
            numb_aparam=1,
        ),
        "dos": build(numb_dos=3, precision="float32"),
    }
    paths, given = {}, {}
    sizes = domains()
    if name != "stablehlo":  # whose sizes are at least one
        sizes["alone"] = Domain(
            np.zeros((0, 3)), *[np.zeros(0, int)] * 2, np.array([1]), 1, np.zeros(1, int)
        )
    for key, model in models.items():
        path = export_model(model, draw(model), name, tmp_path / f"{key}.{name}")
        paths[path] = [f"{key}.{size}" for size in sizes]
        for size, domain in sizes.items():
            given |= {f"{key}.{size}.{n}": x for n, x in inputs(model, domain).items()}
    found = reload(name, paths, given, tmp_path)
    for key, model in models.items():
        for size, domain in sizes.items():
            start = f"{key}.{size}."
            own = {n.removeprefix(start): x for n, x in found.items() if n.startswith(start)}
            same(own, model, draw(model), domain)


def test_torchscript_describes_itself(tmp_path: Path, monkeypatch, capsys) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    model = build(numb_dos=4)
    files.write(tmp_path / "water.dp", mdl.to_content(model, draw(model)))
    assert main(["export", "water.dp", "-f", "torchscript"]) == 0
    assert capsys.readouterr().out == "wrote water.pt\n"
    about = json.loads(describing(tmp_path / "water.pt").read_text())
    assert about["type_map"] == ["O", "H"]
    assert about["rcut"] == model.descriptor.requires().rcut
    assert [each["name"] for each in about["inputs"]] == ["rij", "i", "j", "atype", "local"]
    assert [each["name"] for each in about["outputs"]] == ["dos", "atom_dos"]
    assert about["outputs"][1]["shape"] == ["nlocal", 4]
    inside = {"multifit.json": ""}
    with pytest.deprecated_call():  # TorchScript is; it still loads everywhere
        torch.jit.load("water.pt", _extra_files=inside)
    assert json.loads(inside["multifit.json"]) == about
    with pytest.raises(FileFormatError, match=r"water.pt exists; .* --force"):
        export("water.dp", "torchscript")
    assert export("water.dp", "torchscript", force=True) == Path("water.pt")
    assert {path.name for path in tmp_path.iterdir()} == {"water.dp", "water.pt", "water.pt.json"}


@pytest.mark.parametrize("form", ["torchscript", "mliap"])
def test_the_model_itself_is_never_replaced(tmp_path: Path, form: str) -> None:
    pytest.importorskip("torch")
    model = build()
    path = tmp_path / "water.dp"
    files.write(path, mdl.to_content(model, draw(model)))
    before = path.read_bytes()
    with pytest.raises(FileFormatError, match=r"water.dp is the model itself"):
        export(path, form, path, force=True)
    assert path.read_bytes() == before


# What is refused


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("torchscrpt", ConfigError, "did you mean 'torchscript'"),
        ("onnx", UnsupportedError, "does not write ONNX"),
        ("numpy", UnsupportedError, "no file format"),
    ],
)
def test_unknown_formats(name: str, error: type[MultifitError], words: str, tmp_path: Path) -> None:
    with pytest.raises(error, match=words):
        export(tmp_path / "model.dp", name)


@pytest.mark.parametrize(
    ("options", "words"),
    [({"tot_ener_zero": True}, "tot_ener_zero cannot be exported")],
)
def test_models_that_pairs_cannot_evaluate(options: dict[str, Any], words: str) -> None:
    model = build(**options)
    with pytest.raises(UnsupportedError, match=words):
        ModelFunction(model, draw(model))


def test_messages_over_several_hops_are_refused(monkeypatch) -> None:
    model = build()
    needs = replace(model.descriptor.requires(), hops=2)
    monkeypatch.setattr(type(model.descriptor), "requires", lambda _: needs)
    with pytest.raises(UnsupportedError, match="passes messages over 2 hops"):
        ModelFunction(model, draw(model))


def test_paddle_refuses_half_precision(tmp_path: Path) -> None:
    pytest.importorskip("paddle")
    model = build(precision="float16")
    with pytest.raises(UnsupportedError, match="paddle backend does not support"):
        export_model(model, draw(model), "paddle", tmp_path / "model")


def test_pt2_needs_a_compiler(tmp_path: Path, monkeypatch) -> None:
    pytest.importorskip("torch")
    monkeypatch.setenv("CXX", "no-such-compiler -O2")
    with pytest.raises(MultifitError, match="there is no no-such-compiler"):
        export_model(build(), draw(build()), "pt2", tmp_path / "model.pt2")
    assert not list(tmp_path.iterdir())


def test_outputs_in_the_way(tmp_path: Path) -> None:
    pytest.importorskip("paddle")
    model = build(numb_dos=2)

    def write(output: Path, force: bool = True) -> Path:
        return export_model(model, draw(model), "paddle", output, force=force)

    with pytest.raises(FileFormatError, match="is not a folder; create it first"):
        write(tmp_path / "no" / "model")
    (tmp_path / "file").touch()
    with pytest.raises(FileFormatError, match="is a file, but this format is a folder"):
        write(tmp_path / "file")
    (tmp_path / "mine").mkdir()
    with pytest.raises(FileFormatError, match="did not write, so it is not replaced"):
        write(tmp_path / "mine")
    made = write(tmp_path / "model")
    assert write(tmp_path / "model") == made
    assert {path.name for path in made.iterdir()} >= {"model.json", "multifit.json"}


def test_a_folder_stays_if_the_new_one_cannot_take_its_place(tmp_path: Path, monkeypatch) -> None:
    target = tmp_path / "model"
    target.mkdir()
    (target / ABOUT).write_text("old")
    rename = Path.rename

    def fails(self: Path, to: Path) -> Path:
        if self.name == target.name and self != target:
            raise OSError(28, "No space left on device")
        return rename(self, to)

    monkeypatch.setattr(Path, "rename", fails)
    with (
        pytest.raises(FileFormatError, match="could not be written"),
        place(target, True, "new") as temporary,
    ):
        temporary.mkdir()
    assert (target / ABOUT).read_text() == "old"
    monkeypatch.undo()
    with place(target, True, "new") as temporary:
        temporary.mkdir()
    assert (target / ABOUT).read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_bad_command_is_one_sentence(tmp_path: Path, capsys) -> None:
    pytest.importorskip("torch")
    model = str(tmp_path / "model.dp")
    for arguments in (
        [model, "-f", "onnx"],
        [model, "-f", "torchscript", "-o", str(tmp_path / "x")],
    ):
        assert main(["export", *arguments]) == 2
        said = capsys.readouterr().err
        assert said.startswith("multifit: error: ")
        assert said.count("\n") == 1


def test_message_passing_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    model = fitting_of(next(iter(descriptors.get_descriptor("dpa2").examples())))
    with pytest.raises(UnsupportedError, match="dpa2 passes messages over 3 hops, but exports"):
        export_model(model, draw(model), "stablehlo", tmp_path / "model.bin")
    assert not list(tmp_path.iterdir())

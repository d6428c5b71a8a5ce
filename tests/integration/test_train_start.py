"""Starting from another model: the same one, or its elements in another order, fewer, more."""

from __future__ import annotations

import dataclasses
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _compare import same
from _water import Frames, column, fit, labelled, put, recipe, write
from rich.console import Console

import multifit
from multifit.cli import main
from multifit.errors import TrainingError
from multifit.inference.potential import Potential

NO_STEP = {"learning_rate__start_lr": 1e-9, "learning_rate__stop_lr": 1e-9}
SHIFT = np.array([7.0, -2.0])  #: eV that the new data have more for each atom of a type


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with data and a model trained on them, and data with other energies."""
    folder = tmp_path_factory.mktemp("start")
    frames = labelled(6)
    write(folder / "data", frames)
    write(folder / "shifted", frames, energy=frames.energy + SHIFT[frames.atype].sum())
    fit(folder, recipe(steps=40))
    return folder


def predicted(model: Potential, frames: Frames, names: tuple[str, ...] = ("O", "H")) -> Any:
    symbols = [names[k] for k in frames.atype]
    return model.predict(frames.coord, symbols, frames.cell)


def test_init_model_begins_with_its_parameters(trained: Path, tmp_path: Path) -> None:
    given = recipe(steps=1, **NO_STEP)
    out = fit(trained, given, output=tmp_path, init_model=trained / "out/model.dp")
    first, then = (multifit.load(f / "model.dp") for f in (trained / "out", out))
    frames = labelled(2)
    for key, value in predicted(first, frames).items():
        same(predicted(then, frames)[key], value, rtol=1e-5)
    assert column(out, "step").tolist() == [1]


def test_init_model_keeps_the_bias(trained: Path, tmp_path: Path) -> None:
    given = recipe("shifted", steps=1, **NO_STEP)
    out = fit(trained, given, output=tmp_path, init_model=trained / "out/model.dp")
    first, then = (multifit.load(f / "model.dp") for f in (trained / "out", out))
    np.testing.assert_array_equal(first.params["out_bias"], then.params["out_bias"])


@pytest.mark.parametrize("energy", [-3.0, None])
def test_init_model_takes_the_energies_of_the_input(
    trained: Path, tmp_path: Path, energy: float | None
) -> None:
    given = recipe(steps=1, model__preset_out_bias={"energy": [energy, -4.0]}, **NO_STEP)
    text = io.StringIO()
    console = Console(file=text, width=300)
    out = fit(trained, given, output=tmp_path, init_model=trained / "out/model.dp", console=console)
    first, then = (multifit.load(f / "model.dp") for f in (trained / "out", out))
    want = [first.params["out_bias"][0, 0] if energy is None else energy, -4.0]
    assert then.params["out_bias"].ravel().tolist() == want
    assert then.model.preset_out_bias == (energy, -4.0)
    assert "preset_out_bias replaces energies of the file: " in text.getvalue()
    assert ("O " in text.getvalue().partition("replaces")[2].partition("eV")[0]) == bool(energy)


def test_a_restart_keeps_its_energies(trained: Path, tmp_path: Path) -> None:
    given = recipe(steps=41, model__preset_out_bias={"energy": [None, -4.0]})
    says = "fixes H at -4 eV, but .*model.ckpt-40.dp was trained with no energy: change it back"
    with pytest.raises(TrainingError, match=says):
        fit(trained, given, output=tmp_path, restart=trained / "out/model.ckpt-40.dp")
    given["training"]["numb_steps"] = 1
    fit(trained, given, output=tmp_path)
    given["training"]["numb_steps"] = 2
    fit(trained, given, output=tmp_path, restart=tmp_path / "model.ckpt")
    assert multifit.load(tmp_path / "model.dp").params["out_bias"][1] == -4.0


def test_init_model_takes_checkpoints(trained: Path, tmp_path: Path) -> None:
    given = recipe(steps=2)
    fit(trained, given, output=tmp_path, init_model=trained / "out/model.ckpt-40.dp")
    assert (tmp_path / "model.ckpt-2.dp").exists()


def test_init_model_wants_the_same_model(trained: Path, tmp_path: Path) -> None:
    given = put(recipe(steps=1), {"model.fitting_net.neuron": [8, 9]})
    words = (
        r"model\.dp does not fit the input: model\.fitting_net\.neuron is \[8, 9\] in the input "
        ".*; start from a model with the input's settings"
    )
    with pytest.raises(TrainingError, match=words):
        fit(trained, given, output=tmp_path, init_model=trained / "out/model.dp")


def test_finetune_fits_the_bias_to_the_data(trained: Path, tmp_path: Path) -> None:
    given = recipe("shifted", steps=1, training__training_data__batch_size=6, **NO_STEP)
    plain = fit(trained, given, output=tmp_path / "a", init_model=trained / "out/model.dp")
    text = io.StringIO()
    tuned = fit(
        trained,
        given,
        output=tmp_path / "b",
        finetune=trained / "out/model.dp",
        console=Console(file=text, width=200),
    )
    before, after = (column(f, "rmse_e_trn")[0] for f in (plain, tuned))
    assert before > 0.5
    assert after < 0.01 * before
    # Forces do not know about it.
    same(column(tuned, "rmse_f_trn"), column(plain, "rmse_f_trn"), rtol=1e-9)
    assert "fine-tuning" in text.getvalue()
    assert "energy per type fitted to the data" in text.getvalue()


def tuned_model(trained: Path, to: Path, given: dict[str, Any]) -> Potential:
    out = fit(trained, given, output=to, finetune=trained / "out/model.dp")
    return multifit.load(out / "model.dp")


def forces_agree(new: Potential, old: Potential, rtol: float) -> None:
    frames = labelled(2)
    same(predicted(new, frames)["force"], predicted(old, frames)["force"], rtol=rtol)


@pytest.mark.parametrize("one_side", [True, False])
def test_finetune_finds_types_by_name(trained: Path, tmp_path: Path, one_side: bool) -> None:
    sides = {"model__descriptor__type_one_side": one_side}
    base = fit(trained, recipe(steps=3, **sides), output=tmp_path / "base")
    given = recipe(
        steps=1,
        model__type_map=["H", "O"],
        model__descriptor__sel=[20, 12],
        **sides,
        **NO_STEP,
    )
    out = fit(trained, given, output=tmp_path / "new", finetune=base / "model.dp")
    new = multifit.load(out / "model.dp")
    assert new.type_map == ("H", "O")
    forces_agree(new, multifit.load(base / "model.dp"), 1e-5)


def test_finetune_adds_elements(trained: Path, tmp_path: Path) -> None:
    given = recipe(
        steps=1, model__type_map=["C", "O", "H"], model__descriptor__sel=[6, 12, 20], **NO_STEP
    )
    text = io.StringIO()
    out = fit(
        trained,
        given,
        output=tmp_path,
        finetune=trained / "out/model.dp",
        console=Console(file=text, width=200),
    )
    assert "new types: C" in text.getvalue()
    new = multifit.load(out / "model.dp")
    assert "sel is [6, 12, 20] in the input and [12, 20] in the file" in text.getvalue()
    # Empty slots count, so that only the nets are as they were, not what they give.
    old = multifit.load(trained / "out/model.dp")
    for mine, theirs in ((1, 0), (2, 1)):
        same(
            new.params["fitting"]["nets"][str(mine)],
            old.params["fitting"]["nets"][str(theirs)],
            rtol=1e-6,
        )
    frames = labelled(1)
    found = new.predict(frames.coord[0], ["C", "O", "H", "H", "O", "H"], frames.cell)
    assert np.isfinite(found["force"]).all()


def test_finetune_keeps_a_part_of_the_elements(trained: Path, tmp_path: Path) -> None:
    frames = labelled(4)
    only_h = Frames(
        frames.coord[:, 1:3],
        np.array([0, 0]),
        frames.cell,
        frames.energy,
        frames.force[:, 1:3],
        frames.virial,
    )
    folder = write(tmp_path / "h", only_h)
    (folder / "type_map.raw").write_text("H")
    given = recipe(
        str(folder), steps=1, model__type_map=["H"], model__descriptor__sel=[20], **NO_STEP
    )
    new = tuned_model(trained, tmp_path / "out", given)
    old = multifit.load(trained / "out/model.dp")
    same(new.params["fitting"]["nets"]["0"], old.params["fitting"]["nets"]["1"], rtol=1e-6)
    same(new.params["descriptor"]["dstd"][0, 0], old.params["descriptor"]["dstd"][1, 1])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model.descriptor.neuron": [4, 6]}, "model.descriptor.neuron is [4, 6] in the input"),
        ({"model.descriptor.rcut_smth": 1.0}, "model.descriptor.rcut_smth is 1.0 in the input"),
    ],
)
def test_finetune_wants_the_same_networks(
    trained: Path, tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(TrainingError) as caught:
        tuned_model(trained, tmp_path, put(recipe(steps=1), changes))
    assert words in str(caught.value)
    assert "cannot be fine-tuned" in str(caught.value)
    assert "only type_map, sel, atom_ener and the types that are excluded" in str(caught.value)


def test_finetune_wants_a_common_element(trained: Path, tmp_path: Path) -> None:
    folder = write(tmp_path / "data", labelled(3))
    (folder / "type_map.raw").write_text("C\nN")
    given = recipe(str(folder), steps=1, model__type_map=["C", "N"])
    with pytest.raises(TrainingError, match="knows O, H, none of which is in the input's type_map"):
        tuned_model(trained, tmp_path / "out", given)


def test_the_bias_can_be_fitted_after_training(trained: Path, tmp_path: Path) -> None:
    options = {"training__change_bias_after_training": True, "training__enable_ema": True}
    given = recipe("shifted", steps=2, **options)
    out = fit(trained, given, output=tmp_path, init_model=trained / "out/model.dp")
    frames = labelled(6)
    wanted = frames.energy + SHIFT[frames.atype].sum()
    for name in ("model.dp", "model_ema.dp"):
        found = predicted(multifit.load(out / name), frames)["energy"]
        assert abs(np.mean(found - wanted)) < 1e-9


def test_a_missing_model_is_an_error(trained: Path, tmp_path: Path) -> None:
    for key in ("init_model", "finetune"):
        with pytest.raises(ValueError, match=r"none\.dp does not exist"):
            fit(trained, recipe(steps=1), output=tmp_path, **{key: tmp_path / "none.dp"})


def test_the_settings_of_the_model_may_replace_those_of_the_input(
    trained: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    given = recipe(str(trained / "data"), steps=1)
    given["model"] |= {"descriptor": {"trainable": False}, "fitting_net": {}}
    (tmp_path / "input.json").write_text(json.dumps(given))
    command = ["train", str(tmp_path / "input.json"), "-b", "torch", "--use-pretrain-script", "-q"]
    assert main(command) == 2
    assert "--use-pretrain-script needs a model" in capfd.readouterr().err
    model = trained / "out/model.dp"
    assert main([*command, "--finetune", str(model), "-o", str(tmp_path / "out")]) == 0
    first, then = (multifit.load(path) for path in (model, tmp_path / "out/model.dp"))
    assert then.model.descriptor == dataclasses.replace(first.model.descriptor, trainable=False)  # type: ignore[type-var]
    assert then.model.fitting == first.model.fitting

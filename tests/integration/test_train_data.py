"""Training and testing on data as people have them: names of labels, species, weights, gaps."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _backends import INSTALLED
from _compare import same
from _water import curve, labelled, recipe, write, write_xyz
from rich.console import Console

from multifit import cli, config
from multifit.backend import get_backend
from multifit.errors import DataError
from multifit.train import train

pytest.importorskip("ase")
pytestmark = pytest.mark.skipif("torch" not in INSTALLED, reason="PyTorch is not installed")

KEYS = {"energy": "REF_energy"}
SPECIES = {"OW": "O", "HW": "H"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, frames = tmp_path_factory.mktemp("data"), labelled()
    write(folder / "data", frames)
    write_xyz(
        folder / "ref.xyz", frames, ("OW", "HW"), energy=0 * frames.energy, REF_energy=frames.energy
    )
    return folder


def run(folder: Path, out: Path, **changes: Any) -> tuple[np.ndarray, str]:
    """Return the learning curve of a short run, and what it says."""
    screen = io.StringIO()
    settings = config.parse(recipe(steps=4, **changes))
    train(
        settings,
        get_backend("torch"),
        base=folder,
        output=out,
        console=Console(file=screen, width=300),
    )
    return curve(out)[1], screen.getvalue()


def section(systems: Any, **more: Any) -> dict[str, Any]:
    return {"systems": systems, "batch_size": 2, **more}


def test_a_file_of_atoms_trains_as_the_folder_does(data: Path, tmp_path: Path) -> None:
    want, _ = run(data, tmp_path / "a", training__training_data=section("data"))
    given = section("ref.xyz", keys=KEYS, species=SPECIES)
    found, _ = run(data, tmp_path / "b", training__training_data=given)
    same(found, want, rtol=1e-9)


def test_names_are_told_where_no_label_is_found(data: Path, tmp_path: Path) -> None:
    given = section("ref.xyz", keys={"energy": [], "force": []}, species=SPECIES)
    with pytest.raises(DataError) as told:
        run(data, tmp_path, training__training_data=given)
    says = str(told.value)
    assert "no training system has any of the labels" in says
    assert 'which "keys": {"energy": "energy", "force": "forces"} in training.training_d' in says
    assert says.endswith("in training.training_data would read")


def test_weights_of_one_change_nothing_and_others_do(data: Path, tmp_path: Path) -> None:
    frames = labelled()
    n = len(frames.energy)
    want, _ = run(data, tmp_path / "a", training__training_data=section("data"))
    write(tmp_path / "ones", frames, config_weight=np.ones(n))
    found, _ = run(tmp_path, tmp_path / "b", training__training_data=section("ones"))
    same(found, want, rtol=1e-12)
    write(tmp_path / "twos", frames, config_weight=np.full(n, 4.0))
    found, _ = run(
        tmp_path,
        tmp_path / "c",
        training__training_data=section("twos"),
        training__validation_data=section("ones"),
    )
    # The root of four times the loss; the errors have no weights.
    total = 2.0 * want[0, 1]
    same(found[0, 2], total, rtol=1e-9)
    write(tmp_path / "bad", frames, config_force_weight=np.linspace(-1, 1, n))
    with pytest.raises(DataError, match=r"weight.npy, frame 0: the weight of the frame is -1, but"):
        run(tmp_path, tmp_path / "d", training__training_data=section("bad", batch_size=n))


def test_frames_without_a_label(data: Path, tmp_path: Path) -> None:
    frames = labelled()
    write_xyz(tmp_path / "a.xyz", frames, config_energy_weight=np.arange(len(frames.energy)) % 2)
    _, said = run(tmp_path, tmp_path / "out", training__training_data=section("a.xyz"))
    assert "no energy in a.xyz (without energy): the term e of the loss (energy) is off" in said


def test_the_commands_take_names(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(data, tmp_path / "out", training__training_data=section("data"))
    monkeypatch.chdir(data)
    model = str(tmp_path / "out/model.dp")
    capsys.readouterr()
    assert cli.main(["test", "-m", model, "-s", "data"]) == 0
    want = capsys.readouterr().out.replace("data   ", "ref.xyz")
    names = ["--species", *(f"{a}={b}" for a, b in SPECIES.items())]
    assert cli.main(["test", "-m", model, "-s", "ref.xyz", *names, "--keys", "energy="]) == 0
    out = capsys.readouterr().out
    assert "— ref.xyz holds energy, REF_energy: read them with --keys energy=" in out
    assert (
        cli.main(["test", "-m", model, "-s", "ref.xyz", *names, "--keys", "energy=x,REF_energy"])
        == 0
    )
    out = capsys.readouterr().out
    digits = [word for word in out.split() if "e-" in word or "e+" in word]
    assert digits == [word for word in want.split() if "e-" in word or "e+" in word][: len(digits)]
    assert cli.main(["test", "-m", model, "-s", "ref.xyz"]) == 2
    assert "--species OW=O HW=H" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli.main(["test", "-m", model, "-s", "ref.xyz", "--keys", "energy"])
    assert "'energy' has no = between two names" in capsys.readouterr().err

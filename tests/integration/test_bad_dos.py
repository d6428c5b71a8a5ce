"""What users get wrong with densities of states: one sentence, exit code 2, nothing written."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _water import ENERGIES, dos_recipe, labelled, put, write, write_spectra

from multifit.cli import main

GIVEN = dos_recipe(steps=2)
NET = "model.fitting_net"
Change = Callable[[Path], object]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the current folder, with an input and data that would work."""
    monkeypatch.delenv("MULTIFIT_BACKEND", raising=False)
    monkeypatch.chdir(tmp_path)
    write_spectra(tmp_path / "data", labelled(4), efermi=np.array([0.1, -0.2, 0.0, 0.3]))
    return tmp_path


def check(
    place: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, Any], words: str
) -> None:
    """Train, and look for a regular expression in the one line on stderr."""
    (place / "input.json").write_text(json.dumps(put(GIVEN, changes)))
    before = set(place.rglob("*"))
    assert main(["train", "input.json", "-b", "torch", "-o", "out"]) == 2
    said = capsys.readouterr()
    assert said.err.count("\n") == 1, said.err
    assert said.err.startswith("multifit: error: ")
    assert "Traceback" not in said.err + said.out
    assert "step" not in said.out
    assert re.search(words, said.err), said.err
    assert not [path for path in set(place.rglob("*")) - before if path.is_file()]


def grid(**keys: Any) -> dict[str, Any]:
    return {f"{NET}.{key}": value for key, value in keys.items()}


OFF = {f"loss.{end}_pref_{term}": 0 for end in ("start", "limit") for term in ("dos", "ados")}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"loss.start_pref_cdf": -1}, r"loss\.start_pref_cdf in input\.json is -1, but must be a"),
        (OFF, r"loss in input\.json has only prefactors 0, but must fit at least one label"),
        ({"loss": {}}, r'type in input\.json is "ener", but must be "dos" with model\.fitting_net'),
        ({NET: {}}, r'type in input\.json is "dos", but must be "ener" with model\.fitting_net'),
        (grid(emin=3, emax=2), r"emin in input\.json is 3\.0, but must be < emax, 2\.0"),
        (grid(emin=3), r"emax in input\.json is missing, but must be given beside emin"),
        (grid(fermi_aligned=True), r"fermi_aligned in input\.json is true, but must be false with"),
        (grid(electrons=[6]), r"electrons in input\.json has length 1, but must have length 2"),
        ({"loss.shift_agnostic": 11}, r"shift_agnostic in input\.json is 11, but must be below"),
        ({"validating.full_validation": True}, "full_validation in input.json is true, but must"),
        (
            {"model.preset_out_bias": {"dos": [None, [1, 2]]}},
            r"dos\[1\] in input\.json has length 2, but must have length 11, the value of fitt",
        ),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_settings(
    place: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, Any], words: str
) -> None:
    check(place, capsys, changes, words)


# Data


def save(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Change:
    """Return what replaces an array of the set by a changed one."""

    def apply(folder: Path) -> None:
        path = folder / "set.000" / f"{name}.npy"
        np.save(path, change(np.load(path)))

    return apply


def spoil(name: str) -> Change:
    """Return what makes the last number of frame 2 a NaN."""

    def change(x: np.ndarray) -> np.ndarray:
        x.reshape(len(x), -1)[2, -1] = np.nan
        return x

    return save(name, change)


def remove(*names: str) -> Change:
    def apply(folder: Path) -> None:
        for name in names:
            (folder / "set.000" / f"{name}.npy").unlink()

    return apply


def energies(values: Sequence[float] | np.ndarray) -> Change:
    return lambda folder: np.save(folder / "energies.npy", np.asarray(values))


def narrower(folder: Path) -> None:
    """Write another system, whose labels are at fewer energies."""
    write_spectra(folder.parent / "more", labelled(3), energies=ENERGIES[:9])
    (folder.parent / "more/energies.npy").unlink()


def elsewhere(folder: Path) -> None:
    """Write another system, whose labels are at other energies."""
    write_spectra(folder.parent / "more", labelled(3), energies=ENERGIES + 0.5)


BOTH = {"training.training_data.systems": ["data", "more"]}
ALIGNED = grid(emin=-4, emax=4, fermi_aligned=True)

WRONG: dict[str, tuple[tuple[Change, ...], dict[str, Any], str]] = {
    "numb_dos": (
        (),
        grid(numb_dos=12),
        r"data/set\.000/dos\.npy holds 11 numbers for each frame, but numb_dos is 12; change ",
    ),
    "numb_dos of atoms": (
        (remove("dos"),),
        grid(numb_dos=12),
        r"data/set\.000/atom_dos\.npy holds 11 numbers for each atom, but numb_dos is 12; change ",
    ),
    "numb_dos and energies": (
        (energies(ENERGIES),),
        grid(numb_dos=12, electrons=[6, 1]),
        r"data/set\.000/dos\.npy holds 11 numbers for each frame, but numb_dos is 12; .*\(emin and",
    ),
    "numb_dos of one system": (
        (narrower,),
        BOTH,
        r"more/set\.000/dos\.npy holds 9 numbers for each frame, but numb_dos is 11; change ",
    ),
    "numb_dos of the validation data": (
        (narrower,),
        {"training.validation_data": {"systems": "more"}},
        r"more/set\.000/dos\.npy holds 9 numbers for each frame, but numb_dos is 11; change ",
    ),
    "no label": (
        (remove("dos", "atom_dos"),),
        {},
        r"no training system has any of the labels that the loss compares with \(dos, atom_dos\): "
        r"add them to the data, or change the prefactors in loss$",
    ),
    "no label of the default loss": (
        (remove("atom_dos"),),
        {"loss": {"type": "dos"}},
        r"\(atom_dos\): .* in loss; the data have dos \(start_pref_dos, limit_pref_dos\)$",
    ),
    "data of energies": (
        (lambda folder: shutil.rmtree(folder), lambda folder: write(folder, labelled(3))),
        {},
        r"no training system has any of the labels that the loss compares with \(dos, atom_dos\)",
    ),
    "nan in dos": (
        (spoil("dos"),),
        {},
        r"data/set\.000/dos\.npy: dos of frame 2 is nan; correct",
    ),
    "nan in atom_dos": (
        (spoil("atom_dos"),),
        {},
        r"data/set\.000/atom_dos\.npy: atom_dos of frame 2, atom 5 is nan; correct",
    ),
    "nan in efermi": (
        (energies(ENERGIES), spoil("efermi")),
        ALIGNED,
        r"data/set\.000/efermi\.npy: efermi of frame 2 is nan; correct",
    ),
    "columns that are no atoms": (
        (save("atom_dos", lambda x: x[:, :-1]),),
        {},
        r"data/set\.000/atom_dos\.npy has shape \(4, 65\), expected \(4, k·6\) .* lists 6 atoms",
    ),
    "labels of other frames": (
        (save("dos", lambda x: x[:3]),),
        {},
        r"data/set\.000/dos\.npy holds 3 frames, but coord\.npy of the same set holds 4",
    ),
    "energies that fall": (
        (energies(ENERGIES[::-1]),),
        {},
        r"data/energies\.npy: energy 1 \(counted from 0\) is 4 eV and not above the one before it",
    ),
    "energies that are too few": (
        (energies(ENERGIES[1:]),),
        {},
        r"data/energies\.npy holds 10 energies, but data/set\.000/dos\.npy holds 11 numbers",
    ),
    "other energies": (
        (energies(ENERGIES), elsewhere),
        BOTH,
        r"the labels of data and more are at different energies .* give it emin and emax",
    ),
    "no Fermi levels": (
        (energies(ENERGIES), remove("efermi")),
        ALIGNED,
        r"data has no efermi, which a model with fermi_aligned needs; put efermi\.npy with",
    ),
    "a grid outside": (
        (energies(ENERGIES),),
        grid(emin=-7, emax=2),
        r"the model's energies, -7 to 2 eV, go beyond those of the labels of data, -5 to 5 eV; ",
    ),
    "an aligned grid outside": (
        (energies(ENERGIES),),
        grid(emin=-4.9, emax=4, fermi_aligned=True),
        r"efermi\.npy, frame 1: .* from emin -4\.8 to emax 4\.7 eV, so choose within",
    ),
    "an aligned grid without energies": (
        (),
        ALIGNED,
        r"efermi\.npy, frame 0: .* data does not say at which energies its labels are",
    ),
    "electrons without a grid": (
        (),
        grid(electrons=[6, 1]),
        r"electrons is given, but nothing tells the energies .* give emin and emax, or energies, ",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_data(place: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    changes, settings, words = WRONG[name]
    for change in changes:
        change(place / "data")
    check(place, capsys, settings, words)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (None, r"grid\.npy cannot be read \(No such file or directory\)"),
        (ENERGIES[:9], r"grid\.npy holds 9 energies, but numb_dos is 11; change numb_dos "),
        (ENERGIES**2, r"grid\.npy: energy 1 \(counted from 0\) is 16 eV and not above the one be"),
        (
            np.where(ENERGIES > 0, np.inf, ENERGIES),
            r"grid\.npy: energy 6 \(counted from 0\) is inf; all must be f",
        ),
        (ENERGIES[None], r"grid\.npy has shape \(1, 11\), but energies are one row of numbers"),
        (ENERGIES.astype(str), r"grid\.npy holds values of type <U"),
        (b"-5 -4 -3\n", r"grid\.npy is not a complete \.npy file"),
    ],
    ids=["missing", "short", "falling", "infinite", "table", "text", "no array"],
)
def test_files_of_energies(
    place: Path, capsys: pytest.CaptureFixture[str], values: Any, words: str
) -> None:
    if isinstance(values, bytes):
        (place / "grid.npy").write_bytes(values)
    elif values is not None:
        np.save(place / "grid.npy", values)
    says = r"^multifit: error: model\.fitting_net\.energies: .*" + words
    check(place, capsys, grid(energies="grid.npy"), says)

"""``multifit model-devi``: rows for each frame of each system."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from _cases import build, draw, molecule
from _cli_files import dos_model, frames, write_labelled, write_model, write_system
from _compare import same

from multifit.cli import main
from multifit.inference.potential import Potential

Case = tuple[Path, list[Potential]]


@pytest.fixture
def case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Case:
    monkeypatch.delenv("MULTIFIT_BACKEND", raising=False)
    monkeypatch.chdir(tmp_path)
    model = build()
    models = [write_model(tmp_path / f"{k}.dp", model, draw(model, k)) for k in range(3)]
    write_labelled(tmp_path / "data" / "a", models[0], 4, energy=0.6, force=0.1, virial=1.2)
    return tmp_path, models


def run(*options: str, models: tuple[str, ...] = ("0.dp", "1.dp", "2.dp")) -> int:
    return main(["model-devi", "-m", *models, "-s", "data", "-o", "md.out", *options])


def test_rows_are_the_deviations_of_predictions(case: Case, capsys) -> None:
    folder, models = case
    coord, system = frames(4)
    found = [each.predict(coord, system.atype, system.cell) for each in models]
    f, v, e = (np.stack([out[key] for out in found]) for key in ("force", "virial", "energy"))
    atoms = np.sqrt((f.std(axis=0) ** 2).sum(axis=-1))
    parts = v.std(axis=0).reshape(4, 9) / 6
    wanted = np.column_stack(
        [
            *(10 * np.arange(4), parts.max(1), parts.min(1), np.sqrt((parts**2).sum(1)) / 3),
            *(atoms.max(1), atoms.min(1), atoms.mean(1), e.std(axis=0) / 6, atoms),
        ]
    )
    assert run("-f", "10", "--atomic") == 0
    lines = (folder / "md.out").read_text().splitlines()
    assert lines[0] == "# data/a"
    assert len(lines) == 6
    assert lines[1].split()[1:] == [
        *("step", "max_devi_v", "min_devi_v", "avg_devi_v"),
        *("max_devi_f", "min_devi_f", "avg_devi_f", "devi_e", "atm_devi_f(N)"),
    ]
    assert {len(line) for line in lines[2:]} == {12 + 19 * 13}
    same(np.loadtxt("md.out"), wanted, rtol=1e-6)
    shown = capsys.readouterr().out
    assert f"{wanted[:, 4].max():.3e}" in shown
    assert "wrote md.out" in shown


def test_a_model_is_not_replaced_by_the_result(case: Case, capsys) -> None:
    before = Path("1.dp").read_bytes()
    assert run("-o", "1.dp") == 2
    assert (
        "1.dp is an input of the command, which --output would replace" in capsys.readouterr().err
    )
    assert Path("1.dp").read_bytes() == before


def test_errors_of_one_model_are_those_of_its_labels(case: Case) -> None:
    assert run("--real_error", models=("0.dp",)) == 0
    rows = np.loadtxt("md.out")
    # Every component of a force is wrong by 0.1 eV/Å, and of the virial by 1.2 eV.
    same(rows[:, 1:4], np.full((4, 3), 0.2), rtol=1e-6)
    same(rows[:, 4:7], np.full((4, 3), 0.1 * np.sqrt(3)), rtol=1e-6)
    same(rows[:, 7], np.full(4, 0.1), rtol=1e-6)


def test_relative_deviations_are_smaller(case: Case) -> None:
    assert run() == 0
    plain = np.loadtxt("md.out")
    assert run("--relative", "1", "--relative_v", "1") == 0
    relative = np.loadtxt("md.out")
    assert (relative[:, 1:7] < plain[:, 1:7]).all()
    same(relative[:, 7], plain[:, 7])


def test_systems_follow_one_another_and_missing_labels_have_no_error(case: Case) -> None:
    folder, models = case
    write_labelled(folder / "data" / "b", models[0], 2, virial=None, shape=molecule())
    assert run("--real-error") == 0
    text = (folder / "md.out").read_text()
    assert text.count("# step") == 2
    assert text.index("# data/a") < text.index("# data/b")
    rows = np.loadtxt("md.out")
    same(rows[:, 0], [0, 1, 2, 3, 0, 1])
    assert np.isnan(rows[4:, 1:4]).all()
    assert np.isfinite(rows[4:, 4:]).all()


def test_mistakes_are_one_sentence(case: Case, capsys) -> None:
    folder, _ = case
    write_model(folder / "dos.dp", dos_model())
    coord, system = frames(2)
    write_system(folder / "bare", coord, system)
    wrong = {
        "at least two": ("-m", "0.dp"),
        "give energy models": ("-m", "dos.dp", "dos.dp"),
        "predicts a density of states, but 0.dp": ("-m", "0.dp", "dos.dp"),
        "folders of sets begin with": ("-S", "frames"),
        "has no energy, force or virial": ("-s", "bare", "--real_error"),
        "cannot be written": ("-o", "nowhere/md.out"),
        "does not exist": ("-m", "0.dp", "none.dp"),
    }
    for message, options in wrong.items():
        assert run(*options) == 2
        lines = capsys.readouterr().err.splitlines()
        assert [message in line for line in lines] == [True], lines
    with pytest.raises(SystemExit):
        run("--relative", "-1")


def test_what_is_outside_is_told_once_below_the_table(case: Case, capsys) -> None:
    folder, _ = case
    coord, system = frames(2)
    near = coord.copy()
    near[1, 1] = near[1, 0] + [0.2, 0.0, 0.0]
    write_system(folder / "data" / "near", near, system)
    assert run() == 0
    out, err = capsys.readouterr()
    told = [line for line in out.splitlines() if line.startswith("warning:")]
    assert len(told) == 2, told
    assert "(sel 12) neighbours: the farthest beyond sel are left out" in told[0]
    assert " are 0.2 Å apart in data/near/set.000, frame 1, nearer than any bond" in told[1]
    assert err == ""

"""``multifit neighbor-stat``, ``backends``, ``schema``, and how quickly help comes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from _cases import System
from _cli_files import write_system

from multifit import backend
from multifit.backend import _discovery
from multifit.cli import COMMANDS, main
from multifit.cli._backends import find
from multifit.console.tables import short_names

#: O at the origin of a cube, H beside it: 1 Å to the next, 3 Å through the boundary.
DIMER = System(np.array([[0.0, 0, 0], [1.0, 0, 0]]), np.array([0, 1]), 4.0 * np.eye(3))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_neighbours_are_counted_through_the_boundary(folder, capsys) -> None:
    coord = np.stack([DIMER.coord, DIMER.coord * 0.9])
    write_system(folder / "data", coord, DIMER)
    assert main(["neighbor-stat", "-s", "data", "-r", "3.2", "-t", "O", "H"]) == 0
    out = capsys.readouterr().out
    # Within 3.2 Å the O sees the H at 1 Å and the one at 3 Å (−3, 0, 0); no O at 4 Å.
    rows = [line.split() for line in out.splitlines() if line.strip()[:2] in ("O ", "H ")]
    assert [row[:3] for row in rows] == [["O", "2", "4"], ["H", "2", "4"]]
    assert "0.9000 Å, O–H, atoms 0 and 1 (from 0) in data/set.000, frame 1" in out
    assert '"sel": [4, 4]' in out


def test_atoms_far_from_each_other_have_no_shortest_distance(folder, capsys) -> None:
    write_system(folder / "data", DIMER.coord[None], DIMER)
    assert main(["neighbor-stat", "-s", "data", "-r", "0.5"]) == 0
    out = capsys.readouterr().out
    assert "no two atoms are within 0.5 Å in 1 frame of 1 system" in out


def test_masked_atoms_are_nobodys_neighbours(folder, capsys) -> None:
    system = System(np.zeros((3, 3)), np.array([0, 1, 1]), 9.0 * np.eye(3))
    coord = np.zeros((1, 3, 3))
    coord[0, 0, 0] = 1.0
    write_system(folder / "data", coord, system, aparam=np.array([[1.0, 1.0, 0.0]]))
    assert main(["neighbor-stat", "-s", "data", "-r", "3", "--mask"]) == 0
    out = capsys.readouterr().out
    rows = [line.split() for line in out.splitlines() if line.strip()[:2] in ("O ", "H ")]
    assert [row[:2] for row in rows] == [["O", "1"], ["H", "1"]]
    assert main(["neighbor-stat", "-s", "data", "-r", "3"]) == 2
    assert "data/set.000, frame 0" in capsys.readouterr().err
    write_system(folder / "plain", coord, system)
    assert main(["neighbor-stat", "-s", "plain", "-r", "3", "--mask"]) == 2
    assert "no aparam" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "about"),
    [
        (["-s", "data", "-r", "3", "-t", "O", "C"], "'H'"),
        (["-s", "nowhere", "-r", "3"], "nowhere does not exist"),
        (["-s", "data", "-r", "-1"], "cutoff"),
        (["-s", "same", "-r", "3"], "same/set.000, frame 0"),
    ],
)
def test_neighbor_stat_refuses(folder, capsys, arguments: list[str], about: str) -> None:
    write_system(folder / "data", DIMER.coord[None], DIMER)
    write_system(folder / "same", 0.0 * DIMER.coord[None], DIMER)
    assert main(["neighbor-stat", *arguments]) == 2
    assert about in capsys.readouterr().err


# ---------------------------------------------------------------------------------------- backends


@pytest.fixture
def third_parties(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Register backends that fail in all the ways there are, as an installed package would."""
    bodies = {
        "noisy": "import sys, os\nprint('banner')\nos.write(2, b'log')\n"
        "from multifit_numpy import backend\n",
        "missing": "import a_framework_that_is_not_there\n",
        "raises": "raise RuntimeError('no driver')\n",
        "dies": "import os, sys\nsys.stderr.write('Illegal instruction')\nos._exit(139)\n",
    }
    site = tmp_path / "site"
    info = site / "third_party-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: third-party\nVersion: 1.0\n")
    lines = ["[multifit.backends]"]
    for name, body in bodies.items():
        (site / f"third_{name}.py").write_text(body)
        lines.append(f"{name} = third_{name}:backend")
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("PYTHONPATH", str(site))
    _discovery._entry_points.cache_clear()
    yield
    _discovery._entry_points.cache_clear()


def test_backends_show_what_is_wrong_and_no_noise(third_parties, capfd, monkeypatch) -> None:
    monkeypatch.setattr(backend, "KNOWN", ("numpy",))
    monkeypatch.setattr(
        backend, "available", lambda: ("numpy", "noisy", "missing", "raises", "dies")
    )
    assert main(["backends"]) == 0
    out, err = capfd.readouterr()
    assert err == ""
    assert "banner" not in out
    states = {line.split()[0]: line for line in out.splitlines() if line.strip()}
    assert np.__version__ in states["noisy"]
    assert "not installed" in states["missing"]
    assert "broken" in states["raises"]
    assert 'install it with: pip install "multifit[missing]"' in out
    assert "raises: RuntimeError: no driver" in out
    assert "dies: its import ends with code 139: Illegal instruction" in out
    assert "training, fine-tuning and restart" in out


def test_a_known_backend_without_adapter_says_so() -> None:
    assert find("mindspore").state == "no adapter"


# ------------------------------------------------------------------------------------------ schema


def test_schema_is_json(folder, capsys) -> None:
    assert main(["schema"]) == 0
    printed = capsys.readouterr().out
    assert "training" in json.loads(printed)["properties"]
    assert main(["schema", "-o", "schema.json"]) == 0
    assert (folder / "schema.json").read_text() == printed
    assert main(["schema", "-o", "no/schema.json"]) == 2


# -------------------------------------------------------------------------------------------- help


@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "train"])
def test_help_explains_every_command(command: str, capsys) -> None:
    with pytest.raises(SystemExit, match="0"):
        main([command, "--help"])
    assert f"usage: multifit {command}" in capsys.readouterr().out


def test_help_imports_nothing_heavy() -> None:
    code = """
import argparse, importlib, sys
from multifit.cli import COMMANDS
for name, about in COMMANDS.values():
    importlib.import_module(f"multifit.cli.{name}").configure(argparse.ArgumentParser())
print([m for m in ("numpy", "rich", "h5py", "pydantic", "torch", "jax") if m in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_short_names_lose_the_folder_they_share() -> None:
    long = "/data/of/some/project/water"
    assert short_names([f"{long}/a", f"{long}/b/c"]) == (long, ["a", "b/c"])
    assert short_names(["a", "b"]) == ("", ["a", "b"])
    assert short_names([f"{long}/a", "b"]) == ("", [f"{long}/a", "b"])
    assert short_names([f"{long}/x.hdf5#/one"]) == (f"{long}/x.hdf5", ["one"])

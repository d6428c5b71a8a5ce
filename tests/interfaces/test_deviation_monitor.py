"""The deviation between models along a simulation with ASE."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from _cases import build, crystal, draw
from _compare import same

from multifit.errors import ConfigError, DataError, EngineError
from multifit.inference.deviation import Levels, deviations
from multifit.inference.ensemble import Ensemble
from multifit.inference.potential import Potential

ase = pytest.importorskip("ase")

from ase.io import read  # noqa: E402
from ase.md.verlet import VelocityVerlet  # noqa: E402

from multifit.interfaces.ase import MultifitCalculator  # noqa: E402
from multifit.interfaces.deviation_monitor import DeviationMonitor  # noqa: E402


@pytest.fixture
def ensemble() -> Ensemble:
    model = build()
    return Ensemble([Potential(model, draw(model, seed)) for seed in (1, 2, 3)])


def _atoms(ensemble: Ensemble) -> ase.Atoms:
    system = crystal()
    symbols = [("O", "H")[a] for a in system.atype]
    atoms = ase.Atoms(symbols, system.coord, cell=system.cell, pbc=True)
    atoms.calc = MultifitCalculator(ensemble.potentials[0])
    return atoms


def test_a_run_writes_a_row_every_few_steps(ensemble: Ensemble, tmp_path: Path) -> None:
    atoms = _atoms(ensemble)
    dyn = VelocityVerlet(atoms, 0.1)
    monitor = DeviationMonitor(ensemble, atoms, tmp_path / "md.out", dynamics=dyn)
    dyn.attach(monitor, interval=2)
    dyn.run(4)
    rows = np.loadtxt(tmp_path / "md.out")
    same(rows[:, 0], [0, 2, 4])
    found = deviations(ensemble.predict(atoms.positions, atoms.symbols, atoms.cell))
    same(rows[-1, 4], found.force.maximum[0], rtol=1e-6)
    assert monitor.last is not None
    same(monitor.last.atoms, found.atoms, rtol=1e-9)
    assert not monitor.selected.exists()


def test_a_run_stops_where_models_disagree(ensemble: Ensemble, tmp_path: Path) -> None:
    atoms = _atoms(ensemble)
    monitor = DeviationMonitor(ensemble, atoms, tmp_path / "md.out", select=1e-3, stop=1e3)
    monitor()
    assert monitor.last is not None
    limit = float(monitor.last.force.maximum[0]) / 2
    monitor = DeviationMonitor(ensemble, atoms, tmp_path / "md.out", stop=limit)
    assert not monitor.selected.exists()
    with pytest.raises(EngineError, match=r"step 0: the force on atom \d deviates by .* label"):
        monitor()
    left = read(monitor.selected)
    same(left.positions, atoms.positions, atol=1e-7)
    same(left.arrays["force_deviation"].max(), left.info["max_devi_f"], rtol=1e-6)
    assert (tmp_path / "md.out").read_text().count("\n") == 2


def test_structures_worth_labelling_are_kept(ensemble: Ensemble, tmp_path: Path) -> None:
    atoms = _atoms(ensemble)
    monitor = DeviationMonitor(
        ensemble, atoms, tmp_path / "run.out", select=1e-3, levels=Levels(1.0)
    )
    for _ in range(2):
        monitor()
        atoms.rattle(0.01, seed=1)
    kept = read(tmp_path / "run_selected.xyz", index=":")
    assert [one.info["step"] for one in kept] == [0, 1]
    assert abs(kept[0].positions - kept[1].positions).max() > 1e-3


def test_structures_of_an_earlier_run_are_kept(
    ensemble: Ensemble, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "md_selected.xyz").write_text("not labelled yet")
    (tmp_path / "md_selected.xyz.old").write_text("nor are these")
    monitor = DeviationMonitor(ensemble, _atoms(ensemble), tmp_path / "md.out")
    assert not monitor.selected.exists()
    assert (tmp_path / "md_selected.xyz.old").read_text() == "nor are these"
    assert (tmp_path / "md_selected.xyz.old2").read_text() == "not labelled yet"
    assert "md_selected.xyz of an earlier simulation is kept" in caplog.text


def test_a_deviation_that_is_no_number_stops(ensemble: Ensemble, tmp_path: Path) -> None:
    bad = draw(build())
    bad["out_bias"][:] = np.nan
    bad["fitting"]["nets"]["0"]["layers"]["0"]["w"][:] = np.nan
    models = Ensemble([ensemble.potentials[0], Potential(build(), bad)])
    monitor = DeviationMonitor(models, _atoms(ensemble), tmp_path / "md.out", stop=1.0)
    with pytest.raises(EngineError, match="deviates by nan"):
        monitor()


def test_mistakes_are_found_before_the_run(ensemble: Ensemble, tmp_path: Path) -> None:
    atoms, path = _atoms(ensemble), tmp_path / "md.out"
    with pytest.raises(ConfigError, match="stop is -1"):
        DeviationMonitor(ensemble, atoms, path, stop=-1)
    with pytest.raises(ConfigError, match="at least two"):
        DeviationMonitor(Ensemble(ensemble.potentials[:1]), atoms, path)
    with pytest.raises(DataError, match="cannot be written"):
        DeviationMonitor(ensemble, atoms, tmp_path / "none" / "md.out")
    atoms.symbols[0] = "Xe"
    with pytest.raises(DataError, match="'Xe'"):
        DeviationMonitor(ensemble, atoms, path, dynamics=SimpleNamespace(nsteps=3))

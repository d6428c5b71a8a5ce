"""Several models at once, and the deviations between them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from _cases import build, crystal, draw, molecule
from _compare import same
from _domains import divide

from multifit import models as mdl
from multifit.errors import BackendError, ConfigError, DataError
from multifit.inference import neighbor_lists
from multifit.inference.deviation import (
    Levels,
    Spread,
    check_models,
    deviations,
    energy_deviation,
    force_deviation,
    header,
    over_atoms,
    over_components,
    row,
    virial_deviation,
)
from multifit.inference.ensemble import Ensemble
from multifit.inference.potential import Potential

#: Two models, one frame, two atoms, in eV/Å.
FORCES = np.array([[[[3.0, 0, 0], [0, 1, 0]]], [[[1.0, 0, 0], [0, 1, 4]]]])


def _three(**options) -> list[Potential]:
    model = build(**options)
    return [Potential(model, draw(model, seed), atoms_at_once=8) for seed in (1, 2, 3)]


def _moved(number: int = 3) -> np.ndarray:
    shift = np.random.default_rng(3).normal(scale=0.1, size=(number, 6, 3))
    return crystal().coord + shift


def _count_searches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    found: list[int] = []
    for name in ("frame", "ordered", "of_domain"):
        original = getattr(neighbor_lists.NeighborLists, name)

        def counted(self, s, *args, original=original):
            found.append(1)
            return original(self, s, *args)

        monkeypatch.setattr(neighbor_lists.NeighborLists, name, counted)
    return found


def test_deviation_of_forces_by_hand() -> None:
    found = force_deviation(FORCES)
    same(found, [[1.0, 2.0]])
    spread = over_atoms(found)
    same([spread.maximum[0], spread.minimum[0], spread.average[0]], [2.0, 1.0, 1.5])
    # |F̄| is 2 and √(1 + 4) eV/Å.
    same(force_deviation(FORCES, level=0.5), [[1 / 2.5, 2 / (np.sqrt(5) + 0.5)]])


def test_errors_of_forces_by_hand() -> None:
    label = np.array([[[3.0, 0, 0], [0, 0, 0]]])
    same(force_deviation(FORCES, label=label), [[np.sqrt(2.0), np.sqrt((1 + 1 + 16) / 2)]])
    same(force_deviation(FORCES, 1.0, label), [[np.sqrt(2.0) / 4, 3.0]])


def test_virtual_atoms_do_not_count() -> None:
    spread = over_atoms(np.array([[1.0, 0.0, 3.0]]), np.array([[True, False, True]]))
    same([spread.maximum[0], spread.minimum[0], spread.average[0]], [3.0, 1.0, 2.0])


def test_deviation_of_the_virial_and_the_energy_by_hand() -> None:
    virials = np.zeros((2, 1, 3, 3))
    virials[0, 0, 0, 0], virials[0, 0, 0, 1] = 6.0, 8.0
    found = virial_deviation(virials, 2)
    same(found[0], [1.5, 2.0, *[0.0] * 7])
    spread = over_components(found)
    same([spread.maximum[0], spread.minimum[0], spread.average[0]], [2.0, 0.0, 2.5 / 3])
    # The mean virial per atom has the norm √(1.5² + 2²) eV.
    same(virial_deviation(virials, 2, level=0.5), found / 3.0)
    same(virial_deviation(virials, 2, label=virials[0]), found * np.sqrt(2.0))
    same(energy_deviation(np.array([[1.0], [3.0]]), np.array([4])), [0.25])
    same(energy_deviation(np.array([[1.0], [3.0]]), 2, np.array([3.0])), [np.sqrt(2.0) / 2])


def test_rows_have_the_columns_of_deepmd_kit() -> None:
    names = header("data/water", atoms=True)
    assert names.splitlines()[0] == "# data/water"
    assert names.splitlines()[1].split()[:3] == ["#", "step", "max_devi_v"]
    assert "devi_e" not in header(energy=False)
    line = row(20, Spread(*np.array([1.0, 2, 3])), [4.0, 5, 6], 7.0, [8.0, 9.0])
    assert len(line) == 12 + 9 * 19 + 1
    assert line.startswith("          20       1.000000e+00")
    same(np.array(line.split(), dtype=float), [20, *range(1, 10)])
    assert len(row(0, [1.0] * 3, [1.0] * 3)) == 12 + 6 * 19 + 1


def test_missing_labels_give_no_number() -> None:
    outputs = [
        {"energy": np.zeros(1), "force": force, "virial": np.ones((1, 3, 3))} for force in FORCES
    ]
    found = deviations(outputs, labels={"force": FORCES[0]})
    assert np.isnan(found.energy).all()
    assert np.isnan(found.virial.maximum).all()
    same(found.force.maximum, [np.sqrt(8.0)])


@pytest.mark.parametrize("at_once", [4, 8, None], ids=["parts", "one by one", "together"])
def test_models_have_their_own_outputs_from_one_search(at_once, monkeypatch) -> None:
    model = build()
    three = [Potential(model, draw(model, k), atoms_at_once=at_once) for k in (1, 2, 3)]
    coord, system = _moved(), crystal()
    wanted = [each.predict(coord, system.atype, system.cell) for each in three]
    searches = _count_searches(monkeypatch)
    got = Ensemble(three).predict(coord, system.atype, system.cell)
    assert len(searches) == len(coord)
    for one, other in zip(got, wanted, strict=True):
        assert one.keys() == other.keys()
        for key in one:
            same(one[key], other[key], rtol=1e-12)


def test_a_trajectory_shares_one_list() -> None:
    ensemble, system = Ensemble(_three()), crystal()
    for coord in (system.coord, system.coord + 0.01):
        found = ensemble.predict(coord, system.atype, system.cell, skin=1.0)
        for each, out in zip(ensemble.potentials, found, strict=True):
            same(out["force"], each.predict(coord, system.atype, system.cell)["force"], atol=1e-12)
    kept = [each.runner.neighbors._own.kept for each in ensemble.potentials]
    assert kept[0] is not None
    assert kept[1:] == [None, None]
    assert (kept[0].neighbours.searches, kept[0].neighbours.reuses) == (1, 1)


def test_pairs_of_an_engine_are_sorted_once(monkeypatch) -> None:
    three, system = _three(), crystal()
    domain = divide(system, [0, 0, 1, 1, 1, 0])[0]
    wanted = [each.evaluate_pairs(*domain.arguments) for each in three]
    searches = _count_searches(monkeypatch)
    got = Ensemble(three).evaluate_pairs(*domain.arguments, halo=three[0].halo)
    assert len(searches) == 1
    for one, other in zip(got, wanted, strict=True):
        for key in other:
            same(one[key], other[key], rtol=1e-12)


def test_models_may_differ_in_neighbours_and_in_the_order_of_elements() -> None:
    system, symbols = crystal(), np.array(["O", "H", "H", "O", "H", "H"])
    one, wide = build(), build(sel=(12, 8))
    turned = replace(wide, type_map=("H", "O"))
    near = replace(one, descriptor=replace(one.descriptor, rcut=3.0))
    pots = [Potential(m, draw(m, k)) for k, m in enumerate((one, turned, near))]
    wanted = [each.predict(system.coord, symbols, system.cell) for each in pots]
    ensemble = Ensemble(pots)
    assert ensemble.rcut == pots[0].rcut == ensemble.halo
    domain = divide(system, [0] * 6)[0]
    for types, atype in ((symbols, domain.atype), (system.atype, domain.atype)):
        found = ensemble.predict(system.coord, types, system.cell)
        pairs = ensemble.evaluate_pairs(domain.rij, domain.i, domain.j, atype, domain.nlocal)
        for out, pair, want in zip(found, pairs, wanted, strict=True):
            same(out["force"], want["force"][:], rtol=1e-12)
            same(pair["energy"], want["energy"][0], rtol=1e-12)


def test_parameters_of_frames_may_have_other_defaults() -> None:
    system, model = molecule(), build(numb_fparam=1)
    defaults = [
        replace(model, fitting=replace(model.fitting, default_fparam=(x,))) for x in (0.5, -2.0)
    ]
    pots = [Potential(each, draw(each)) for each in defaults]
    found = Ensemble(pots).predict(system.coord, system.atype)
    assert found[0]["energy"] != found[1]["energy"]
    for each, out in zip(pots, found, strict=True):
        same(out["energy"], each.predict(system.coord, system.atype)["energy"])


def test_what_cannot_be_an_ensemble_is_refused(tmp_path) -> None:
    energies, spectra = _three()[0], build(numb_dos=3)
    dos = Potential(spectra, draw(spectra))
    with pytest.raises(ConfigError, match="at least one model"):
        Ensemble([])
    with pytest.raises(ConfigError, match="must be a list"):
        Ensemble("model.dp")
    with pytest.raises(ConfigError, match="model 1 predicts a density of states"):
        Ensemble([energies, dos])
    with pytest.raises(BackendError, match="leave out backend"):
        Ensemble([energies], backend="torch")
    assert len(Ensemble([energies], backend="dp")) == 1
    with pytest.raises(ConfigError, match="at least two"):
        check_models(Ensemble([energies]))
    check_models(Ensemble([energies]), errors=True)
    with pytest.raises(ConfigError, match="give energy models"):
        check_models(Ensemble([dos, dos]))


def test_an_element_that_one_model_lacks_is_named() -> None:
    three = build(sel=(8, 12, 4))
    two = build()
    ensemble = Ensemble([Potential(three, draw(three)), Potential(two, draw(two))])
    system = molecule()
    assert len(ensemble.predict(system.coord, system.atype)) == 2
    with pytest.raises(DataError, match=r"atom 4 is 'C', but model 1 knows O, H"):
        ensemble.predict(system.coord, ["O", "H", "H", "O", "C"])


def test_models_may_be_on_another_backend(backends) -> None:
    if "torch" not in backends:
        pytest.skip("torch is not installed")
    model, system = build(), crystal()
    params = [draw(model, seed) for seed in (1, 2)]
    found = [
        deviations(
            Ensemble([Potential(model, each, name) for each in params]).predict(
                system.coord, system.atype, system.cell
            ),
            Levels(0.1),
        )
        for name in ("numpy", "torch")
    ]
    same(found[1].atoms, found[0].atoms, rtol=1e-9)
    same(found[1].energy, found[0].energy, rtol=1e-9)


def test_files_are_loaded(tmp_path) -> None:
    from multifit import files

    model, system = build(), molecule()
    for seed in (1, 2):
        files.write(tmp_path / f"{seed}.dp", mdl.to_content(model, draw(model, seed)))
    ensemble = Ensemble([tmp_path / "1.dp", str(tmp_path / "2.dp")])
    assert len(ensemble) == 2
    assert ensemble.names[1].endswith("2.dp")
    found = ensemble.predict(system.coord, system.atype, atom_virial=True)
    assert found[1]["atom_virial"].shape == (1, 5, 3, 3)

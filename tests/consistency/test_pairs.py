"""Pairs that an engine gives: what domains add up to is what ``predict`` returns."""

from __future__ import annotations

import threading
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from _backends import INSTALLED
from _cases import RCUT, System, build, crystal, draw, molecule, parameters
from _compare import same
from _domains import Domain, divide, total

from multifit.backend import get_backend
from multifit.errors import DataError, UnsupportedError
from multifit.inference.potential import Potential
from multifit.neighbors.search import find_pairs

BACKENDS = ("numpy", *INSTALLED)
MODELS: dict[str, dict[str, Any]] = {
    "energy": {"type_one_side": False},
    "one side": {},
    "cut at sel": {"sel": (3, 4)},
    "parameters": {"numb_fparam": 2, "numb_aparam": 1},
    "mixed types": {"mixed_types": True, "pair_exclude_types": ((0, 1),)},
    "dos": {"numb_dos": 4, "numb_aparam": 2},
}


def liquid(natoms: int = 48, seed: int = 3) -> System:
    """Return atoms without order in a cell that is wider than twice the cut-off."""
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*[np.arange(4)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    cell = np.array([[8.4, 0, 0], [0.6, 8.0, 0], [-0.4, 0.5, 7.8]])
    places = (rng.permutation(grid)[:natoms] + rng.uniform(-0.2, 0.2, (natoms, 3))) / 4
    return System(places @ cell, rng.integers(0, 2, natoms), cell)


def halves(system: System, number: int = 2) -> np.ndarray:
    """Return the domain of each atom: slabs along x, of equal numbers of atoms."""
    rank = np.argsort(np.argsort(system.coord[:, 0]))
    return rank * number // len(rank)


#: Name → structure, number of domains.
CUTS: dict[str, tuple[System, int]] = {
    "liquid in two": (liquid(), 2),
    "liquid in four": (liquid(), 4),
    "one domain, ghosts are images": (crystal(), 1),
    "small cell in two": (crystal(2), 2),
    "molecule": (molecule(), 2),
    "molecule without ghosts": (molecule(), 1),
}


@cache
def potential(backend: str, model: str, at_once: int | None = None) -> Potential:
    """Return a potential, which several tests share: series and shapes are then those of all."""
    settings = build(**MODELS[model])
    return Potential(settings, draw(settings), backend, atoms_at_once=at_once)


def predicted(model: Potential, system: System, **wanted: Any) -> dict[str, np.ndarray]:
    """Return the outputs of the whole system, without the axis of frames."""
    extra = parameters(model.model, [system])
    out = model.predict(system.coord, system.atype, system.cell, **extra, **wanted)
    return {key: x[0] for key, x in out.items()}


def in_domains(
    model: Potential, system: System, domains: list[Domain], **wanted: Any
) -> dict[str, np.ndarray]:
    """Return what domains add up to."""
    extra = {key: x[0] for key, x in parameters(model.model, [system]).items()}
    aparam, found = extra.pop("aparam", None), []
    for one in domains:
        own = extra if aparam is None else {**extra, "aparam": aparam[one.local]}
        found.append(model.evaluate_pairs(*one.arguments, **own, **wanted))
        _check_shapes(found[-1], one)
    return total(len(system.atype), domains, found)


def _check_shapes(out: dict[str, np.ndarray], domain: Domain) -> None:
    """Assert that local atoms have energies, and ghosts forces, too."""
    n, nall = domain.nlocal, len(domain.atype)
    shapes = {
        "energy": (), "virial": (3, 3), "atom_energy": (n,), "force": (nall, 3),
        "atom_virial": (nall, 3, 3), "dos": (4,), "atom_dos": (n, 4),
    }  # fmt: skip
    assert {key: np.shape(x) for key, x in out.items()} == {key: shapes[key] for key in out}


def agree(got: dict[str, np.ndarray], want: dict[str, np.ndarray]) -> None:
    """Assert that energies agree to 1e-12, and derivatives to 1e-10."""
    assert set(got) == set(want)
    for key, x in want.items():
        same(got[key], x, rtol=1e-12 if "energy" in key or "dos" in key else 1e-10)


#: Backend, model and structure; what compilers take long for is not done in every combination.
CASES = [("numpy", model, cut) for model in MODELS for cut in CUTS] + [
    (backend, model, cut)
    for backend in INSTALLED
    for model in MODELS
    if model != "one side"
    for cut in (CUTS if model == "energy" else ("liquid in two",))
]


@pytest.mark.parametrize(("backend", "model", "cut"), CASES)
def test_domains_add_up(backend: str, model: str, cut: str) -> None:
    system, number = CUTS[cut]
    one = potential(backend, model)
    wanted = {"atom_virial": True} if one.model.output.derivatives else {}
    want = predicted(one, system, **wanted)
    domains = divide(system, halves(system, number))
    got = in_domains(one, system, domains, **wanted)
    agree(got, want)
    if cut == "molecule without ghosts":
        assert len(domains[0].atype) == domains[0].nlocal
    elif cut.startswith(("liquid", "one domain")):
        assert all(len(one.atype) > 2 * one.nlocal for one in domains)


@pytest.mark.parametrize("backend", BACKENDS)
def test_large_domains_go_through_in_parts(backend: str) -> None:
    system = liquid(64)
    one = potential(backend, "parameters", 9)
    want = predicted(one, system, atom_virial=True)
    for number in (1, 2):
        domains = divide(system, halves(system, number))
        agree(in_domains(one, system, domains, atom_virial=True), want)


@pytest.mark.parametrize("at_once", [1, 7, 23, 1000])
@pytest.mark.parametrize("model", ["cut at sel", "mixed types", "dos"])
def test_how_a_domain_is_divided_does_not_matter(model: str, at_once: int) -> None:
    system = liquid(40)
    one, other = potential("numpy", model, at_once), potential("numpy", model)
    agree(in_domains(one, system, divide(system, halves(system))), predicted(other, system))


def test_memory_does_not_grow_with_the_domain() -> None:
    settings, sizes = build(), []
    one = Potential(settings, draw(settings), atoms_at_once=8)
    evaluator, start = one.runner.evaluator, one.runner.evaluator.start

    def watch(batch: Any, *rest: Any) -> Any:
        sizes.append(len(batch["atype"]))
        return start(batch, *rest)

    evaluator.start = watch  # type: ignore[method-assign]
    in_domains(one, liquid(64), divide(liquid(64), np.zeros(64, int)))
    assert len(sizes) == 8
    assert max(sizes) <= 8 + 1


def test_a_compiler_meets_one_shape_in_a_simulation() -> None:
    settings, met = build(), []
    backend = replace(get_backend("numpy"), static_shapes=True)  # type: ignore[type-var]
    one = Potential(settings, draw(settings), backend)
    evaluator, start = one.runner.evaluator, one.runner.evaluator.start

    def watch(batch: Any, *rest: Any) -> Any:
        widths = tuple(table["mask"].shape for table in batch["tables"].values())
        met.append((len(batch["atype"]), len(batch["ghosts"]), widths))
        return start(batch, *rest)

    evaluator.start = watch  # type: ignore[method-assign]
    system, rng, ghosts = liquid(), np.random.default_rng(0), set()
    for _ in range(6):
        moved = system.moved(system.coord + rng.normal(scale=0.02, size=(48, 3)))
        (domain,) = divide(moved, np.zeros(48, int), 0.2)
        ghosts.add(len(domain.atype))
        agree(in_domains(one, moved, [domain]), predicted(potential("numpy", "one side"), moved))
    assert len(ghosts) > 1
    assert len(set(met)) == 1


@pytest.mark.parametrize("skin", [0.0, 0.4, 3.0])
def test_pairs_beyond_the_cut_off_do_not_count(skin: float) -> None:
    system, one = liquid(), potential("numpy", "cut at sel")
    domains = divide(system, halves(system), skin)
    beyond = sum(int((np.linalg.norm(d.rij, axis=1) >= RCUT).sum()) for d in domains)
    assert (beyond == 0) == (skin == 0.0)
    agree(in_domains(one, system, domains), predicted(one, system))


def test_the_order_of_pairs_does_not_matter() -> None:
    domain, one = divide(liquid(), np.zeros(48, int))[0], potential("numpy", "cut at sel")
    want = one.evaluate_pairs(*domain.arguments)
    order = np.lexsort((domain.j, domain.i))
    by_centre = (domain.rij[order], domain.i[order], domain.j[order])
    agree(one.evaluate_pairs(*by_centre, domain.atype, domain.nlocal), want)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("nghost", [0, 5])
def test_a_domain_may_have_no_atoms(backend: str, nghost: int) -> None:
    for model in ("energy", "dos"):
        one = potential(backend, model)
        extra = {"aparam": np.zeros((0, 2))} if model == "dos" else {"atom_virial": True}
        out = one.evaluate_pairs(np.zeros((0, 3)), [], [], np.zeros(nghost, int), 0, **extra)
        sizes = {"energy": 1, "virial": 9, "atom_energy": 0, "force": 3 * nghost} | {
            "atom_virial": 9 * nghost, "dos": 4, "atom_dos": 0
        }  # fmt: skip
        assert {key: np.size(x) for key, x in out.items()} == {key: sizes[key] for key in out}
        assert not any(np.any(x) for x in out.values())


def test_isolated_atoms_have_the_energy_of_predict() -> None:
    one, coord = potential("numpy", "energy"), 100.0 * np.eye(3)
    want = one.predict(coord, [0, 1, 1])
    got = one.evaluate_pairs(np.zeros((0, 3)), [], [], [0, 1, 1], 3)
    same(got, {key: x[0] for key, x in want.items()}, rtol=1e-12)


@pytest.mark.parametrize("at_once", [5, 1000])
@pytest.mark.parametrize("system", [liquid(), crystal()])
def test_images_need_no_ghosts(system: System, at_once: int) -> None:
    """Pairs may end at the atom whose image the neighbour is, and at the centre itself."""
    one, found = potential("numpy", "one side", at_once), find_pairs(*_of(system), RCUT + 0.5)
    assert len(system.atype) > 6 or (found.i == found.j).any()
    given = (found.rij, found.i, found.j, system.atype, len(system.atype))
    got = one.evaluate_pairs(*given, atom_virial=True)
    agree(got, predicted(one, system, atom_virial=True))


def _of(system: System) -> tuple[Any, Any, bool]:
    return system.coord, system.cell, True


def test_pairs_come_from_ase() -> None:
    ase, lists = pytest.importorskip("ase"), pytest.importorskip("ase.neighborlist")
    system, one = liquid(), potential("numpy", "one side")
    symbols = np.array(["O", "H"])[system.atype]
    atoms = ase.Atoms(symbols, positions=system.coord, cell=system.cell, pbc=True)
    i, j, rij = lists.neighbor_list("ijD", atoms, one.rcut)
    agree(one.evaluate_pairs(rij, i, j, atoms.symbols, len(atoms)), predicted(one, system))


@pytest.mark.parametrize("at_once", [6, 1000])
def test_virtual_atoms_neither_see_nor_are_seen(at_once: int) -> None:
    system = liquid()
    hidden = np.random.default_rng(0).permutation(48)[:9]
    system.atype[hidden] = -1
    one = potential("numpy", "parameters", at_once)
    domains = divide(system, halves(system))
    assert all((d.atype[: d.nlocal] < 0).any() for d in domains)
    assert all((d.atype[d.nlocal :] < 0).any() for d in domains)
    # A pair of a virtual atom may have any length.
    for domain in domains:
        virtual = (domain.atype[domain.i] < 0) | (domain.atype[domain.j] < 0)
        domain.rij[virtual] = 0.0
    got = in_domains(one, system, domains)
    agree(got, predicted(one, system))
    assert not got["force"][hidden].any()


@pytest.mark.parametrize("at_once", [6, 1000])
def test_a_mask_of_all_atoms_hides_ghosts(at_once: int) -> None:
    system, there = liquid(), (np.arange(48) % 5 != 2).astype(float)[:, None]
    settings = build(numb_aparam=1, use_aparam_as_mask=True)
    one = Potential(settings, draw(settings), atoms_at_once=at_once)
    want = one.predict(system.coord, system.atype, system.cell, aparam=there)
    domains = divide(system, halves(system))
    found = [one.evaluate_pairs(*d.arguments, aparam=there[d.owner]) for d in domains]
    agree(total(48, domains, found), {key: x[0] for key, x in want.items()})
    with pytest.raises(DataError, match="aparam has the shape"):
        one.evaluate_pairs(*domains[0].arguments, aparam=there[domains[0].local])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("precision", [np.float32, np.float64])
def test_arrays_may_be_of_the_backend(backend: str, precision: Any) -> None:
    domain, one = divide(crystal(), [0] * 6)[0], potential(backend, "energy")
    on_device = get_backend(backend).asarray
    rij = domain.rij.astype(precision)
    given = [on_device(x) for x in (rij, domain.i, domain.j, domain.atype)]
    got = one.evaluate_pairs(*given, domain.nlocal)
    want = one.evaluate_pairs(rij, domain.i, domain.j, domain.atype, domain.nlocal)
    same(got, want, rtol=0.0)
    assert {type(x) for x in got.values()} <= {np.ndarray, np.float64}


def test_arrays_of_the_caller_stay_as_they_are() -> None:
    domain, one = divide(liquid(), np.zeros(48, int))[0], potential("numpy", "cut at sel")
    copy = replace(domain, **{name: getattr(domain, name).copy() for name in ("rij", "i", "j")})
    for name in ("rij", "i", "j", "atype"):
        getattr(domain, name).flags.writeable = False
    one.evaluate_pairs(*domain.arguments)
    assert all(map(np.array_equal, domain.arguments, copy.arguments))


def test_integers_of_any_kind() -> None:
    domain, one = divide(crystal(), [0] * 6)[0], potential("numpy", "energy")
    want = one.evaluate_pairs(*domain.arguments)
    for kind in (np.int32, np.uint64, np.int16):
        i, j = domain.i.astype(kind), domain.j.astype(kind)
        symbols = np.array(["O", "H"])[domain.atype]
        same(one.evaluate_pairs(domain.rij, i, j, symbols, np.int64(6)), want, rtol=0.0)


@pytest.mark.parametrize("backend", BACKENDS)
def test_threads_share_a_potential(backend: str) -> None:
    systems = [liquid(48, seed) for seed in range(4)]
    want = [predicted(Potential(*_settings()), s) for s in systems]
    shared, found = Potential(*_settings(), backend, atoms_at_once=20), {}

    def work(k: int) -> None:
        found[k] = in_domains(shared, systems[k], divide(systems[k], halves(systems[k])))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for k in range(4):
        same(found[k], want[k], rtol=1e-8)


def _settings() -> tuple[Any, Any]:
    settings = build(sel=(16, 24))
    return settings, draw(settings)


# What does not fit.


def good() -> dict[str, Any]:
    """Return arguments that fit: two local atoms and a ghost."""
    return {
        "rij": np.array([[1.0, 0, 0], [-1.0, 0, 0], [0, 1.5, 0]]), "i": np.array([0, 1, 1]),
        "j": np.array([1, 0, 2]), "atype": np.array([0, 1, 1]), "nlocal": 2,
    }  # fmt: skip


NAN = float("nan")
BAD: dict[str, tuple[dict[str, Any], str]] = {
    "centre beyond": ({"i": [0, 1, 3]}, r"pair 2 has i = 3, but centres are the 2 local atoms;"),
    "centre is a ghost": ({"i": [0, 2, 1]}, r"pair 1 has i = 2, but centres are the 2 local atoms"),
    "negative centre": ({"i": [-1, 1, 1]}, "pair 0 has i = -1, but centres"),
    "neighbour beyond": ({"j": [1, 0, 3]}, "pair 2 has j = 3, but there are 3 local atoms and gh"),
    "negative neighbour": ({"j": [1, -2, 2]}, "pair 1 has j = -2, but there are 3"),
    "floats": ({"i": [0.0, 1.0, 1.0]}, "i must be integers, but its dtype is float64"),
    "flags": ({"j": [True, False, True]}, "j must be integers, but its dtype is bool"),
    "ragged": ({"j": [[1], [0, 2], 1]}, "j must be integers"),
    "shape of i": ({"i": [0, 1]}, r"i has the shape \(2,\), but rij has 3 pairs"),
    "shape of j": ({"j": [[1, 0, 2]]}, r"j has the shape \(1, 3\), but rij has 3 pairs"),
    "shape of rij": ({"rij": np.ones((3, 2))}, r"rij has the shape \(3, 2\), but must have \(npa"),
    "rij is text": ({"rij": [["a"] * 3] * 3}, "rij must be numbers in an array"),
    "NaN": (
        {"rij": [[1, 0, 0], [-1, NAN, 0], [0, 1, 0]]},
        r"pair 1, from atom 1 to atom 0, has the vector \[-1.0, nan, 0.0\], which is not finite",
    ),
    "infinite": ({"rij": [[1, 0, 0], [-1, 0, 0], [0, np.inf, 0]]}, "pair 2, from atom 1 to atom 2"),
    "no length": (
        {"rij": [[1, 0, 0], [0, 0, 0], [0, 1, 0]]},
        r"pair 1, from atom 1 to atom 0, has the length 0.0e\+00 Å: two atoms are at the",
    ),
    "too many local atoms": ({"nlocal": 4}, "nlocal is 4, but must be from 0 to the 3 atoms"),
    "negative number": ({"nlocal": -1}, "nlocal is -1, but must be"),
    "no number": ({"nlocal": 2.0}, "nlocal must be an integer, not 2.0"),
    "type beyond": ({"atype": [0, 1, 2]}, "atom 2 has the type 2, but the model has 2 types"),
    "negative type": ({"atype": [0, -2, 1]}, "atom 1 has the type -2"),
    "types are numbers": ({"atype": [0.0, 1.0, 1.0]}, "types must be integers or element symbols"),
    "halo": ({"halo": 3.5}, r"halo is 3.5 Å, but the model needs ghosts as far as 3.6 Å \(1 × rc"),
    "no halo": ({"halo": NAN}, "halo is nan Å, but"),
    "halo is text": ({"halo": "far"}, "halo is far Å, but"),
    "fparam": ({"fparam": [1.0]}, "fparam was given, but the model has numb_fparam = 0"),
    "a foreign object": ({"rij": object()}, "rij (is a builtins.object, but )?must be"),
}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("backend", ["numpy", *INSTALLED[:1]])
def test_bad_input_is_refused_in_one_sentence(backend: str, case: str) -> None:
    change, message = BAD[case]
    with pytest.raises(DataError, match=message) as caught:
        potential(backend, "energy").evaluate_pairs(**good() | change)
    assert "\n" not in str(caught.value)


def test_good_input_is_taken() -> None:
    one = potential("numpy", "energy")
    assert one.halo == RCUT
    assert one.evaluate_pairs(**good(), halo=RCUT)["force"].shape == (3, 3)
    far = good() | {"rij": [[1e200, 0, 0], [-1, 0, 0], [0, 1, 0]]}
    assert np.isfinite(one.evaluate_pairs(**far)["energy"])


def test_requests_that_do_not_go_with_the_model() -> None:
    with pytest.raises(DataError, match="leave out atom_virial"):
        potential("numpy", "dos").evaluate_pairs(**good(), atom_virial=True)
    with pytest.raises(DataError, match="the model needs aparam"):
        potential("numpy", "dos").evaluate_pairs(**good())
    settings = build(tot_ener_zero=True)
    with pytest.raises(UnsupportedError, match="tot_ener_zero subtracts the mean"):
        Potential(settings, draw(settings)).evaluate_pairs(**good())

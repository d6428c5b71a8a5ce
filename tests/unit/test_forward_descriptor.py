"""A descriptor with attention and messages in the place of any other: a forward pass is enough."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import _attention_descriptor as attention
import numpy as np
import pytest
from _backends import INSTALLED
from _cases import System, crystal, evaluate, molecule
from _compare import same

from multifit import models as mdl
from multifit.autodiff import ReverseArithmetic
from multifit.descriptors import ForwardDescriptor, Pairs
from multifit.errors import DataError, FileFormatError, TrainingError, UnsupportedError
from multifit.fitting import Fitting
from multifit.inference.potential import Potential
from multifit.inference.prepared import PreparedDomain
from multifit.neighbors.domain import domain_pairs
from multifit.tree import Tree, flatten


@dataclass(frozen=True)
class Attention(ForwardDescriptor):
    """The descriptor of ``_attention_descriptor``: attention, and a round of messages."""

    name: ClassVar[str] = "attention"
    hops: ClassVar[int] = 2

    @property
    def dim_out(self) -> int:
        return attention.WIDTH * (attention.AXIS + 1)

    @classmethod
    def section(cls) -> Any:
        raise NotImplementedError

    @classmethod
    def examples(cls) -> Iterator[Attention]:
        yield cls(attention.RCUT, (30, 40))

    def init(self, seed: Any) -> Tree:
        return attention.init(int(seed), self.ntypes)

    def features(self, arithmetic: ReverseArithmetic, params: Tree, pairs: Pairs) -> Any:
        return attention.forward(
            arithmetic.xp, params, pairs.rij, pairs.index, pairs.mask, pairs.centre
        )


DESCRIPTOR = next(Attention.examples())
MODEL = mdl.Model(("O", "H"), DESCRIPTOR, Fitting(2, DESCRIPTOR.dim_out, neuron=(6, 6)))
PARAMS = mdl.init(MODEL, 3, 4)
SYSTEMS = {"crystal": crystal(), "molecule": molecule()}


@pytest.mark.parametrize("system", SYSTEMS.values(), ids=SYSTEMS)
def test_forces_and_virial_are_derivatives_of_the_energy(system: System) -> None:
    out, h = evaluate(MODEL, PARAMS, [system]), 1e-5
    rng = np.random.default_rng(0)
    move, strain = rng.normal(size=system.coord.shape), rng.normal(size=(3, 3))
    slopes = []
    for way, bend in ((move, np.zeros((3, 3))), (np.zeros_like(move), strain)):
        ends = []
        for sign in (h, -h):
            deformed = np.eye(3) + sign * bend
            cell = None if system.cell is None else system.cell @ deformed
            moved = System((system.coord + sign * way) @ deformed, system.atype, cell)
            ends.append(evaluate(MODEL, PARAMS, [moved])["energy"][0])
        slopes.append((ends[0] - ends[1]) / (2 * h))
    same(-(out["force"] * move).sum(), slopes[0], rtol=1e-6)
    same(-(out["virial"][0] * strain.T).sum(), slopes[1], rtol=1e-6)


@pytest.mark.parametrize("name", INSTALLED)
def test_backends_agree(name: str) -> None:
    systems = list(SYSTEMS.values())  # one batch, because compilers need seconds for each shape
    got = evaluate(MODEL, PARAMS, systems, name)
    same(got, evaluate(MODEL, PARAMS, systems), rtol=1e-9)


def test_messages_keep_a_frame_whole() -> None:
    system = SYSTEMS["crystal"]
    args = (system.coord, system.atype, system.cell)
    same(
        Potential(MODEL, PARAMS, atoms_at_once=2).predict(*args),
        Potential(MODEL, PARAMS).predict(*args),
        rtol=1e-12,
    )


@pytest.mark.parametrize("ghosts", [False, True], ids=["images", "ghosts"])
def test_messages_reach_the_pairs_of_an_engine(ghosts: bool) -> None:
    """Pairs may end at the atoms themselves, or at ghosts that have pairs of their own."""
    system, potential = SYSTEMS["crystal"], Potential(MODEL, PARAMS)
    want = potential.predict(system.coord, system.atype, system.cell)
    n, reach = len(system.atype), potential.halo
    places, owner = _images(system, 3)
    far = np.linalg.norm(places[:, None, :] - system.coord, axis=-1).min(axis=1) < reach
    places, owner = places[far], owner[far]  # the atoms themselves come first
    rij = places - places[:, None, :]
    near = np.linalg.norm(rij, axis=-1) < attention.RCUT
    near[np.diag_indices(len(places))] = False
    i, j = np.nonzero(near if ghosts else near[:n])
    ends = j if ghosts else owner[j]
    kinds = system.atype[owner if ghosts else owner[:n]]
    got = potential.evaluate_pairs(rij[i, j], i, ends, kinds, n, halo=reach)
    force = np.zeros((n, 3))
    np.add.at(force, owner[: len(got["force"])], got["force"])
    same(got["energy"], want["energy"][0], rtol=1e-12)
    same(got["atom_energy"], want["atom_energy"][0], rtol=1e-12)
    same(force, want["force"][0], rtol=1e-10)
    same(got["virial"], want["virial"][0], rtol=1e-10)


def _images(system: System, around: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Return the places of atoms and their images near them, (nimages, 3), and their atoms."""
    assert system.cell is not None
    cells = np.indices((2 * around + 1,) * 3).reshape(3, -1).T - around
    cells = cells[np.argsort(np.abs(cells).sum(axis=1), kind="stable")]
    places = (system.coord + (cells @ system.cell)[:, None, :]).reshape(-1, 3)
    return places, np.tile(np.arange(len(system.atype)), len(cells))


def test_an_engine_whose_ghosts_are_images_of_local_atoms_needs_no_more() -> None:
    system, potential = SYSTEMS["crystal"], Potential(MODEL, PARAMS, atoms_at_once=2)
    want = potential.predict(system.coord, system.atype, system.cell)
    places, owner = _images(system)
    n = len(system.atype)
    i, k = domain_pairs(places, n, attention.RCUT)
    domain = PreparedDomain(potential, i, k, owner, system.atype, n, places)
    got = domain.evaluate(places)
    same(got["energy"], want["energy"][0], rtol=1e-12)
    same(got["force"], want["force"][0], rtol=1e-10)


def test_atoms_of_other_processes_would_need_features() -> None:
    system, potential = SYSTEMS["crystal"], Potential(MODEL, PARAMS)
    places, owner = _images(system)
    i, k = domain_pairs(places, 3, attention.RCUT)
    with pytest.raises(UnsupportedError, match="over 2 hops, so that atoms of other processes"):
        PreparedDomain(potential, i, k, owner, system.atype, 3, places)


def test_ghosts_need_pairs_of_their_own() -> None:
    given = (np.eye(3)[:2], [0, 1], [1, 2], [0, 1, 0], 2)
    with pytest.raises(DataError, match="but no pair starts at a ghost; list the pairs of all gho"):
        Potential(MODEL, PARAMS).evaluate_pairs(*given)


def test_an_atom_without_neighbours_has_an_energy_and_no_force() -> None:
    found = Potential(MODEL, PARAMS).predict(np.zeros((1, 3)), [0])
    assert np.isfinite(found["energy"]).all()
    assert not found["force"].any()


def test_its_parameters_are_all_trained_and_survive_a_file() -> None:
    names = set(MODEL.descriptor.trainable_names())
    assert names == set(flatten(PARAMS["descriptor"]))
    node = DESCRIPTOR.serialize(PARAMS["descriptor"], ["O", "H"])
    node = {**node, "sel": list(node["sel"])}
    back, params = Attention.deserialize(node)
    assert back == DESCRIPTOR
    same(flatten(params), flatten(PARAMS["descriptor"]), rtol=0.0)
    del node["@variables"]["message/send"]
    with pytest.raises(FileFormatError, match=r"descriptor\.message\.send is missing"):
        Attention.deserialize(node)


def test_another_type_map_is_refused() -> None:
    own = PARAMS["descriptor"]
    assert DESCRIPTOR.remap_types(own, DESCRIPTOR, own, [(0, 0), (1, 1)]) is own
    with pytest.raises(TrainingError, match="cannot be fine-tuned with another type_map"):
        DESCRIPTOR.remap_types(own, DESCRIPTOR, own, [(0, 1)])


def test_a_file_of_other_shapes_is_refused() -> None:
    node = DESCRIPTOR.serialize(PARAMS["descriptor"], ["O", "H"])
    node["@variables"]["message/send"] = np.zeros((1, 1))
    with pytest.raises(FileFormatError, match=r"descriptor\.message\.send has the shape \(1, 1\)"):
        Attention.deserialize(node)


def test_it_needs_no_statistics_and_shows_its_settings() -> None:
    sums = DESCRIPTOR.sums([])
    assert DESCRIPTOR.statistics(sums, 0.01) == {}
    assert DESCRIPTOR.statistics_settings() == {}
    assert DESCRIPTOR.nonzero_mean(PARAMS["descriptor"]) is None
    shown = dict(DESCRIPTOR.describe(["O", "H"]))
    assert shown["sel"] == "O 30  H 40  (the most neighbours that count)"


def test_a_descriptor_without_a_forward_pass_says_so() -> None:
    class Nothing(Attention):
        features = ForwardDescriptor.features

    with pytest.raises(NotImplementedError, match="Nothing has no forward pass"):
        evaluate(
            mdl.Model(("O", "H"), Nothing(attention.RCUT, (30, 40)), MODEL.fitting),
            PARAMS,
            [SYSTEMS["molecule"]],
        )

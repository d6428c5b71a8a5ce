"""Environment matrix and se_e2_a: the formula number by number, edges, and the pullbacks."""

from __future__ import annotations

from typing import Any

import _brute as brute
import numpy as np
import pytest
from _backends import TRAINABLE, StrictBackend
from _cases import RCUT, SMOOTH, System, assemble, build, crystal, describe, draw, molecule
from _compare import same
from _derivatives import by_differences_of, by_framework, contracted, pulled

from multifit import descriptors
from multifit import models as mdl
from multifit.backend import Backend, get_backend
from multifit.descriptors._environment import Environment, environment
from multifit.descriptors.se_e2_a import SeE2A
from multifit.errors import UnsupportedError
from multifit.tree import Tree, map_leaves

NUMPY = get_backend("numpy")
OPTIONS: dict[str, dict[str, Any]] = {
    "one side": {},
    "two sides": {"type_one_side": False},
    "excluded": {"exclude_types": ((0, 1),)},
    "excluded, two sides": {"exclude_types": ((1, 1),), "type_one_side": False},
    "protected": {"env_protection": 0.3},
    "cut at sel": {"sel": (2, 3)},
    "no slots for a type": {"sel": (0, 5)},
    "hidden pairs": {"pair_exclude_types": ((1, 0),)},
}


def _pairs(seed: int = 0, n: int = 3, k: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Return pair vectors from near to beyond the cut-off, and a mask with empty slots."""
    rng = np.random.default_rng(seed)
    way = rng.normal(size=(n, 3, k))
    way /= np.linalg.norm(way, axis=1, keepdims=True)
    rij = way * rng.uniform(0.6, RCUT + 0.3, size=(n, 1, k))
    mask = np.ones((n, k))
    mask[0, -1] = mask[1, -2:] = 0.0
    return rij * mask[:, None, :], mask


def _environment_block(env: Environment, mask: np.ndarray) -> Any:
    def block(backend: Backend, rij: Any) -> Any:
        return environment(backend.xp, env, rij, backend.asarray(mask))

    return block


@pytest.mark.parametrize("protection", [0.0, 0.5])
def test_the_environment_matrix_follows_its_formula(protection: float) -> None:
    env = Environment(RCUT, SMOOTH, protection)
    config = SeE2A(RCUT, SMOOTH, (4,), env_protection=protection)
    rij, mask = _pairs()
    rows, _ = _environment_block(env, mask)(NUMPY, rij)
    for n, k in np.ndindex(mask.shape):
        r = rij[n, :, k]
        want = brute.environment_row(config, float(np.linalg.norm(r)), r) if mask[n, k] else 0.0
        # Near the cut-off the switch is a difference of numbers of order ten.
        same(rows[n, :, k], np.broadcast_to(want, (4,)), rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("protection", [0.0, 0.5])
def test_the_environments_pullback_is_its_derivative(
    protection: float, strict: StrictBackend
) -> None:
    rij, mask = _pairs()
    block = _environment_block(Environment(RCUT, SMOOTH, protection), mask)
    rows_bar = np.random.default_rng(1).normal(size=(3, 4, 4))
    got = pulled(NUMPY, block, rij, rows_bar)
    same(got, by_differences_of(block, rij, rows_bar), rtol=1e-8)
    same(pulled(strict, block, rij, rows_bar), got, rtol=1e-14)


@pytest.mark.parametrize("name", TRAINABLE)
@pytest.mark.parametrize("protection", [0.0, 0.5])
def test_the_environments_pullback_is_what_the_framework_derives(
    name: str, protection: float
) -> None:
    rij, mask = _pairs()
    block = _environment_block(Environment(RCUT, SMOOTH, protection), mask)
    rows_bar = np.random.default_rng(2).normal(size=(3, 4, 4))
    backend = get_backend(name)
    got = by_framework(backend, contracted(backend, block, rows_bar), rij)
    same(got, pulled(NUMPY, block, rij, rows_bar))


def test_empty_slots_are_zero_and_pull_nothing() -> None:
    rij, mask = np.zeros((1, 3, 2)), np.zeros((1, 2))
    rows, pullback = _environment_block(Environment(RCUT, SMOOTH), mask)(NUMPY, rij)
    same(rows, np.zeros((1, 4, 2)), atol=0.0)
    same(pullback(np.ones((1, 4, 2))), np.zeros((1, 3, 2)), atol=0.0)


def test_the_switch_is_smooth_at_both_edges() -> None:
    # Radial pairs at, just below and just above each edge.
    tiny = 1e-7
    edges = [SMOOTH - tiny, SMOOTH, SMOOTH + tiny, RCUT - tiny, RCUT, RCUT + tiny, 2 * RCUT]
    rij = np.zeros((1, 3, len(edges)))
    rij[0, 0] = edges
    block = _environment_block(Environment(RCUT, SMOOTH), np.ones((1, len(edges))))
    rows, pullback = block(NUMPY, rij)
    radial = np.zeros_like(rows)
    radial[:, 0] = 1.0
    slope = pullback(radial)[0, 0]
    same(rows[0, 0, :3], 1.0 / np.array(edges[:3]), rtol=1e-13)
    same(slope[:3], -1.0 / np.array(edges[:3]) ** 2, rtol=1e-11)
    same(rows[0, :, 3:], np.zeros((4, 4)), atol=1e-15)
    same(slope[3:], np.zeros(4), atol=1e-11)
    same(slope[4:], np.zeros(3), atol=0.0)


def _described(
    model: mdl.Model, params: Tree, batch: Tree, backend: Backend = NUMPY
) -> tuple[Any, Any]:
    """Return the descriptors of all atoms, and their pullback."""
    counts = {int(a): atoms["mask"].shape[0] for a, atoms in batch["centres"].items()}
    own = map_leaves(backend.asarray, params["descriptor"])
    return describe(backend.xp, model.descriptor, own, batch["atype"], counts, batch["tables"])


def _describe_block(model: mdl.Model, params: Tree, batch: Tree) -> Any:
    """Return D of all atoms, (N, M·axis_neuron), as a function of all pair vectors."""
    widths = [table["mask"].shape[1] for table in batch["tables"].values()]
    stops = np.cumsum(widths).tolist()
    columns = [slice(stop - width, stop) for stop, width in zip(stops, widths, strict=True)]

    def block(backend: Backend, rij: Any) -> Any:
        here = map_leaves(backend.asarray, batch)
        for table, place in zip(here["tables"].values(), columns, strict=True):
            table["rij"] = rij[:, :, place]
        return _described(model, params, here, backend)

    return block


def _block(options: dict[str, Any], seed: int) -> tuple[Any, np.ndarray, np.ndarray]:
    """Return the descriptors of a molecule as a block, its pair vectors, and a weight for each."""
    model = build(**options)
    batch, layout = assemble(model, [molecule()])
    rij = np.concatenate([table["rij"] for table in batch["tables"].values()], axis=2)
    size = (len(layout.real), model.descriptor.dim_out)
    d_bar = np.random.default_rng(seed).normal(size=size)
    return _describe_block(model, draw(model), batch), rij, d_bar


@pytest.mark.parametrize("make", [crystal, molecule])
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_descriptors_follow_the_formula(make: Any, options: dict[str, Any]) -> None:
    model, system = build(**options), make()
    params = draw(model)
    batch, layout = assemble(model, [system])
    found, _ = _described(model, params, batch)
    exclude_pairs, own = model.pair_exclude_types, params["descriptor"]
    want = [brute.descriptor(model.descriptor, own, system, i, exclude_pairs) for i in layout.atom]
    same(found, np.array(want), rtol=1e-12)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_the_descriptors_pullback_is_its_derivative(options: dict[str, Any]) -> None:
    block, rij, d_bar = _block(options, 4)
    same(pulled(NUMPY, block, rij, d_bar), by_differences_of(block, rij, d_bar), rtol=1e-7)


@pytest.mark.parametrize("name", TRAINABLE)
@pytest.mark.parametrize("key", ["two sides", "excluded"])
def test_the_descriptors_pullback_is_what_the_framework_derives(name: str, key: str) -> None:
    block, rij, d_bar = _block(OPTIONS[key], 5)
    backend = get_backend(name)
    got = by_framework(backend, contracted(backend, block, d_bar), rij)
    same(got, pulled(NUMPY, block, rij, d_bar))


@pytest.mark.parametrize("key", ["two sides", "excluded", "no slots for a type"])
def test_slots_need_not_be_stored(key: str) -> None:
    """Tables with more empty columns and rows give the same numbers."""
    model, system = build(**OPTIONS[key]), molecule()
    params = draw(model)
    tight, loose = (assemble(model, [system], wide)[0] for wide in (False, True))
    narrow, wide = (_described(model, params, batch)[0] for batch in (tight, loose))
    shapes = [
        {b: table["mask"].shape for b, table in batch["tables"].items()} for batch in (tight, loose)
    ]
    assert shapes[0] != shapes[1]
    real = np.concatenate([atoms["mask"] for atoms in loose["centres"].values()]) > 0
    same(wide[real], narrow, rtol=1e-13)


def test_the_types_of_a_batch_alone_have_descriptors() -> None:
    """Of types without atoms, and of atoms without neighbours, nothing is stored."""
    model = build(sel=(3, 4, 5))
    params = draw(model)
    alone = System(np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 30.0]]), np.array([2, 2]), None)
    batch, _ = assemble(model, [alone])
    assert batch["tables"] == {}
    found, _ = _described(model, params, batch)
    want = brute.descriptor(model.descriptor, params["descriptor"], alone, 0)
    same(found, np.stack([want, want]), rtol=1e-12)


def test_one_net_for_each_neighbour_type_or_for_each_pair() -> None:
    one, two = SeE2A(4.0, 1.0, (2, 2, 2)), SeE2A(4.0, 1.0, (2, 2, 2), type_one_side=False)
    assert one.n_networks == 3
    assert two.n_networks == 9
    assert {one.network_index(a, 2) for a in range(3)} == {2}
    assert sorted(two.network_index(a, b) for a in range(3) for b in range(3)) == list(range(9))
    assert two.network_index(1, 2) == 7
    assert len(set(two.trainable_names())) == 9 * 6


def test_a_frozen_descriptor_has_nothing_to_train() -> None:
    assert list(SeE2A(4.0, 1.0, (2,), trainable=False).trainable_names()) == []


def test_a_compressed_descriptor_is_called_so() -> None:
    model = build()
    node = model.descriptor.serialize(draw(model)["descriptor"], ["O", "H"])
    with pytest.raises(UnsupportedError, match="is compressed; give the model that it was made"):
        descriptors.deserialize({**node, "@version": 3, "compress": {"@variables": {}}})


def test_a_descriptor_survives_its_file_form() -> None:
    model = build(type_one_side=False, exclude_types=((0, 1),), sel=(3, 0), precision="float32")
    params = draw(model)["descriptor"]
    config, back = descriptors.deserialize(model.descriptor.serialize(params, ["O", "H"]))
    assert config == model.descriptor
    same(back["embeddings"], params["embeddings"], rtol=0.0)
    # A type without slots has no statistics in the file, and needs none.
    same(back["davg"][:, 0], params["davg"][:, 0].astype(np.float32), rtol=0.0)
    same(back["davg"][:, 1], np.zeros((2, 4)), rtol=0.0)
    same(back["dstd"][:, 1], np.ones((2, 4)), rtol=0.0)

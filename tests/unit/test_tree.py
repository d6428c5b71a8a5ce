"""Nested dicts and their dotted names."""

from __future__ import annotations

import numpy as np
import pytest
from _backends import TRAINABLE
from _compare import same
from hypothesis import given
from hypothesis import strategies as st

from multifit.backend import get_backend
from multifit.tree import at, flatten, map_leaves, numbered, numbered_values, tie, unflatten, untie

_keys = st.text("abc012_", min_size=1, max_size=4)
_trees = st.recursive(
    st.dictionaries(_keys, st.integers(), min_size=1, max_size=3),
    lambda inner: st.dictionaries(_keys, inner | st.integers(), min_size=1, max_size=3),
    max_leaves=8,
)


@given(_trees)
def test_flat_and_nested_are_the_same(tree: dict) -> None:
    flat = flatten(tree)
    assert unflatten(flat) == tree
    assert flatten(unflatten(flat)) == flat
    assert list(flatten(unflatten(flat))) == list(flat)


def test_names_are_paths() -> None:
    tree = {"fitting": {"nets": numbered([{"w": 1}, {"w": 2}])}, "bias": 3}
    assert flatten(tree) == {"fitting.nets.0.w": 1, "fitting.nets.1.w": 2, "bias": 3}


@given(_trees)
def test_mapping_keeps_the_shape(tree: dict) -> None:
    doubled = map_leaves(lambda x: 2 * x, tree)
    assert flatten(doubled) == {name: 2 * x for name, x in flatten(tree).items()}


def test_lists_come_back_by_number() -> None:
    items = [f"item {k}" for k in range(12)]
    tree = numbered(items)
    assert list(tree) == [str(k) for k in range(12)]
    # As compilers rebuild it: "10" comes before "2".
    assert numbered_values(dict(sorted(tree.items()))) == items


TREE = {
    "a": {"net": {"0": {"w": np.ones((2, 3)), "b": np.ones(3)}}, "bias": np.ones(1)},
    "b": {"net": {"0": {"w": np.ones((2, 3)), "b": np.ones(3)}}, "bias": np.ones(1)},
}


@pytest.mark.parametrize(
    ("aliases", "names"),
    [
        ({}, {"a.net.0.w", "a.net.0.b", "a.bias", "b.net.0.w", "b.net.0.b", "b.bias"}),
        ({"b.net": "a.net"}, {"a.net.0.w", "a.net.0.b", "a.bias", "b.bias"}),
        ({"b.net.0.w": "a.net.0.w"}, {"a.net.0.w", "a.net.0.b", "a.bias", "b.net.0.b", "b.bias"}),
        ({"b": "a"}, {"a.net.0.w", "a.net.0.b", "a.bias"}),
    ],
    ids=["nothing", "a subtree", "a leaf", "everything"],
)
def test_what_is_tied_is_there_once_and_comes_back(aliases: dict, names: set[str]) -> None:
    tied = tie(TREE, aliases)
    assert set(flatten(tied)) == names
    # What a compiler or a device does to a tree keeps what is shared.
    again = untie(unflatten(flatten(map_leaves(np.copy, tied))), aliases)
    assert flatten(again).keys() == flatten(TREE).keys()
    for alias, owner in aliases.items():
        mine, its = flatten({"": at(again, alias)}), flatten({"": at(again, owner)})
        assert all(mine[name] is its[name] for name in its)
    assert set(flatten(tie(again, aliases))) == names


def test_dicts_of_a_tree_that_is_not_tied_any_more_are_its_own() -> None:
    tied = tie(TREE, {"b.net": "a.net"})
    full = untie(tied, {"b.net": "a.net"})
    full["b"]["net"]["0"]["w"] = 0
    assert full["a"]["net"]["0"]["w"] is tied["a"]["net"]["0"]["w"]
    assert set(tied["b"]) == {"bias"}


@pytest.mark.parametrize(
    ("aliases", "says"),
    [
        ({"b.net": "a.net", "a.net.0.w": "a.net.0.b"}, "names or shapes differ"),
        ({"b": "a", "a.bias": "b.bias"}, "a.bias cannot share b.bias, which has another owner"),
        ({"b.net": "a.bias"}, "b.net cannot share a.bias: their names or shapes differ"),
    ],
)
def test_what_cannot_be_shared_is_refused(aliases: dict, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        tie(TREE, aliases)


@pytest.mark.parametrize("name", TRAINABLE)
def test_gradients_of_a_shared_array_add_up(name: str) -> None:
    backend, aliases = get_backend(name), {"b.w": "a.w"}
    xp = backend.xp

    def loss(params: dict, weights: dict) -> tuple:
        full = untie(unflatten(params), aliases)
        parts = [xp.sum(full[key]["w"] * full[key]["x"] * weights[key]) for key in ("a", "b")]
        return parts[0] + parts[1], {"a": parts[0]}

    arrays = {name: np.arange(1.0, 4.0) + k for k, name in enumerate(("w", "x", "y"))}
    params = {"a.w": arrays["w"], "a.x": arrays["x"], "b.x": arrays["y"]}
    weights = {"a": np.full(3, 2.0), "b": np.full(3, 5.0)}
    given = [map_leaves(backend.asarray, tree) for tree in (params, weights)]
    _, gradients = backend.value_and_grad(loss)(*given)
    assert set(gradients) == set(params)
    want = 2.0 * arrays["x"] + 5.0 * arrays["y"]
    same(backend.to_numpy(gradients["a.w"]), want, rtol=1e-14)
    same(backend.to_numpy(gradients["b.x"]), 5.0 * arrays["w"], rtol=1e-14)

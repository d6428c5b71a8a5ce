"""Nested dicts and their dotted names."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from multifit.tree import flatten, map_leaves, numbered, numbered_values, unflatten

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

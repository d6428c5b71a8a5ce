"""Nested dicts of arrays and their flat form with dotted names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

Tree = dict[str, Any]  #: a nested dict whose leaves are arrays
Flat = dict[str, Any]  #: {"fitting.nets.0.layers.1.w": array, …}


def walk(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (dotted name, leaf) in the order in which the tree was built."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from walk(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def flatten(tree: Mapping[str, Any]) -> Flat:
    """Return the leaves keyed by their dotted names."""
    return dict(walk(tree))


def unflatten(flat: Mapping[str, Any]) -> Tree:
    """Return the nested dict that :func:`flatten` came from."""
    tree: Tree = {}
    for name, leaf in flat.items():
        *path, last = name.split(".")
        node = tree
        for key in path:
            node = node.setdefault(key, {})
        node[last] = leaf
    return tree


def map_leaves(f: Callable[[Any], Any], tree: Mapping[str, Any]) -> Tree:
    """Return the same tree with f applied to every leaf."""
    return {
        key: map_leaves(f, value) if isinstance(value, Mapping) else f(value)
        for key, value in tree.items()
    }


def numbered(items: list[Any] | tuple[Any, ...]) -> Tree:
    """Return a list as a dict with the keys ``"0"``, ``"1"``, and so on."""
    return {str(k): item for k, item in enumerate(items)}


def numbered_values(tree: Mapping[str, Any]) -> list[Any]:
    """Return the values of a dict with numbers as keys, by number.

    Compilers rebuild dicts in the alphabetical order of their keys ("10" before "2"), so that the
    order of insertion can not be relied upon.
    """
    return [tree[key] for key in sorted(tree, key=int)]

"""Nested dicts of arrays and their flat form with dotted names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

Tree = dict[str, Any]  #: a nested dict whose leaves are arrays
Flat = dict[str, Any]  #: {"fitting.nets.0.layers.1.w": array, …}


def _is_tree(x: Any) -> bool:
    """Return True for a subtree: nearly always a dict, which is known at once."""
    return type(x) is dict or isinstance(x, Mapping)


def walk(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (dotted name, leaf) in the order in which the tree was built."""
    for key, value in tree.items():
        if _is_tree(value):
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
        key: map_leaves(f, value) if _is_tree(value) else f(value) for key, value in tree.items()
    }


def at(tree: Mapping[str, Any], name: str) -> Any:
    """Return the leaf or the subtree of a dotted name; KeyError if there is none."""
    for key in name.split("."):
        tree = tree[key]
    return tree


def tie(tree: Mapping[str, Any], aliases: Mapping[str, str]) -> Tree:
    """Return the tree with shared leaves once, under the name of their owner.

    Flattened, copied to a device or updated, such a tree cannot lose what is shared, and the
    gradient by an owner is the sum over all places where :func:`untie` puts it.

    Parameters
    ----------
    aliases
        The dotted name of a leaf or a subtree → that of its owner, whose leaves it shares.

    Raises
    ------
    ValueError
        If an alias and its owner differ in names or shapes, or an owner is an alias itself.
    """
    for alias, owner in aliases.items():
        if any(_is_within(owner, other) for other in aliases):
            raise ValueError(f"{alias} cannot share {owner}, which has another owner itself")
        mine, its = _shapes(tree, alias), _shapes(tree, owner)
        if mine != its:
            raise ValueError(f"{alias} cannot share {owner}: their names or shapes differ")
    return unflatten(
        {k: x for k, x in walk(tree) if not any(_is_within(k, alias) for alias in aliases)}
    )


def untie(tree: Mapping[str, Any], aliases: Mapping[str, str]) -> Tree:
    """Return the tree that :func:`tie` came from; shared leaves are the same objects."""
    full = _copy(tree)
    for alias, owner in aliases.items():
        *path, last = alias.split(".")
        node = full
        for key in path:
            node = node.setdefault(key, {})
        shared = at(full, owner)
        node[last] = _copy(shared) if isinstance(shared, Mapping) else shared
    return full


def _copy(tree: Mapping[str, Any]) -> Tree:
    """Return new dicts with the same leaves."""
    return map_leaves(lambda leaf: leaf, tree)


def _is_within(name: str, part: str) -> bool:
    """Return True if a dotted name is a part of a tree or lies within it."""
    return f"{name}.".startswith(f"{part}.")


def _shapes(tree: Mapping[str, Any], name: str) -> dict[str, tuple[int, ...]]:
    """Return the shapes of a leaf, or of the leaves of a subtree."""
    return {k: tuple(getattr(x, "shape", ())) for k, x in walk({"": at(tree, name)})}


def numbered(items: list[Any] | tuple[Any, ...]) -> Tree:
    """Return a list as a dict with the keys ``"0"``, ``"1"``, and so on."""
    return {str(k): item for k, item in enumerate(items)}


def numbered_values(tree: Mapping[str, Any]) -> list[Any]:
    """Return the values of a dict with numbers as keys, by number.

    Compilers rebuild dicts in the alphabetical order of their keys ("10" before "2"), so that the
    order of insertion cannot be relied upon.
    """
    return [tree[key] for key in sorted(tree, key=int)]

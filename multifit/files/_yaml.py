"""YAML text, as DeePMD-kit reads and writes it; never with tags that create objects."""

from __future__ import annotations

import io
from pathlib import Path
from types import ModuleType
from typing import Any

from multifit.errors import FileFormatError
from multifit.files._text import array_from_text, array_to_text
from multifit.files._tree import MAX_DEPTH, attach, detach


def encode(data: dict[str, Any]) -> tuple[bytes]:
    """Return the dict as YAML text of ASCII characters, in the order of its keys."""
    yaml = _yaml()

    class Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
        """Writes the same list twice rather than a reference to its first place."""

        def ignore_aliases(self, data: Any) -> bool:
            return True

    tree = detach(data, lambda array: array_to_text(array, quote=False))
    text: str = yaml.dump(tree, Dumper=Dumper, sort_keys=False, default_flow_style=None)
    return (text.encode("ascii"),)


def decode(content: bytes, path: Path) -> dict[str, Any]:
    """Return the dict of a YAML file."""
    yaml = _yaml()
    try:
        text = content.decode("utf-8")
        _check_structure(text, yaml, path)
        tree = yaml.load(text, Loader=_strict_loader(yaml, path))
    except FileFormatError:
        raise
    except RecursionError as error:
        raise FileFormatError(f"{path} is nested too deeply; it is not a model") from error
    except (yaml.YAMLError, ValueError, TypeError, MemoryError) as error:
        reason = " ".join(str(error).split()) or "out of memory"
        raise FileFormatError(
            f"{path} does not hold valid YAML ({reason}); restore it from a copy"
        ) from error
    return attach(tree, path, lambda node, where: array_from_text(node, where, path))


def _yaml() -> ModuleType:
    """Return the module ``yaml``, which only these files need."""
    try:
        import yaml
    except ImportError as error:
        raise FileFormatError(
            "model files in YAML need the package pyyaml; install it with "
            "`pip install multifit[yaml]`, or use .dp or .json"
        ) from error
    module: ModuleType = yaml
    return module


def _check_structure(text: str, yaml: ModuleType, path: Path) -> None:
    """Raise for deep nesting, and references that would expand to far more than the text.

    Both are found in the stream of events, before the loader, which recurses in C, builds anything:
    with references (``&a [1, 1]``, ``[*a, *a]``) a few lines can stand for a billion nodes.
    """
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    limit = 4 * len(text) + 16  # without references it is two nodes for each character, in {a,b,c}
    sizes: dict[str, int] = {}  # of the finished nodes that have an anchor
    open_nodes: list[tuple[str | None, int]] = [(None, 0)]  # anchor, and nodes inside so far
    for event in yaml.parse(io.StringIO(text), Loader=loader):
        if isinstance(event, yaml.CollectionStartEvent):
            open_nodes.append((event.anchor, 1))
            finished = None
        elif isinstance(event, yaml.CollectionEndEvent):
            finished = open_nodes.pop()
        elif isinstance(event, yaml.ScalarEvent):
            finished = (event.anchor, 1)
        elif isinstance(event, yaml.AliasEvent):
            # An unfinished one contains itself; an unknown one is rejected by the loader.
            finished = (None, sizes.get(event.anchor, limit + 1))
        else:
            continue
        if finished:
            anchor, nodes = finished
            if anchor is not None:
                sizes[anchor] = nodes
            outer, inside = open_nodes[-1]
            open_nodes[-1] = (outer, inside + nodes)
        if len(open_nodes) > 2 * MAX_DEPTH or open_nodes[-1][1] > limit:
            raise FileFormatError(
                f"{path} is nested too deeply or repeats itself too often, at line "
                f"{event.start_mark.line + 1}; it is not a model"
            )


def _strict_loader(yaml: ModuleType, path: Path) -> type[Any]:
    """Return a safe loader that also rejects duplicate keys, keys that are not text, and merges.

    Merges (``<<``) are rejected because nested ones grow exponentially while they are loaded.
    """

    class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
        """Plain mappings, sequences, text and numbers."""

        def flatten_mapping(self, node: Any) -> None:
            if any(key.tag == "tag:yaml.org,2002:merge" for key, _ in node.value):
                raise FileFormatError(f"{path} merges mappings (<<); write them out")

        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
            mapping: dict[Any, Any] = super().construct_mapping(node, deep=deep)
            if len(mapping) < len(node.value):
                raise FileFormatError(
                    f"{path} has a key twice in the mapping at line {node.start_mark.line + 1}; "
                    "remove one"
                )
            for key in mapping:
                if not isinstance(key, str):
                    raise FileFormatError(
                        f"{path} has the key {key!r} at line {node.start_mark.line + 1}, which is "
                        "not text; put it in quotes"
                    )
            return mapping

    return Loader

"""The order of the folders: each imports only from those above it in docs/design.md."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

#: The sources: an installed package has no documentation beside it.
SOURCE = Path(__file__).parents[2]
ROOT, TABLE = SOURCE / "multifit", SOURCE / "docs" / "design.md"

#: Re-exports that are imported when they are asked for.
ON_DEMAND = {("fitting", "deepmd"), ("loss", "deepmd")}


def layers() -> list[str]:
    """Return the paths of the table without their endings, from the base up."""
    text = TABLE.read_text(encoding="utf-8")
    table = text[text.index("| path | contents |") : text.index("## Conventions")]
    paths = [path for row in re.findall(r"^\| (`.*?) \|", table, re.M) for path in row.split(", ")]
    return [path.strip("`").removesuffix(".py").strip("/") for path in paths]


def _modules() -> dict[str, Path]:
    """Return the files of the package by their path from its root, without the ending."""
    found = {}
    for path in ROOT.rglob("*.py"):
        name = path.relative_to(ROOT).with_suffix("").as_posix().removesuffix("__init__")
        found[name.strip("/")] = path
    return found


def _layer(module: str, known: list[str]) -> str | None:
    """Return the row that a module belongs to; None for those that hold the package together."""
    rows = [row for row in known if module == row or module.startswith(f"{row}/")]
    return max(rows, key=len, default=None)


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes that are executed: what only a type checker sees is left out."""
    for child in ast.iter_child_nodes(node):
        test = child.test if isinstance(child, ast.If) else None
        if isinstance(test, ast.Name) and test.id == "TYPE_CHECKING":
            continue
        yield child
        yield from _statements(child)


def _imported(name: str, path: Path, modules: dict[str, Path]) -> Iterator[str]:
    """Yield the modules of the package that a file imports."""
    folder = name.split("/") if path.name == "__init__.py" else name.split("/")[:-1]
    folder = [part for part in folder if part]
    for node in _statements(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.ImportFrom):
            continue
        words = (node.module or "").split(".") if node.module else []
        if node.level:
            base = folder[: len(folder) - (node.level - 1)] + words
        elif words[:1] == ["multifit"]:
            base = words[1:]
        else:
            continue
        for alias in node.names:
            full = "/".join([*base, alias.name])
            yield full if full in modules else "/".join(base)


def test_every_module_has_a_row() -> None:
    known = layers()
    loose = {name for name in _modules() if _layer(name, known) is None}
    assert loose == {"", "__main__", "train"}
    assert all((ROOT / row).is_dir() or (ROOT / f"{row}.py").is_file() for row in known)


def test_imports_go_up_the_table() -> None:
    known, modules = layers(), _modules()
    wrong = []
    for name, path in modules.items():
        mine = _layer(name, known)
        if mine is None:
            continue
        for target in _imported(name, path, modules):
            its = _layer(target, known)
            if its in (None, mine) or (mine, its) in ON_DEMAND:
                continue
            if known.index(str(its)) > known.index(mine):
                wrong.append(f"{name} imports {target}")
    assert not wrong


def test_few_modules_lie_loose_at_the_top() -> None:
    assert len(list(ROOT.glob("*.py"))) <= 12

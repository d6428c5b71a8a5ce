"""Lines and words of LAMMPS' input language."""

from __future__ import annotations

from typing import NamedTuple

TRIPLE = '"""'


class Word(NamedTuple):
    """A word of a command."""

    raw: str  #: with its quotes
    text: str  #: without


def logical_lines(text: str) -> list[str]:
    """Return the commands of a file: lines joined after ``&`` and within triple quotes."""
    found: list[str] = []
    pending = ""
    for line in text.splitlines():
        pending += line
        stripped = pending.rstrip()
        if stripped.endswith("&"):
            pending = stripped[:-1]
        elif pending.count(TRIPLE) % 2:
            pending += "\n"
        else:
            found.append(pending)
            pending = ""
    return [*found, pending] if pending else found


def words(line: str) -> list[Word]:
    """Return the words of a command, without its comment.

    A word in single, double or triple quotes may contain spaces; the variables in it are not
    replaced before it is run.
    """
    found: list[Word] = []
    at = 0
    while at < len(line):
        if line[at].isspace():
            at += 1
            continue
        if line[at] == "#":
            break
        quote = next((q for q in (TRIPLE, '"', "'") if line.startswith(q, at)), "")
        if quote:
            end = line.find(quote, at + len(quote))
            end = len(line) if end < 0 else end + len(quote)
            raw = line[at:end]
            found.append(Word(raw, raw[len(quote) :].removesuffix(quote)))
        else:
            end = at
            while end < len(line) and not line[end].isspace() and line[end] != "#":
                end = _after_parenthesis(line, end) if line.startswith("$(", end) else end + 1
            raw = line[at:end]
            found.append(Word(raw, raw))
        at = end
    return found


def _after_parenthesis(line: str, start: int) -> int:
    """Return the place after an expression ``$(…)``, which may contain spaces."""
    depth = 0
    for at in range(start + 1, len(line)):
        depth += {"(": 1, ")": -1}.get(line[at], 0)
        if depth == 0:
            return at + 1
    return len(line)

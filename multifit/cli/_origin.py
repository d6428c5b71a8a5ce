"""The lines of ``multifit show`` about the origin of a model; a file may hold anything there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..console.words import counted

#: Characters of a fingerprint or checksum that are shown.
SHORT = 12

#: Metrics of one kind that are shown.
METRICS = 6


def origin_lines(content: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield (name, text) for the origin in a model file, if it has one."""
    from ..inference.provenance import KEY  # imports NumPy

    origin = _section(content, KEY)
    if not origin:
        return
    software = _section(origin, "software")
    parts = [
        f"{software.get('backend')} {software.get('framework', '')}".strip(),
        *(f"{key} {software[key]}" for key in ("numpy", "python") if key in software),
        str(software.get("platform", "")),
    ]
    if software:
        yield "trained with", ", ".join(filter(None, parts))
    yield from _course(origin)
    seeds = _section(origin, "seeds")
    if seeds:
        yield "seeds", ", ".join(f"{key} {value}" for key, value in seeds.items())
    for kind, each in _section(origin, "data").items():
        text = _data(each)
        if text:
            yield f"{kind} data", text
    yield from _metrics(_section(origin, "metrics"))
    parent = _section(origin, "parent")
    if parent:
        digest = str(parent.get("sha256", ""))[:SHORT]
        yield "made from", f"{parent.get('file')} by {parent.get('how')} (sha256 {digest}…)"
    for key, value in _section(origin, "seen").items():
        yield f"seen {key}", _listed(value)


def _listed(value: Any) -> str:
    """Return lists and mappings as words."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {each}" for key, each in value.items())
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _section(node: Any, key: str) -> dict[str, Any]:
    value = node.get(key) if isinstance(node, Mapping) else None
    return value if isinstance(value, dict) else {}


def _course(origin: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the steps, the dates and the restarts of a training."""
    steps, seconds = origin.get("steps"), origin.get("seconds")
    if isinstance(steps, int):
        time = f" in {seconds:,.0f} s" if isinstance(seconds, int | float) else ""
        dates = f", {origin.get('started')} to {origin.get('finished')}"
        yield "trained", f"{counted(steps, 'step')}{time}{dates}"
    restarts = origin.get("restarts")
    for each in restarts if isinstance(restarts, list) else []:
        changed = each.get("changed") if isinstance(each, dict) else None
        if isinstance(changed, list) and changed:
            yield f"since step {each.get('step')}", ", ".join(map(str, changed))


def _data(node: Any) -> str:
    """Return the size and the fingerprint of data."""
    if not isinstance(node, dict):
        return ""
    systems, frames = node.get("systems"), node.get("frames")
    if not (isinstance(systems, int) and isinstance(frames, int)):
        return ""
    size = f"{counted(systems, 'system')} with {counted(frames, 'frame')}"
    return f"{size} (fingerprint {str(node.get('fingerprint', ''))[:SHORT]}…)"


def _metrics(node: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the errors of the newest row of ``lcurve.out``."""
    for kind in ("training", "validation"):
        found = _section(node, kind)
        numbers = [f"{k} {x:.3e}" for k, x in found.items() if isinstance(x, int | float)]
        if numbers:
            more = " …" if len(numbers) > METRICS else ""
            yield (
                f"{kind} errors",
                f"{', '.join(numbers[:METRICS])}{more} (step {node.get('step')})",
            )

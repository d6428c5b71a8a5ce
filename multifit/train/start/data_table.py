"""The table of the systems of a run, one line each, shortened if there are many."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ...console.tables import NOTHING, plain_table, short_names
from ...console.words import counted
from ...data import System
from ...neighbors.requirements import Requirements
from ...survey import SystemSurvey
from ...survey.doubts import is_short
from ..setup.task import Dataset, Task
from .data_notes import again

if TYPE_CHECKING:
    from rich.table import Table

#: Lines of a table at most, of which the first so many are of the first systems.
LINES, FIRST = 30, 10

#: Elements and labels of a system that are named.
NAMED = 6

#: Short names of labels.
SHORT = {
    **{"energy": "E", "force": "F", "virial": "V", "hessian": "H", "atom_energy": "AE"},
    **{"dos": "DOS", "atom_dos": "ADOS", "efermi": "EF"},
}


def data_table(task: Task) -> Table | None:
    """Return the table of a task's data, or None if they were not looked at."""
    data = task.data
    if not data.training.found:
        return None
    needs = task.model.descriptor.requires()
    sets = [("training", data.training)]
    if data.validation is not None:
        sets.append(("validation", data.validation))
    every = [system.name for _, given in sets for system in given.source.systems]
    folder, names = short_names(every)
    heading = task.titled("data" if data.validation is not None else "training data")
    table = plain_table(heading, f"in {folder}" if folder else "")
    table.add_column("system", overflow="fold", min_width=6)
    for column in ("frames", "atoms"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("elements", overflow="fold")
    table.add_column("labels", overflow="fold")
    for column in ("batch", "probability"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("closest pair\nÅ", no_wrap=True)
    table.add_column("neighbours\nof sel", no_wrap=True)
    start = 0
    for kind, given in sets:
        number = len(given.source.systems)
        title = f"{kind}:" if len(sets) > 1 else ""
        for cells in _lines(title, given, names[start : start + number], needs):
            table.add_row(*cells)
        table.add_section()
        start += number
    return table


def _lines(
    title: str, data: Dataset, names: Sequence[str], needs: Requirements
) -> Iterable[tuple[str, ...]]:
    """Yield the cells of each line of some data, below a title if it is not empty."""
    from rich.markup import escape

    systems = data.source.systems
    shown = range(len(systems))
    chosen = set(shown) if len(systems) <= LINES else _chosen(data, needs)
    if title:
        yield (title, *[""] * 8)
    known = again(systems)
    for k in shown:
        if k in chosen:
            name = f"{names[k]} (again)" if known[k] else names[k]
            yield (escape(name), *_cells(data, k, needs))
    if len(chosen) < len(systems):
        rest = len(systems) - len(chosen)
        yield (f"… {counted(rest, 'more system')}", *[""] * 8)
    if len(systems) > 1:
        yield ("all", *_total(data, needs))


def _chosen(data: Dataset, needs: Requirements) -> set[int]:
    """Return the systems that are shown: the first, and those that differ from most."""
    systems = data.source.systems
    known = again(systems)
    usual = max(kinds := [s.labels for s in systems], key=kinds.count)
    chosen = list(range(FIRST))
    for k, (system, one) in enumerate(zip(systems, data.found, strict=True)):
        unusual = (
            not data.probabilities[k]
            or system.labels != usual
            or not system.named
            or known[k]
            or _is_crowded([found[k] for found in data.within], needs)
            or is_short(system.type_map, one.nearest).any()
        )
        if unusual and k >= FIRST:
            chosen.append(k)
    return set(chosen[:LINES])


def _cells(data: Dataset, k: int, needs: Requirements) -> tuple[str, ...]:
    """Return the cells of one system, without its name."""
    system, one, size = data.source.systems[k], data.found[k], data.sizes[k]
    probability = data.probabilities[k]
    drawn = size and probability
    return (
        f"{system.nframes:,}",
        _span(one.atoms.sum(axis=1)),
        _elements(system.type_map, one.atoms.max(axis=0)),
        _labels([system]),
        ("mixed" if data.mixed else str(size)) if drawn else NOTHING,
        f"{probability:.3g}" if drawn else "never",
        _closest(system.type_map, one.nearest),
        _fullest(system.type_map, [[found[k]] for found in data.within], needs),
    )


def _total(data: Dataset, needs: Requirements) -> tuple[str, ...]:
    """Return the cells of all systems together."""
    systems, found = data.source.systems, data.found
    names = systems[0].type_map
    return (
        f"{sum(system.nframes for system in systems):,}",
        _span(np.concatenate([one.atoms.sum(axis=1) for one in found])),
        _elements(names, np.max([one.atoms.max(axis=0) for one in found], axis=0)),
        _labels(systems),
        "",
        "",
        _closest(names, np.min([one.nearest for one in found], axis=0)),
        _fullest(names, data.within, needs),
    )


def _span(numbers: np.ndarray) -> str:
    low, high = int(numbers.min()), int(numbers.max())
    return str(low) if low == high else f"{low}–{high}"


def _elements(names: Sequence[str], atoms: np.ndarray) -> str:
    """Return the elements that occur."""
    return _listed([name for name, number in zip(names, atoms, strict=True) if number])


def _listed(words: Sequence[str]) -> str:
    return " ".join([*words[:NAMED], *[f"+{len(words) - NAMED}"] * (len(words) > NAMED)])


def _labels(systems: Sequence[System]) -> str:
    """Return the labels that all of the systems have."""
    common = set.intersection(*(set(system.labels) for system in systems))
    ordered = [*(key for key in SHORT if key in common), *sorted(common - SHORT.keys())]
    return _listed([SHORT.get(key, key) for key in ordered]) or NOTHING


def _closest(names: Sequence[str], nearest: np.ndarray) -> str:
    """Return ``0.941 O-H``: the closest two atoms."""
    if not np.isfinite(nearest).any():
        return NOTHING
    a, b = divmod(int(nearest.argmin()), len(names))
    return f"{nearest[a, b]:.3f} {names[a]}-{names[b]}"


def _is_crowded(parts: Sequence[SystemSurvey], whole: Requirements) -> bool:
    """Return True if an atom has more neighbours than count, within the cutoff of each part."""
    return any(
        bool((needs.counted(one.most, one.together, one.inner) > np.asarray(needs.slots)).any())
        for one, needs in zip(parts, whole.each, strict=True)
    )


def _fullest(
    names: Sequence[str], parts: Sequence[Sequence[SystemSurvey]], whole: Requirements
) -> str:
    """Return ``72/92 H``: the most neighbours of the type that comes closest to ``sel``.

    ``110/120`` if types are not told apart.

    Parameters
    ----------
    parts
        What systems hold within the cutoff of each part of the descriptor, or of the only one.
    """
    texts: list[tuple[float, str]] = []
    for found, needs in zip(parts, whole.each, strict=True):
        most = np.max([one.most.max(axis=0) for one in found], axis=0)
        together = max(int(one.together.max()) for one in found)
        if not most.any():
            continue
        # One more slot each, so that sel 0 is no division by it.
        if needs.total is not None:
            texts.append(((together + 1) / (needs.total + 1), f"{together}/{needs.total}"))
            continue
        full = (most + 1) / (np.asarray(needs.sel) + 1)
        b = int(np.argmax(full))
        texts.append((float(full[b]), f"{most[b]}/{needs.sel[b]} {names[b]}"))
    return max(texts, default=(0.0, NOTHING))[1]

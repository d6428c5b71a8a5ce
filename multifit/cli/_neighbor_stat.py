"""``multifit neighbor-stat``: distances and numbers of neighbours in data."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ._data import add_data_arguments, open_data

if TYPE_CHECKING:
    import numpy as np

    from ..data import System

#: Frames that are read at once.
FRAMES = 64


@dataclass
class Extremes:
    """The shortest distance, and the most neighbours of each type around one atom."""

    distance: float = float("inf")
    closest: str = ""  #: which two atoms, where
    fullest: list[int] = field(default_factory=list)
    around: list[str] = field(default_factory=list)  #: which atom has so many, where


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_data_arguments(parser)
    parser.add_argument(
        "-r", "--rcut", type=float, required=True, metavar="RCUT", help="the cut-off, Å"
    )
    parser.add_argument(
        "-t",
        "--type-map",
        nargs="+",
        metavar="ELEMENT",
        help="the order of the types (default: that of the data)",
    )


def run(args: argparse.Namespace) -> int:
    """Print the statistics, and return the exit code."""
    from ..statistics import choose_sel
    from ..tables import console, plain_table, progress

    systems = open_data(args, args.type_map)
    names = systems[0].type_map
    total = sum(system.nframes for system in systems)
    bar, task = progress("counting", total)
    with bar:
        found = extremes(systems, args.rcut, lambda n: bar.advance(task, n))
    sel = choose_sel(found.fullest)
    table = plain_table(f"Neighbours within {args.rcut:g} Å")
    table.add_column("type")
    table.add_column("most", justify="right")
    table.add_column("sel", justify="right")
    table.add_column("around", overflow="fold")
    for name, most, slots, around in zip(names, found.fullest, sel, found.around, strict=True):
        table.add_row(name, str(most), str(slots), around)
    out = console()
    out.print(table)
    number = f"{_count(total, 'frame')} of {_count(len(systems), 'system')}"
    lines = [f"no two atoms are within {args.rcut:g} Å in {number}"]
    if found.closest:
        lines = [
            f"shortest distance: {found.distance:.4f} Å, {found.closest}",
            f'"sel": {list(sel)} leaves a margin of 10 % over the most in {number}',
        ]
    for line in lines:
        out.print(line, markup=False, soft_wrap=True)
    return 0


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def extremes(
    systems: Iterable[System], rcut: float, on_frames: Callable[[int], None] | None = None
) -> Extremes:
    """Return the extremes of all frames of some systems, which share a type_map.

    Parameters
    ----------
    rcut
        The cut-off, Å.
    on_frames
        Called with the number of frames that are done since the last call.
    """
    import numpy as np

    found = Extremes()
    for system in systems:
        for start in range(0, system.nframes, FRAMES):
            frames = np.arange(start, min(start + FRAMES, system.nframes))
            arrays, atype = system.load(frames), system.atype(frames)
            for k, frame in enumerate(frames):
                cell = arrays["cell"][k] if "cell" in arrays else None
                _look(found, system, int(frame), arrays["coord"][k], cell, atype[k], rcut)
            if on_frames is not None:
                on_frames(len(frames))
    return found


def _look(
    found: Extremes,
    system: System,
    frame: int,
    coord: np.ndarray,
    cell: np.ndarray | None,
    atype: np.ndarray,
    rcut: float,
) -> None:
    """Take one frame into account."""
    import numpy as np

    from ..data import where
    from ..neighbors import find_pairs

    ntypes = len(system.type_map)
    if not found.fullest:
        found.fullest, found.around = [0] * ntypes, [""] * ntypes
    place = where(system, frame)
    real = np.flatnonzero(atype >= 0)
    pairs = find_pairs(coord[real], cell, system.pbc, rcut, where=place)
    names = [system.type_map[a] for a in atype[real]]
    if len(pairs.i):
        k = int(np.argmin(pairs.distance))
        if pairs.distance[k] < found.distance:
            i, j = int(pairs.i[k]), int(pairs.j[k])
            found.distance = float(pairs.distance[k])
            found.closest = (
                f"{names[i]}–{names[j]}, atoms {real[i]} and {real[j]} (from 0) in {place}"
            )
    key = pairs.i * ntypes + atype[real][pairs.j]
    counts = np.bincount(key, minlength=len(real) * ntypes).reshape(len(real), ntypes)
    for b in range(ntypes):
        i = int(np.argmax(counts[:, b]))
        if counts[i, b] > found.fullest[b]:
            found.fullest[b] = int(counts[i, b])
            found.around[b] = f"{names[i]}, atom {real[i]} in {place}"

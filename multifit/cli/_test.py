"""``multifit test``: errors of a model against labelled data."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ._data import add_backend_argument, add_data_arguments, open_data, positive

if TYPE_CHECKING:
    import numpy as np

    from ..comparison import Detail
    from ..data import System
    from ..potential import Potential
    from ..tables import Row
    from ._detail import Details

ATOMIC, HESSIAN = "Atomic energy", "Hessian"

#: The tables that are shown: title → quantities; the last two only where the data have them.
TABLES = {
    "Energy": ("energy", "energy_per_atom"),
    "Force and virial": ("force", "virial", "virial_per_atom"),
    ATOMIC: ("atom_ener",),
    HESSIAN: ("hessian",),
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "-m", "--model", type=Path, required=True, metavar="MODEL", help=".dp, .json or .yaml file"
    )
    add_data_arguments(parser)
    parser.add_argument(
        "-n",
        "--numb-test",
        type=positive,
        default=0,
        metavar="N",
        help="only the first N frames of each system (default: 0, all)",
    )
    parser.add_argument(
        "-d",
        "--detail-file",
        metavar="PREFIX",
        help="write labels and predictions to PREFIX.e.out, PREFIX.f.out, PREFIX.v.out, …",
    )
    parser.add_argument(
        "--hessian",
        action="store_true",
        help="compare Hessians too where the data have hessian.npy, which takes longer",
    )
    add_backend_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Print the errors, and return the exit code."""
    from ..backend import get_backend
    from ..potential import Potential, read_model
    from ..tables import console, table
    from ._coefficients import note, trained_with
    from ._detail import Details

    backend = get_backend(args.backend)
    model, params, content = read_model(args.model)
    potential, weighted = Potential(model, params, backend), trained_with(content)
    systems = open_data(args, potential.type_map)
    details = None if args.detail_file is None else Details(args.detail_file)
    rows = evaluate(
        potential,
        systems,
        args.numb_test,
        details,
        coefficients=weighted,
        hessian=args.hessian,
    )
    out = console()
    optional = (ATOMIC, HESSIAN)
    shown = [
        (title, keys) for title, keys in TABLES.items() if title not in optional or _has(rows, keys)
    ]
    for title, keys in shown:
        out.print(table(rows, title, keys, caption=title == shown[-1][0]))
    notes = [*_lacking(systems), _hessians(systems, args.hessian), note(systems, weighted)]
    for line in filter(None, notes):
        out.print(line, markup=False, soft_wrap=True)
    if details is not None:
        out.print(f"wrote {', '.join(details.written)}", markup=False, soft_wrap=True)
    return 0


def _has(rows: Sequence[Row], keys: Sequence[str]) -> bool:
    """Tell whether any system has any of the quantities."""
    return any(errors.number.get(key) for _, _, errors in rows for key in keys)


def evaluate(
    potential: Potential,
    systems: Sequence[System],
    limit: int = 0,
    details: Details | None = None,
    *,
    coefficients: bool = False,
    hessian: bool = False,
) -> list[Row]:
    """Return name, number of frames and errors of each system.

    Parameters
    ----------
    limit
        Only so many frames of each system; 0 for all.
    details
        Where labels and predictions go.
    coefficients, hessian
        As for :func:`multifit.comparison.predictions`.
    """
    from ..comparison import compare, first_frames
    from ..tables import progress

    chosen = [first_frames(system, limit) for system in systems]
    bar, task = progress("testing", sum(map(len, chosen)))

    def watch(name: str) -> Detail:
        def add(
            output: Mapping[str, np.ndarray], label: Mapping[str, np.ndarray], real: np.ndarray
        ) -> None:
            bar.advance(task, len(real))
            if details is not None:
                details.add(name, output, label, real)

        return add

    with bar:
        errors = (
            compare(
                potential,
                system,
                frames,
                watch(system.name),
                coefficients=coefficients,
                hessian=hessian,
            )
            for system, frames in zip(systems, chosen, strict=True)
        )
        return [
            (system.name, len(frames), found)
            for system, frames, found in zip(systems, chosen, errors, strict=True)
        ]


def _lacking(systems: Sequence[System]) -> list[str]:
    """Return a sentence for each label that some systems lack."""
    notes = []
    for label in ("energy", "force", "virial"):
        lacking = [system.name for system in systems if label not in system.labels]
        if len(lacking) == len(systems):
            notes.append(f"— the data have no {label} to compare with")
        elif lacking:
            names = ", ".join(lacking[:3]) + (", …" if len(lacking) > 3 else "")
            notes.append(f"— {len(lacking)} of {len(systems)} systems have no {label}: {names}")
    return notes


def _hessians(systems: Sequence[System], compared: bool) -> str:
    """Return what there is to say about Hessians in the data."""
    having = [system.name for system in systems if "hessian" in system.labels]
    if compared:
        return "" if having else "— the data have no hessian to compare with"
    names = ", ".join(having[:3]) + (", …" if len(having) > 3 else "")
    return f"Hessians are compared with --hessian only; they are in {names}" if having else ""

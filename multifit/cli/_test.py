"""``multifit test``: errors of a model against labelled data."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..console.words import few
from ..errors import ConfigError, DataError
from ._data import (
    add_backend_argument,
    add_data_arguments,
    open_data,
    other_names,
    positive,
)

if TYPE_CHECKING:
    from rich.console import Console

    from ..console.tables import Row
    from ..data import System
    from ..evaluation.predictions import Chunk
    from ..inference.potential import Potential
    from ..models import Model

    Watch = Callable[[System, Chunk], None]


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "-m",
        "--model",
        type=Path,
        required=True,
        metavar="MODEL",
        help="model file: .dp, .json or .yaml",
    )
    add_data_arguments(parser)
    parser.add_argument(
        "-n",
        "--numb-test",
        type=positive,
        default=0,
        metavar="N",
        help="use the first N frames of each system (default: 0, all)",
    )
    parser.add_argument(
        "-d",
        "--detail-file",
        metavar="PREFIX",
        help="write labels and predictions to PREFIX.e.out, PREFIX.f.out, PREFIX.v.out, …; for a "
        "DOS model to PREFIX.dos.out.N and PREFIX.ados.out.N for frame N",
    )
    parser.add_argument(
        "--per-frame",
        action="store_true",
        help="print the errors of each frame and, for a DOS model with energies and electrons, its "
        "Fermi level and gap; with -d also write PREFIX.frames.out, and the errors of each atom "
        "to PREFIX.atoms.out",
    )
    parser.add_argument(
        "--plot",
        type=Path,
        metavar="FILE",
        help="plot predictions against labels (for a DOS model: the best, the median and the worst "
        "frame) to a .png, .pdf or .svg file",
    )
    parser.add_argument(
        "--plot-atoms",
        action="store_true",
        help="also plot atoms of the median frame: the mean of each type, the best and the worst "
        "atom (DOS models)",
    )
    parser.add_argument(
        "--hessian",
        action="store_true",
        help="also compare Hessians if the data contain hessian.npy; slower (energy models)",
    )
    add_backend_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Print the errors, and return the exit code."""
    from ..backend import get_backend
    from ..console.tables import console
    from ..evaluation.labels import require_comparable
    from ..inference.model_file import read_model
    from ..inference.potential import Potential
    from . import _picture
    from ._allocator import keep_freed_memory
    from ._coefficients import trained_with
    from ._detail import Details
    from ._frames import Frames
    from ._outside import collect, warnings

    keep_freed_memory()
    backend = get_backend(args.backend)
    model, params, content = read_model(args.model)
    output = model.output
    if args.hessian and "hessian" not in output.variables:
        raise ConfigError(
            f"{args.model} predicts a {output.title}, which has no Hessian; leave out --hessian"
        )
    potential, weighted = Potential(model, params, backend), trained_with(content)
    collect(potential, content)
    systems = open_data(args, potential.type_map)
    require_comparable(model, systems)
    picture = _picture.begin(args, model, systems)
    _require_labels(model, systems, args.hessian)
    details = None if args.detail_file is None else Details(args.detail_file, output)
    frames = Frames(model, details) if args.per_frame else None
    takers: list[Details | Frames | None] = [details, frames]
    watch = [taker.add for taker in takers if taker is not None]
    watch += [] if picture is None else [picture.found.add]
    rows = compare_systems(
        potential, systems, args.numb_test, watch, coefficients=weighted, hessian=args.hessian
    )
    out = console()
    _print_tables(out, model, rows)
    if frames is not None:
        out.print(frames.table())
    why = "" if frames is None else frames.note()
    notes = [*_notes(model, systems, args.hessian, weighted), why]
    notes += warnings(systems, {str(args.model): potential})
    notes += [] if details is None else [details.left()]
    for line in filter(None, notes):
        out.print(line, markup=False, soft_wrap=True)
    if picture is not None:
        picture.draw(potential, systems)
    written = [*(details.written if details else ()), *([str(picture.path)] if picture else ())]
    if written:
        out.print(f"wrote {', '.join(written)}", markup=False, soft_wrap=True)
    return 0


def compare_systems(
    potential: Potential,
    systems: Sequence[System],
    limit: int = 0,
    watch: Sequence[Watch] = (),
    *,
    coefficients: bool = False,
    hessian: bool = False,
) -> list[Row]:
    """Return name, number of frames and errors of each system.

    Parameters
    ----------
    limit
        Maximum number of frames of each system; 0 for all.
    watch
        Called with predictions and labels of some frames of a system at a time.
    coefficients, hessian
        As for :func:`multifit.evaluation.predictions.predictions`.
    """
    from ..console.tables import progress
    from ..evaluation.metrics import Errors
    from ..evaluation.predictions import first_frames, predictions

    chosen = [first_frames(system, limit) for system in systems]
    bar, task = progress("testing", sum(map(len, chosen)))
    rows = []
    with bar:
        for system, frames in zip(systems, chosen, strict=True):
            errors = Errors()
            for chunk in predictions(
                potential, system, frames, coefficients=coefficients, hessian=hessian
            ):
                errors.add(chunk.output, chunk.label, chunk.real)
                for each in watch:
                    each(system, chunk)
                bar.advance(task, len(chunk.frames))
            rows.append((system.name, len(frames), errors))
    return rows


def _print_tables(out: Console, model: Model, rows: Sequence[Row]) -> None:
    from ..console.tables import table

    shown = [t for t in model.output.tables if not t.optional or _has(rows, t.quantities)]
    for each in shown:
        out.print(table(rows, each.title, each.quantities, caption=each is shown[-1]))


def _require_labels(model: Model, systems: Sequence[System], hessian: bool) -> None:
    """Raise DataError if no system has anything to compare with.

    Parameters
    ----------
    hessian
        True if Hessians are compared.
    """
    from ..data import LABELS

    output = model.output
    wanted = [x.label for x in output.labelled if hessian or x.label != "hessian"]
    found = {label for system in systems for label in system.labels}
    if not systems or found.intersection(wanted):
        return
    files = ", ".join(f"{LABELS[label].files[0]}.npy" for label in wanted)
    others = sorted(found.difference({"fparam", "aparam"}))
    if "hessian" in others:
        has = "the data have Hessians, which are compared with --hessian"
    else:
        has = f"the data have {', '.join(others)}" if others else "the data have no labels at all"
    advice = other_names(systems, wanted)
    raise DataError(
        f"there is nothing to compare in {few([system.name for system in systems])}: the model is "
        f"{output.model} and needs one of {files}, or the same in an xyz file, but "
        f"{advice or has}"
    )


def _has(rows: Sequence[Row], keys: Sequence[str]) -> bool:
    """Return True if any system has any of the quantities."""
    return any(errors.number.get(key) for _, _, errors in rows for key in keys)


def _notes(model: Model, systems: Sequence[System], hessian: bool, weighted: bool) -> Iterator[str]:
    """Yield the sentences below the tables, and empty lines."""
    from ._coefficients import note

    output = model.output
    yield output.note
    yield from _lacking(output.expected, systems)
    if "hessian" in output.variables:
        yield _hessians(systems, hessian)
    yield note(output, systems, weighted)


def _lacking(labels: Sequence[str], systems: Sequence[System]) -> Iterator[str]:
    """Yield a sentence for each label missing from some systems."""
    for label in labels:
        lacking = [system.name for system in systems if label not in system.labels]
        if len(lacking) == len(systems):
            yield f"— the data have no {label} to compare with"
        elif lacking:
            yield f"— {len(lacking)} of {len(systems)} systems have no {label}: {few(lacking)}"
    if advice := other_names(systems, labels):
        yield f"— {advice}"


def _hessians(systems: Sequence[System], compared: bool) -> str:
    """Return the sentence about Hessians in the data."""
    having = [system.name for system in systems if "hessian" in system.labels]
    if compared:
        return "" if having else "— the data have no hessian to compare with"
    return f"Hessians are compared with --hessian only; they are in {few(having)}" * bool(having)

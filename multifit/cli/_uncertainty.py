"""``multifit uncertainty``: calibrate the uncertainty of a model, and store it with the model."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..console.words import counted
from ..errors import DataError
from ._data import add_backend_argument, add_names, positive, reading
from ._output import add_force, check_output

if TYPE_CHECKING:
    from rich.table import Table

    from ..data import System
    from ..evaluation.calibration import Evidence
    from ..inference.uncertainty import Uncertainty

#: Shares of errors in the table.
SHARES = (0.68, 0.9, 0.95)


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("model", type=Path, metavar="MODEL", help="model or checkpoint")
    about = {
        "-s --system": "the data that the model was trained on",
        "-v --held-out": "data of the same kind that it was not trained on, at least 10 frames",
    }
    for names, what in about.items():
        parser.add_argument(
            *names.split(),
            nargs="+",
            required=True,
            metavar="DATA",
            help=f"{what}: folders (searched recursively), HDF5, LMDB or xyz files",
        )
    parser.add_argument(
        "-n",
        "--numb-frames",
        type=positive,
        default=0,
        metavar="N",
        help="use N evenly spaced frames of each system (default: 0, all)",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        help="output file (default: MODEL with _uncertainty before its extension)",
    )
    add_names(parser)
    add_force(parser)
    add_backend_argument(parser)


def _with_energies(systems: Sequence[System]) -> list[System]:
    """Return systems without the frames that lack an energy in a file where others have one."""
    files = {system.sets[0].where for system in systems if "energy" in system.labels}
    return [s for s in systems if "energy" in s.labels or s.sets[0].where not in files]


def run(args: argparse.Namespace) -> int:
    """Write the model with its uncertainty, and return the exit code."""
    from .. import files
    from ..console.tables import console, progress
    from ..data import open_systems
    from ..evaluation.calibration import calibrate, evidence
    from ..evaluation.predictions import spread_frames
    from ..inference import provenance
    from ..inference.model_file import read_model
    from ..inference.potential import Potential
    from ..inference.uncertainty import KEY
    from ._allocator import keep_freed_memory
    from ._coefficients import KEY as COEFFICIENTS
    from ._coefficients import note, trained_with
    from ._outside import collect, warnings

    output = args.output or args.model.with_stem(f"{args.model.stem}_uncertainty")
    inputs = (args.model, *args.system, *args.held_out)
    check_output(output, "--output", inputs, model=True, replace=args.force)
    keep_freed_memory()
    model, params, content = read_model(args.model)
    potential = Potential(model, params, args.backend)
    collect(potential, content)
    weighted = trained_with(content)
    names = reading(args)
    given = [
        _with_energies(open_systems(paths, model.type_map, reading=names))
        for paths in (args.system, args.held_out)
    ]
    limit = args.numb_frames
    _require_apart(given[0], given[1], limit)
    total = sum(len(spread_frames(system, limit)) for systems in given for system in systems)
    bar, task = progress("evaluating", total)
    with bar:
        training, held_out = (
            evidence(potential, each, limit, lambda n: bar.advance(task, n), coefficients=weighted)
            for each in given
        )
    known = calibrate(training, held_out)
    content[provenance.KEY] = provenance.changed(content, "uncertainty", args.model)
    content.pop("training", None)
    if weighted:  # a checkpoint has this in its training
        content[COEFFICIENTS] = True
    files.write(output, {**content, KEY: known.to_content()})
    out = console()
    out.print(_table(known, held_out))
    frames = counted(len(training.error), "training frame")
    number = counted(len(held_out.error), "held-out frame")
    lines = [
        "found: held-out frames within intervals that were calibrated on the other half of them",
        f"calibrated with {frames} and {number}",
        note(model.output, [*given[0], *given[1]], weighted),
        *warnings([*given[0], *given[1]], {str(args.model): potential}),
        f"wrote {output}",
    ]
    for line in filter(None, lines):
        out.print(line, markup=False, soft_wrap=True)
    return 0


def _require_apart(training: Sequence[System], held_out: Sequence[System], limit: int) -> None:
    """Raise DataError if held-out frames are training frames."""
    from ..evaluation.calibration import repeated

    both = repeated(training, held_out, limit)
    if both:
        more = f" and {counted(len(both) - 1, 'more frame')}" * (len(both) > 1)
        raise DataError(
            f"{both[0]}{more} of the held-out data (-v) {'are' if more else 'is'} among the "
            "training data (-s), which would make the uncertainty too small; leave them out of one "
            "of the two"
        )


def _table(known: Uncertainty, held_out: Evidence) -> Table:
    """Return the shares of errors within intervals that were calibrated on other frames."""
    from ..console.tables import plain_table
    from ..errors import ConfigError
    from ..evaluation.calibration import coverage

    table = plain_table("Intervals of energies")
    for title in ("wanted\ncoverage", "found", "half width\neV/atom"):
        table.add_column(title, justify="right", no_wrap=True)
    for share in SHARES:
        try:
            found, width = coverage(known, held_out, share)
        except ConfigError:
            break  # a half has too few frames for this share, and for larger ones
        table.add_row(f"{share:.0%}", f"{found:.0%}", f"{width:.3e}")
    return table

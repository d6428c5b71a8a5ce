"""``multifit model-devi``: deviations between models, in the format of DeePMD-kit."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ConfigError, DataError
from ._data import add_backend_argument, add_names, reading
from ._output import check_output

if TYPE_CHECKING:
    import numpy as np
    from rich.table import Table

    from ..data import System
    from ..inference.deviation import Levels
    from ..inference.ensemble import Ensemble

    Summary = tuple[str, np.ndarray]


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments, those of ``dp model-devi``."""
    parser.add_argument(
        "-m",
        "--models",
        nargs="+",
        required=True,
        metavar="MODEL",
        help="model files: .dp, .json or .yaml",
    )
    parser.add_argument(
        "-s",
        "--system",
        nargs="+",
        required=True,
        metavar="DATA",
        help="data systems: folders (searched recursively), HDF5, LMDB or xyz files",
    )
    parser.add_argument("-S", "--set-prefix", default="set", help=argparse.SUPPRESS)
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path("model_devi.out"),
        metavar="FILE",
        help="output file, replaced if it exists (default: model_devi.out)",
    )
    parser.add_argument(
        "-f",
        "--frequency",
        type=int,
        default=1,
        metavar="N",
        help="steps between frames, for the first column (default: 1)",
    )
    parser.add_argument(
        "--real_error",
        "--real-error",
        action="store_true",
        help="write the root-mean-square errors of the models with respect to the labels instead",
    )
    parser.add_argument(
        "--atomic", action="store_true", help="also write the deviation of the force on each atom"
    )
    for name, what, unit in (("relative", "force", "eV/Å"), ("relative_v", "virial", "eV")):
        parser.add_argument(
            f"--{name}",
            *([f"--{name.replace('_', '-')}"] if "_" in name else []),
            type=_level,
            metavar="LEVEL",
            help=f"divide the deviation of the {what} by its magnitude plus LEVEL ({unit})",
        )
    add_names(parser)
    add_backend_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Write the file, print a summary, and return the exit code."""
    from ..console.tables import console
    from ..data import open_systems
    from ..inference.deviation import Levels, check_models
    from ..inference.ensemble import Ensemble
    from ._allocator import keep_freed_memory
    from ._outside import silence, warnings

    if args.set_prefix != "set":
        raise ConfigError(
            f"--set-prefix is {args.set_prefix!r}, but folders of sets begin with set. (DeePMD-kit "
            "ignores the option); leave it out"
        )
    if not args.output.exists() or args.output.is_file():  # /dev/stdout takes the rows, too
        check_output(args.output, "--output", (*args.models, *args.system))
    keep_freed_memory()
    ensemble = Ensemble(args.models, args.backend)
    silence(ensemble.potentials)
    check_models(ensemble, args.real_error)
    systems = open_systems(args.system, ensemble.type_map, reading=reading(args))
    _require_labels(systems, args.real_error)
    levels = Levels(args.relative, args.relative_v)
    try:
        found = _write(args, ensemble, systems, levels)
    except OSError as exc:
        raise DataError(
            f"{args.output} cannot be written ({exc.strerror or exc}); check its folder"
        ) from exc
    out = console()
    out.print(_table(args, found))
    named = dict(zip(ensemble.names, ensemble.potentials, strict=True))
    for line in warnings(systems, named):
        out.print(line, markup=False, soft_wrap=True)
    out.print(f"wrote {args.output}", markup=False, soft_wrap=True)
    return 0


def _level(text: str) -> float:
    """Return the level of a relative deviation."""
    level = float(text)
    if not 0 <= level < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a finite number ≥ 0")
    return level


def _require_labels(systems: Sequence[System], errors: bool) -> None:
    """Raise if errors are requested, and a system has no label to compare with."""
    from ..evaluation.deviations import KEYS

    for system in systems if errors else ():
        if not system.labels.intersection(KEYS):
            raise DataError(
                f"{system.name} has no {', '.join(KEYS[:-1])} or {KEYS[-1]} to compare with; leave "
                "it out, or leave out --real_error"
            )


def _write(
    args: argparse.Namespace, ensemble: Ensemble, systems: Sequence[System], levels: Levels
) -> list[Summary]:
    """Write all rows, and return the largest deviation of forces of each frame."""
    import numpy as np

    from ..console.tables import progress
    from ..evaluation.deviations import system_deviations
    from ..inference.deviation import header, rows

    bar, task = progress("comparing", sum(system.nframes for system in systems))
    summary = []
    with bar, args.output.open("w", encoding="utf-8") as file:
        for system in systems:
            file.write(header(system.name, atoms=args.atomic))
            largest = []
            for chunk in system_deviations(ensemble, system, levels, errors=args.real_error):
                file.write(rows(chunk.found, chunk.frames * args.frequency, atoms=args.atomic))
                largest.append(chunk.found.force.maximum)
                bar.advance(task, len(chunk.frames))
            summary.append((system.name, np.concatenate(largest)))
    return summary


def _table(args: argparse.Namespace, found: Sequence[Summary]) -> Table:
    """Return a line for each system: the largest deviation of a force per frame."""
    import numpy as np
    from rich.text import Text

    from ..console.tables import NOTHING, plain_table, short_names

    what = "error" if args.real_error else "deviation"
    unit = "relative" if args.relative is not None else "eV/Å"
    folder, names = short_names([name for name, _ in found])
    table = plain_table(
        f"Largest {what} of a force in each frame, {unit}", f"in {folder}" if folder else ""
    )
    table.add_column("system", overflow="fold", min_width=6)
    for title in ("frames", "median", "max", "at frame"):
        table.add_column(title, justify="right", no_wrap=True)
    for name, (_, largest) in zip(names, found, strict=True):
        cells = [NOTHING] * 3
        if np.isfinite(largest).any():
            at = int(np.nanargmax(largest))
            cells = [f"{np.nanmedian(largest):.3e}", f"{largest[at]:.3e}", str(at)]
        table.add_row(Text(name), str(len(largest)), *cells)
    return table

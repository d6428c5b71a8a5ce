"""The arguments that select the data for a command."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import DataError
from ._threads import add_threads_argument

if TYPE_CHECKING:
    from ..data import Reading, System


def add_data_arguments(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """Declare ``-s``, ``-f`` and the names in the data."""
    source = parser.add_mutually_exclusive_group(required=required)
    source.add_argument(
        "-s",
        "--system",
        nargs="+",
        metavar="DATA",
        help="data systems: folders (searched recursively), HDF5 or LMDB files, or files of atoms "
        "(xyz; traj, db or json of ASE)",
    )
    source.add_argument(
        "-f",
        "--datafile",
        type=Path,
        metavar="FILE",
        help="text file with the path of one data system per line",
    )
    add_names(parser)


def add_names(parser: argparse.ArgumentParser) -> None:
    """Declare ``--keys`` and ``--species``, the names of labels and elements in the data."""
    parser.add_argument(
        "--keys",
        nargs="+",
        type=_pair,
        default=[],
        metavar="LABEL=NAME",
        help="names of labels in files of atoms: energy=REF_energy force=dft_forces; more than one "
        "name with commas, the first that exists is read; without a name a label is not read",
    )
    parser.add_argument(
        "--species",
        nargs="+",
        type=_pair,
        default=[],
        metavar="SPECIES=ELEMENT",
        help="elements of species in the data: OW=O HW1=H",
    )


def _pair(text: str) -> tuple[str, str]:
    """Return the two sides of an equals sign."""
    left, sign, right = text.partition("=")
    if not (left and sign):
        raise argparse.ArgumentTypeError(f"{text!r} has no = between two names")
    return left, right


def reading(args: argparse.Namespace) -> Reading:
    """Return the names of labels and elements in the arguments."""
    from ..data import Reading

    keys = {label: tuple(filter(None, names.split(","))) for label, names in args.keys}
    return Reading(keys, dict(args.species))


def other_names(systems: Sequence[System], labels: Sequence[str]) -> str:
    """Return the option that would read labels under other names, or nothing."""
    from ..data import mapping_of

    about, keys = mapping_of(systems, labels)
    option = " ".join(f"{key}={name}" for key, name in keys.items())
    return f"{about}: read them with --keys {option}" if keys else ""


def add_backend_argument(parser: argparse.ArgumentParser) -> None:
    """Declare ``--backend`` and ``--threads`` for commands that predict: NumPy is enough."""
    add_threads_argument(parser)
    parser.add_argument(
        "--backend",
        default=os.environ.get("MULTIFIT_BACKEND") or "numpy",
        metavar="NAME",
        help="numpy, torch, jax, … (default: $MULTIFIT_BACKEND, else numpy)",
    )


def add_engine_backend(parser: argparse.ArgumentParser) -> None:
    """Declare ``--backend``, by default the fastest, and ``--threads`` for simulations."""
    add_threads_argument(parser)
    parser.add_argument(
        "--backend",
        metavar="NAME",
        help="numpy, torch, jax, … (default: $MULTIFIT_BACKEND, else the fastest installed)",
    )


def add_model_parameters(parser: argparse.ArgumentParser) -> None:
    """Declare ``--fparam`` and ``--aparam`` for simulations."""
    parser.add_argument(
        "--fparam", type=float, nargs="+", metavar="X", help="frame parameters of the model"
    )
    parser.add_argument(
        "--aparam", type=Path, metavar="FILE", help="atomic parameters: .npy file (natoms, n)"
    )


def read_parameters(args: argparse.Namespace) -> dict[str, Any]:
    """Return ``fparam`` and ``aparam``, None for those that were not given.

    Raises
    ------
    DataError
        If the file cannot be read.
    """
    import numpy as np

    found: dict[str, Any] = {"fparam": args.fparam, "aparam": None}
    if args.aparam is None:
        return found
    if not args.aparam.exists():
        raise DataError(f"{args.aparam} does not exist; check the name and the folder")
    try:
        aparam = np.asarray(np.load(args.aparam, allow_pickle=False), dtype=np.float64)
    except (OSError, ValueError, EOFError) as exc:
        raise DataError(
            f"{args.aparam} cannot be read as numbers ({exc}); give a .npy file"
        ) from exc
    return found | {"aparam": aparam}


def open_data(args: argparse.Namespace, type_map: Sequence[str] | None) -> list[System]:
    """Return the systems in the arguments, with the elements numbered as in ``type_map``.

    Raises
    ------
    DataError
        If a system or the list of systems is missing or unreadable.
    """
    from ..data import open_systems

    paths = args.system if args.datafile is None else _listed(args.datafile)
    return open_systems(paths, type_map, reading=reading(args))


def _listed(path: Path) -> list[str]:
    """Return the paths in a list of systems, without empty lines and ``#`` comments."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as exc:
        raise DataError(
            f"the list of systems {path} cannot be read ({exc.strerror or exc}); check its name"
        ) from exc
    except UnicodeDecodeError as exc:
        raise DataError(
            f"{path} is not a text file; give a list of paths, one in each line, or use -s for data"
        ) from exc
    found = [line.strip() for line in lines]
    found = [line for line in found if line and not line.startswith("#")]
    if not found:
        raise DataError(f"{path} lists no data systems; write one path into each line")
    return found


def positive(text: str) -> int:
    """Return a number of frames, 0 for all."""
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"{text} is negative; give 0 for all")
    return number

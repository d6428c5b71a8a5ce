"""``multifit lammps``: an input file of LAMMPS in which a model is a pair style."""

from __future__ import annotations

import argparse
import os

from ..errors import ConfigError
from ..host import threads
from . import _be_verbose
from ._threads import add_threads_argument

#: Variables in which a launcher says how many processes it started on this machine.
LOCAL_SIZES = ("MPI_LOCALNRANKS", "OMPI_COMM_WORLD_LOCAL_SIZE", "SLURM_NTASKS_PER_NODE")


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.usage = "%(prog)s [--backend NAME] [--threads N] INPUT [options of lmp]"
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = (
        "Run an input file of LAMMPS in which 'pair_style multifit model.dp' and\n"
        "'pair_coeff * * O H' may stand, alone or after mpirun -n 4. Options of lmp may follow:\n"
        "-var T 300, -log FILE, -screen none, …"
    )
    parser.add_argument(
        "-in", "-i", dest="given", nargs=argparse.REMAINDER, default=[], help=argparse.SUPPRESS
    )
    _add_ours(parser)
    parser.add_argument("input", nargs="?", metavar="INPUT", help="input file of LAMMPS")
    parser.add_argument("rest", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)


def _add_ours(parser: argparse.ArgumentParser) -> None:
    add_threads_argument(parser)
    parser.add_argument(
        "--backend",
        metavar="NAME",
        help="numpy, torch, jax, … (default: the fastest one for the number of atoms)",
    )


def run(args: argparse.Namespace) -> int:
    """Run the input file, and return the exit code."""
    given = [*([args.input] if args.input else []), *args.rest, *args.given]
    if not given or given[0].startswith("-"):
        raise ConfigError("no input file is given; write: multifit lammps in.water")
    # Our options may follow the input file, too.
    more = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    _add_ours(more)
    more.add_argument("--verbose", action="store_true")
    ours, options = more.parse_known_args(given[1:])
    if ours.verbose:
        _be_verbose()
    if "-partition" in options or "-p" in options:
        raise ConfigError(
            "-partition is not supported: all processes run one simulation; start several "
            "commands instead"
        )
    if ours.threads:
        threads.choose(ours.threads)
    from ._allocator import keep_freed_memory

    keep_freed_memory()
    from ..interfaces.lammps import run_file

    return run_file(given[0], options, ours.backend or args.backend)


def processes(_args: argparse.Namespace) -> int:
    """Return the number of processes that a launcher started on this machine: they share cores."""
    sizes = [os.environ[name] for name in LOCAL_SIZES if os.environ.get(name, "").isdigit()]
    return max(1, max(map(int, sizes), default=1))

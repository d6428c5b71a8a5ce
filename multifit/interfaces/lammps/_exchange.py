"""Forces on atoms of other processes, sent to these."""

from __future__ import annotations

from typing import Any

import numpy as np


class Exchange:
    """A plan for sending values of other processes' atoms to the processes that own them.

    Who owns an atom is found through a third process: that of number ``identifier modulo size``
    is told by owners what they have, and by the others what they need. No process ever holds a
    list of all atoms.

    Parameters
    ----------
    comm
        A communicator of mpi4py.
    local
        Identifiers of the own atoms, integers, (nlocal,).
    others
        Identifiers of atoms of other processes, integers, (nothers,), without duplicates.

    Raises
    ------
    LookupError
        If no process owns an atom; on all processes.
    """

    def __init__(self, comm: Any, local: np.ndarray, others: np.ndarray) -> None:
        self._comm = comm
        size = int(comm.size)
        told, source, _ = self._sent(local, local % size)
        asked, asker, by_home = self._sent(others, others % size)
        order = np.argsort(told, kind="stable")
        known = told[order]
        at = np.minimum(np.searchsorted(known, asked), max(len(known) - 1, 0))
        missing = asked[known[at] != asked] if len(known) else asked
        lost = comm.allgather(int(missing[0]) if len(missing) else None)
        if any(atom is not None for atom in lost):
            first = next(atom for atom in lost if atom is not None)
            raise LookupError(f"the ghost atom {first} is an image of no atom; it was lost")
        # The answers go back the way the questions came.
        owner = np.empty(len(others), dtype=np.int64)
        owner[by_home] = self._sent(source[order][at], asker)[0]
        wanted, sender, self._order = self._sent(others, owner)
        self._send_counts = np.bincount(owner, minlength=size)
        self._receive_counts = np.bincount(sender, minlength=size)
        by_identifier = np.argsort(local, kind="stable")
        self._target = by_identifier[np.searchsorted(local[by_identifier], wanted)]

    def _sent(
        self, values: np.ndarray, to: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return values received from all processes, whom from, and the order of those sent.

        Parameters
        ----------
        values
            Integers, (n,).
        to
            The process that each is sent to, (n,).
        """
        size = int(self._comm.size)
        order = np.argsort(to, kind="stable")
        counts = np.bincount(to, minlength=size)
        arriving = np.empty(size, dtype=np.int64)
        self._comm.Alltoall(counts.astype(np.int64), arriving)
        received = np.empty(int(arriving.sum()), dtype=np.int64)
        self._comm.Alltoallv([values[order].astype(np.int64), counts], [received, arriving])
        return received, np.repeat(np.arange(size), arriving), order

    def add(self, own: np.ndarray, others: np.ndarray) -> None:
        """Add values of atoms of other processes to those of their owners.

        Parameters
        ----------
        own
            Values of the own atoms, float64, (nlocal, …); changed.
        others
            Values of the atoms of other processes, float64, (nothers, …).
        """
        shape = own.shape[1:]
        width = int(np.prod(shape))
        sent = np.ascontiguousarray(others[self._order], dtype=np.float64)
        received = np.empty((len(self._target), *shape))
        self._comm.Alltoallv(
            [sent, self._send_counts * width], [received, self._receive_counts * width]
        )
        # An atom may be a ghost of several processes; one process sends it once.
        start = 0
        for count in self._receive_counts.tolist():
            part = slice(start, start + count)
            own[self._target[part]] += received[part]
            start += count

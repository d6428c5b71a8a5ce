"""The memory of a run: what it may take at all, and what its caches may keep."""

from __future__ import annotations

from dataclasses import dataclass

from ...host import memory
from ...host.sizes import as_bytes, in_words

#: Bytes that caches keep unless the user gives a number: the neighbours of a few hundred frames
#: of 200 atoms.
CACHES = 256_000_000

#: The caches take at most this part of the memory that is available, without and with a number of
#: the user: a step needs memory, too.
PART, GIVEN_PART = 8, 2


@dataclass(frozen=True)
class Budget:
    """The memory of a process of a run in bytes.

    Attributes
    ----------
    available
        What it may take besides what it has.
    caches
        What caches may keep of it.
    reason
        What limits the memory that is available.
    """

    available: int
    caches: int
    reason: str

    def __str__(self) -> str:
        """Return a line about it."""
        if not self.caches:
            return f"memory: no neighbours or batches are kept between steps ({self.reason})"
        return (
            f"memory: {in_words(self.available)} available ({self.reason}); at most "
            f"{in_words(self.caches)} of it for neighbours and batches kept between steps"
        )


def find_budget(given: float | str | None, mates: int = 1) -> Budget:
    """Return the memory of a run's process.

    Parameters
    ----------
    given
        The size in ``training.memory``, if there is one. The variable
        :data:`multifit.host.memory.VARIABLE` counts as well.
    mates
        Number of processes of the run on this host, which share its memory and these sizes.

    Raises
    ------
    ConfigError
        If the variable is no size.
    """
    limit = memory.available(mates=mates)
    size = None if given is None else as_bytes(given)
    named = ((size, "training.memory"), (memory.wanted(), memory.VARIABLE))
    users = [
        memory.share(memory.Limit(nbytes, name), mates)
        for nbytes, name in named
        if nbytes is not None
    ]
    if not users:
        return Budget(limit.nbytes, min(CACHES, limit.nbytes // PART), limit.reason)
    own = min(users, key=lambda each: each.nbytes)
    caches = min(own.nbytes, limit.nbytes // GIVEN_PART)
    smallest = min(own, limit, key=lambda each: each.nbytes)
    return Budget(smallest.nbytes, caches, smallest.reason)

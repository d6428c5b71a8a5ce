"""The protocol of distributed training: what a backend needs to add up arrays of processes."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

Array = Any


class Place(Protocol):
    """The place of this process among those of a run, which have already met."""

    @property
    def rank(self) -> int:
        """Number of this process, from 0."""
        ...

    @property
    def size(self) -> int:
        """Number of processes."""
        ...

    @property
    def local_rank(self) -> int:
        """Number of this process among those of its host, from 0."""
        ...

    @property
    def host(self) -> str:
        """Address of the host of process 0, as the others reach it."""
        ...

    @property
    def address(self) -> str:
        """Address of this host, as the others reach it."""
        ...

    def gather(self, value: Any) -> list[Any]:
        """Return the values (as JSON has them) of all processes, in the order of their ranks."""
        ...


class Adds(Protocol):
    """Sums of arrays over the processes of a run."""

    def all_reduce_sum(self, x: Array, /) -> Array:
        """Return the sum of the arrays (n,) of all processes, the same bits on each.

        The dtype is float64 or float32. The call returns when the sum is there, however long the
        others take, and raises any exception if one of them has ended. It may overwrite x.
        """
        ...


class Engine(Adds, Protocol):
    """The framework's own communication between the processes of a run."""

    def close(self) -> None:
        """End the communication; called by all processes at the same time."""
        ...


@runtime_checkable
class Distributes(Protocol):
    """A backend that can train with several processes."""

    def engine(self, place: Place, /) -> Engine | None:
        """Start the communication; called once by all processes, before any computation.

        None if the framework has none. The processes of one host then still share memory.
        """
        ...

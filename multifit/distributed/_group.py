"""The processes of a run after they have met: exchange of values, sums, and the end of one."""

from __future__ import annotations

import contextlib
import io
import json
import queue
from collections.abc import Callable, Mapping
from typing import Any, final

import numpy as np

from ..backend import Adds, Backend, Distributes, Engine
from ..errors import TrainingError, UnsupportedError
from ._connection import BYE, DATA, FAILED, Connection
from ._end import End
from ._host_sum import host_sum
from ._launch import Launch

Array = Any

#: Seconds for the news that explains an engine's error, and between two looks for such news.
NEWS, LOOK = 5.0, 0.2


@final
class Solo:
    """A run of one process, with the methods of :class:`Group`."""

    rank, size = 0, 1
    mates = 1  #: processes of the run on this host

    def gather(self, value: Any) -> list[Any]:
        """Return the value."""
        return [value]

    def share(self, value: Any) -> Any:
        """Return the value."""
        return value

    def share_arrays(self, flat: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return the arrays."""
        return dict(flat)

    def sum(self, x: Array) -> Array:
        """Return the array."""
        return x

    def start(self, backend: Backend) -> None:
        """Do nothing: there is nothing to sum."""

    def remember(self, remedy: str) -> None:
        """Do nothing: there is no process whose end would be told."""

    def held(self) -> contextlib.AbstractContextManager[None]:
        """Return a context of no effect."""
        return contextlib.nullcontext()


@final
class Group:
    """The processes of a run, as this one sees them.

    All processes call the same methods in the same order. They wait for the others as long as
    these live, and raise :class:`PeerError` if one has ended.

    Parameters
    ----------
    connections
        By the rank of the other end, from :func:`multifit.distributed._meet.meet`.
    """

    def __init__(self, launch: Launch, connections: Mapping[int, Connection]) -> None:
        self.rank, self.size, self.by = launch.rank, launch.size, launch.by
        self.local_rank, self.host = launch.local_rank or 0, launch.host
        self.mates = launch.size  #: processes of the run on this host, after :meth:`find_mates`
        self._knows_local_rank = launch.local_rank is not None
        self.address = launch.host if launch.rank == 0 else connections[0].address
        self._connections = dict(connections)
        self._inbox: dict[int, queue.SimpleQueue[bytes]] = {}
        self._engine: Engine | None = None
        self._sums: Adds | None = None
        self.end = End(self.rank, self.size)
        for rank, connection in self._connections.items():
            self._inbox[rank] = queue.SimpleQueue()
            connection.listen(self._taker(rank), self._closer(rank))

    def find_mates(self, host: str) -> None:
        """Learn how many processes share a host, and the number of this one among them.

        Parameters
        ----------
        host
            What tells this host from others, of ``multifit.host.identity``.
        """
        hosts = self.gather(host)
        self.mates = hosts.count(host)
        if not self._knows_local_rank:
            self.local_rank = hosts[: self.rank].count(host)

    def start(self, backend: Backend) -> None:
        """Start what sums arrays: memory that all processes share, or the engine of a backend."""
        if not isinstance(backend, Distributes):
            raise UnsupportedError(
                f"the {backend.name} backend cannot train with several processes; use jax, torch, "
                "paddle or tensorflow"
            )
        self._engine = backend.engine(self)
        self._sums = host_sum(self, self.mates, backend) or self._engine
        if self._sums is None:
            raise UnsupportedError(
                f"the {backend.name} backend trains with several processes only on the CPUs of "
                "one host, in memory that they share; use jax, torch or paddle"
            )

    def gather(self, value: Any) -> list[Any]:
        """Return the values (as JSON has them) of all processes, in the order of their ranks."""
        mine = json.dumps(value).encode()
        if self.rank:
            self._send(0, mine)
            found: list[Any] = json.loads(self._take(0))
            return found
        texts = [mine, *(self._take(rank) for rank in range(1, self.size))]
        whole = b"[" + b",".join(texts) + b"]"
        self._send_all(whole)
        every: list[Any] = json.loads(whole)
        return every

    def share(self, value: Any) -> Any:
        """Return the value (as JSON has it) of process 0."""
        if self.rank:
            return json.loads(self._take(0))
        text = json.dumps(value).encode()
        self._send_all(text)
        return json.loads(text)

    def share_arrays(self, flat: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return the named arrays of process 0."""
        if self.rank == 0:
            file = io.BytesIO()
            np.savez(file, **dict(flat))  # type: ignore[arg-type]
            self._send_all(file.getvalue())
            return dict(flat)
        with np.load(io.BytesIO(self._take(0)), allow_pickle=False) as found:
            return {name: found[name] for name in found.files}

    def sum(self, x: Array) -> Array:
        """Return the sum of the arrays (n,) of all processes, which are of the backend."""
        assert self._sums is not None
        self.end.require_none()
        try:
            return self._sums.all_reduce_sum(x)
        except TrainingError:
            raise
        except Exception as exc:  # engines raise errors of many kinds
            self.end.require_none(NEWS)
            reason = str(exc).strip().partition("\n")[0]
            raise TrainingError(
                f"the sum over the processes failed in the framework ({reason}): check the "
                "network between the hosts"
            ) from exc

    def remember(self, remedy: str) -> None:
        """Set what to do if another process ends, in the words of an error."""
        self.end.remedy = remedy

    def held(self) -> contextlib.AbstractContextManager[None]:
        """Return a context in which the end of another process is not told, nor ends this one."""
        return self.end.held()

    def fail(self, text: str) -> bool:
        """Tell the others why this process ends; return True if it has to tell the user.

        Process 0 does; the others stay until that one has ended, as launchers kill all processes
        when the first ends.
        """
        if not self.end.take_over():
            return False
        told = True
        for connection in self._connections.values():
            try:
                message = {"rank": self.rank, "text": text}
                connection.send(FAILED, json.dumps(message).encode())
            except OSError:
                told = False
        if told:
            self.end.wait_for_first()
        return self.rank == 0 or not told

    def leave(self) -> None:
        """End the connections once all processes have come to this call."""
        self.gather(None)
        if self._engine is not None:
            self._engine.close()
        self.end.expected = True
        for rank in self._connections:
            self._send(rank, b"", BYE)

    def _send(self, rank: int, content: bytes, kind: bytes = DATA) -> None:
        try:
            self._connections[rank].send(kind, content)
        except OSError:
            if not self.end.expected:
                self.end.require_none(NEWS)
                raise TrainingError(f"the connection to process {rank} is broken") from None

    def _send_all(self, content: bytes) -> None:
        self.end.require_none()
        for rank in self._connections:
            self._send(rank, content)

    def _take(self, rank: int) -> bytes:
        """Return the next data of a process."""
        while True:
            try:  # with a limit, so that Python handles signals
                return self._inbox[rank].get(timeout=LOOK)
            except queue.Empty:
                self.end.require_none()

    def _taker(self, rank: int) -> Callable[[bytes, bytes], None]:
        def take(kind: bytes, content: bytes) -> None:
            if kind == DATA:
                self._inbox[rank].put(content)
            elif kind == BYE:
                self.end.said_goodbye(rank)
            else:
                said = json.loads(content)
                self._pass_on(rank, int(said["rank"]), str(said["text"]))

        return take

    def _closer(self, rank: int) -> Callable[[], None]:
        def closed() -> None:
            if not self.end.expected and not self.end.is_known(rank):
                self._pass_on(rank, rank, "")
            self.end.closed(rank)

        return closed

    def _pass_on(self, sender: int, ended: int, text: str) -> None:
        """Note the end of a process, and tell the others if this is process 0."""
        if not self.end.note(ended, text) or self.rank:
            return
        content = json.dumps({"rank": ended, "text": text}).encode()
        for rank, connection in self._connections.items():
            if rank not in (sender, ended):
                try:
                    connection.send(FAILED, content)
                except OSError:
                    continue  # it has ended, too, which its own connection tells


#: One process, or several.
Processes = Solo | Group

"""A connection between two processes: messages in, messages out, and the news of its end."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable

#: Kinds of messages: data, the reason why a process ends, and that it ends as it should.
DATA, FAILED, BYE = b"d", b"f", b"b"

#: The most bytes of a message, and of the first one, whose sender may be anybody.
MOST, MOST_OF_HELLO = 1 << 33, 1 << 16

_HEAD = struct.Struct("!cQ")

#: Options of TCP with which a host that is switched off is noticed: after 20 + 4·5 s.
_ALIVE = {"TCP_KEEPIDLE": 20, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 4}

Message = tuple[bytes, bytes]  #: kind and content


class Connection:
    """One end of a connection; several threads may send."""

    def __init__(self, link: socket.socket) -> None:
        self._link, self._lock = link, threading.Lock()
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        link.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _ALIVE.items():
            if hasattr(socket, name):
                link.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)

    @property
    def address(self) -> str:
        """Address of this host, as the other end sees it."""
        host: str = self._link.getsockname()[0]
        return host

    def send(self, kind: bytes, content: bytes = b"") -> None:
        """Send a message.

        Raises
        ------
        OSError
            If the other end is gone.
        """
        with self._lock:
            self._link.sendall(_HEAD.pack(kind, len(content)))
            self._link.sendall(content)

    def receive(self, timeout: float | None = None, most: int = MOST) -> Message:
        """Return the next message.

        Raises
        ------
        OSError
            If the other end is gone, does not answer in time, or does not speak this language.
        """
        self._link.settimeout(timeout)
        kind, length = _HEAD.unpack(self._exactly(_HEAD.size))
        if kind not in (DATA, FAILED, BYE) or length > most:
            raise ConnectionError("not a message of multifit")
        content = self._exactly(length)
        self._link.settimeout(None)
        return kind, content

    def _exactly(self, number: int) -> bytes:
        parts, missing = [], number
        while missing:
            part = self._link.recv(min(missing, 1 << 20))
            if not part:
                raise ConnectionError("the other end is closed")
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)

    def listen(self, take: Callable[[bytes, bytes], None], ended: Callable[[], None]) -> None:
        """Call ``take`` with each message in a thread, and ``ended`` once there can be no more."""

        def run() -> None:
            with contextlib.suppress(OSError):
                while True:
                    take(*self.receive())
            ended()

        threading.Thread(target=run, daemon=True, name="multifit-connection").start()

    def close(self) -> None:
        """Close it; a thread that listens ends."""
        with contextlib.suppress(OSError):
            self._link.shutdown(socket.SHUT_RDWR)
        self._link.close()

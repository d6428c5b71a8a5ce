"""Forces for i-PI: a client that computes what the server asks for, over a socket."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable
from typing import Any

from ..errors import EngineError
from . import require

require("ase", "ipi")

from ase.calculators.socketio import SocketClient, actualunixsocketname  # noqa: E402

#: The port that i-PI listens at by default, and seconds between two attempts to connect.
PORT, PAUSE = 31415, 0.2


def serve(
    atoms: Any,
    *,
    unix: str | None = None,
    host: str = "localhost",
    port: int = PORT,
    wait: float = 60.0,
    watch: Callable[[int], None] = lambda calls: None,
) -> int:
    """Answer an i-PI server until it ends, and return the number of evaluations.

    i-PI sends positions, not elements: the atoms must be those of the server, in its order.

    Parameters
    ----------
    atoms
        ``ase.Atoms`` with a calculator.
    unix
        Name of a Unix socket, the ``address`` in i-PI's input; None for the internet.
    host, port
        Of the server.
    wait
        Seconds to wait for the server to open its socket.
    watch
        Called after each evaluation with their number.

    Raises
    ------
    EngineError
        If there is no server, if the connection breaks, or if the server has other atoms.
    """
    client = _connected(unix, host, port, wait)
    calls = 0
    try:
        for _ in client.irun(atoms):
            calls += 1
            watch(calls)
    except (ConnectionError, BrokenPipeError) as exc:
        raise EngineError(f"the connection to i-PI broke after {calls} evaluations: {exc}") from exc
    except ValueError as exc:
        if "broadcast" not in str(exc):
            raise
        raise EngineError(
            f"i-PI sends other than {len(atoms)} atoms; give the structure of its input"
        ) from exc
    finally:
        client.close()
    return calls


def _connected(unix: str | None, host: str, port: int, wait: float) -> Any:
    """Return a client connected to the server, which may need time to start."""
    if not (math.isfinite(wait) and wait >= 0):
        raise EngineError(f"the time to wait is {wait}, but must be ≥ 0 s")
    place = f"{host}:{port}" if unix is None else actualunixsocketname(unix)
    end = time.monotonic() + wait
    while True:
        found = _attempt(unix, host, port)
        if not isinstance(found, OSError | OverflowError):
            return found
        refused = isinstance(found, FileNotFoundError | ConnectionRefusedError)
        if not refused or time.monotonic() >= end:
            # A socket that is not there is no more than a server that has not started.
            why = "" if isinstance(found, FileNotFoundError) else f" ({_reason(found)})"
            raise EngineError(
                f"no i-PI server answers at {place}{why}; start i-pi first, with this address in "
                "its input"
            )
        time.sleep(PAUSE)


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)


def _attempt(unix: str | None, host: str, port: int) -> Any:
    """Return a client, or the error if there is no server."""
    with warnings.catch_warnings():
        # ASE does not close the socket of a failed attempt: its frames are dropped here.
        warnings.simplefilter("ignore", ResourceWarning)
        try:
            return SocketClient(host=host, port=port, unixsocket=unix)
        except (OSError, OverflowError) as exc:
            return exc.with_traceback(None)

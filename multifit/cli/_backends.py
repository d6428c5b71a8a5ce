"""``multifit backends``: installed frameworks, their devices, and supported features."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ._threads import add_threads_argument

if TYPE_CHECKING:
    from rich.table import Table

#: Marks the answer of a probe in the output of its framework.
MARK = "multifit-backend "

#: Seconds after which a framework is considered to hang.
PATIENCE = 120

#: Imports one backend and prints its description.
PROBE = f"""
import json, sys
from multifit.backend import UnusableError, get_backend
from multifit.errors import BackendError
answer = {{}}
try:
    answer = {{"state": "installed", **get_backend(sys.argv[1]).describe()}}
except UnusableError as exc:
    state = "broken" if exc.installed else "not installed"
    answer = {{"state": state, "reason": f"{{exc.reason}}; {{exc.remedy}}"}}
except BackendError as exc:
    answer = {{"state": "broken", "reason": str(exc)}}
except Exception as exc:
    answer = {{"state": "broken", "reason": f"{{type(exc).__name__}}: {{exc}}"}}
print({MARK!r} + json.dumps(answer))
"""


@dataclass(frozen=True)
class BackendStatus:
    """The state of a backend.

    Attributes
    ----------
    name
        As given to ``--backend``.
    state
        ``installed``, ``not installed``, ``broken`` or ``no adapter``.
    version, devices, threads
        Of an installed one; threads are those on the CPU.
    reason
        Reason why it cannot be used, and the command to fix it.
    """

    name: str
    state: str
    version: str = ""
    devices: str = ""
    threads: str = ""
    reason: str = ""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_threads_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Print the backends and the support matrix, and return the exit code."""
    del args
    from ..backend import KNOWN, available
    from ..console.tables import NOTHING, console, plain_table

    names = list(dict.fromkeys([*KNOWN, *available()]))
    with ThreadPoolExecutor(max_workers=2) as pool:
        found = list(pool.map(find, names))
    table = plain_table("Backends")
    for title in ("name", "state", "version", "devices", "threads"):
        table.add_column(title, overflow="fold")
    for each in found:
        cells = (each.version, each.devices, each.threads)
        table.add_row(each.name, each.state, *(cell or NOTHING for cell in cells))
    out = console()
    out.print(table)
    for each in found:
        if each.reason:
            out.print(f"{each.name}: {each.reason}", markup=False, soft_wrap=True)
    out.print()
    out.print(_matrix())
    return 0


def find(name: str) -> BackendStatus:
    """Return the state of a backend.

    Its framework is imported in a separate process, so that its output, its failures and conflicts
    with other frameworks do no harm.
    """
    from ..backend import available

    if name not in available():
        return BackendStatus(
            name, "no adapter", reason="this version of multifit has no adapter for it yet"
        )
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-c", PROBE, name],  # -P: a torch.py in this folder is not it
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return BackendStatus(name, "broken", reason=f"its import takes longer than {PATIENCE} s")
    for line in reversed(done.stdout.splitlines()):
        if line.startswith(MARK):
            answer: dict[str, str] = json.loads(line.removeprefix(MARK))
            fields = ("state", "version", "devices", "threads", "reason")
            return BackendStatus(name, **{key: answer[key] for key in fields if key in answer})
    last = done.stderr.strip().splitlines()[-1:] or ["it said nothing"]
    return BackendStatus(
        name, "broken", reason=f"its import ends with code {done.returncode}: {last[0]}"
    )


def _matrix() -> Table:
    """Return the support matrix as a table."""
    from .. import descriptors
    from ..console.tables import NOTHING, plain_table
    from ..support import ALL, FEATURES

    descriptors.available()  # each adds its row

    names = sorted(ALL)
    table = plain_table("Features")
    table.add_column("feature")
    for name in names:
        table.add_column(name, justify="center")
    for row in FEATURES.values():
        table.add_row(row.title, *("yes" if name in row.backends else NOTHING for name in names))
    return table

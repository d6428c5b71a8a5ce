"""Running a program: its output with times, and the most memory that it held."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

#: Seconds between two looks at a program's memory, and the most of the time that looks may take:
#: the system walks through all pages of several processes, which meanwhile wait for new ones.
EVERY, LOOKING = 0.25, 0.01

#: Share of the machine's memory that a program may hold; beyond it the system would choose whom to
#: end, and might choose somebody else.
SHARE = 0.85


@dataclass(frozen=True)
class Outcome:
    """Outcome of a program.

    Attributes
    ----------
    lines
        Seconds since the start, and a line of output.
    memory_mb
        The largest resident set, of all its processes together.
    gpu_mb
        By how much the memory used on the GPU grew, or None without one.
    failure
        Empty, or why there is no result, in a few words.
    """

    lines: tuple[tuple[float, str], ...]
    memory_mb: float
    gpu_mb: float | None
    failure: str

    def tail(self, count: int = 25) -> str:
        """Return the last lines of output."""
        return "\n".join(line for _, line in self.lines[-count:])


@dataclass
class _Watch:
    """Output and memory of a program while it runs."""

    began: float
    lines: list[tuple[float, str]] = field(default_factory=list)
    memory: float = 0.0
    gpu: float | None = None
    failure: str = ""


def run(
    command: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
    limit_s: float,
) -> Outcome:
    """Run a command to its end, or to its limit of time or memory."""
    gpu_before = gpu_memory()
    watch = _Watch(time.monotonic())
    process = subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,  # so that it can be ended together with its children
    )
    reader = threading.Thread(target=_read, args=(process, watch), daemon=True)
    reader.start()
    pause = EVERY
    try:
        while reader.is_alive():
            reader.join(pause)
            began = time.monotonic()
            _look(process.pid, watch, limit_s, gpu_before)
            pause = max(EVERY, (time.monotonic() - began) / LOOKING)
            if watch.failure:
                break
    finally:
        if reader.is_alive():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    reader.join(5)
    assert process.stdout is not None
    process.stdout.close()
    if process.returncode and not watch.failure:
        watch.failure = f"failed (exit code {process.returncode})"
    own = usage.ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10)
    return Outcome(tuple(watch.lines), max(own, watch.memory), watch.gpu, watch.failure)


def _read(process: subprocess.Popen[str], watch: _Watch) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        watch.lines.append((time.monotonic() - watch.began, line.rstrip("\n")))


def _look(pid: int, watch: _Watch, limit_s: float, gpu_before: float | None) -> None:
    """Note the memory of a program now, and whether it is beyond a limit."""
    memory = tree_memory(pid)
    watch.memory = max(watch.memory, memory)
    if gpu_before is not None:
        watch.gpu = max(watch.gpu or 0.0, (gpu_memory() or 0.0) - gpu_before)
    if time.monotonic() - watch.began > limit_s:
        watch.failure = f"ended after {limit_s:.0f} s"
    elif memory > SHARE * total_memory():
        watch.failure = f"ended at {memory / 1024:.0f} GB of memory"


def total_memory() -> float:
    """Return the memory of the machine in MB."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def tree_memory(pid: int) -> float:
    """Return the memory of a process and its children now in MB, 0 where there is no /proc.

    Pages that several of them share count once: forked workers share most of theirs.
    """
    pids = _tree(pid)
    if len(pids) == 1:
        return _field(Path(f"/proc/{pid}/status"), "VmRSS")
    return sum(_field(Path(f"/proc/{each}/smaps_rollup"), "Pss") for each in pids)


def _tree(pid: int) -> list[int]:
    found = [pid]
    for parent in found:  # grows while it is walked
        for path in Path(f"/proc/{parent}/task").glob("*/children"):
            with contextlib.suppress(OSError):  # ended meanwhile
                found += [int(word) for word in path.read_text().split()]
    return found


def _field(path: Path, name: str) -> float:
    try:
        found = re.search(rf"^{name}:\s+(\d+) kB", path.read_text(), re.MULTILINE)
    except OSError:  # ended meanwhile, or no Linux
        return 0.0
    return int(found[1]) / 1024 if found else 0.0


def gpu_memory() -> float | None:
    """Return the memory in use on the first NVIDIA GPU in MB, or None if there is none."""
    query = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits", "--id=0"]
    try:
        found = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True)
        return float(found.stdout.split()[0])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None

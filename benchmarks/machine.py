"""Description of the machine, without its name."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from pathlib import Path

from .processes import total_memory

#: Processes that were running in the last minute, from which on times mean little.
BUSY = 0.7


def describe() -> dict[str, str]:
    """Return the processor, memory, system and GPU in words, and how busy the machine is now."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    found = {
        "processor": f"{_processor()}, {usable} cores",
        "memory": f"{total_memory() / 1024:.0f} GB",
        "system": f"{platform.system()} {platform.machine()}",
        "load at the start": f"{os.getloadavg()[0]:.1f}",
    }
    gpu = _gpu()
    return {**found, "GPU": gpu} if gpu else found


def caution() -> str:
    """Return a warning if the machine has other work now, or an empty string."""
    if os.getloadavg()[0] < BUSY:
        return ""
    return "The machine had other work: times are too long, and ratios are rough."


def has_gpu() -> bool:
    """Return whether there is an NVIDIA GPU."""
    return bool(_gpu())


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    if not path.exists():
        return platform.processor() or platform.machine()
    text = path.read_text()
    name = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    flags = set(re.findall(r"\b(avx512f|avx2)\b", text))
    widest = "AVX-512" if "avx512f" in flags else "AVX2" if flags else ""
    return ", ".join(word for word in (name[1] if name else platform.machine(), widest) if word)


def _gpu() -> str:
    query = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader", "--id=0"]
    try:
        found = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return found.stdout.strip()

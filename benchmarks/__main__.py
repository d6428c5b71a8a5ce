"""``python benchmarks``: see :mod:`benchmarks.cli`."""

from __future__ import annotations

import sys
from pathlib import Path

if not __package__:  # run as a folder: its modules import one another as a package's
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from benchmarks.cli import main

if __name__ == "__main__":
    raise SystemExit(main())

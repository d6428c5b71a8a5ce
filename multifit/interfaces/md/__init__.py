"""Molecular dynamics with ASE, from a structure to a trajectory, a log and a figure."""

from __future__ import annotations

from .. import require

require("ase", "ase")

from ._averages import averages as averages  # noqa: E402
from ._files import Files as Files  # noqa: E402
from ._run import Outcome as Outcome  # noqa: E402
from ._run import simulate as simulate  # noqa: E402
from ._settings import Settings as Settings  # noqa: E402
from ._start import load as load  # noqa: E402

"""LAMMPS: forces of a model on many processes, for input files and for Python."""

from __future__ import annotations

from ._attach import Attachment as Attachment
from ._attach import attach as attach
from ._driver import run_file as run_file
from ._library import open_lammps as open_lammps

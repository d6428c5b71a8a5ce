"""Settings: ``input.json`` in DeePMD-kit's format, checked and typed.

Public names are imported on first use: pydantic takes a while to import, and many commands do
not read an input.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._config import Config as Config
    from ._fitting_net import DosFittingNetSection as DosFittingNetSection
    from ._fitting_net import EnergyFittingNetSection as EnergyFittingNetSection
    from ._learning_rate import CosineSection as CosineSection
    from ._learning_rate import ExpSection as ExpSection
    from ._learning_rate import WSDSection as WSDSection
    from ._loss import DosLossSection as DosLossSection
    from ._loss import EnergyLossSection as EnergyLossSection
    from ._model import ModelSection as ModelSection
    from ._notes import notes as notes
    from ._optimizer import AdamSection as AdamSection
    from ._optimizer import AdamWSection as AdamWSection
    from ._parse import check_types as check_types
    from ._parse import load as load
    from ._parse import normalize as normalize
    from ._parse import parse as parse
    from ._read import read as read
    from ._schema import json_schema as json_schema
    from ._training import TrainingDataSection as TrainingDataSection
    from ._training import TrainingSection as TrainingSection
    from ._training import ValidatingSection as ValidatingSection
    from ._training import ValidationDataSection as ValidationDataSection

#: public name → where it is; a test compares this with the imports above
_PLACES = {
    "Config": "_config",
    "CosineSection": "_learning_rate",
    "ExpSection": "_learning_rate",
    "WSDSection": "_learning_rate",
    "DosLossSection": "_loss",
    "EnergyLossSection": "_loss",
    "DosFittingNetSection": "_fitting_net",
    "EnergyFittingNetSection": "_fitting_net",
    "ModelSection": "_model",
    "notes": "_notes",
    "AdamSection": "_optimizer",
    "AdamWSection": "_optimizer",
    "check_types": "_parse",
    "load": "_parse",
    "normalize": "_parse",
    "parse": "_parse",
    "read": "_read",
    "json_schema": "_schema",
    "TrainingDataSection": "_training",
    "TrainingSection": "_training",
    "ValidatingSection": "_training",
    "ValidationDataSection": "_training",
}


def __getattr__(name: str) -> Any:
    """Return a public name, imported now."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_PLACES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Return the public names."""
    return sorted(_PLACES)

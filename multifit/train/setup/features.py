"""Which features of the support matrix an input asks for."""

from __future__ import annotations

from collections.abc import Callable

from ...backend import Backend
from ...config import Config
from ...support import require, require_precision

#: feature → whether a run with these settings needs it
NEEDED: dict[str, Callable[[Config], bool]] = {
    "train": lambda config: True,
    "dos": lambda config: config.model.fitting_net.type == "dos",
    "dos_loss": lambda config: config.loss.type == "dos",
    "use_default_pf": lambda config: config.loss.type == "ener" and config.loss.use_default_pf,
}


def require_all(config: Config, backend: Backend) -> None:
    """Raise unless the backend has all that a training run needs; called before data are read.

    Raises
    ------
    UnsupportedError
        Naming the feature, the backend, and the backends that have it.
    """
    for feature, needed in NEEDED.items():
        if needed(config):
            require(feature, backend.name)
    for section in (config.model.descriptor, config.model.fitting_net):
        require_precision(section.precision, backend.name)

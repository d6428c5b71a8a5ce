"""The features of the support matrix that an input requires."""

from __future__ import annotations

from ... import support
from ...backend import Backend
from ...config import Config


def require_all(config: Config, backend: Backend, processes: int = 1) -> None:
    """Raise unless the backend supports a training run; called before data are read.

    Parameters
    ----------
    processes
        Number of processes of the run.

    Raises
    ------
    UnsupportedError
        Naming the feature, the backend, and the backends that have it.
    """
    model = config.model
    asked = support.Asked(
        model.descriptor, model.fitting_net, config.loss, train=True, processes=processes
    )
    support.require_all(asked, backend.name)

"""Long signatures without forwarding: arguments collected by name, unknown ones rejected."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from typing import ParamSpec

from ..errors import ConfigError, did_you_mean

P = ParamSpec("P")


def collect_arguments(init: Callable[P, None]) -> Callable[P, None]:
    """Return an ``__init__`` that calls ``self._setup`` with all its arguments by name.

    The decorated method provides the signature, and has an empty body. Defaults are
    filled in, and arguments of ``**unknown`` are passed like the others.

    >>> class Loss:
    ...     @collect_arguments
    ...     def __init__(self, start: float, limit: float = 1.0, **unknown: float) -> None: ...
    ...     def _setup(self, **options): print(options)
    >>> _ = Loss(0.02, stop=3.0)
    {'start': 0.02, 'limit': 1.0, 'stop': 3.0}
    """
    signature = inspect.signature(init)
    variable = {p.name for p in signature.parameters.values() if p.kind is p.VAR_KEYWORD}

    @functools.wraps(init)
    def collected(*args: P.args, **kwargs: P.kwargs) -> None:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        own, *given = bound.arguments.items()
        options = {name: value for name, value in given if name not in variable}
        for name in variable:
            options |= bound.arguments[name]
        own[1]._setup(**options)

    return collected


def refuse_unknown(title: str, options: Iterable[str], known: Iterable[str]) -> None:
    """Raise ConfigError for the first unknown option.

    Parameters
    ----------
    title
        The class, in the message.
    """
    names = list(known)
    for option in options:
        if option not in names:
            near = did_you_mean(option, names) or f"; known are {', '.join(sorted(names))}"
            raise ConfigError(f"{title} has no option {option!r}{near}")

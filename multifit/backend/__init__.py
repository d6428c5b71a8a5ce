"""Backends: the protocol, and discovery of its adapters.

An adapter is an object that satisfies :class:`Backend`. It is registered in the entry-point group
``multifit.backends``, so that a third party can add one without touching this repository.
"""

from __future__ import annotations

from ._discovery import ALIASES as ALIASES
from ._discovery import ENTRY_POINTS as ENTRY_POINTS
from ._discovery import KNOWN as KNOWN
from ._discovery import TRAINING as TRAINING
from ._discovery import available as available
from ._discovery import canonical_name as canonical_name
from ._discovery import choose_training_backend as choose_training_backend
from ._discovery import get_backend as get_backend
from ._distribution import Adds as Adds
from ._distribution import Distributes as Distributes
from ._distribution import Engine as Engine
from ._distribution import Place as Place
from ._export import Argument as Argument
from ._export import Exporter as Exporter
from ._export import Exports as Exports
from ._export import Find as Find
from ._export import Function as Function
from ._fork import Forks as Forks
from ._fork import use as use
from ._native import native as native
from ._protocol import Arithmetic as Arithmetic
from ._protocol import Array as Array
from ._protocol import Backend as Backend
from ._repeat import Repeats as Repeats
from ._repeat import each as each
from ._rules import Rules as Rules
from ._versions import UnusableError as UnusableError
from ._versions import is_installed as is_installed

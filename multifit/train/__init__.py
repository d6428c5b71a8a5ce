"""Training: from ``input.json`` to a model file."""

from __future__ import annotations

from ._begin import Start as Start
from ._run import train as train

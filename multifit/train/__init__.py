"""Training: from ``input.json`` to a model file."""

from __future__ import annotations

from .loop.run import train as train
from .start.begin import Start as Start

"""Training: from ``input.json`` to a model file.

Each folder imports only folders below it in this list:

- ``loop``: the whole run (``train``) and its loop over steps
- ``start``: the first state of a run, and the objects that the loop uses
- ``validation``: errors on validation data during a run
- ``report``: ``lcurve.out``, progress, the final table and plot
- ``step``: one training step as a function, and its batches
- ``setup``: tasks (model, loss, data) from settings and data; the files that a run writes
- ``profile``: the times of spans, their table and their timeline
"""

from __future__ import annotations

from .loop.train import train as train
from .start.begin import Start as Start

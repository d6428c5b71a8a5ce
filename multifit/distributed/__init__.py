"""Processes of one run: how they are started, meet and talk.

Gradients are summed by the framework's own engine (:class:`multifit.backend.Engine`). Everything
else, from the start to the news that a process has ended, goes over one connection of each process
to process 0, which is the same for all frameworks and needs nothing but Python.
"""

from __future__ import annotations

from ._arrays import as_json as as_json
from ._arrays import from_json as from_json
from ._end import PeerError as PeerError
from ._group import Group as Group
from ._group import Processes as Processes
from ._group import Solo as Solo
from ._join import free_port as free_port
from ._join import has_joined as has_joined
from ._join import join as join
from ._join import local_rank as local_rank
from ._launch import Launch as Launch
from ._launch import detect as detect
from ._local import share_work as share_work
from ._meet import LOOPBACK as LOOPBACK
from ._meet import RefusedError as RefusedError

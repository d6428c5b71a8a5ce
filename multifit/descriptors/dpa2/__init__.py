"""The descriptor dpa2 (DPA-2): messages between atoms and pairs, after a block without messages."""

from __future__ import annotations

from ._descriptor import Dpa2 as Dpa2
from ._settings import Repformer as Repformer
from ._settings import Repinit as Repinit

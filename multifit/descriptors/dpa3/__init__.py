"""The descriptor dpa3 (DPA-3): messages between atoms, pairs and angles, in layers."""

from __future__ import annotations

from ._descriptor import Dpa3 as Dpa3

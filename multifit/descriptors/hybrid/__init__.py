"""The descriptor hybrid: several descriptors side by side."""

from __future__ import annotations

from ._descriptor import Hybrid as Hybrid

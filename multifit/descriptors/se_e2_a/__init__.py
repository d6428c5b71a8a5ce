"""The descriptor se_e2_a."""

from __future__ import annotations

from ._descriptor import SeE2A as SeE2A

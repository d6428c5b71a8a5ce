"""The descriptor se_e2_a with embedded types: one net for all pairs of types."""

from __future__ import annotations

from ._descriptor import SeE2ATebd as SeE2ATebd

"""The descriptor se_e3_tebd: angles between neighbours, with embedded types."""

from __future__ import annotations

from ._descriptor import SeE3Tebd as SeE3Tebd

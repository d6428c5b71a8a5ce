"""Models as files that a framework runs without multifit, from Python or C++."""

from __future__ import annotations

from ._export import FORMATS as FORMATS
from ._export import export as export
from ._export import export_model as export_model

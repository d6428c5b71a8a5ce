"""The descriptors se_atten (DPA-1) and se_atten_v2: attention among the neighbours of an atom."""

from __future__ import annotations

from ._descriptor import SeAtten as SeAtten
from ._v2 import SeAttenV2 as SeAttenV2

"""Descriptors: what an atom's network sees of its neighbourhood."""

from __future__ import annotations

from ._environment import Environment as Environment
from ._environment import environment as environment
from ._environment import radial as radial
from .se_e2_a._describe import of_geometry as of_geometry
from .se_e2_a._geometry import ZONES as ZONES
from .se_e2_a._geometry import geometry as geometry
from .se_e2_a._geometry import join as join
from .se_e2_a._serial import deserialize as deserialize
from .se_e2_a._serial import serialize as serialize
from .se_e2_a._settings import SeE2A as SeE2A
from .se_e2_a._settings import init as init
from .se_e2_a._settings import trainable_names as trainable_names
from .se_e2_a._spectral import SMOOTH as SMOOTH
from .se_e2_a._spectral import chebyshev_basis as chebyshev_basis
from .se_e2_a._spectral import scale_of as scale_of
from .se_e2_a._spectral import tail as tail

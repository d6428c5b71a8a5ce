"""Descriptors: what an atom's network sees of its neighbourhood."""

from __future__ import annotations

from ._describe import describe as describe
from ._describe import of_geometry as of_geometry
from ._environment import Environment as Environment
from ._environment import environment as environment
from ._environment import radial as radial
from ._geometry import ZONES as ZONES
from ._geometry import geometry as geometry
from ._geometry import join as join
from ._se_e2_a import SeE2A as SeE2A
from ._se_e2_a import init as init
from ._se_e2_a import trainable_names as trainable_names
from ._serial import deserialize as deserialize
from ._serial import serialize as serialize
from ._spectral import SMOOTH as SMOOTH
from ._spectral import chebyshev_basis as chebyshev_basis
from ._spectral import scale_of as scale_of
from ._spectral import tail as tail

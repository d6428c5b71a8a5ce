"""Densities of states (DOS): grids of energies, labels, Fermi levels and gaps.

Plain NumPy, for the host: nothing here is compiled or differentiated.

>>> import numpy as np
>>> from multifit.dos import Grid, even_grid, levels
>>> grid = Grid(even_grid(0.0, 10.0, 1001))
>>> free = levels(grid, np.sqrt(grid.array)[None, :], np.array([2 / 3 * 4.0**1.5]))
>>> round(float(free.fermi_level[0]), 3), float(free.gap[0])
(4.0, 0.0)
"""

from __future__ import annotations

from ._checks import check_labels as check_labels
from ._grid import Grid as Grid
from ._grid import even_grid as even_grid
from ._grid import from_content as from_content
from ._grid import read_energies as read_energies
from ._grid import to_content as to_content
from ._labels import common_energies as common_energies
from ._labels import keys as keys
from ._labels import labels_on_grid as labels_on_grid
from ._labels import load_labels as load_labels
from ._levels import Levels as Levels
from ._levels import electron_count as electron_count
from ._levels import electrons_of as electrons_of
from ._levels import levels as levels

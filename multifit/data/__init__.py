"""Data systems on disk → frames as NumPy arrays, and the choice of frames for each step."""

from __future__ import annotations

from ._batches import batch_sizes as batch_sizes
from ._batches import mixed_size as mixed_size
from ._batches import system_probabilities as system_probabilities
from ._digest import add_arrays as add_arrays
from ._energies import DOS_LABELS as DOS_LABELS
from ._energies import read_energies as read_energies
from ._find import find_systems as find_systems
from ._labels import LABELS as LABELS
from ._labels import WEIGHTS as WEIGHTS
from ._labels import Label as Label
from ._labels import weights_of as weights_of
from ._lmdb import Grouping as Grouping
from ._open import open_systems as open_systems
from ._parameters import parameters as parameters
from ._reading import NAMES as NAMES
from ._reading import Reading as Reading
from ._sampler import Draws as Draws
from ._sampler import MixedSampler as MixedSampler
from ._sampler import Picks as Picks
from ._sampler import Sampler as Sampler
from ._snapshot import Snapshot as Snapshot
from ._snapshot import real_types as real_types
from ._snapshot import snapshot as snapshot
from ._system import System as System
from ._system import where as where
from ._unread import mapping_of as mapping_of

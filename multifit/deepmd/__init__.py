"""Classes with DeePMD-kit's signatures: fitting nets and losses on arrays of whole frames.

They bundle settings, parameters and a backend, and do no arithmetic: that is in
:mod:`multifit.fitting` and :mod:`multifit.loss`, from which they can be imported as well.
"""

from __future__ import annotations

from ._fitting_nets import DOSFittingNet as DOSFittingNet
from ._fitting_nets import EnergyFittingNet as EnergyFittingNet
from ._fitting_nets import InvarFitting as InvarFitting
from ._general_fitting import GeneralFitting as GeneralFitting
from ._losses import DOSLoss as DOSLoss
from ._losses import EnergyLoss as EnergyLoss

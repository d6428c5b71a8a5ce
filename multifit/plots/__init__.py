"""Figures: predictions against labels; matplotlib is imported when one is drawn."""

from __future__ import annotations

from ._dos import dos_figure as dos_figure
from ._dos import draw_cdf as draw_cdf
from ._dos import draw_dos as draw_dos
from ._dos import names_of as names_of
from ._figure import Plot as Plot
from ._figure import check_path as check_path
from ._figure import new_figure as new_figure
from ._figure import render as render
from ._figure import save as save
from ._parity import Parity as Parity
from ._parity import draw_parity as draw_parity
from ._simulation import simulation_figure as simulation_figure
from ._spectra import Spectra as Spectra
from ._spectra import Spectrum as Spectrum

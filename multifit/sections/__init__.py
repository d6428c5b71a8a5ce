"""Sections of an input, and the kinds of values they hold.

A kind is an annotated Python type: pydantic checks the type, :class:`Words` rewords its messages,
and the reference page prints the same words.
"""

from ._descriptor import AnyDescriptorSection as AnyDescriptorSection
from ._descriptor import DescriptorSection as DescriptorSection
from ._descriptor import EmbeddingSection as EmbeddingSection
from ._descriptor import PairsSection as PairsSection
from ._descriptor import RadialSection as RadialSection
from ._descriptor import SingleSection as SingleSection
from ._kinds import ACTIVATIONS as ACTIVATIONS
from ._kinds import PRECISIONS as PRECISIONS
from ._kinds import AboveZero as AboveZero
from ._kinds import Activation as Activation
from ._kinds import BatchSize as BatchSize
from ._kinds import BelowOne as BelowOne
from ._kinds import Count as Count
from ._kinds import Cutoff as Cutoff
from ._kinds import Energies as Energies
from ._kinds import Flag as Flag
from ._kinds import MaybeAboveZero as MaybeAboveZero
from ._kinds import MaybeBelowOne as MaybeBelowOne
from ._kinds import MaybeNotNegative as MaybeNotNegative
from ._kinds import MaybeNumber as MaybeNumber
from ._kinds import MaybePositive as MaybePositive
from ._kinds import MaybeRatio as MaybeRatio
from ._kinds import MaybeSize as MaybeSize
from ._kinds import MaybeText as MaybeText
from ._kinds import MaybeUpToOne as MaybeUpToOne
from ._kinds import MixedSel as MixedSel
from ._kinds import NotNegative as NotNegative
from ._kinds import Numbers as Numbers
from ._kinds import OneSel as OneSel
from ._kinds import OrNumber as OrNumber
from ._kinds import Positive as Positive
from ._kinds import Precision as Precision
from ._kinds import Seed as Seed
from ._kinds import Sel as Sel
from ._kinds import Slots as Slots
from ._kinds import SomeWidths as SomeWidths
from ._kinds import Spectra as Spectra
from ._kinds import Text as Text
from ._kinds import TypePairs as TypePairs
from ._kinds import Types as Types
from ._kinds import UpToOne as UpToOne
from ._kinds import Width as Width
from ._kinds import Widths as Widths
from ._section import TOO_LARGE as TOO_LARGE
from ._section import OrByName as OrByName
from ._section import RuledSection as RuledSection
from ._section import Section as Section
from ._section import Words as Words
from ._section import relation as relation
from ._section import words_of as words_of

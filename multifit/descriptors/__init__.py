"""Descriptors: the protocol, and discovery of its implementations."""

from __future__ import annotations

from ._environment import switch as switch
from ._forward import ForwardDescriptor as ForwardDescriptor
from ._forward import Pairs as Pairs
from ._protocol import EMBEDDINGS as EMBEDDINGS
from ._protocol import Descriptor as Descriptor
from ._protocol import Plan as Plan
from ._protocol import Planner as Planner
from ._protocol import Pullback as Pullback
from ._registry import aliases as aliases
from ._registry import available as available
from ._registry import build as build
from ._registry import build_parts as build_parts
from ._registry import deserialize as deserialize
from ._registry import get_descriptor as get_descriptor
from ._registry import key_of as key_of
from ._registry import sections as sections

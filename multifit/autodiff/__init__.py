"""Differentiation as namespaces: :class:`Reverse` for forces, :class:`Forward` for Hessians."""

from ._dual import Dual as Dual
from ._node import Node as Node
from ._node import constant as constant
from ._node import value_of as value_of
from .forward import Forward as Forward
from .forward import ForwardArithmetic as ForwardArithmetic
from .reverse import Reverse as Reverse
from .reverse import ReverseArithmetic as ReverseArithmetic
from .reverse import pullback as pullback
from .reverse import with_pullback as with_pullback

"""Activation functions φ of the networks, each with its derivative φ′.

========================  =====================================================================
name                      φ(x)
========================  =====================================================================
``tanh``                  tanh x
``gelu``, ``gelu_tf``     ½ x (1 + tanh(√(2/π) (x + 0.044715 x³)))
``relu``, ``relu6``       max(x, 0), and the same cut at 6
``softplus``              ln(1 + eˣ)
``sigmoid``               σ(x) = 1 / (1 + e⁻ˣ)
``silu``                  x σ(x)
``silut``                 silu below the threshold t, tanh(silu′(t) (x − t)) + silu(t) above it
``custom_silu``           another name of ``silut``; both take ``:t``, as ``silut:10.0`` (t = 3)
``none``, ``linear``      x
========================  =====================================================================

A derivative is written with differentiable operations, so that a framework can differentiate the
forces, which contain φ′, once more. Branches are chosen with comparisons that send x = 0 to the
same side in the value and in its derivative, and that let a NaN through instead of hiding it as 0.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, TypeAlias

from ..autodiff import Reverse
from ..errors import ConfigError, did_you_mean

Array = Any  #: an array of whichever framework runs

#: act(xp, x) → (y, slope): y = φ(x), and slope() computes φ′(x), reusing y; both shaped like x.
Activation: TypeAlias = Callable[[Any, Array], tuple[Array, Callable[[], Array]]]

#: End of silu in ``silut`` and ``custom_silu`` if the name has no threshold.
DEFAULT_THRESHOLD = 3.0

_GELU_SCALE = math.sqrt(2.0 / math.pi)
_GELU_CUBIC = 0.044715


def _minus_abs(xp: Any, x: Array) -> Array:
    """Return −|x|, whose exponential cannot overflow and whose derivative at 0 is −1, not 0."""
    return xp.where(x < 0.0, x, -x)


def _stable_sigmoid(xp: Any, x: Array) -> Array:
    """Return σ(x), exact to rounding on both tails."""
    e = xp.exp(_minus_abs(xp, x))
    return xp.where(x < 0.0, e, xp.ones_like(x)) / (1.0 + e)


def _tanh(xp: Any, x: Array) -> tuple[Array, Callable[[], Array]]:
    y = xp.tanh(x)
    return y, lambda: 1.0 - y * y


def _gelu(xp: Any, x: Array) -> tuple[Array, Callable[[], Array]]:
    t = xp.tanh(_GELU_SCALE * (x + _GELU_CUBIC * (x * x * x)))
    half = 0.5 * (1.0 + t)

    def slope() -> Array:
        inner = _GELU_SCALE * (1.0 + (3.0 * _GELU_CUBIC) * (x * x))
        return half + 0.5 * x * (1.0 - t * t) * inner

    return x * half, slope


def _relu(xp: Any, x: Array) -> tuple[Array, Callable[[], Array]]:
    y = xp.where(x <= 0.0, xp.zeros_like(x), x)
    return y, lambda: 1.0 - xp.astype(x <= 0.0, x.dtype)


def _relu6(xp: Any, x: Array) -> tuple[Array, Callable[[], Array]]:
    six = 6.0 * xp.ones_like(x)
    y = xp.where(x <= 0.0, xp.zeros_like(x), xp.where(x >= 6.0, six, x))

    def slope() -> Array:
        # The two conditions exclude each other, so their sum is 0 or 1.
        return 1.0 - (xp.astype(x <= 0.0, x.dtype) + xp.astype(x >= 6.0, x.dtype))

    return y, slope


def _softplus(xp: Any, x: Array) -> tuple[Array, Callable[[], Array]]:
    y = xp.where(x < 0.0, xp.zeros_like(x), x) + xp.log1p(xp.exp(_minus_abs(xp, x)))
    # σ(x) = 1 − e^(−softplus(x)), without the cancellation for x ≪ 0.
    return y, lambda: -xp.expm1(-y)


def _sigmoid(xp: Any, x: Array) -> tuple[Array, Callable[[], Array]]:
    y = _stable_sigmoid(xp, x)
    return y, lambda: y * (1.0 - y)


def _silu(xp: Any, x: Array) -> tuple[Array, Callable[[], Array]]:
    s = _stable_sigmoid(xp, x)
    y = x * s
    return y, lambda: s + y * (1.0 - s)


def _silut(xp: Any, x: Array, *, threshold: float) -> tuple[Array, Callable[[], Array]]:
    s_t = 0.5 * (1.0 + math.tanh(0.5 * threshold))
    value_t = threshold * s_t
    slope_t = s_t + value_t * (1.0 - s_t)
    below, below_slope = _silu(xp, x)
    th = xp.tanh(slope_t * (x - threshold))
    y = xp.where(x < threshold, below, th + value_t)
    return y, lambda: xp.where(x < threshold, below_slope(), slope_t * (1.0 - th * th))


def _linear(xp: Any, x: Array) -> tuple[Array, Callable[[], Array]]:
    return x, lambda: xp.ones_like(x)


_PLAIN: dict[str, Activation] = {
    "tanh": _tanh,
    "gelu": _gelu,
    "gelu_tf": _gelu,
    "relu": _relu,
    "relu6": _relu6,
    "softplus": _softplus,
    "sigmoid": _sigmoid,
    "silu": _silu,
    "none": _linear,
    "linear": _linear,
}
_WITH_THRESHOLD = ("silut", "custom_silu")

#: Every name that :func:`activation` understands (without the optional ``:threshold``).
NAMES: tuple[str, ...] = (*_PLAIN, *_WITH_THRESHOLD)


def activation(name: str) -> Activation:
    """Return the activation with that name as a function act(xp, x) → (φ(x), slope).

    Parameters
    ----------
    name
        One of :data:`NAMES`, in any case; ``silut`` and ``custom_silu`` may end in ``:threshold``.

    Returns
    -------
    Activation
        Called with an Array-API namespace and an array x of any shape, it gives φ(x) and a function
        without arguments that computes φ′(x) on demand; both have the shape and dtype of x.

    Raises
    ------
    ConfigError
        If the name is unknown or its threshold is not a finite number.

    Examples
    --------
    >>> import array_api_compat.numpy as xp
    >>> y, slope = activation("relu")(xp, xp.asarray([-1.0, 2.0]))
    >>> y.tolist(), slope().tolist()
    ([0.0, 2.0], [0.0, 1.0])
    """
    if not isinstance(name, str):
        raise ConfigError(
            f"activation_function must be one of {', '.join(NAMES)}, but is {name!r:.60}"
        )
    return _of_name(name)


@functools.lru_cache(maxsize=64)
def _of_name(name: str) -> Activation:
    key, colon, rest = name.strip().lower().partition(":")
    if key in _WITH_THRESHOLD:
        threshold = _threshold(name, rest) if colon else DEFAULT_THRESHOLD
        return functools.partial(_silut, threshold=threshold)
    if key in _PLAIN and not colon:
        return _PLAIN[key]
    if key in _PLAIN:
        raise ConfigError(
            f"activation function {name!r}: {key!r} takes no threshold; write {key!r}, "
            f"or use {' or '.join(_WITH_THRESHOLD)}"
        )
    raise ConfigError(
        f"unknown activation function {name!r}{did_you_mean(key, NAMES)}; "
        f"known are {', '.join(NAMES)}"
    )


def activated(xp: Any, name: str, x: Array) -> Array:
    """Return φ(x); in reverse mode its rule is φ′ as given here."""
    act = activation(name)
    return xp.elementwise(act, x) if isinstance(xp, Reverse) else act(xp, x)[0]


def is_same(one: str, other: str) -> bool:
    """Return True if two names stand for the same function; False if the first is unknown."""
    try:
        found = activation(one)
    except ConfigError:
        return False
    known = activation(other)
    if isinstance(found, functools.partial) and isinstance(known, functools.partial):
        return found.keywords == known.keywords
    return found is known


def _threshold(name: str, text: str) -> float:
    """Return the number after the colon of ``name``."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ConfigError(
            f"activation function {name!r}: the threshold {text!r} is not a finite number; "
            f"write for example 'silut:{DEFAULT_THRESHOLD}'"
        )
    return value

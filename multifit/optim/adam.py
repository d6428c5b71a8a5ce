r"""Adam and AdamW, gradient clipping and moving averages, as functions of flat dicts.

.. math::

   m = \beta_1 m + (1-\beta_1) g, \quad v = \beta_2 v + (1-\beta_2) g^2, \quad
   \theta = \theta - \alpha \Big(\frac{m/(1-\beta_1^t)}{\sqrt{v/(1-\beta_2^t)} + \epsilon}
            + \lambda\theta\Big),

where λ is AdamW's; Adam adds λθ to the gradient g instead.

If a framework has a kernel for all of this, it is used: it reads such large arrays only once.
Otherwise parameters and moments are updated with operators such as ``*=``, which compilers fuse.

Sources: Kingma & Ba, arXiv:1412.6980; Loshchilov & Hutter, arXiv:1711.05101 (λ, AdamW).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..tree import Flat

Array = Any


class Step(NamedTuple):
    """The numbers of an update whose bias corrections are in the rate and in ε."""

    rate: float
    beta1: float
    beta2: float
    epsilon: float


#: f(x, g, m, v, step): changes m, v and then x, by −rate · m/(√v + ε).
Kernel = Callable[[Array, Array, Array, Array, Step], None]


#: One update of one number, for testing kernels in :func:`is_usable`: x, g, m and v.
_TRIAL = (1.0, 0.5, 0.25, 0.0625)
_TRIAL_STEP = Step(rate=0.125, beta1=0.75, beta2=0.5, epsilon=0.25)


def is_usable(
    kernel: Kernel,
    asarray: Callable[[np.ndarray], Array],
    to_numpy: Callable[[Array], np.ndarray],
) -> bool:
    """Return True if a kernel runs and updates a number as :data:`Kernel` specifies.

    Kernels are private functions of frameworks, and may be missing or renamed in other versions;
    then the update of this module is used.
    """
    x, g, m, v = _TRIAL
    rate, beta1, beta2, epsilon = _TRIAL_STEP
    m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g * g
    want = np.array([x - rate * m / (math.sqrt(v) + epsilon), m, v])
    for dtype in (np.float64, np.float32):
        try:
            one, slope, *moments = (asarray(np.full(3, value, dtype=dtype)) for value in _TRIAL)
            kernel(one, slope, moments[0], moments[1], _TRIAL_STEP)
            got = np.stack([to_numpy(array) for array in (one, *moments)])
        except Exception:  # a changed function can raise anything
            return False
        if not np.allclose(got, want[:, None], rtol=1e-5, atol=0.0):
            return False
    return True


@dataclass(frozen=True)
class Adam:
    """The settings; ``weight_decay`` is λ, added to the gradient or (AdamW) to the step."""

    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    weight_decay: float = 0.0
    decoupled: bool = False  #: AdamW: the decay does not go through the moments
    max_norm: float = 0.0  #: gradients with a larger global norm are scaled down; 0 = never

    def corrections(self, t: int) -> tuple[float, float]:
        """Return 1/(1−β₁ᵗ) and 1/(1−β₂ᵗ) for the t-th update, t ≥ 1."""
        return 1.0 / (1.0 - self.beta1**t), 1.0 / (1.0 - self.beta2**t)


def init(params: Flat) -> dict[str, Flat]:
    """Return the moments before the first update, as NumPy arrays."""
    return {moment: {name: np.zeros_like(x) for name, x in params.items()} for moment in ("m", "v")}


def global_norm(xp: Any, grads: Flat) -> Array:
    """Return the Euclidean norm of all gradients together, float64."""
    total = xp.zeros((), dtype=xp.float64)
    for name in sorted(grads):
        g = xp.astype(grads[name], xp.float64, copy=False)
        total = total + xp.sum(g * g)
    return xp.sqrt(total)


def clip(xp: Any, grads: Flat, max_norm: float) -> Flat:
    """Return the gradients scaled so that their global norm is at most ``max_norm``."""
    norm = global_norm(xp, grads)
    scale = xp.minimum(max_norm / (norm + 1e-6), xp.ones_like(norm))
    return {name: g * xp.astype(scale, g.dtype, copy=False) for name, g in grads.items()}


def update(
    xp: Any,
    config: Adam,
    params: Flat,
    grads: Flat,
    state: dict[str, Flat],
    lr: Array,
    correction1: Array,
    correction2: Array,
    apply: Array | None = None,
    kernel: Kernel | None = None,
) -> tuple[Flat, dict[str, Flat]]:
    """Return the parameters and moments after one update; those given may be changed.

    Parameters
    ----------
    lr, correction1, correction2
        The learning rate and :meth:`Adam.corrections`, as 0-d arrays so that nothing recompiles.
    apply
        0-d; if false, nothing changes. Not for arrays that can be modified in place.
    kernel
        The framework's in-place update, if it has one.
    """
    if config.max_norm > 0:
        grads = clip(xp, grads, config.max_norm)
    if config.weight_decay and not config.decoupled:
        grads = {name: grads[name] + config.weight_decay * x for name, x in params.items()}
    scalars = (lr, correction1, correction2)
    if kernel is not None:
        step = _uncorrected(config, *map(float, scalars))
    new, m, v = {}, {}, {}
    for name, x in params.items():
        before = (x, state["m"][name], state["v"][name])
        if config.weight_decay and config.decoupled:
            x *= 1.0 - config.weight_decay * xp.astype(lr, x.dtype, copy=False)
        after: tuple[Array, ...] = (x, *before[1:])
        if kernel is not None:
            kernel(x, grads[name], *before[1:], step)
        else:
            after = _updated(xp, config, *after, grads[name], *scalars)
        if apply is not None:
            pairs = zip(after, before, strict=True)
            after = tuple(xp.where(apply, one, other) for one, other in pairs)
        new[name], m[name], v[name] = after
    return new, {"m": m, "v": v}


def _uncorrected(config: Adam, lr: float, c1: float, c2: float) -> Step:
    """Return lr c₁ m/(√(c₂ v) + ε) without its corrections, which kernels round in many ways."""
    root = math.sqrt(c2)
    return Step(lr * c1 / root, config.beta1, config.beta2, config.epsilon / root)


def _updated(
    xp: Any, config: Adam, x: Array, m: Array, v: Array, g: Array, *scalars: Array
) -> tuple[Array, ...]:
    """Return x, m and v after one update, in their old places where that is possible."""
    rate, c1, c2 = (xp.astype(s, x.dtype, copy=False) for s in scalars)
    step = g * (1.0 - config.beta1)
    m *= config.beta1
    m += step
    square = g * g
    square *= 1.0 - config.beta2
    v *= config.beta2
    v += square
    root = xp.sqrt(v * c2)
    root += config.epsilon
    step = m / root
    step *= rate * c1
    x -= step
    return x, m, v


def moving_average(
    xp: Any, average: Flat, params: Flat, decay: float, apply: Array | None = None
) -> Flat:
    """Return decay·average + (1 − decay)·params; the average that is given may be changed.

    Parameters
    ----------
    apply
        As in :func:`update`.
    """
    new = {}
    for name, x in params.items():
        before = mean = average[name]
        mean *= decay
        mean += (1.0 - decay) * x
        new[name] = mean if apply is None else xp.where(apply, mean, before)
    return new

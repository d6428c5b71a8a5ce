r"""Adam and AdamW, gradient clipping and moving averages, as pure functions of flat dicts.

.. math::

   m = \beta_1 m + (1-\beta_1) g, \quad v = \beta_2 v + (1-\beta_2) g^2, \quad
   \theta = \theta - \alpha \Big(\frac{m/(1-\beta_1^t)}{\sqrt{v/(1-\beta_2^t)} + \epsilon}
            + \lambda\theta\Big),

where λ is AdamW's; Adam adds λθ to the gradient g instead.

Sources: Kingma & Ba, arXiv:1412.6980; Loshchilov & Hutter, arXiv:1711.05101 (λ, AdamW).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .tree import Flat

Array = Any


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
) -> tuple[Flat, dict[str, Flat]]:
    """Return the parameters and moments after one update.

    Parameters
    ----------
    lr, correction1, correction2
        The learning rate and :meth:`Adam.corrections`, as 0-d arrays so that nothing recompiles.
    """
    if config.max_norm > 0:
        grads = clip(xp, grads, config.max_norm)
    new, m, v = {}, {}, {}
    for name, x in params.items():
        g = grads[name]
        if config.weight_decay and not config.decoupled:
            g = g + config.weight_decay * x
        rate, c1, c2 = (xp.astype(s, x.dtype, copy=False) for s in (lr, correction1, correction2))
        m[name] = config.beta1 * state["m"][name] + (1.0 - config.beta1) * g
        v[name] = config.beta2 * state["v"][name] + (1.0 - config.beta2) * (g * g)
        step = m[name] * c1 / (xp.sqrt(v[name] * c2) + config.epsilon)
        if config.weight_decay and config.decoupled:
            step = step + config.weight_decay * x
        new[name] = x - rate * step
    return new, {"m": m, "v": v}


def moving_average(average: Flat, params: Flat, decay: float) -> Flat:
    """Return decay·average + (1 − decay)·params."""
    return {name: decay * average[name] + (1.0 - decay) * x for name, x in params.items()}

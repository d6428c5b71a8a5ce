"""Learning rate as a function of the step: warm-up, then ``exp``, ``cosine`` or ``wsd`` decay.

With S steps in all and W of them warm-up, T = S − W steps remain for the decay from l₀
(``start_lr``) to l₁ (``stop_lr``). Counting t from the end of the warm-up:

- warm-up: linear from ``warmup_start_factor``·l₀ at step 0 to l₀ at step W;
- ``exp``: max(l₁, l₀ q^n), n = ⌊t/d⌋ (t/d if ``smooth``), d = ``decay_steps``, q = ``decay_rate``
  or, if that is not given, (l₁/l₀)^(d/T), which arrives at l₁ at the last step;
- ``cosine``: l₁ + ½ (l₀ − l₁) (1 + cos(π t/T)), then l₁;
- ``wsd``: l₀ until the last D = ``decay_phase_ratio``·S steps, then with τ = 0 … 1 in D steps
  ``inverse_linear`` 1/(τ/l₁ + (1 − τ)/l₀), ``cosine`` (as above, τ for t/T) or
  ``linear`` l₀ + (l₁ − l₀) τ.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import ConfigError, did_you_mean

#: ``stop_lr`` when the input gives neither it nor ``stop_lr_ratio``.
DEFAULT_STOP_LR = 5e-8

#: Default ``decay_steps`` of the ``exp`` schedule.
DEFAULT_DECAY_STEPS = 5000

#: The smallest ``stop_lr`` from which a decay rate is computed (its logarithm is needed).
_SMALLEST_STOP_LR = 1e-10


@dataclass(frozen=True)
class LearningRate:
    """A learning rate for every step of a run."""

    start_lr: float  #: after the warm-up; loss prefactors are ramped by at(step)/start_lr
    stop_lr: float  #: where the decay ends
    warmup_steps: int
    warmup_start_lr: float  #: at step 0 of a warm-up
    decay: Callable[[int], float]  #: learning rate as a function of the steps since the warm-up

    def at(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0 at the start of the training."""
        if step < self.warmup_steps:
            progress = step / self.warmup_steps
            return self.warmup_start_lr + (self.start_lr - self.warmup_start_lr) * progress
        return self.decay(step - self.warmup_steps)


def _exp(t: int, *, start: float, stop: float, rate: float, every: int, smooth: bool) -> float:
    """Return max(stop, start·rate^(t/every)), the exponent rounded down unless ``smooth``."""
    exponent = t / every if smooth else t // every
    return max(stop, start * rate**exponent)


def _cosine(t: int, *, start: float, stop: float, steps: int) -> float:
    """Return half a cosine from ``start`` at t = 0 to ``stop`` at t = ``steps`` and beyond."""
    if steps == 0:
        return start
    if t >= steps:
        return stop
    return stop + 0.5 * (start - stop) * (1.0 + math.cos(math.pi * (t / steps)))


def _inverse_linear(tau: float, start: float, stop: float) -> float:
    return 1.0 / (tau / stop + (1.0 - tau) / start)


def _half_cosine(tau: float, start: float, stop: float) -> float:
    return stop + (start - stop) * 0.5 * (1.0 + math.cos(math.pi * tau))


def _linear(tau: float, start: float, stop: float) -> float:
    return start + (stop - start) * tau


_RULES: dict[str, Callable[[float, float, float], float]] = {
    "inverse_linear": _inverse_linear,
    "cosine": _half_cosine,
    "linear": _linear,
}


def _wsd(t: int, *, start: float, stop: float, stable: int, steps: int, rule: str) -> float:
    """Return ``start`` for ``stable`` steps, then the rule's way to ``stop`` within ``steps``."""
    if t >= stable + steps:
        return stop
    if t < stable:
        return start
    return _RULES[rule]((t - stable) / steps, start, stop)


def learning_rate(settings: Mapping[str, Any], numb_steps: int) -> LearningRate:
    """Return the schedule of the ``learning_rate`` section of an input.

    Parameters
    ----------
    settings
        The section with DeePMD-kit's keys; a key that is absent or None has its default.
    numb_steps
        Number of steps of the whole training, the warm-up included.

    Raises
    ------
    ConfigError
        If a value is impossible, or two values contradict each other.

    Examples
    --------
    >>> section = {"type": "exp", "start_lr": 1e-3, "stop_lr": 1e-5, "decay_steps": 50}
    >>> lr = learning_rate(section, 100)
    >>> [round(lr.at(step), 9) for step in (0, 49, 50, 100)]
    [0.001, 0.001, 0.0001, 1e-05]
    """
    given = {key: value for key, value in settings.items() if value is not None}
    kind = given.get("type", "exp")
    if kind not in _SCHEDULES:
        known = ", ".join(_SCHEDULES)
        raise ConfigError(
            f"learning_rate/type: unknown schedule {kind!r}{did_you_mean(str(kind), _SCHEDULES)}; "
            f"known are {known}"
        )
    start, stop = _ends(given)
    warmup = _warmup_steps(given, numb_steps)
    factor = float(given.get("warmup_start_factor", 0.0))
    _require(factor >= 0.0 and math.isfinite(factor), "warmup_start_factor", factor, "be ≥ 0")
    return LearningRate(
        start_lr=start,
        stop_lr=stop,
        warmup_steps=warmup,
        warmup_start_lr=factor * start,
        decay=_SCHEDULES[kind](given, start, stop, numb_steps, warmup),
    )


def _require(condition: bool, key: str, value: object, what: str) -> None:
    """Raise a ConfigError with the requirement on ``learning_rate/key``, unless it holds."""
    if not condition:
        raise ConfigError(f"learning_rate/{key} is {value}; it must {what}")


def _ends(given: Mapping[str, Any]) -> tuple[float, float]:
    """Return (start_lr, stop_lr)."""
    if "start_lr" not in given:
        raise ConfigError("learning_rate/start_lr is missing; give for example 0.001")
    if "stop_lr" in given and "stop_lr_ratio" in given:
        raise ConfigError(
            "learning_rate has both stop_lr and stop_lr_ratio, which say the same thing; keep one"
        )
    start = float(given["start_lr"])
    _require(start > 0.0 and math.isfinite(start), "start_lr", start, "be positive and finite")
    if "stop_lr_ratio" in given:
        key, stop = "stop_lr_ratio", start * float(given["stop_lr_ratio"])
    else:
        key, stop = "stop_lr", float(given.get("stop_lr", DEFAULT_STOP_LR))
    _require(stop >= 0.0 and math.isfinite(stop), key, given.get(key), "be finite and not negative")
    return start, stop


def _warmup_steps(given: Mapping[str, Any], numb_steps: int) -> int:
    """Return the number of warm-up steps, which leave at least one step for the decay."""
    if numb_steps < 0:
        raise ConfigError(f"training/numb_steps is {numb_steps}; it must not be negative")
    steps = int(given.get("warmup_steps", 0))
    key = "warmup_steps"
    if "warmup_ratio" in given:
        if steps != 0:
            raise ConfigError(
                "learning_rate has both warmup_steps and warmup_ratio, "
                "which say the same thing; keep one"
            )
        key = "warmup_ratio"
        ratio = float(given[key])
        _require(math.isfinite(ratio), key, ratio, "be a finite number")
        steps = int(ratio * numb_steps)
    fits = steps == 0 or 0 < steps < numb_steps
    what = f"give at least 0 and fewer than training/numb_steps = {numb_steps} warm-up steps"
    _require(fits, key, given.get(key), what)
    return steps


def _exp_from(
    given: Mapping[str, Any], start: float, stop: float, numb_steps: int, warmup: int
) -> Callable[[int], float]:
    """Return the exponential decay of ``learning_rate/type = "exp"``."""
    total = numb_steps - warmup
    every = int(given.get("decay_steps", DEFAULT_DECAY_STEPS))
    _require(every > 0, "decay_steps", every, "be positive")
    if "decay_rate" in given:
        rate = float(given["decay_rate"])
        _require(0.0 < rate <= 1.0, "decay_rate", rate, "be above 0 and at most 1")
    else:
        if every >= total:
            # A stair that is longer than the run would never step down: take about a hundred.
            every = 100 if total // 10 > 100 else total // 100 + 1
        rate = 1.0 if total == 0 else _rate(start, stop, total / every)
    smooth = bool(given.get("smooth", False))
    return functools.partial(_exp, start=start, stop=stop, rate=rate, every=every, smooth=smooth)


def _rate(start: float, stop: float, stairs: float) -> float:
    """Return the factor per stair that leads from ``start`` to ``stop`` in that many stairs."""
    end = max(stop, min(_SMALLEST_STOP_LR, start))  # a rate above 1 would let the steps grow
    return math.exp(math.log(end / start) / stairs)


def _cosine_from(
    given: Mapping[str, Any], start: float, stop: float, numb_steps: int, warmup: int
) -> Callable[[int], float]:
    """Return the decay of ``learning_rate/type = "cosine"``, which has no keys of its own."""
    return functools.partial(_cosine, start=start, stop=stop, steps=numb_steps - warmup)


def _wsd_from(
    given: Mapping[str, Any], start: float, stop: float, numb_steps: int, warmup: int
) -> Callable[[int], float]:
    """Return the decay of ``learning_rate/type = "wsd"`` (warm-up, stable, decay)."""
    key = "stop_lr_ratio" if "stop_lr_ratio" in given else "stop_lr"
    _require(stop > 0.0, key, given.get(key), "be positive for the schedule 'wsd'")
    ratio = float(given.get("decay_phase_ratio", 0.1))
    _require(0.0 < ratio <= 1.0, "decay_phase_ratio", ratio, "be above 0 and at most 1")
    rule = str(given.get("decay_type", "inverse_linear"))
    known = f"be one of {', '.join(_RULES)}{did_you_mean(rule, _RULES)}"
    _require(rule in _RULES, "decay_type", repr(rule), known)
    total = numb_steps - warmup
    steps = max(1, min(int(ratio * numb_steps), total))
    return functools.partial(
        _wsd, start=start, stop=stop, stable=total - steps, steps=steps, rule=rule
    )


_SCHEDULES: dict[
    str, Callable[[Mapping[str, Any], float, float, int, int], Callable[[int], float]]
] = {"exp": _exp_from, "cosine": _cosine_from, "wsd": _wsd_from}

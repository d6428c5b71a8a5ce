"""The size of the batches of each system: DeePMD's rules."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from ..errors import ConfigError
from ._blocks import ranges
from ._stored import Array
from ._system import System

AUTO = 32  #: atoms per batch aimed at by ``"auto"``

#: Rules for the number of frames, before a colon and a number.
RULES = ("auto", "max", "filter", "mix", "mixed")


@contextmanager
def _naming(where: str) -> Iterator[None]:
    """Add the section of a wrong key to the start of the error."""
    try:
        yield
    except ConfigError as exc:
        raise ConfigError(f"{where}: {exc}" if where else str(exc)) from exc.__cause__


def _there_are(n: int) -> str:
    return "there is 1 system" if n == 1 else f"there are {n} systems"


def _entries(n: int) -> str:
    return "1 entry" if n == 1 else f"{n} entries"


def batch_sizes(
    systems: Sequence[System], spec: int | Sequence[int] | str, where: str = ""
) -> list[int]:
    """Return the number of frames per batch of each system, at most all of its frames.

    DeePMD gives a shorter batch if a system has fewer frames than requested; so does the limit.

    Parameters
    ----------
    systems
        The systems.
    spec
        A number; a list with one number per system; ``"auto"`` (= ``"auto:32"``) or ``"auto:N"``
        for the smallest number of frames that together have at least N atoms; ``"max:N"`` for the
        largest number that together have at most N atoms (at least one frame); ``"filter:N"`` for
        the same, and 0 (never drawn) for systems with more than N atoms; ``"mix:N"`` is ``"max:N"``
        for systems whose frames differ in size. With ``"mixed:N"`` a batch has N frames of all
        systems (:class:`MixedSampler`); the sizes are then those of batches for statistics.
    where
        Section of the input with the rule, for errors.

    Raises
    ------
    ConfigError
        If the rule cannot be understood or leaves no system.

    Examples
    --------
    >>> batch_sizes(systems, "auto:64")  # doctest: +SKIP
    [11, 1]
    """
    with _naming(where):
        sizes = _sizes(systems, spec)
    return [min(size, system.nframes) for size, system in zip(sizes, systems, strict=True)]


def _sizes(systems: Sequence[System], spec: int | Sequence[int] | str) -> list[int]:
    """Return the number of frames per batch of each system, as if frames never ran out."""
    if isinstance(spec, str):
        return _by_rule([system.natoms for system in systems], spec)
    sizes = [spec] * len(systems) if isinstance(spec, int) else list(spec)
    if len(sizes) != len(systems):
        raise ConfigError(
            f"batch_size has {_entries(len(sizes))}, but {_there_are(len(systems))}; "
            "give one number per system"
        )
    if any(size < 1 for size in sizes):
        raise ConfigError(f"batch_size is {min(sizes)}, but it must be at least 1")
    return sizes


def _by_rule(natoms: list[int], spec: str) -> list[int]:
    rule, _, text = spec.partition(":")
    if rule == "auto" and not text:
        text = str(AUTO)
    if rule not in RULES or not text.isdecimal() or int(text) < 1:
        raise ConfigError(
            f"batch_size {spec!r} is not understood; give a number, a list of numbers, "
            "'auto', 'auto:N', 'max:N', 'filter:N', 'mix:N' or 'mixed:N'"
        )
    limit = int(text)
    if rule == "mixed":
        return [limit] * len(natoms)
    if rule == "auto":
        return [-(-limit // atoms) for atoms in natoms]
    sizes = [max(1, limit // atoms) for atoms in natoms]
    if rule != "filter":
        return sizes
    if min(natoms) > limit:
        raise ConfigError(
            f"batch_size {spec!r} leaves no system: the smallest has {min(natoms)} atoms"
        )
    return [size if atoms <= limit else 0 for size, atoms in zip(sizes, natoms, strict=True)]


def mixed_size(spec: int | Sequence[int] | str) -> int:
    """Return N of ``"mixed:N"``, the frames of a batch from all systems; 0 for other rules."""
    rule, _, text = spec.partition(":") if isinstance(spec, str) else ("", "", "")
    return int(text) if rule == "mixed" else 0


def numbers_of_batches(systems: Sequence[System], sizes: Sequence[int]) -> Array:
    """Return the number of batches of each system (nsystems,), counted as in DeePMD.

    That is whole batches within each set, at least one per set; 0 for a system with batch size 0.
    """
    return np.array(
        [
            sum(max(1, length // size) for length in system.set_lengths) if size else 0
            for system, size in zip(systems, sizes, strict=True)
        ],
        dtype=np.float64,
    )


def system_probabilities(
    systems: Sequence[System],
    batch_sizes: Sequence[int],
    auto_prob: str = "prob_sys_size",
    sys_probs: Sequence[float] | None = None,
    where: str = "",
) -> Array:
    """Return the probability of each system to provide the batch of a step (nsystems,).

    Parameters
    ----------
    systems
        The systems.
    batch_sizes
        Frames per batch of each; a system with 0 is never drawn.
    auto_prob
        ``"prob_uniform"``; ``"prob_sys_size"``, in proportion to the number of batches; or
        ``"prob_sys_size;0:4:0.3;4:8:0.7"``, where systems 0 to 3 share 0.3 and so on, within a
        block in proportion to the number of batches.
    sys_probs
        One weight per system instead, scaled to the sum 1. As in DeePMD a negative entry means
        "in proportion to the number of batches": these systems share what the others leave of 1.
    where
        Section of the input with the rule, for errors.

    Raises
    ------
    ConfigError
        If the weights do not fit the systems.
    """
    with _naming(where):
        batches = numbers_of_batches(systems, batch_sizes)
        of_blocks = [system.block for system in systems]
        weights = _weights(batches, auto_prob, sys_probs, of_blocks)
        weights = np.where(batches > 0, weights, 0.0)
        if not weights.sum() > 0:
            raise ConfigError(
                "the probabilities of all systems are 0; give at least one system some"
            )
    probabilities: Array = weights / weights.sum()
    return probabilities


def _weights(
    batches: Array,
    auto_prob: str,
    sys_probs: Sequence[float] | None,
    blocks: Sequence[int | None],
) -> Array:
    """Return the weight of each system (nsystems,)."""
    if sys_probs is not None:
        return _given(np.array(sys_probs, dtype=np.float64), batches)
    if auto_prob == "prob_uniform":
        return np.ones_like(batches)
    if auto_prob == "prob_sys_size":
        return batches
    if auto_prob.startswith("prob_sys_size;"):
        if None in blocks:
            return _of_ranges(auto_prob, batches)
        return _of_blocks(auto_prob, batches, np.array(blocks))
    raise ConfigError(
        f"auto_prob {auto_prob!r} is not understood; give 'prob_uniform', 'prob_sys_size' or "
        "'prob_sys_size;start:end:weight;…'"
    )


def _given(weights: Array, batches: Array) -> Array:
    if weights.shape != batches.shape:
        raise ConfigError(
            f"sys_probs has {_entries(weights.size)}, but {_there_are(batches.size)}; "
            "give one number per system"
        )
    if not np.isfinite(weights).all():
        raise ConfigError(f"sys_probs holds {weights[~np.isfinite(weights)][0]}; give numbers")
    automatic = weights < 0
    if not automatic.any():
        return weights
    rest = 1.0 - weights[~automatic].sum()
    if rest < -1e-8:
        raise ConfigError(
            f"the entries of sys_probs that are not negative sum up to {1 - rest:g}, which leaves "
            "nothing for those that are (-1 means: by size); their sum must be below 1"
        )
    shares = np.where(automatic, batches, 0.0)
    return np.where(automatic, max(rest, 0.0) * shares / max(shares.sum(), 1.0), weights)


def _of_ranges(auto_prob: str, batches: Array) -> Array:
    """Return weights where blocks are ranges of systems."""
    weights = np.zeros_like(batches)
    for start, end, weight in ranges(auto_prob):
        if end > batches.size:
            raise ConfigError(
                f"block '{start}:{end}:{weight:g}' of auto_prob does not fit: "
                f"{_there_are(batches.size)}, so it needs 0 ≤ start < end ≤ {batches.size}"
            )
        inside = batches[start:end]
        weights[start:end] = weight * inside / max(inside.sum(), 1.0)
    return weights


def _of_blocks(auto_prob: str, batches: Array, blocks: Array) -> Array:
    """Return weights where systems know their block, −1 for none."""
    weights = np.zeros_like(batches)
    for number, (_, _, weight) in enumerate(ranges(auto_prob)):
        inside = blocks == number
        weights[inside] = weight * batches[inside] / max(batches[inside].sum(), 1.0)
    return weights

"""The frames of a training step, as a function of the seed and the step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol, TypeAlias, final

import numpy as np

from ..errors import DataError
from ._stored import Array
from ._system import System

#: The frames of a batch: some of one system, or of several.
Picks: TypeAlias = tuple[tuple[int, Array], ...]


class Draws(Protocol):
    """The frames of each step in turn."""

    def picks(self) -> Picks:
        """Return the frames of the next step, in the order in which they are drawn."""

    def state(self) -> dict[str, Array]:
        """Return the counters that :meth:`restore` needs, as named arrays."""

    def restore(self, state: Mapping[str, Array]) -> None:
        """Continue exactly from the state of a sampler with the same seed."""


@final
class Sampler:
    """Draw a system and frames of it for each step, each frame of a system once per epoch.

    A step takes a system with its probability, then the next frames in the shuffled order of that
    system's epoch. A batch at the end of an epoch continues with the next one, so that all
    batches of a system have the same size.

    Everything random is a function of (seed, step) and (seed, system, epoch), so the
    state is a few counters for any number of frames.

    Parameters
    ----------
    systems
        The systems.
    batch_sizes
        Frames per batch of each system; see :func:`batch_sizes`.
    probabilities
        Probability of each system (nsystems,); see :func:`system_probabilities`.
    seed
        Not negative.
    shuffle
        True if frames come in a random order.
    """

    def __init__(
        self,
        systems: Sequence[System],
        batch_sizes: Sequence[int],
        probabilities: Array,
        seed: int,
        shuffle: bool = True,
    ) -> None:
        self._nframes = np.array([system.nframes for system in systems], dtype=np.int64)
        self._sizes = [int(size) for size in batch_sizes]
        self._bounds = np.cumsum(np.asarray(probabilities, dtype=np.float64))
        if not len(self._sizes) == self._bounds.size == self._nframes.size > 0:
            raise ValueError("systems, batch sizes and probabilities differ in length")
        self._seed = int(seed)
        self._shuffle = shuffle
        self._step = 0
        # Frames given so far: epoch and place within it are quotient and remainder by nframes.
        self._given = np.zeros(self._nframes.size, dtype=np.int64)
        self._orders: dict[int, tuple[int, Array]] = {}

    def next(self) -> tuple[int, Array]:
        """Return the system's index and the frames (batch size,) of the next step."""
        draw = np.random.default_rng([self._seed, 0, self._step]).random() * self._bounds[-1]
        system = int(np.searchsorted(self._bounds, draw, side="right"))
        self._step += 1
        return system, self._following(system, self._sizes[system])

    def picks(self) -> Picks:
        """Return the system and the frames of the next step."""
        return (self.next(),)

    def next_mixed(self, number: int, labels: Array) -> Picks:
        """Return so many frames, each of a system drawn by its probability, one by one.

        The first draws from all systems, the others from those whose ``labels`` (nsystems,) are
        equal to its own: each frame still comes from a system with that system's probability.
        """
        draws = np.random.default_rng([self._seed, 3, self._step]).random(number)
        self._step += 1
        chances, chosen = np.diff(self._bounds, prepend=0.0), []
        bounds = self._bounds
        for draw in draws:
            chosen.append(int(np.searchsorted(bounds, draw * bounds[-1], side="right")))
            if len(chosen) == 1:
                bounds = np.cumsum(np.where(labels == labels[chosen[0]], chances, 0.0))
        return tuple((system, self._following(system, 1)) for system in chosen)

    def _following(self, system: int, missing: int) -> Array:
        """Return the next frames of a system, so many."""
        parts = []
        while missing > 0:
            epoch, place = divmod(int(self._given[system]), int(self._nframes[system]))
            part = self._order(system, epoch)[place : place + missing]
            parts.append(part)
            missing -= part.size
            self._given[system] += part.size
        return np.concatenate(parts)

    def state(self) -> dict[str, Array]:
        """Return the counters that :meth:`restore` needs, as named arrays."""
        return {
            "seed": np.array(self._seed, dtype=np.uint64),
            "step": np.array(self._step, dtype=np.int64),
            "given": self._given.copy(),
            "nframes": self._nframes.copy(),
        }

    def restore(self, state: Mapping[str, Array]) -> None:
        """Continue exactly from the state of a sampler with the same seed.

        Raises
        ------
        DataError
            If the state belongs to other data.
        """
        nframes = np.asarray(state["nframes"])
        if not np.array_equal(nframes, self._nframes):
            raise DataError(
                f"the restart file was written for {_systems(nframes)}, but the data have "
                f"{_systems(self._nframes)}; restart with the same data, or start a new run from "
                "the model"
            )
        self._seed = int(state["seed"])
        self._step = int(state["step"])
        self._given = np.array(state["given"], dtype=np.int64)
        self._orders = {}

    def _order(self, system: int, epoch: int) -> Array:
        if not self._shuffle:
            return np.arange(self._nframes[system], dtype=np.int64)
        known = self._orders.get(system)
        if known is None or known[0] != epoch:
            rng = np.random.default_rng([self._seed, 1, system, epoch])
            known = epoch, rng.permutation(self._nframes[system])
            self._orders[system] = known
        return known[1]


@final
class MixedSampler:
    """Draw a number of frames for each step, each from a system drawn by its probability.

    The frames of a batch have the same labels, so that a term of the loss is of all of them or of
    none. Everything else is as with :class:`Sampler`, whose state this one has.

    Parameters
    ----------
    systems, probabilities, seed
        As for :class:`Sampler`.
    number
        Frames of a batch.
    labels
        Those that count.
    """

    def __init__(
        self,
        systems: Sequence[System],
        number: int,
        probabilities: Array,
        seed: int,
        labels: Iterable[str] = (),
    ) -> None:
        self._sampler = Sampler(systems, [1] * len(systems), probabilities, seed)
        self._number = number
        kinds = [system.labels.intersection(labels) for system in systems]
        self._labels = np.array([kinds.index(kind) for kind in kinds])

    def picks(self) -> Picks:
        """Return the frames of the next step, one by one."""
        return self._sampler.next_mixed(self._number, self._labels)

    def state(self) -> dict[str, Array]:
        """Return the counters that :meth:`restore` needs, as named arrays."""
        return self._sampler.state()

    def restore(self, state: Mapping[str, Array]) -> None:
        """Continue exactly from the state of a sampler with the same seed."""
        self._sampler.restore(state)


def _systems(nframes: Array) -> str:
    """Return the number of systems, and the number of frames of each."""
    many = "s" if nframes.size != 1 else ""
    return f"{nframes.size} system{many} with {nframes.tolist()} frames"

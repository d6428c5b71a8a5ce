"""Summary of the training data of a model, and predictions outside of it.

A model file holds the elements, the closest pairs and the ranges of ``fparam`` of its training data
(in its provenance). A prediction for anything else is told once, and is kept as a sentence.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from .. import models as mdl
from ..neighbors.frame import Frame, for_part
from ..neighbors.requirements import Requirements
from ..survey.doubts import shortest
from .parts import Part
from .provenance import KEY

#: A pair is outside if it is nearer than this fraction of the closest pair in training.
CLOSER = 0.95

#: And a number if it is outside of the range by this fraction of its width.
MARGIN = 0.01

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Seen:
    """Summary of the training data of a model.

    Attributes
    ----------
    types
        True for a type that occurred, (ntypes,).
    nearest
        Smallest distance of each pair of types in Å, ∞ for none within the cutoff,
        (ntypes, ntypes).
    fparam
        Lowest and highest value of each component, (2, numb_fparam), or None.
    """

    types: np.ndarray
    nearest: np.ndarray
    fparam: np.ndarray | None = None

    @cached_property
    def closest_allowed(self) -> np.ndarray:
        """Distance of each pair of types in Å below which it is outside, (ntypes, ntypes).

        0 for a pair that never was within the cutoff: nothing is known of its distance.
        """
        return np.where(np.isfinite(self.nearest), CLOSER * self.nearest, 0.0)

    def to_content(self, type_map: Sequence[str]) -> dict[str, Any]:
        """Return the entry of a model file."""
        pairs = {
            f"{a}-{b}": round(float(self.nearest[i, j]), 4)
            for i, a in enumerate(type_map)
            for j, b in enumerate(type_map)
            if i <= j and np.isfinite(self.nearest[i, j])
        }
        names = [name for name, there in zip(type_map, self.types, strict=True) if there]
        found: dict[str, Any] = {"elements": names, "closest pairs, Å": pairs}
        return found if self.fparam is None else {**found, "fparam": self.fparam.tolist()}


def from_content(model: mdl.Model, content: Mapping[str, Any]) -> Seen | None:
    """Return what a model file says about its training data; None if it says nothing usable."""
    node: Any = content.get(KEY)
    node = node.get("seen") if isinstance(node, Mapping) else None
    if not isinstance(node, Mapping):
        return None
    names, index = node.get("elements"), {name: k for k, name in enumerate(model.type_map)}
    pairs = node.get("closest pairs, Å")
    if not isinstance(names, list) or not isinstance(pairs, Mapping):
        return None
    types, nearest = np.zeros(model.ntypes, dtype=bool), np.full((model.ntypes,) * 2, np.inf)
    types[[index[name] for name in names if name in index]] = True
    for pair, distance in pairs.items():
        a, _, b = str(pair).partition("-")
        if a in index and b in index and isinstance(distance, int | float) and distance > 0:
            nearest[index[a], index[b]] = nearest[index[b], index[a]] = distance
    return Seen(types, nearest, _ranges(node.get("fparam"), model.fitting.numb_fparam))


def _ranges(given: Any, number: int) -> np.ndarray | None:
    """Return lowest and highest values (2, number), or None if they are something else."""
    try:
        found = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError):
        return None
    return found if number and found.shape == (2, number) and np.isfinite(found).all() else None


@dataclass
class Watch:
    """Tells, once for each, what predictions meet that the training data did not hold.

    Parameters
    ----------
    seen
        None for a model that does not say what it was trained on: atoms that are nearer than any
        bond are told instead.
    tell
        Called with one sentence.
    """

    model: mdl.Model
    seen: Seen | None
    tell: Callable[[str], object] = log.warning
    _worst: dict[Any, tuple[float, str]] = field(default_factory=dict, init=False)
    _most: dict[int, tuple[np.ndarray, int]] = field(default_factory=dict, init=False, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    @property
    def told(self) -> list[str]:
        """A sentence for each thing so far, on the worst of its kind."""
        with self._lock:
            return [text for _, text in self._worst.values()]

    @cached_property
    def _needs(self) -> Requirements:
        """The neighbours that the model needs."""
        return self.model.descriptor.requires()

    @cached_property
    def _closest(self) -> np.ndarray:
        """Distances in Å below which two types are told, (ntypes, ntypes)."""
        plausible = shortest(self.model.type_map)
        return plausible if self.seen is None else self.seen.closest_allowed

    def look(self, parts: Sequence[Part]) -> None:
        """Compare atoms that are evaluated now with the training data."""
        for part in parts:
            for key, degree, text in self._found(part):
                with self._lock:
                    known = self._worst.get(key)
                    if known is None or degree > known[0]:
                        self._worst[key] = (degree, text)
                if known is None:
                    self.tell(text)

    def _found(self, part: Part) -> Iterator[tuple[Any, float, str]]:
        """Yield what is outside in some atoms: a key, its degree, and a sentence."""
        names, frame = self.model.type_map, part.frame
        for k, needs in enumerate(self._needs.each):
            own = self._part_of(frame, needs)
            if own is not None and own.dropped:
                yield self._beyond_sel(k, needs, own)
        if self.seen is not None and not self.seen.types.all():
            for a in np.unique(frame.atype[frame.atype >= 0]).tolist():
                if not self.seen.types[a]:
                    yield a, 0.0, f"{names[a]} was in no training data of this model"
        for a, b in np.argwhere(frame.nearest < self._closest).tolist():
            if a <= b:
                yield (a, b), -float(frame.nearest[a, b]), self._too_near(part, a, b)
        if part.fparam is not None and self.seen is not None and self.seen.fparam is not None:
            yield from _beyond_range(part, part.fparam, self.seen.fparam)

    def _part_of(self, frame: Frame, needs: Requirements) -> Frame | None:
        """Return a frame as a part of the descriptor needs it; None if no neighbours can be lost.

        That of the whole tells if any can be: most frames need no other.
        """
        whole = self._needs
        if not whole.parts:
            return frame
        lost = needs.short(frame.fullest, sum(frame.fullest), self.model.type_map)
        return for_part(frame, whole, needs) if lost else None

    def _beyond_sel(self, k: int, needs: Requirements, frame: Frame) -> tuple[Any, float, str]:
        """Return the entry on neighbours that are left out, with the most of each type so far.

        Parameters
        ----------
        k, needs
            Of the part of the descriptor that leaves them out.
        """
        zero = np.zeros(self.model.ntypes, dtype=np.int64)
        with self._lock:
            before = self._most.get(k, (zero, 0))
            most = np.maximum(before[0], frame.fullest)
            together = max(before[1], frame.together)
            self._most[k] = most, together
        beyond = needs.short(most, together, self.model.type_map)
        within = f" within {needs.rcut:g} Å" if self._needs.parts else ""
        text = (
            f"atoms have up to {', '.join(beyond)} neighbours{within}: the farthest beyond sel are "
            "left out, and predictions are not smooth"
        )
        return ("sel", k), float(most.sum() + together), text

    def _too_near(self, part: Part, a: int, b: int) -> str:
        """Return the sentence about two types that are too close."""
        names, distance = self.model.type_map, part.frame.nearest[a, b]
        pair = f"{names[a]} and {names[b]} are {distance:.3g} Å apart{_place(part)}"
        if self.seen is None:
            return f"{pair}, nearer than any bond: are coordinates and cells in Å?"
        return (
            f"{pair}, nearer than in the training data of this model "
            f"({self.seen.nearest[a, b]:.3g} Å)"
        )


def _place(part: Part) -> str:
    """Return the place of a part, empty for the first frame of a call, which may be the only."""
    return f" in {part.where}" if part.where not in ("", "frame 0") else ""


def _beyond_range(
    part: Part, fparam: np.ndarray, known: np.ndarray
) -> Iterator[tuple[Any, float, str]]:
    """Yield an entry for each component of fparam (n,) outside of its range, known (2, n)."""
    low, high = known
    slack = MARGIN * (high - low)
    beyond = np.maximum(low - fparam, fparam - high)
    for k in np.flatnonzero(beyond > slack).tolist():
        yield (
            ("fparam", k),
            float(beyond[k]),
            f"fparam {k} is {fparam[k]:.4g}{_place(part)}, outside of the training data of this "
            f"model ({low[k]:.4g} to {high[k]:.4g})",
        )

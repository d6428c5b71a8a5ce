"""Sentences about the data that users would not expect: nothing is passed over in silence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ...console.systems import guessed
from ...console.words import counted, few
from ...data import System
from ...neighbors.requirements import Requirements
from ...support import parts_of
from ...survey import SystemSurvey, combine
from ...survey.doubts import doubts
from ..setup.task import Dataset, Task


def data_notes(task: Task) -> Iterator[str]:
    """Yield the sentences on the data of a task, training and validation."""
    training, validation = task.data.training, task.data.validation
    sets = [("training", training)] + ([("validation", validation)] if validation else [])
    for kind, data in sets:
        yield from _repeated(kind, data.source.systems)
        yield from _never_drawn(kind, data)
    if validation is not None:
        yield from _held_in(training.source.systems, validation.source.systems)
    systems = [system for _, data in sets for system in data.source.systems]
    found = [one for _, data in sets for one in data.found]
    if any(system.named for system in systems):
        yield from filter(None, [guessed(systems)])
    for part in parts_of(task.model.descriptor):
        if why := getattr(part, "not_in_deepmd", ""):
            yield f"the model's files are for multifit alone: {why}"
    if task.model.descriptor.requires().first:
        yield (
            "warning: energies will depend on the order of the atoms, as in DeePMD-kit: with "
            "set_davg_zero false, empty slots for neighbours have the type of the first atom of a "
            "frame; set it to true"
        )
    if not training.found:
        return
    yield from _never_trained(task, training, validation)
    whole = task.model.descriptor.requires()
    for k, (needs, place) in enumerate(zip(whole.each, whole.places, strict=True)):
        own = [one for _, data in sets for one in data.within[k]]
        yield from _dropped(needs, systems, own, f" of {place}" if len(whole.each) > 1 else "")
    looked = [(s, one) for s, one in zip(systems, found, strict=True) if one.nframes]
    yield from doubts([s for s, _ in looked], [one for _, one in looked])


def again(systems: Sequence[System]) -> list[bool]:
    """Return for each system whether it was listed before, possibly under another name."""
    found, seen = [], set[str]()
    for system in systems:
        found.append(bool(system.place) and system.place in seen)
        seen.add(system.place)
    return found


def _repeated(kind: str, systems: Sequence[System]) -> Iterator[str]:
    """Yield a sentence on systems that are listed more than once."""
    found = zip(systems, again(systems), strict=True)
    twice = list(dict.fromkeys(s.name for s, known in found if known))
    if twice:
        yield (
            f"warning: {few(twice)} {_are(twice)} in training.{kind}_data.systems more than once: "
            f"{'its' if len(twice) == 1 else 'their'} frames count as often; list each system "
            "once, and give it a larger share by sys_probs"
        )


def _held_in(training: Sequence[System], validation: Sequence[System]) -> Iterator[str]:
    """Yield a sentence on systems that are training data and validation data."""
    known = {system.place for system in training} - {""}
    both = [system.name for system in validation if system.place in known]
    if both:
        yield (
            f"warning: {few(both)} {_are(both)} training data and validation data: "
            f"{'its' if len(both) == 1 else 'their'} errors do not show how well other frames are "
            "predicted"
        )


def _never_drawn(kind: str, data: Dataset) -> Iterator[str]:
    """Yield a sentence on systems whose batches are never drawn."""
    systems, chances = data.source.systems, data.probabilities
    idle = [s for s, p in zip(systems, chances, strict=True) if not p]
    if not idle:
        return
    frames = sum(s.nframes for s in idle)
    large = not all(size for size, p in zip(data.sizes, chances, strict=True) if not p)
    rule = "batch_size" if large else "auto_prob or sys_probs"
    few_names = few([system.name for system in idle])
    yield (
        f"warning: {counted(len(idle), f'{kind} system')} with {counted(frames, 'frame')} "
        f"{'is' if len(idle) == 1 else 'are'} never drawn because of {rule}: {few_names}"
    )


def _never_trained(task: Task, training: Dataset, validation: Dataset | None) -> Iterator[str]:
    """Yield sentences on elements of the model or of validation data that training lacks."""
    names = task.model.type_map
    drawn = [one for one, p in zip(training.found, training.probabilities, strict=True) if p]
    known = np.any([one.atoms.any(axis=0) for one in drawn], axis=0)
    held_out = validation.found if validation is not None else ()
    tested = np.any([np.zeros(len(names), bool), *(one.atoms.any(axis=0) for one in held_out)], 0)
    foreign = [name for name, a, b in zip(names, known, tested, strict=True) if b and not a]
    absent = [name for name, a, b in zip(names, known, tested, strict=True) if not a and not b]
    if foreign:
        yield (
            f"warning: {_listed(foreign)} {_are(foreign)} in the validation data, but in no "
            "training frame that is drawn: predictions for "
            f"{'it' if len(foreign) == 1 else 'them'} are not trained"
        )
    if absent:
        yield (
            f"{_listed(absent)} of type_map {_are(absent)} in no training frame that is drawn: "
            f"the model must not be used for {'it' if len(absent) == 1 else 'them'}"
        )


def _listed(names: Sequence[str]) -> str:
    return " and ".join(names) if len(names) <= 2 else ", ".join(names)


def _are(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"


def _dropped(
    needs: Requirements, systems: Sequence[System], found: Sequence[SystemSurvey], part: str
) -> Iterator[str]:
    """Yield a sentence on neighbours beyond ``sel``, and what would keep them all.

    Parameters
    ----------
    part
        The part of the descriptor that needs them, as in " of list[0]".
    """
    slots = np.asarray(needs.slots)
    counts = [needs.counted(one.most, one.together, one.inner) for one in found]
    beyond = [(each > slots).any(axis=1) for each in counts]
    frames = sum(int(each.sum()) for each in beyond)
    if not frames:
        return
    whole = combine(systems, found, 0.0)
    most, places = whole.fullest, whole.fullest_at
    if needs.total is not None:
        most = (whole.together, *whole.inner)
        places = (whole.together_at, *whole.inner_at)
    names = [f" {name}" for name in whole.type_map]
    if needs.total is not None:
        names = ["", *(f" within {radius:g} Å" for radius, _ in needs.shells)]
    known = zip(most, names, needs.slots, places, strict=True)
    texts = [f"{n}{name} (sel {slot}, in {at})" for n, name, slot, at in known if n > slot]
    kind = " neighbours" * (needs.total is not None)
    yield (
        f"warning: sel {list(needs.slots)}{part} is too small in {frames:,} of "
        f"{counted(whole.nframes, 'frame')}: atoms have up to {few(texts)}{kind}; the farthest are "
        f"left out, and {np.maximum(needs.slots, most).tolist()} would keep them all"
    )

"""Time training with many types of atoms beside two, at the same positions and pairs."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from .studies import CHILDREN, milliseconds, trained
from .systems import types
from .tables import table

#: Types that are compared.
NUMBERS = (2, 30)

#: Slots of each of many types.
SLOTS = 12


@dataclass
class Elements:
    """Steps of one backend for each number of types, and the update of the additional numbers."""

    backend: str
    one_side: bool
    step_ms: dict[int, list[float]] = field(default_factory=dict)  #: by the number of types
    first_s: dict[int, list[float]] = field(default_factory=dict)
    memory_mb: dict[int, list[float]] = field(default_factory=dict)
    parameters: dict[int, int] = field(default_factory=dict)
    adam_ms: list[float] = field(default_factory=list)
    load: list[float] = field(default_factory=list)  #: of the machine over a minute, before a round
    note: str = ""

    @property
    def additional(self) -> int:
        """Parameters that the fewest types do not have."""
        return self.parameters[NUMBERS[-1]] - self.parameters[NUMBERS[0]]

    def row(self) -> list[str]:
        """Return a row of a table: medians, and the ratio without the update."""
        name = f"{self.backend}, {'one side' if self.one_side else 'two sides'}"
        if self.note:
            return [name, self.note, *[""] * (len(HEAD) - 2)]
        few, many = (statistics.median(self.step_ms[number]) for number in NUMBERS)
        adam, last = statistics.median(self.adam_ms), NUMBERS[-1]
        first = statistics.median(self.first_s[last])
        memory = max(self.memory_mb[last]) / 1e3
        cells = [f"{few:.1f}", f"{many:.1f}", f"{adam:.1f}", f"{(many - adam) / few:.2f}"]
        loads = f"{min(self.load):.1f} to {max(self.load):.1f}"
        return [name, *cells, f"{first:.1f}", f"{memory:.2f}", loads]


HEAD = ["ms per step", *(f"{number} types" for number in NUMBERS), "Adam, additional"]
HEAD += ["ratio without Adam", "first step, s", "memory, GB", "load"]


def markdown(found: Sequence[Elements]) -> str:
    """Return a table with a row for each backend."""
    return table(HEAD, [each.row() for each in found])


def measure(
    backends: Sequence[str],
    *,
    source: Path,
    rounds: int,
    interval: int,
    limit_s: float,
    environment: Mapping[str, str],
) -> list[Elements]:
    """Return the times of each backend; the runs take turns.

    Parameters
    ----------
    source
        A folder with ``input.json`` of one system.
    """
    found = [Elements(name, one_side) for name in backends for one_side in (True, False)]
    for number in range(rounds):
        for each in found:
            each.load.append(os.getloadavg()[0])
            for ntypes in NUMBERS:
                if not each.note:
                    folder = source / f"{each.backend}-{each.one_side}-{ntypes}"
                    write_case(folder, source / "input.json", ntypes, each.one_side)
                    _train(each, ntypes, folder, interval, limit_s, environment)
            if not each.note:
                _update(each, source, limit_s, environment)
        print(f"round {number + 1}\n{markdown(found)}", flush=True)
    return found


def write_case(folder: Path, source: Path, ntypes: int, one_side: bool) -> None:
    """Write an input and its system with types drawn at random, if there are more than two."""
    content = json.loads(source.read_text())
    system = Path(content["training"]["training_data"]["systems"][0])
    shutil.copytree(system, folder / "system")
    model = content["model"]
    model["descriptor"]["type_one_side"] = one_side
    if ntypes > 2:
        names = [f"X{k}" for k in range(ntypes)]
        drawn = np.random.default_rng(0).integers(0, ntypes, len(types(system)))
        np.savetxt(folder / "system" / "type.raw", drawn, fmt="%d")
        (folder / "system" / "type_map.raw").write_text("\n".join(names) + "\n")
        model["type_map"], model["descriptor"]["sel"] = names, [SLOTS] * ntypes
    content["training"]["training_data"]["systems"] = ["system"]
    (folder / "input.json").write_text(json.dumps(content, indent=1))


def _train(
    each: Elements,
    ntypes: int,
    folder: Path,
    interval: int,
    limit_s: float,
    environment: Mapping[str, str],
) -> None:
    words = ("-m", "multifit", "train", "input.json", "--backend", each.backend)
    command = (sys.executable, *words)
    found = trained(
        each, command, folder, interval=interval, limit_s=limit_s, environment=environment
    )
    shutil.rmtree(folder)
    if found:
        each.step_ms.setdefault(ntypes, []).extend(found.step_ms)
        each.first_s.setdefault(ntypes, []).append(found.first_s)
        each.memory_mb.setdefault(ntypes, []).append(found.memory_mb)
        each.parameters[ntypes] = found.parameters


def _update(each: Elements, source: Path, limit_s: float, environment: Mapping[str, str]) -> None:
    command = (sys.executable, str(CHILDREN / "adam.py"), each.backend, str(each.additional))
    took = milliseconds(each, command, source, limit_s=limit_s, environment=environment)
    each.adam_ms += [] if took is None else [took]

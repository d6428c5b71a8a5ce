"""A small model on which structures relax: its atoms repel one another gently."""

from __future__ import annotations

from _cases import System, build, draw
from ase import Atoms

from multifit.inference.potential import Potential
from multifit.interfaces.ase import MultifitCalculator

#: With these parameters the shortest distance of a relaxed structure is 1.3 Å.
SEED, SCALE = 1, 2.0

MODEL = build(sel=(12, 20))


def _potential() -> Potential:
    params = draw(MODEL, SEED)
    for net in params["fitting"]["nets"].values():
        last = net["layers"][max(net["layers"], key=int)]
        last["w"] = SCALE * last["w"]
    return Potential(MODEL, params)


POTENTIAL = _potential()


def atoms_of(system: System) -> Atoms:
    """Return a system with a calculator."""
    symbols = [MODEL.type_map[t] for t in system.atype]
    pbc = system.cell is not None
    made = Atoms(symbols, positions=system.coord, cell=system.cell, pbc=pbc)
    made.calc = MultifitCalculator(POTENTIAL)
    return made

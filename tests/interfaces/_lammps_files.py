"""Small systems and inputs for LAMMPS, with atoms of two elements and a random model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from _cases import crystal
from _cli_files import write_model

from multifit.inference.potential import Potential

MASSES = (15.999, 1.008)


@dataclass(frozen=True)
class Sample:
    """Atoms in a cell of the shape that LAMMPS has, and the file of their model."""

    coord: np.ndarray  #: (natoms, 3)
    atype: np.ndarray  #: (natoms,), from 0
    cell: np.ndarray  #: (3, 3), lower triangular
    model: Path
    potential: Potential

    def data(self) -> str:
        """Return a data file of LAMMPS."""
        (a, _, _), (xy, b, _), (xz, yz, c) = self.cell.tolist()
        rows = [
            f"{n} {t + 1} {x!r} {y!r} {z!r}"
            for n, (t, (x, y, z)) in enumerate(
                zip(self.atype.tolist(), self.coord.tolist(), strict=True), start=1
            )
        ]
        head = f"{len(rows)} atoms\n2 atom types\n0 {a!r} xlo xhi\n0 {b!r} ylo yhi\n0 {c!r} zlo zhi"
        masses = "\n".join(f"{n} {mass}" for n, mass in enumerate(MASSES, start=1))
        return f"\n\n{head}\n{xy!r} {xz!r} {yz!r} xy xz yz\n\nMasses\n\n{masses}\n\nAtoms\n\n" + (
            "\n".join(rows) + "\n"
        )


def sample(folder: Path, times: int = 2, seed: int = 0) -> Sample:
    """Return a crystal repeated along each vector; writes ``model.dp`` and ``atoms.lmp``."""
    one = crystal()
    assert one.cell is not None
    shifts = np.stack(np.meshgrid(*[np.arange(times)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    coord = (one.coord[None] + (shifts @ one.cell)[:, None]).reshape(-1, 3)
    coord += np.random.default_rng(seed).normal(scale=0.05, size=coord.shape)
    cell = times * one.cell
    q, r = np.linalg.qr(cell.T)
    signs = np.sign(np.diag(r))
    potential = write_model(folder / "model.dp")
    made = Sample(
        coord @ (q * signs),
        np.tile(one.atype, len(shifts)),
        np.tril((r * signs[:, None]).T),
        folder / "model.dp",
        potential,
    )
    (folder / "atoms.lmp").write_text(made.data())
    return made


#: An input; {style} and what follows may be replaced.
INPUT = """\
units metal
read_data atoms.lmp
{style}
{coeff}
velocity all create 300 1234
timestep 0.0002
fix 1 all nve
thermo_style custom step pe etotal press
thermo_modify format float %.14g
thermo 10
{rest}
"""


def write_input(
    folder: Path,
    rest: str = "run 20",
    style: str = "pair_style multifit model.dp",
    coeff: str = "pair_coeff * * O H",
) -> Path:
    """Write ``in.water`` and return it."""
    path = folder / "in.water"
    path.write_text(INPUT.format(style=style, coeff=coeff, rest=rest))
    return path


def thermo(log: str) -> np.ndarray:
    """Return the numbers of all thermo lines of a log, (nlines, ncolumns)."""
    rows = []
    for line in log.splitlines():
        try:
            numbers = [float(word) for word in line.split()]
        except ValueError:
            continue
        if len(numbers) == 4:
            rows.append(numbers)
    return np.array(rows)

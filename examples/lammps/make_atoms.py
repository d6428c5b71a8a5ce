"""Write ``water.lmp``, a data file of LAMMPS, from the liquid water of the other example.

Requires only NumPy::

    python make_atoms.py --times 2 2 2
"""

import argparse
from pathlib import Path

import numpy as np

WATER = Path(__file__).resolve().parent.parent / "water" / "data" / "liquid_300K"
MASSES = {"O": 15.999, "H": 1.008}


def main() -> None:
    """Repeat the first frame, and write it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, nargs=3, default=(2, 2, 2), metavar="N")
    parser.add_argument("--output", type=Path, default=Path("water.lmp"), metavar="FILE")
    args = parser.parse_args()
    names = (WATER / "type_map.raw").read_text().split()
    types = np.loadtxt(WATER / "type.raw", dtype=int)
    coord = np.load(WATER / "set.000" / "coord.npy")[0].reshape(-1, 3).astype(float)
    cell = np.load(WATER / "set.000" / "box.npy")[0].reshape(3, 3).astype(float)
    shifts = np.stack(np.meshgrid(*map(np.arange, args.times), indexing="ij"), -1).reshape(-1, 3)
    coord = (coord[None] + (shifts @ cell)[:, None]).reshape(-1, 3)
    # LAMMPS wants the first lattice vector along x and the second in the plane of x and y.
    turn, upper = np.linalg.qr((cell * np.array(args.times)[:, None]).T)
    signs = np.sign(np.diag(upper))
    coord, cell = coord @ (turn * signs), (upper * signs[:, None]).T
    args.output.write_text(data(names, np.tile(types, len(shifts)), coord, cell))
    print(f"{args.output}: {len(coord)} atoms")


def data(names: list[str], types: np.ndarray, coord: np.ndarray, cell: np.ndarray) -> str:
    """Return a data file."""
    lines = ["water", "", f"{len(coord)} atoms", f"{len(names)} atom types", ""]
    lines += [f"0 {cell[k, k]:.10f} {axis}lo {axis}hi" for k, axis in enumerate("xyz")]
    lines += [f"{cell[1, 0]:.10f} {cell[2, 0]:.10f} {cell[2, 1]:.10f} xy xz yz", "", "Masses", ""]
    lines += [f"{k} {MASSES[name]}  # {name}" for k, name in enumerate(names, start=1)]
    lines += ["", "Atoms  # atomic", ""]
    lines += [
        f"{k} {kind + 1} {x:.10f} {y:.10f} {z:.10f}"
        for k, (kind, (x, y, z)) in enumerate(zip(types, coord, strict=True), start=1)
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()

"""Evaluate model files with deepmd-kit; run by ``test_peer.py`` in deepmd-kit's environment.

Usage: ``python evaluate.py FOLDER`` reads ``NAME.dp`` and ``NAME.npz`` (coord, atype, cell, fparam,
aparam) and writes ``NAME.out.npz`` with ``energy`` and ``atom_energy``, or ``dos`` and
``atom_dos``, with and without the cell.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np


def evaluate(model: Path, inputs: Path) -> dict[str, np.ndarray]:
    """Return the outputs of one model by deepmd-kit's NumPy backend."""
    from deepmd.infer import DeepPot
    from deepmd.infer.deep_eval import DeepEval

    with np.load(inputs) as stored:
        data = dict(stored)
    infer = DeepEval(str(model))
    found = {"type_map": np.array(infer.get_type_map())}
    extra = {key: data[key] for key in ("fparam", "aparam") if key in data}
    for system, cell in (("crystal", data["cell"].reshape(1, 9)), ("molecule", None)):
        out = infer.eval(data["coord"][None], cell, data["atype"], atomic=True, **extra)
        if isinstance(infer, DeepPot):
            found[f"{system}_energy"] = np.asarray(out[0]).reshape(1)
            found[f"{system}_atom_energy"] = np.asarray(out[3]).reshape(1, -1)
        else:
            found[f"{system}_dos"] = np.asarray(out[0])
            found[f"{system}_atom_dos"] = np.asarray(out[1])
    return found


if __name__ == "__main__":
    for path in sorted(Path(sys.argv[1]).glob("*.dp")):
        np.savez(path.with_suffix(".out.npz"), **evaluate(path, path.with_suffix(".npz")))

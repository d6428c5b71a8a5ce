"""The support matrix: which backend has which feature.

One table; :func:`require` guards with it, the documentation prints it, the tests have one case per
cell.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .errors import UnsupportedError
from .precision import canonical

if TYPE_CHECKING:
    from .models import Model

ALL = frozenset({"numpy", "torch", "jax", "paddle", "tensorflow"})
GRADIENTS = ALL - {"numpy"}


@dataclass(frozen=True)
class Feature:
    """One row of the matrix."""

    title: str
    backends: frozenset[str]


FEATURES: dict[str, Feature] = {
    "energy": Feature("energy, atomic energy", ALL),
    "force": Feature("force, virial, atomic virial", ALL),
    "hessian": Feature("Hessian of the energy", ALL),
    "se_e2_a": Feature("descriptor se_e2_a", ALL),
    "ener": Feature("fitting net for energies", ALL),
    "fitting_options": Feature(
        "its options: fparam, aparam, atom_ener, layer_name, tot_ener_zero, use_aparam_as_mask, "
        "dim_case_embd",
        ALL,
    ),
    "dos": Feature("densities of states, global and atomic, and a fitting net for them", ALL),
    "float32": Feature("networks in float32", ALL),
    "float16": Feature("networks in float16", ALL - {"paddle"}),
    "bfloat16": Feature("networks in bfloat16", ALL - {"numpy", "paddle"}),
    "energy_loss": Feature("energy loss and its metrics", ALL),
    "loss_terms": Feature(
        "its terms e, f, v, ae, pf, gf, h, with relative_f, enable_atom_ener_coeff, mae and huber",
        ALL,
    ),
    "use_default_pf": Feature(
        "loss option use_default_pf (weight 1 where atom_pref.npy is missing)",
        frozenset({"numpy", "torch"}),
    ),
    "dos_loss": Feature("DOS loss and its metrics, with mae, huber and shift_agnostic", ALL),
    "train": Feature("training, fine-tuning and restart", GRADIENTS),
}


def require(feature: str, backend: str) -> None:
    """Raise unless the backend has the feature.

    A backend that is not in the table (a third party's) is given the benefit of the doubt.

    Raises
    ------
    UnsupportedError
        Naming the feature, the backend, and the backends that have it.
    """
    row = FEATURES[feature]
    if backend in ALL and backend not in row.backends:
        who = " or ".join(sorted(row.backends))
        raise UnsupportedError(f"the {backend} backend does not support {row.title}; use {who}")


def require_precision(name: str, backend: str) -> None:
    """Raise unless the backend computes networks of this precision, as ``input.json`` spells it.

    Raises
    ------
    UnsupportedError
        As :func:`require`.
    """
    key = canonical(name)
    if key in FEATURES:  # float64 is everywhere
        require(key, backend)


def require_model(model: Model, backend: str) -> None:
    """Raise unless the backend computes both nets of a model in their precisions.

    Raises
    ------
    UnsupportedError
        As :func:`require`.
    """
    for part in (model.descriptor, model.fitting):
        require_precision(part.precision, backend)


def markdown() -> str:
    """Return the matrix as a Markdown table, for the documentation."""
    names = sorted(ALL)
    lines = ["| feature | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for row in FEATURES.values():
        cells = ["yes" if name in row.backends else "—" for name in names]
        lines.append(f"| {row.title} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def can_run(model: Model, backend: str) -> bool:
    """Return whether a backend has all that a model needs."""
    try:
        require_model(model, backend)
    except UnsupportedError:
        return False
    return True

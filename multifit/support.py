"""The support matrix: features of each backend, and conditions under which they are needed.

One table: :func:`require` and :func:`require_all` check it, the documentation prints it, the
tests have one case per cell.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .errors import UnsupportedError
from .outputs import DOS, ENERGY, OUTPUTS, OutputDef
from .precision import canonical

if TYPE_CHECKING:
    from .models import Model

ALL = frozenset({"numpy", "torch", "jax", "paddle", "tensorflow"})
GRADIENTS = ALL - {"numpy"}


@dataclass(frozen=True)
class Asked:
    """The features requested of a backend; absent parts are None.

    The parts are settings of the core, or the sections of an input, which have the same names.
    """

    descriptor: Any = None
    fitting: Any = None
    loss: Any = None
    hessian: bool = False  #: the second derivatives of the energy
    train: bool = False
    processes: int = 1  #: of a training


@dataclass(frozen=True)
class Feature:
    """One row of the matrix.

    Attributes
    ----------
    title
        The feature, in messages and tables.
    backends
        Those that have it.
    asked
        True if the feature is requested.
    """

    title: str
    backends: frozenset[str]
    asked: Callable[[Asked], bool]


def _fits(output: OutputDef) -> Callable[[Asked], bool]:
    """Return a predicate: the fitting net is for this output."""
    return lambda asked: asked.fitting is not None and asked.fitting.var_name == output.name


def _has_derivatives(asked: Asked) -> bool:
    """Return True if a whole model with a differentiable output is requested."""
    if asked.descriptor is None or asked.fitting is None:
        return False
    output = OUTPUTS.get(asked.fitting.var_name)
    return output is not None and bool(output.derivatives)


def _has_fitting_options(asked: Asked) -> bool:
    net = asked.fitting
    return net is not None and bool(
        net.numb_fparam
        or net.numb_aparam
        or any(energy is not None for energy in net.atom_ener or ())
        or net.layer_name
        or net.tot_ener_zero
        or net.use_aparam_as_mask
        or net.dim_case_embd
    )


def parts_of(descriptor: Any) -> tuple[Any, ...]:
    """Return the parts of a descriptor that has several, or of a section for one; else itself."""
    return tuple(getattr(descriptor, "list", (descriptor,)))


def _computes_in(name: str) -> Callable[[Asked], bool]:
    """Return a predicate: a net has this precision."""

    def asked(by: Asked) -> bool:
        nets = (part for part in (*parts_of(by.descriptor), by.fitting) if part is not None)
        return any(canonical(getattr(net, "precision", "float64")) == name for net in nets)

    return asked


def _has_term(loss: Any, *terms: str) -> bool:
    """Return True if a loss has one of the terms; False for None and other losses."""
    prefactors = [f"{when}_pref_{term}" for term in terms for when in ("start", "limit")]
    return any(getattr(loss, prefactor, 0.0) for prefactor in prefactors)


FEATURES: dict[str, Feature] = {
    ENERGY.name: Feature(ENERGY.feature, ALL, _fits(ENERGY)),
    "force": Feature("force, virial, atomic virial", ALL, _has_derivatives),
    "hessian": Feature(
        "Hessian of the energy", ALL, lambda asked: asked.hessian or _has_term(asked.loss, "h")
    ),
    ENERGY.type: Feature("fitting net for energies", ALL, _fits(ENERGY)),
    "fitting_options": Feature(
        "its options: fparam, aparam, atom_ener, layer_name, tot_ener_zero, use_aparam_as_mask, "
        "dim_case_embd",
        ALL,
        _has_fitting_options,
    ),
    DOS.name: Feature(DOS.feature, ALL, _fits(DOS)),
    # A new output of the table gets its row here.
    **{
        row.name: Feature(row.feature, ALL, _fits(row))
        for row in OUTPUTS.values()
        if row not in (ENERGY, DOS)
    },
    "float32": Feature("networks in float32", ALL, _computes_in("float32")),
    "float16": Feature("networks in float16", ALL - {"paddle"}, _computes_in("float16")),
    "bfloat16": Feature(
        "networks in bfloat16", ALL - {"numpy", "paddle"}, _computes_in("bfloat16")
    ),
    "mixed_precision": Feature(
        "output layer of the fitting net in another precision than its hidden layers",
        ALL,
        lambda asked: getattr(asked.fitting, "output_precision", None) is not None,
    ),
    "energy_loss": Feature(
        "energy loss and its metrics", ALL, lambda asked: hasattr(asked.loss, "start_pref_e")
    ),
    "loss_terms": Feature(
        "its terms e, f, v, ae, pf, gf, h, with relative_f, enable_atom_ener_coeff, mae and huber",
        ALL,
        lambda asked: _has_term(asked.loss, "e", "f", "v", "ae", "pf", "gf", "h"),
    ),
    "use_default_pf": Feature(
        "loss option use_default_pf (weight 1 where atom_pref.npy is missing)",
        frozenset({"numpy", "torch"}),
        lambda asked: getattr(asked.loss, "use_default_pf", False),
    ),
    "dos_loss": Feature(
        "DOS loss and its metrics, with mae, huber and shift_agnostic",
        ALL,
        lambda asked: hasattr(asked.loss, "start_pref_dos"),
    ),
    "train": Feature("training, fine-tuning and restart", GRADIENTS, lambda asked: asked.train),
    "processes": Feature(
        "training with several processes", GRADIENTS, lambda asked: asked.processes > 1
    ),
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


def require_all(asked: Asked, backend: str) -> None:
    """Raise unless the backend has all requested features.

    Raises
    ------
    UnsupportedError
        As :func:`require`.
    """
    for feature, row in tuple(FEATURES.items()):  # loading a descriptor adds a row
        if row.asked(asked):
            require(feature, backend)


def require_model(model: Model, backend: str) -> None:
    """Raise unless the backend has all that a model needs to be evaluated.

    Raises
    ------
    UnsupportedError
        As :func:`require`.
    """
    require_all(Asked(descriptor=model.descriptor, fitting=model.fitting), backend)


def markdown() -> str:
    """Return the matrix as a Markdown table, for the documentation."""
    names = sorted(ALL)
    lines = ["| feature | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for row in FEATURES.values():
        cells = ["yes" if name in row.backends else "—" for name in names]
        lines.append(f"| {row.title} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def can_run(model: Model, backend: str) -> bool:
    """Return True if a backend has everything that a model needs."""
    try:
        require_model(model, backend)
    except UnsupportedError:
        return False
    return True

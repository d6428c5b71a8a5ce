"""What is compared: option sets by name, as data.

A new option is one more row of the table it belongs to; a new backend is a line in
``tests/_backends.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from _backends import INSTALLED, TRAINABLE
from _cases import System, build, crystal

from multifit import models as mdl
from multifit.backend import Backend, get_backend
from multifit.descriptors import get_descriptor
from multifit.descriptors.dpa3 import Dpa3
from multifit.descriptors.dpa3._examples import SMALL
from multifit.loss import ENERGY_TERMS
from multifit.optim.adam import Adam
from multifit.support import FEATURES
from multifit.tree import Tree, map_leaves


@dataclass(frozen=True)
class Row:
    """A set of options, and the features of the support matrix that it uses.

    NumPy has no bfloat16, so that the reference of such a row is float64.
    """

    options: Mapping[str, Any] = field(default_factory=dict)
    features: tuple[str, ...] = ()
    coefficients: int = 0  #: of the embedding nets' series; 0 evaluates the nets at every pair
    virtual: bool = False  #: whether each frame has an atom that is not there

    @property
    def precision(self) -> str:
        """The precision of the networks."""
        return str(self.options.get("precision", "float64"))

    @property
    def model(self) -> mdl.Model:
        """A tiny model with these options."""
        return build(**self.options)

    def on(self, backend: str, model: mdl.Model, params: Tree) -> tuple[mdl.Model, Tree]:
        """Return a model and parameters of it (nested, NumPy) as the backend takes them."""
        if self.runs_on(backend):
            return model, params
        exact = build(**self.options | {"precision": "float64"})
        return exact, map_leaves(lambda x: x.astype(np.float64), params)

    def runs_on(self, backend: str) -> bool:
        """Whether the support matrix says yes to all of its features."""
        return all(backend in FEATURES[feature].backends for feature in self.features)


#: Frames of one size, with and without a cell: a batch of a system, and one more shape.
SYSTEMS: list[System] = [crystal(), crystal(3), System(crystal(4).coord, crystal().atype, None)]

#: The same where one atom of each is not there.
MASKED = [
    replace(one, atype=np.where(np.arange(6) == k, -1, one.atype)) for k, one in enumerate(SYSTEMS)
]

_BOTH_SIDES = {"type_one_side": False}

DESCRIPTORS = {
    "one side": Row({}),
    "both sides, no timestep": Row({**_BOTH_SIDES, "resnet_dt": False}),
    "exclude_types": Row({"exclude_types": ((0, 1),)}),
    "pair_exclude_types": Row({"pair_exclude_types": ((0, 0),)}),
    "cut at sel": Row({"sel": (3, 5)}),
    "env_protection": Row({"env_protection": 0.1}),
    "float32": Row({"precision": "float32"}, ("float32",)),
    "Chebyshev series": Row(_BOTH_SIDES, coefficients=96),
    "Chebyshev series, excluded": Row(
        {"exclude_types": ((0, 1),), "sel": (0, 20)}, coefficients=72
    ),
    "Chebyshev series, float32": Row({"precision": "float32"}, ("float32",), coefficients=72),
}

FITTINGS = {
    "one net for each type": Row({}, ("ener",)),
    "mixed_types": Row({"mixed_types": True}, ("ener",)),
    "no timestep": Row({"resnet_dt": False}, ("ener",)),
    "numb_fparam": Row({"numb_fparam": 2}, ("ener",)),
    "numb_aparam": Row({"numb_aparam": 3}, ("ener",)),
    "fparam and aparam": Row({"numb_fparam": 1, "numb_aparam": 2}, ("ener",)),
    "exclude_types": Row({"fitting_exclude": (0,)}, ("ener",)),
    "neuron []": Row({"fitting_neuron": ()}, ("ener",)),
    "dim_case_embd": Row({"dim_case_embd": 3, "numb_fparam": 1}, ("ener",)),
    "atom_ener": Row({"atom_ener": (None, -1.5), "numb_aparam": 1}, ("ener",)),
    "atom_ener, mixed_types": Row({"atom_ener": (2.0, -1.5), "mixed_types": True}, ("ener",)),
    "layer_name": Row({"layer_name": ("a", "b", None)}, ("ener",)),
    "layer_name within a net": Row(
        {"layer_name": (None, "a", "a", "b"), "fitting_neuron": (5, 5, 5)}, ("ener",)
    ),
    **{
        name: Row({"precision": name, "numb_fparam": 1}, ("ener", name))
        for name in ("float32", "float16", "bfloat16")
    },
    "float32, output in float64": Row(
        {"precision": "float32", "output_precision": "float64", "numb_fparam": 1},
        ("ener", "float32", "mixed_precision"),
    ),
    "float16, output in float32": Row(
        {"precision": "float16", "output_precision": "float32"},
        ("ener", "float16", "mixed_precision"),
    ),
}

#: What models share with one another is compared with its gradients, so few and full rows.
MODELS = {
    "plain": Row({"resnet_dt": False}),
    "two sides, gelu": Row({**_BOTH_SIDES, "activation": "gelu"}),
    "excluded, mixed types, silut": Row(
        {"exclude_types": ((0, 1),), "mixed_types": True, "activation": "silut:0.1"}
    ),
    "float32": Row({"precision": "float32"}, ("float32",)),
    "float32, fparam, excluded": Row(
        {"precision": "float32", "numb_fparam": 2, "exclude_types": ((1, 1),)}, ("float32",)
    ),
    "fparam, aparam, softplus": Row(
        {"numb_fparam": 1, "numb_aparam": 2, "activation": "softplus", **_BOTH_SIDES}
    ),
    "hidden, cut at sel, relu6": Row(
        {"pair_exclude_types": ((0, 0),), "sel": (3, 5), "activation": "relu6"}
    ),
    "excluded atoms, protected, sigmoid": Row(
        {"atom_exclude_types": (0,), "env_protection": 0.1, "activation": "sigmoid"}
    ),
    "case, atom_ener, layer_name": Row(
        {
            "dim_case_embd": 2,
            "atom_ener": (None, -1.5),
            "layer_name": ("a", None, "b"),
            "activation": "silu",
        }
    ),
    "virtual atoms": Row({"use_aparam_as_mask": True, "numb_aparam": 1}),
    "tot_ener_zero": Row({"tot_ener_zero": True}),
    "float16": Row({"precision": "float16"}, ("float16",)),
    "bfloat16": Row({"precision": "bfloat16", "numb_fparam": 1}, ("bfloat16",)),
    "float32, output in float64": Row(
        {"precision": "float32", "output_precision": "float64", "numb_fparam": 1},
        ("float32", "mixed_precision"),
    ),
    "float16, output in float32": Row(
        {"precision": "float16", "output_precision": "float32"}, ("float16", "mixed_precision")
    ),
    "Chebyshev series": Row(_BOTH_SIDES, coefficients=96),
    "Chebyshev series, float32": Row({"precision": "float32"}, ("float32",), coefficients=72),
}

#: Descriptors besides se_e2_a: gradients by name, which tests/conformance compares together.
MODELS |= {
    about: Row({"descriptor": list(get_descriptor(name).examples())[k]}, (f"descriptor {name}",))
    for about, name, k in (
        ("se_atten, attention, strip", "se_atten", 0),
        ("se_atten_v2", "se_atten_v2", 0),
        ("se_e3_tebd, strip", "se_e3_tebd", 1),
        ("dpa2, three bodies", "dpa2", 0),
        ("hybrid of se_atten and se_e2_a", "hybrid", 1),
    )
}

#: Compilers take long for layers: in one with updates one after the other all features take part.
MODELS["dpa3, one layer"] = Row(
    {"descriptor": Dpa3(**SMALL | {"nlayers": 1, "sequential_update": True})}, ("descriptor dpa3",)
)

#: Hessians are large programs, so two rows.
HESSIANS = {key: MODELS[key] for key in ("plain", "fparam, aparam, softplus")}


def _terms(*names: str, start: float = 0.5, limit: float = 2.0) -> dict[str, float]:
    """Return prefactors that switch exactly these terms on."""
    off = {f"{when}_pref_{term}": 0.0 for when in ("start", "limit") for term in "ef"}
    on = {f"start_pref_{name}": start for name in names}
    return off | on | {f"limit_pref_{name}": limit for name in names}


_SIMPLE = _terms("e", "f", "v", "ae")
_ALL = _terms(*ENERGY_TERMS) | {"numb_generalized_coord": 2}
_HUBER = {**_SIMPLE, "use_huber": True, "huber_delta": (0.1, 0.2, 0.3)}


def _loss(options: Mapping[str, Any], *features: str) -> Row:
    return Row(options, ("energy_loss", *features))


#: Options of :class:`multifit.loss.EnergyLossConfig`.
LOSSES = {
    **{
        f"term {name}": _loss(_terms(name) | {"numb_generalized_coord": 2 * (name == "gf")})
        for name in ENERGY_TERMS
    },
    "mse": _loss(_ALL),
    "intensive_ener_virial": _loss({**_ALL, "intensive_ener_virial": True}),
    "mae": _loss({**_ALL, "loss_func": "mae"}),
    "mae, f_use_norm": _loss({**_SIMPLE, "loss_func": "mae", "f_use_norm": True}),
    "Huber": _loss(_HUBER),
    "Huber, f_use_norm": _loss({**_HUBER, "f_use_norm": True}),
    "relative_f": _loss({**_terms("f", "pf"), "relative_f": 0.5}),
    "relative_f, mae, f_use_norm": _loss(
        {**_terms("f", "pf"), "relative_f": 0.5, "loss_func": "mae", "f_use_norm": True}
    ),
    "enable_atom_ener_coeff": _loss({**_SIMPLE, "enable_atom_ener_coeff": True}),
    "use_default_pf": _loss({**_terms("pf"), "use_default_pf": True}, "use_default_pf"),
    "weights of frames": _loss({**_ALL, "frame_weights": ("weight", "force_weight")}),
}

OPTIMIZERS: dict[str, tuple[Adam, float | None]] = {
    "Adam": (Adam(), None),
    "Adam, other betas": (Adam(beta1=0.8, beta2=0.99), None),
    "Adam, weight decay": (Adam(weight_decay=0.01), None),
    "AdamW": (Adam(weight_decay=0.01, decoupled=True), None),
    "Adam, clipped": (Adam(max_norm=0.5), None),
    "AdamW, clipped, moving average": (Adam(weight_decay=0.001, decoupled=True, max_norm=5.0), 0.9),
}


@dataclass(frozen=True)
class Trained:
    """A model, its loss and what trains it."""

    row: Row
    loss: Mapping[str, Any] = field(default_factory=lambda: _SIMPLE)
    optimizer: str = "Adam"
    xla: bool = False  #: TensorFlow as users have it; the other tests do without its slow compiler

    def runs_on(self, backend: str) -> bool:
        """Whether the support matrix says yes to all of its features."""
        return self.row.runs_on(backend) and (backend == "tensorflow" or not self.xla)

    def adapter(self, backend: str) -> Backend:
        """Return the adapter that trains it."""
        adapter: Any = get_backend(backend)
        return replace(adapter, xla=True) if self.xla and backend == "tensorflow" else adapter


#: A compilation each. The optimizers with a plain model, then what else may go wrong over steps.
TRAINED = {
    **{key: Trained(MODELS["plain"], optimizer=key) for key in OPTIMIZERS},
    "float32": Trained(MODELS["float32"]),
    "fparam, aparam, softplus, mae": Trained(
        MODELS["fparam, aparam, softplus"], {**_SIMPLE, "loss_func": "mae", "f_use_norm": True}
    ),
    "Chebyshev series, Huber": Trained(MODELS["Chebyshev series"], _HUBER),
    "Chebyshev series, XLA": Trained(MODELS["Chebyshev series"], xla=True),
    "float32, fparam, excluded, XLA": Trained(MODELS["float32, fparam, excluded"], xla=True),
    "case, atom_ener, layer_name": Trained(MODELS["case, atom_ener, layer_name"]),
}

#: Sections ``learning_rate`` of an input, without ``start_lr``.
SCHEDULES: dict[str, dict[str, Any]] = {
    "exp": {"type": "exp", "stop_lr": 1e-6, "decay_steps": 7},
    "exp, smooth, decay_rate": {"type": "exp", "decay_steps": 7, "decay_rate": 0.9, "smooth": True},
    "cosine, warmup_steps": {"type": "cosine", "stop_lr_ratio": 0.01, "warmup_steps": 5},
    "wsd, warmup_ratio": {"type": "wsd", "warmup_ratio": 0.2, "warmup_start_factor": 0.1},
    "wsd, cosine": {"type": "wsd", "decay_type": "cosine", "decay_phase_ratio": 0.5},
    "wsd, linear": {"type": "wsd", "decay_type": "linear", "decay_phase_ratio": 0.5},
}


def cells(
    table: Iterable[str] | Mapping[str, Any],
    backends: Iterable[str] = INSTALLED,
    keep: Callable[[Any], bool] = lambda row: True,
) -> pytest.MarkDecorator:
    """Return the parameters (key, name): each row on each backend that has its features."""
    rows = table if isinstance(table, Mapping) else dict.fromkeys(table)
    names = tuple(backends)
    return pytest.mark.parametrize(
        ("key", "name"),
        [
            pytest.param(key, name, id=f"{key}-{name}")
            for key, row in rows.items()
            for name in names
            if keep(row) and _runs(row, name)
        ],
    )


def _runs(row: Any, backend: str) -> bool:
    return not isinstance(row, Row | Trained) or row.runs_on(backend)


#: Where there is nothing to differentiate with, there is no training.
TRAINS = TRAINABLE

"""Options drawn at random: what no table thought of. Each set is new, so nothing is compiled."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from _backends import INSTALLED
from _batches import labels
from _cases import assemble, build, draw, parameters
from _check import NUMPY, Cell, run
from _rows import SYSTEMS
from hypothesis import given, settings
from hypothesis import strategies as st

from multifit import model as mdl
from multifit.activations import NAMES
from multifit.backend import Backend, get_backend
from multifit.batch import flat_atoms
from multifit.loss import EnergyLossConfig, energy_loss
from multifit.tree import Tree

#: Few, and the same in every run.
EXAMPLES = 6

#: Backends that compile each operation apart: a whole program is sooner done.
COMPILED = ("jax",)

PAIRS = st.sampled_from([(), ((0, 1),), ((0, 0),), ((1, 1), (0, 1))])

MODELS = st.fixed_dictionaries(
    {
        "type_one_side": st.booleans(),
        "activation": st.sampled_from(NAMES),
        "resnet_dt": st.booleans(),
        "exclude_types": PAIRS,
        "pair_exclude_types": PAIRS,
        "atom_exclude_types": st.sampled_from([(), (0,), (1,)]),
        "env_protection": st.sampled_from([0.0, 0.2]),
        "sel": st.sampled_from([(8, 12), (3, 5), (8, 0)]),
        "mixed_types": st.booleans(),
        "numb_fparam": st.integers(0, 2),
        "numb_aparam": st.integers(0, 2),
        "dim_case_embd": st.integers(0, 2),
        "atom_ener": st.sampled_from([None, (None, -1.5), (2.0, -1.0)]),
        "layer_name": st.sampled_from([None, ("a", None, "b"), (None, "a", None)]),
    }
)

FORMS = (
    {},
    {"intensive_ener_virial": True},
    {"loss_func": "mae"},
    {"loss_func": "mae", "f_use_norm": True},
    {"use_huber": True},
    {"use_huber": True, "f_use_norm": True, "huber_delta": (0.5, 0.1, 0.2)},
)


@st.composite
def losses(draw: st.DrawFn) -> EnergyLossConfig:
    """Return settings of a loss that are allowed together."""
    options: dict[str, Any] = dict(draw(st.sampled_from(FORMS)))
    options["enable_atom_ener_coeff"] = draw(st.booleans())
    # Neither weighted nor generalized nor relative forces have a Huber form.
    terms = ("v", "ae") if options.get("use_huber") else ("v", "ae", "pf", "gf")
    for term in draw(st.sets(st.sampled_from(terms))):
        options[f"start_pref_{term}"] = draw(st.sampled_from([0.0, 0.5]))
        options[f"limit_pref_{term}"] = 1.0
        options["numb_generalized_coord"] = 2 if "limit_pref_gf" in options else 0
    if not options.get("use_huber"):
        options["relative_f"] = draw(st.sampled_from([None, 0.5]))
    return EnergyLossConfig(1e-3, **options)


def _values(
    backend: Backend, model: mdl.Model, loss: EnergyLossConfig
) -> dict[str, dict[str, np.ndarray]]:
    batch, layout = assemble(model, SYSTEMS, static_shapes=True, **parameters(model, SYSTEMS))
    label = labels(len(SYSTEMS), len(layout.real), len(SYSTEMS[0].atype))

    def evaluate(params: Tree, batch: Tree, label: dict[str, Any], lr: Any) -> Any:
        out = mdl.evaluate(backend, model, params, batch)
        value, metrics = energy_loss(backend, loss, lr, out, label, flat_atoms(backend.xp, batch))
        return {"out": out, "loss": {"loss": value, **metrics}}

    given = (draw(model), batch, label, np.asarray(3e-4))
    found: dict[str, dict[str, np.ndarray]] = run(
        backend, evaluate, *given, compiled=backend.name in COMPILED
    )
    return found


@pytest.mark.parametrize("name", INSTALLED)
@settings(max_examples=EXAMPLES)
@given(options=MODELS, loss=losses())
def test_options_drawn(name: str, options: dict[str, Any], loss: EnergyLossConfig) -> None:
    model = build(**options)
    cell = Cell("options drawn at random", "model and loss", name)
    got, want = _values(get_backend(name), model, loss), _values(NUMPY, model, loss)
    cell.check(got["out"], want["out"], "derivative", floor=0.1)
    cell.check(got["loss"], want["loss"], "derivative")

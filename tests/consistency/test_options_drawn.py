"""Options drawn at random: what no table thought of. Each set is new, so nothing is compiled."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from _backends import INSTALLED
from _batches import labels, loss_config
from _cases import assemble, build, draw, parameters
from _check import NUMPY, Cell, run
from _rows import SYSTEMS
from _rows_dos import POINTS
from hypothesis import given, settings
from hypothesis import strategies as st

from multifit import models as mdl
from multifit.backend import Backend, get_backend
from multifit.batching.batch import flat_atoms
from multifit.loss import DOS_TERMS, EnergyLossConfig, LossConfig
from multifit.loss import compute_loss as loss_of
from multifit.nn.activations import NAMES
from multifit.tree import Tree

#: Few, and the same in every run.
EXAMPLES = 6

#: Of densities of states, whose models differ from those of energies in less.
DOS_EXAMPLES = 3

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

DENSITIES = st.fixed_dictionaries(
    {
        "numb_dos": st.sampled_from([2, POINTS]),
        "type_one_side": st.booleans(),
        "activation": st.sampled_from(NAMES),
        "exclude_types": PAIRS,
        "atom_exclude_types": st.sampled_from([(), (0,)]),
        "mixed_types": st.booleans(),
        "numb_fparam": st.integers(0, 2),
        "numb_aparam": st.integers(0, 2),
        "dim_case_embd": st.integers(0, 2),
        "fitting_exclude": st.sampled_from([(), (1,)]),
        "fitting_neuron": st.sampled_from([(5, 5), (3,), ()]),
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


DOS_LOSSES = st.fixed_dictionaries(
    {
        **{f"start_pref_{term}": st.sampled_from([0.0, 0.5]) for term in DOS_TERMS},
        **{f"limit_pref_{term}": st.sampled_from([0.0, 1.0]) for term in DOS_TERMS},
        "limit_pref_cdf": st.just(2.0),
        "loss_func": st.sampled_from(["mse", "mae"]),
        "shift_agnostic": st.integers(0, 1),
    }
)


def _values(
    backend: Backend, model: mdl.Model, loss: LossConfig
) -> dict[str, dict[str, np.ndarray]]:
    batch, layout = assemble(model, SYSTEMS, static_shapes=True, **parameters(model, SYSTEMS))
    numb_dos = model.fitting.dim_out if model.output.type == "dos" else 0
    label = labels(len(SYSTEMS), len(layout.real), len(SYSTEMS[0].atype), numb_dos)

    def evaluate(params: Tree, batch: Tree, label: dict[str, Any], lr: Any) -> Any:
        out = mdl.evaluate(backend, model, params, batch)
        value, metrics = loss_of(backend, loss, lr, out, label, flat_atoms(backend.xp, batch))
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


@pytest.mark.parametrize("name", INSTALLED)
@settings(max_examples=DOS_EXAMPLES)
@given(options=DENSITIES, terms=DOS_LOSSES)
def test_options_of_densities_drawn(
    name: str, options: dict[str, Any], terms: dict[str, Any]
) -> None:
    model = build(**options)
    loss = loss_config(model, 1e-3, terms)
    cell = Cell("options drawn at random", "density of states and its loss", name)
    got, want = _values(get_backend(name), model, loss), _values(NUMPY, model, loss)
    cell.check(got, want, floor=0.1)

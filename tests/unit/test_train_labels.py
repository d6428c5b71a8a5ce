"""Labels of a batch: in the order of its atoms, with what stands in for those that lack."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from _compare import same

from multifit.batching.batch import Batcher
from multifit.batching.shapes import Shape
from multifit.errors import DataError
from multifit.loss import EnergyLossConfig
from multifit.neighbors.requirements import Requirements
from multifit.train.setup.labels import as_batch, check_labels, check_weights, missing

LOSS = EnergyLossConfig(
    1.0,
    **{f"limit_pref_{term}": 1.0 for term in ("v", "h", "ae", "pf", "gf")},
    numb_generalized_coord=2,
    enable_atom_ener_coeff=True,
)
#: Types of the atoms of two frames; −1 is a virtual atom.
ATYPE = np.array([[1, 0, -1], [0, 1, 0]])
NATOMS = 3


def _batch(
    loss: EnergyLossConfig, arrays: dict[str, np.ndarray], room: Shape | None = None
) -> tuple[dict[str, np.ndarray], Any]:
    batcher = Batcher(Requirements(3.0, (4, 4)), static_shapes=True)
    if room is not None:
        batcher.shapes.plan([room], [1.0])
    coord = np.arange(9.0).reshape(3, 3)
    ready = [batcher.frame(coord, None, (False,) * 3, atype) for atype in ATYPE]
    _, layout = batcher.assemble(ready)
    only = SimpleNamespace(nframes=2, where="data/set.000", numbers=None)
    system: Any = SimpleNamespace(natoms=NATOMS, sets=(only,), name="data")
    return as_batch(loss, [(system, arrays)], ready, layout), layout


def _arrays() -> dict[str, np.ndarray]:
    rng, n = np.random.default_rng(0), NATOMS
    shapes: dict[str, tuple[int, ...]] = {
        **{"energy": (), "virial": (3, 3), "force": (n, 3), "atom_ener": (n,), "atom_pref": (n,)},
        **{"atom_ener_coeff": (n,), "drdq": (n, 3, 2), "hessian": (3 * n, 3 * n)},
    }
    return {key: rng.uniform(size=(2, *shape)) for key, shape in shapes.items()}


def test_labels_lie_in_the_order_of_the_batch() -> None:
    arrays = _arrays()
    label, layout = _batch(LOSS, arrays)
    assert set(label) == {*LOSS.labels, *(f"find_{key}" for key in LOSS.labels)}
    for key in ("energy", "virial"):
        same(label[key], arrays[key], rtol=0.0)
    for place, (f, atom, real) in enumerate(
        zip(layout.frame, layout.atom, layout.real, strict=True)
    ):
        for key in ("force", "atom_ener", "atom_pref", "drdq", "atom_ener_coeff"):
            same(label[key][place], arrays[key][f, atom] * real, rtol=0.0)
        rows = arrays["hessian"][f, 3 * atom : 3 * atom + 3].copy()
        rows[:, np.repeat(ATYPE[f] < 0, 3)] = 0.0
        same(label["hessian"][place], rows * real, rtol=0.0)
    assert layout.real.sum() == (ATYPE >= 0).sum() < layout.real.size


@pytest.mark.parametrize("given", [True, False])
def test_labels_of_frames_and_atoms_that_pad_are_nothing(given: bool) -> None:
    """And those that the data lack have the same shapes, so that nothing is compiled again."""
    arrays = _arrays() if given else {}
    tight, _ = _batch(LOSS, arrays)
    label, layout = _batch(LOSS, arrays, room=Shape(4, (9, 5)))
    assert (layout.nframes, len(layout.real)) == (4, 14)
    for key in LOSS.labels:
        per_atom = LOSS.kind(key).per_atom
        assert label[key].shape == (14 if per_atom else 4, *tight[key].shape[1:])
        if given and per_atom:
            assert not label[key][~layout.real].any()
        elif given:
            same(label[key][:2], tight[key], rtol=0.0)
            assert not label[key][2:].any()
        else:
            assert (label[key] == LOSS.kind(key).default).all()


def test_labels_that_lack_have_the_shapes_of_those_that_are_there() -> None:
    there, nothing = _batch(LOSS, _arrays())[0], _batch(LOSS, {})[0]
    for key in LOSS.labels:
        assert nothing[key].shape == there[key].shape
        assert (nothing[key] == LOSS.kind(key).default).all()
        assert (float(there[f"find_{key}"]), float(nothing[f"find_{key}"])) == (1.0, 0.0)


def test_a_weight_of_a_virtual_atom_is_not_looked_at() -> None:
    stored = {"atom_pref": SimpleNamespace(where="data/set.000/atom_pref.npy")}
    only = SimpleNamespace(nframes=2, where="data/set.000", numbers=None, arrays=stored)
    system: Any = SimpleNamespace(natoms=NATOMS, sets=(only,), name="data")
    ready: Any = [SimpleNamespace(atype=atype) for atype in ATYPE]
    weights = np.ones((2, NATOMS))
    weights[0, 2] = -1.0
    check_weights(system, np.arange(2), {"atom_pref": weights}, ready)
    weights[1, 1] = -0.5
    says = r"^data/set.000/atom_pref.npy, frame 1: the weight of atom 1 is -0.5, but must be ≥ 0$"
    with pytest.raises(DataError, match=says):
        check_weights(system, np.arange(2), {"atom_pref": weights}, ready)
    check_weights(system, np.arange(2), {}, ready)


def _system(name: str, *labels: str, ndof: int = 2) -> Any:
    stored = {key: SimpleNamespace(where=f"{name}/set.000/{key}.npy") for key in labels}
    sets = (SimpleNamespace(arrays=stored),)
    return SimpleNamespace(
        name=name, labels=frozenset(labels), ndof={"drdq": ndof}, sets=sets, unread={}
    )


def test_one_term_with_all_of_its_labels_is_enough() -> None:
    only = EnergyLossConfig(
        1.0, 0.0, 0.0, 0.0, 0.0, limit_pref_pf=1.0, limit_pref_gf=1.0, numb_generalized_coord=2
    )
    check_labels("training", [_system("a", "force"), _system("b", "force", "drdq")], only)
    says = r"no training .* \(force with atom_pref, force with drdq\)"
    with pytest.raises(DataError, match=says):
        check_labels("training", [_system("a", "force"), _system("b", "drdq")], only)
    with pytest.raises(DataError, match=r"b/set.000/drdq.npy holds the derivatives of 3 "):
        check_labels("training", [_system("b", "force", "drdq", ndof=3)], only)


def test_hessians_are_not_computed_for_nothing() -> None:
    only = EnergyLossConfig(1.0, start_pref_h=1.0)
    without, with_ = _system("a", "energy", "force"), _system("b", "energy", "hessian")
    check_labels("training", [without, with_], only)
    check_labels("validation", [without], only)
    says = "no training system has hessian.npy: add it, or set loss.start_pref_h and loss.limit"
    with pytest.raises(DataError, match=says):
        check_labels("training", [without], only)


def test_what_is_missing_is_said_with_what_follows() -> None:
    systems = [_system("a", "energy", "force"), _system("b", "energy")]
    assert list(missing("", systems, LOSS)) == [
        "no force.npy in b: the terms f, pf, gf of the loss are off there",
        "no virial.npy in a, b: the term v of the loss (virial) is off there",
        "no hessian.npy in a, b: the term h of the loss (Hessian) is off there",
        "no atom_ener.npy in a, b: the term ae of the loss (atomic energy) is off there",
        "no atom_pref.npy in a, b: the term pf of the loss (force weighted per atom) is off there",
        "no drdq.npy in a, b: the term gf of the loss (generalized force) is off there",
        "no atom_ener_coeff.npy in a, b: it is 1 for every atom there",
    ]
    in_one_file = _system("c.extxyz", "energy")
    in_one_file.sets[0].arrays["energy"].where = "c.extxyz"
    only = EnergyLossConfig(1.0)
    assert list(missing("", [in_one_file], only)) == [
        "no force in c.extxyz: the term f of the loss (force) is off there"
    ]
    default = EnergyLossConfig(1.0, limit_pref_pf=1.0, use_default_pf=True)
    assert list(missing("the validation data ", systems[:1], default)) == [
        "no atom_pref.npy in the validation data a: it is 1 for every atom there"
    ]

"""Frames and atoms that pad a batch change no loss, no metric and no gradient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from _backends import TRAINABLE
from _cases import System, batcher, build, crystal, draw, evaluate, frame, parameters, series
from _compare import same

from multifit import models as mdl
from multifit.backend import get_backend
from multifit.batching.batch import Layout
from multifit.batching.shapes import Shape
from multifit.loss import (
    DOS_TERMS,
    ENERGY_TERMS,
    LABELS,
    DosLossConfig,
    EnergyLossConfig,
    LossConfig,
    compute_loss,
)
from multifit.train.step.step import Objective
from multifit.tree import Tree, flatten, map_leaves

BACKEND = get_backend(TRAINABLE[0])
NUMPY = get_backend("numpy")
#: Points of the energy grid.
POINTS = 6
#: Two frames of equal size, one with an atom that is not there.
SYSTEMS = [crystal(), System(crystal(3).coord, np.array([0, 1, -1, 0, 1, 1]), crystal().cell)]
#: Room for two more frames, more atoms of each type and a type that no frame has.
ROOM = Shape(4, (7, 11, 3))


def _prefactors(terms: Sequence[str], every: Sequence[str]) -> dict[str, float]:
    """Return prefactors that switch exactly these terms on."""
    off = {f"{when}_pref_{term}": 0.0 for when in ("start", "limit") for term in every}
    on = {f"{when}_pref_{term}": 0.7 for when in ("start", "limit") for term in terms}
    return off | on


def _energy(*terms: str, **more: Any) -> EnergyLossConfig:
    given = _prefactors(terms, tuple(ENERGY_TERMS))
    return EnergyLossConfig(1.0, **given, numb_generalized_coord=2 * ("gf" in terms), **more)


def _dos(*terms: str, **more: Any) -> DosLossConfig:
    return DosLossConfig(1.0, POINTS, **_prefactors(terms, tuple(DOS_TERMS)), **more)


_HUBER: dict[str, Any] = {"use_huber": True, "huber_delta": (0.1, 0.2, 0.3)}
LOSSES: dict[str, LossConfig] = {
    **{f"term {term}": _energy(term) for term in ENERGY_TERMS},
    "all terms": _energy(*ENERGY_TERMS),
    "intensive": _energy("e", "v", intensive_ener_virial=True),
    "mae": _energy("e", "f", "v", "ae", "pf", loss_func="mae", f_use_norm=True),
    "Huber": _energy("e", "f", "v", "ae", **_HUBER),
    "relative": _energy("f", "pf", relative_f=0.4),
    "coefficients": _energy("e", "f", enable_atom_ener_coeff=True),
    **{f"dos, term {term}": _dos(term) for term in DOS_TERMS},
    "dos, all terms": _dos(*DOS_TERMS),
    "dos, mae": _dos(*DOS_TERMS, loss_func="mae"),
    "dos, Huber": _dos(*DOS_TERMS, use_huber=True, huber_delta=0.3),
    "dos, moved": _dos(*DOS_TERMS, shift_agnostic=2),
}


def _model(loss: LossConfig, **more: Any) -> mdl.Model:
    numb_dos = POINTS if isinstance(loss, DosLossConfig) else 0
    return build(sel=(8, 12, 3), numb_dos=numb_dos, **more)


def _labels(loss: LossConfig, layout: Layout) -> dict[str, np.ndarray]:
    """Return random labels in the order of a batch."""
    rng, found = np.random.default_rng(8), {}
    for key in loss.labels:
        kind, axes = LABELS[key], LABELS[key].axes(6, 2, POINTS)
        values = [rng.uniform(size=(6, *axes) if kind.per_atom else axes) for _ in SYSTEMS]
        if key == "hessian":
            for one, system in zip(values, SYSTEMS, strict=True):
                one[:, :, np.repeat(system.atype < 0, 3)] = 0.0
        found[key] = layout.spread(values) if kind.per_atom else layout.padded(np.stack(values))
    return found | {f"find_{key}": np.asarray(1.0) for key in found}


def _batch(model: mdl.Model, room: Shape | None) -> tuple[Tree, Layout]:
    """Return the systems as a batch, with as much room as wanted."""
    b = batcher(model, static_shapes=room is not None)
    if room is not None:
        b.shapes.plan([room], [1.0])
    extra = parameters(model, SYSTEMS)
    return b.assemble([frame(b, system) for system in SYSTEMS], **extra)


def _descend(loss: LossConfig, room: Shape | None, count: int = 0, **more: Any) -> Any:
    """Return loss, metrics and gradient."""
    model = _model(loss, **more)
    batch, layout = _batch(model, room)
    if room is not None:
        assert (layout.nframes, len(layout.real)) == (room.nframes, room.natoms)
    if count:
        batch["plan"] = series(model, SYSTEMS, count)
    if loss.needs_hessian:
        batch["directions"] = mdl.directions(6)
    names, flat = set(mdl.trainable_names(model)), flatten(draw(model))
    sides = (
        {name: x for name, x in flat.items() if (name in names) == moving}
        for moving in (True, False)
    )
    given = [
        map_leaves(BACKEND.asarray, x)
        for x in (*sides, batch, _labels(loss, layout), {"lr": np.asarray(0.5)})
    ]
    run = BACKEND.value_and_grad(Objective(BACKEND, model, loss))
    (value, metrics), grads = run(*given[:-1], given[-1]["lr"])
    to = BACKEND.to_numpy
    return {
        "loss": to(value),
        "metrics": {key: to(x) for key, x in metrics.items()},
        "gradient": {key: to(x) for key, x in grads.items()},
    }


@pytest.mark.parametrize("key", LOSSES)
def test_padding_changes_no_loss_and_no_gradient(key: str) -> None:
    loss = LOSSES[key]
    want = _descend(loss, None)
    assert np.isfinite(want["loss"])
    assert want["loss"] > 0
    got = _descend(loss, ROOM)
    same(got["loss"], want["loss"], rtol=1e-12)
    same(got["metrics"], want["metrics"], rtol=1e-12)
    same(got["gradient"], want["gradient"], rtol=1e-9)


@pytest.mark.parametrize("key", ["Huber", "dos, all terms"])
@pytest.mark.parametrize(
    "more",
    [
        {"numb_fparam": 2, "numb_aparam": 1, "type_one_side": False},
        {"atom_exclude_types": (1,), "exclude_types": ((0, 1),)},
        {"mixed_types": True, "numb_aparam": 1, "use_aparam_as_mask": True},
    ],
)
def test_nor_with_series_and_other_options(key: str, more: dict[str, Any]) -> None:
    want = _descend(LOSSES[key], None, 96, **more)
    got = _descend(LOSSES[key], ROOM, 96, **more)
    same(got, want, rtol=1e-9)


@pytest.mark.parametrize("count", [0, 96])
@pytest.mark.parametrize("more", [{}, {"tot_ener_zero": True}, {"numb_dos": POINTS}])
def test_predictions_of_frames_that_pad_are_zero(more: dict[str, Any], count: int) -> None:
    model = build(sel=(8, 12, 3), **more)
    params = draw(model)
    batch, layout = _batch(model, ROOM)
    if count:
        batch["plan"] = series(model, SYSTEMS, count)
    out = mdl.evaluate(NUMPY, model, params, batch)
    want = evaluate(model, params, SYSTEMS)
    for key in {"energy", "virial", "dos"} & set(out):
        assert out[key].shape[0] == ROOM.nframes
        # The energies that tot_ener_zero takes away leave a last digit.
        same(out[key][:2], want[key], rtol=1e-11, atol=1e-11)
        assert not out[key][2:].any()
    for key in {"force", "atom_energy", "atom_dos"} & set(out):
        assert not out[key][~layout.real].any()


def test_a_type_that_pads_alone_is_finite() -> None:
    """Its rows see nothing, and count for nothing, whatever the reach of their series."""
    model = build(sel=(8, 12, 3))
    batch, _ = _batch(model, ROOM)
    batch["plan"] = series(model, SYSTEMS, 72)
    assert set(batch["centres"]) == {"0", "1", "2"}
    assert set(batch["tables"]) == {"0", "1"}
    out = mdl.evaluate(NUMPY, model, draw(model), batch)
    assert all(np.isfinite(x).all() for x in out.values())


def test_a_frame_in_which_nothing_is_compared_is_no_padding() -> None:
    """A real frame of excluded atoms counts in means over frames; one that pads does not."""
    model = build(numb_dos=POINTS, atom_exclude_types=(0,))
    alone = System(np.array([[0.0, 0, 0], [1.0, 0, 0]]), np.array([0, 0]), None)
    mixed = System(alone.coord, np.array([0, 1]), None)
    loss, b = _dos("dos"), batcher(model)
    batch, layout = b.assemble([frame(b, mixed), frame(b, alone)])
    out = mdl.evaluate(NUMPY, model, draw(model), batch)
    atoms = mdl.compared_atoms(NUMPY, model, batch)
    label = {"dos": out["dos"] + 1.0, "find_dos": np.asarray(1.0)}
    value, _ = compute_loss(NUMPY, loss, np.asarray(1.0), out, label, atoms)
    same(value, 0.7, rtol=1e-12)
    assert layout.nframes == 2

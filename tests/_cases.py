"""Small systems and models: as little as shows every feature of the core."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import numpy as np

from multifit import models as mdl
from multifit.backend import Backend, get_backend
from multifit.batching.batch import Batcher, Layout
from multifit.descriptors import Descriptor
from multifit.descriptors import _chebyshev as cheb
from multifit.descriptors._environment import radial
from multifit.descriptors.se_e2_a import SeE2A
from multifit.dos import Grid
from multifit.fitting import Fitting
from multifit.neighbors.frame import Frame
from multifit.tree import Tree, map_leaves, numbered_values

RCUT, SMOOTH = 3.6, 1.5

#: Outputs of frames; the others are of atoms.
PER_FRAME = ("energy", "virial", "dos")


def build(
    *,
    sel: tuple[int, ...] = (8, 12),
    atom_exclude_types: tuple[int, ...] = (),
    pair_exclude_types: tuple[tuple[int, int], ...] = (),
    type_one_side: bool = True,
    activation: str = "tanh",
    resnet_dt: bool = True,
    precision: str = "float64",
    output_precision: str | None = None,
    neuron: tuple[int, ...] = (3, 6),
    fitting_neuron: tuple[int, ...] = (5, 5),
    exclude_types: tuple[tuple[int, int], ...] = (),
    env_protection: float = 0.0,
    mixed_types: bool = False,
    numb_fparam: int = 0,
    numb_aparam: int = 0,
    fitting_exclude: tuple[int, ...] = (),
    dim_case_embd: int = 0,
    atom_ener: tuple[float | None, ...] | None = None,
    layer_name: tuple[str | None, ...] | None = None,
    use_aparam_as_mask: bool = False,
    tot_ener_zero: bool = False,
    numb_dos: int = 0,
    grid: Grid | None = None,
    descriptor: Descriptor | None = None,
) -> mdl.Model:
    """Return a tiny model: of energies, or of densities of states at ``numb_dos`` points.

    Options of the descriptor are those of se_e2_a, unless another one is given.
    """
    descriptor = descriptor or SeE2A(
        rcut=RCUT,
        rcut_smth=SMOOTH,
        sel=sel,
        neuron=neuron,
        axis_neuron=2,
        resnet_dt=resnet_dt,
        type_one_side=type_one_side,
        exclude_types=exclude_types,
        env_protection=env_protection,
        activation_function=activation,
        precision=precision,
    )
    fitting = Fitting(
        ntypes=len(sel),
        dim_descrpt=descriptor.dim_out,
        neuron=fitting_neuron,
        resnet_dt=resnet_dt,
        numb_fparam=numb_fparam,
        numb_aparam=numb_aparam,
        activation_function=activation,
        precision=precision,
        output_precision=output_precision,
        mixed_types=mixed_types,
        exclude_types=fitting_exclude,
        dim_case_embd=dim_case_embd,
        atom_ener=atom_ener,
        layer_name=layer_name,
        use_aparam_as_mask=use_aparam_as_mask,
        tot_ener_zero=tot_ener_zero,
        dim_out=numb_dos or 1,
        var_name="dos" if numb_dos else "energy",
    )
    names = tuple(f"X{k}" if k > 3 else "OHCN"[k] for k in range(len(sel)))
    return mdl.Model(names, descriptor, fitting, atom_exclude_types, pair_exclude_types, grid=grid)


def section_of(descriptor: Any) -> dict[str, Any]:
    """Return the section of an input for some settings of a descriptor."""
    if hasattr(descriptor, "list"):
        return {"type": descriptor.name, "list": [section_of(part) for part in descriptor.list]}
    return {**_keys_of(type(descriptor).section(), descriptor), "type": descriptor.name}


def _keys_of(section: Any, settings: Any) -> dict[str, Any]:
    """Return the keys of a section, and of sections inside it, with their values."""
    found = {}
    for key, field in section.model_fields.items():
        if hasattr(field.annotation, "model_fields"):
            found[key] = _keys_of(field.annotation, getattr(settings, key, settings))
        elif hasattr(settings, key):
            found[key] = getattr(settings, key)
    return found


def draw(model: mdl.Model, seed: int = 7) -> Tree:
    """Return parameters in which nothing is zero, one or the same for two types.

    The bias of a type whose energy ``atom_ener`` gives stays that energy.
    """
    rng = np.random.default_rng(seed)
    params = mdl.init(model, seed, seed + 1)
    n, own = model.ntypes, params["descriptor"]
    if "davg" in own:
        mean = rng.normal(scale=0.2, size=own["davg"].shape)
        zero = getattr(model.descriptor, "set_davg_zero", False)
        own["davg"] = np.zeros_like(mean) if zero else mean
        own["dstd"] = rng.uniform(0.2, 0.8, size=own["dstd"].shape)
    biases = (n, model.fitting.dim_out)
    params["out_bias"] = rng.normal(size=biases)
    params["fitting"]["bias_atom_e"] = rng.normal(size=biases)
    for a, energy in enumerate(model.fitting.atom_ener or ()):
        if energy is not None:
            params["fitting"]["bias_atom_e"][a] = energy
    if model.fitting.dim_case_embd:
        params["fitting"]["case_embd"] = rng.normal(size=model.fitting.dim_case_embd)
    for name in ("fparam", "aparam"):
        if f"{name}_avg" in params["fitting"]:
            size = params["fitting"][f"{name}_avg"].shape
            params["fitting"][f"{name}_avg"] = rng.normal(size=size)
            params["fitting"][f"{name}_inv_std"] = rng.uniform(0.5, 2.0, size=size)
    return params


@dataclass(frozen=True)
class System:
    """Atoms, in a cell or not."""

    coord: np.ndarray
    atype: np.ndarray
    cell: np.ndarray | None

    def moved(self, coord: np.ndarray, cell: np.ndarray | None = None) -> System:
        """Return the same atoms elsewhere."""
        return replace(self, coord=coord, cell=self.cell if cell is None else cell)


def crystal(seed: int = 0) -> System:
    """Return six atoms in a triclinic cell that is smaller than twice the cut-off."""
    rng = np.random.default_rng(seed)
    cell = np.array([[4.3, 0.1, 0.0], [0.7, 4.0, 0.2], [-0.5, 0.4, 4.6]])
    places = np.array(
        [[0, 0, 0], [0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5], [0.5, 0.5, 0], [0.5, 0.5, 0.5]]
    )
    coord = (places + rng.uniform(-0.08, 0.08, size=places.shape)) @ cell
    return System(coord, np.array([0, 1, 1, 0, 1, 1]), cell)


def molecule(seed: int = 1) -> System:
    """Return five atoms without a cell, of which the last sees only some of the others."""
    rng = np.random.default_rng(seed)
    coord = np.array([[0, 0, 0], [1.1, 0, 0.2], [-0.3, 1.2, 0], [0.4, 1.5, 1.3], [2.6, 0.2, 1.9]])
    return System(coord + rng.uniform(-0.1, 0.1, coord.shape), np.array([0, 1, 1, 0, 1]), None)


def batcher(model: mdl.Model, static_shapes: bool = False) -> Batcher:
    """Return the batcher that the model asks for."""
    return Batcher(model.descriptor.requires(), model.pair_exclude_types, static_shapes)


def frame(batch: Batcher, system: System) -> Frame:
    """Return the tables of one system."""
    return batch.frame(system.coord, system.cell, [system.cell is not None] * 3, system.atype)


def parameters(model: mdl.Model, systems: Sequence[System], seed: int = 5) -> dict[str, np.ndarray]:
    """Return the fparam and aparam that the model wants, for systems of equal size."""
    rng = np.random.default_rng(seed)
    nf, na = len(systems), len(systems[0].atype)
    shapes = {"fparam": (nf,), "aparam": (nf, na)}
    sizes = model.fitting.parameters
    return {kind: rng.normal(size=(*shapes[kind], n)) for kind, n in sizes.items()}


def assemble(
    model: mdl.Model,
    systems: Sequence[System],
    static_shapes: bool = False,
    **extra: np.ndarray,
) -> tuple[Tree, Layout]:
    """Return the systems as one batch."""
    b = batcher(model, static_shapes)
    return b.assemble([frame(b, system) for system in systems], **extra)


def series(model: mdl.Model, systems: Sequence[System], count: int) -> Tree:
    """Return the Chebyshev basis that reaches from the cut-off to the closest pair."""
    b, env = batcher(model), model.descriptor.environment
    nearest = np.min([frame(b, system).nearest for system in systems], axis=0)
    nearest = np.minimum(nearest, 0.9 * model.descriptor.rcut)
    reach = radial(get_backend("numpy").xp, env, nearest)
    # The interval of near pairs holds the others, too.
    return {zone: cheb.chebyshev_basis(count, reach) for zone in ("near", "far")}


def evaluate(
    model: mdl.Model,
    params: Tree,
    systems: Sequence[System],
    backend: str | Backend = "numpy",
    static_shapes: bool = False,
    coefficients: int = 0,
    **extra: np.ndarray,
) -> dict[str, np.ndarray]:
    """Return all outputs, per-atom arrays as (atoms of all frames in their order, …).

    With ``coefficients`` the embedding nets are interpolated, else evaluated for each pair.
    """
    adapter = get_backend(backend)
    batch, layout = assemble(model, systems, static_shapes, **extra)
    if coefficients:
        batch["plan"] = series(model, systems, coefficients)

    def run(params: Tree, batch: Tree) -> dict[str, Any]:
        return mdl.evaluate(adapter, model, params, batch, atom_virial=True)

    # JAX compiles in a tenth of the time that its operations take one by one.
    run = adapter.compile(run) if adapter.name == "jax" else run
    out = run(map_leaves(adapter.asarray, params), map_leaves(adapter.asarray, batch))
    return {key: _ordered(layout, key, adapter.to_numpy(x)) for key, x in out.items()}


def _ordered(layout: Layout, key: str, x: np.ndarray) -> np.ndarray:
    if key in PER_FRAME:
        return x
    real = np.flatnonzero(layout.real)
    return x[real[np.lexsort((layout.atom[real], layout.frame[real]))]]


def model_of(
    descriptor: Descriptor, type_map: tuple[str, ...] = ("O", "H"), *, mixed_types: bool = True
) -> mdl.Model:
    """Return a model with a small fitting net, by default one for all types."""
    fitting = Fitting(len(type_map), descriptor.dim_out, neuron=(5, 5), mixed_types=mixed_types)
    return mdl.Model(type_map, descriptor, fitting)


def drawn(model: mdl.Model) -> Tree:
    """Return initial parameters, with statistics and layer norms that are not neutral."""
    params = mdl.init(model, 5, 3)
    own = params["descriptor"]
    for name, block in getattr(model.descriptor, "blocks", {"": model.descriptor}).items():
        mine = own[name] if name else own
        mine["dstd"] = np.array([[0.17] + [0.08] * 3, [0.12] + [0.1] * 3])
        if not block.set_davg_zero:
            mine["davg"] = np.array([[0.06, 0.0, 0.0, 0.0], [0.1, 0.0, 0.0, 0.0]])
    for layer in numbered_values(own.get("attention", {})):
        k = np.arange(layer["norm"]["w"].size)
        layer["norm"] = {"w": 1 + 0.1 * np.cos(k), "b": 0.1 * np.sin(k)}
    return params


def energy(model: mdl.Model, params: Tree, system: System, **extra: np.ndarray) -> float:
    """Return the energy alone, on NumPy."""
    batch, _ = assemble(model, [system], **extra)
    out = mdl.evaluate(get_backend("numpy"), model, params, batch, forces=False)
    return float(out["energy"][0])


def describe(
    xp: Any,
    config: SeE2A,
    params: Tree,
    atype: Any,
    counts: Mapping[int, int],
    tables: Mapping[str, Tree],
    basis: Tree | None = None,
) -> tuple[Any, Any]:
    """Return the descriptors of the atoms (N, dim_out) and their pullback, as a model has them."""
    known = config.geometry(xp, params, atype, counts, tables, basis)
    return config.apply(SimpleNamespace(xp=xp), params, counts, known, basis)  # type: ignore[arg-type]

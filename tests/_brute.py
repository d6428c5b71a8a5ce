"""se_e2_a and its energy straight from the formula of ``docs/design.md``: loops, every slot stored.

Nothing here comes from the core but the settings and the numbers of the parameters.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
from _cases import System

from multifit import models as mdl
from multifit.descriptors.se_e2_a import SeE2A
from multifit.tree import Tree


def neighbours(system: System, i: int, rcut: float) -> list[tuple[float, int, np.ndarray]]:
    """Return (distance, type, vector) of all neighbours of atom i, nearest first."""
    found = []
    shifts = itertools.product(range(-3, 4), repeat=3) if system.cell is not None else [(0, 0, 0)]
    for shift in shifts:
        for j, b in enumerate(system.atype):
            if b < 0 or (i == j and shift == (0, 0, 0)):
                continue
            r = system.coord[j] - system.coord[i]
            if system.cell is not None:
                r = r + np.array(shift) @ system.cell
            length = math.sqrt(float(r @ r))
            if length < rcut:
                found.append((length, int(b), r))
    return sorted(found, key=lambda one: one[0])


def switch(r: float, smooth: float, rcut: float) -> float:
    """Return the quintic switch w(r)."""
    if r < smooth:
        return 1.0
    if r >= rcut:
        return 0.0
    u = (r - smooth) / (rcut - smooth)
    return 1.0 - 10.0 * u**3 + 15.0 * u**4 - 6.0 * u**5


def environment_row(config: SeE2A, length: float, r: np.ndarray) -> np.ndarray:
    """Return R = s (1, r/(|r| + p))."""
    q = 1.0 / (length + config.env_protection)
    s = switch(length, config.rcut_smth, config.rcut) * q
    return np.array([s, s * q * r[0], s * q * r[1], s * q * r[2]])


def network(params: Tree, x: np.ndarray, linear_end: bool) -> np.ndarray:
    """Return the tanh network's output for one input vector."""
    layers = [params["layers"][str(k)] for k in range(len(params["layers"]))]
    for k, p in enumerate(layers):
        y = x @ p["w"] + p["b"]
        if linear_end and k == len(layers) - 1:
            return y
        y = np.tanh(y) * p.get("idt", 1.0)
        n_in, n_out = p["w"].shape
        if n_out == n_in:
            y = y + x
        elif n_out == 2 * n_in:
            y = y + np.concatenate([x, x])
        x = y
    return x


def descriptor(
    config: SeE2A,
    params: Tree,
    system: System,
    i: int,
    exclude_pairs: tuple[tuple[int, int], ...] = (),
) -> np.ndarray:
    """Return D of atom i, (M·axis_neuron,); ``blind`` are the model's ``pair_exclude_types``."""
    a = int(system.atype[i])
    slots: list[tuple[int, np.ndarray | None]] = []
    around = neighbours(system, i, config.rcut)
    for b in range(config.ntypes):
        hidden = (a, b) in exclude_pairs or (b, a) in exclude_pairs
        near = [one for one in around if one[1] == b and not hidden]
        rows = [environment_row(config, length, r) for length, _, r in near[: config.sel[b]]]
        slots += [(b, row) for row in rows]
        slots += [(b, None)] * (config.sel[b] - len(rows))
    width = config.neuron[-1]
    t = np.zeros((4, width))
    for b, row in slots:
        full = np.zeros(4) if row is None else row
        scaled = (full - params["davg"][a, b]) / params["dstd"][a, b]
        if row is not None and ((a, b) in config.exclude_types or (b, a) in config.exclude_types):
            scaled = np.zeros(4)
        index = b if config.type_one_side else a + b * config.ntypes
        g = network(params["embeddings"][str(index)], scaled[:1], linear_end=False)
        t += np.outer(scaled, g)
    t /= sum(config.sel)
    return (t.T @ t[:, : config.axis_neuron]).reshape(-1)


def atom_energies(
    model: mdl.Model,
    params: Tree,
    system: System,
    fparam: np.ndarray | None = None,
    aparam: np.ndarray | None = None,
) -> np.ndarray:
    """Return the energy of each atom in eV, (natoms,)."""
    fit, p = model.fitting, params["fitting"]
    energies = np.zeros(len(system.atype))
    for i, a in enumerate(system.atype):
        if a < 0 or a in model.atom_exclude_types:
            continue
        energies[i] = params["out_bias"][a, 0]
        if a in fit.exclude_types:
            continue
        x = descriptor(model.descriptor, params["descriptor"], system, i, model.pair_exclude_types)
        if fparam is not None:
            x = np.concatenate([x, (fparam - p["fparam_avg"]) * p["fparam_inv_std"]])
        if aparam is not None:
            x = np.concatenate([x, (aparam[i] - p["aparam_avg"]) * p["aparam_inv_std"]])
        net = p["nets"]["0" if fit.mixed_types else str(a)]
        energies[i] += network(net, x, linear_end=True)[0] + p["bias_atom_e"][a, 0]
    return energies

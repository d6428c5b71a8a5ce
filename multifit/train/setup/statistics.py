"""The statistics of the training data that scale a model, and its initial parameters."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ... import models as mdl
from ... import precision as prec
from ... import statistics as stat
from ...distributed import Processes, as_json, from_json
from ...tree import Tree, flatten, unflatten
from .absurd import refuse_absurd
from .parts import own_part
from .setup import Setup
from .task import Task

#: What the statistics take from frames of a system: arrays whose first axis are the frames.
Sample = dict[str, np.ndarray]

#: Names of the arrays of the descriptor's sums, which a sample holds for each frame.
SUMS = "sums{}"


def init_params(setup: Setup, task: Task, found: Mapping[str, np.ndarray]) -> Tree:
    """Return random nets with statistics from :func:`collect_statistics`, as NumPy arrays."""
    model = task.model
    params = mdl.init(model, setup.seeds["descriptor"], setup.seeds["fitting_net"])
    own = flatten(params["descriptor"])
    for name, value in found.items():
        stat.check_finite(name, value)
        if name in own:
            # Files store them in the precision of the nets: a restart must not round differently.
            rounded = value.astype(prec.numpy_dtype(model.descriptor.precision))
            own[name] = rounded.astype(np.float64)
        elif name == "out_bias":
            params[name] = value
        else:
            params["fitting"][name] = value
    params["descriptor"] = unflatten(own)
    return params


def collect_statistics(setup: Setup, task: Task) -> dict[str, np.ndarray]:
    """Return davg, dstd, out_bias and the statistics of fparam and aparam.

    Each process of the run reads its part of the frames. Sums are made frame by frame in the
    order of the data, so that the result does not depend on the number of processes.

    Raises
    ------
    DataError
        If a label has an absurd value (which one).
    """
    model, section = task.model, setup.config.model
    source, protect = task.data.training.source, section.data_stat_protect
    pieces = list(source.first_frames(task.data.training.sizes, section.data_stat_nbatch))
    mine = [(k, _sample(task, k, frames)) for k, frames in own_part(pieces, setup.processes)]
    samples = _together(setup.processes, mine)
    found = model.descriptor.statistics(_sums(model, samples), protect)
    found["out_bias"] = _output_bias(model, samples)
    for kind, number in model.fitting.parameters.items():
        total = stat.no_sums(number)
        for sample in samples:
            total = total + stat.parameter_sums(sample[kind], number)
        found[f"{kind}_avg"] = total.mean()
        found[f"{kind}_inv_std"] = 1.0 / total.deviation(protect)
    return found


def _sums(model: mdl.Model, samples: Sequence[Sample]) -> Any:
    """Return the descriptor's sums of all frames, added up system by system."""
    nothing = model.descriptor.sums(())
    sums, number = nothing, len(stat.arrays_of(nothing))
    for sample in samples:
        of_system = nothing
        for arrays in zip(*(sample[SUMS.format(k)] for k in range(number)), strict=True):
            of_system = of_system + stat.sums_like(nothing, iter(arrays))
        sums = sums + of_system
    return sums


def _sample(task: Task, k: int, frames: np.ndarray) -> Sample:
    """Return what the statistics take from some frames of a system."""
    model, source = task.model, task.data.training.source
    ready, arrays = source.load(k, frames, [model.output.label])
    refuse_absurd(task, source.systems[k], frames, arrays)
    of_frames = [stat.arrays_of(model.descriptor.sums([frame])) for frame in ready]
    columns = zip(*of_frames, strict=True)
    sample = {SUMS.format(k): np.stack(column) for k, column in enumerate(columns)}
    sample |= {kind: arrays[kind] for kind in model.fitting.parameters}
    return sample | _bias_sample(task, np.stack([frame.atype for frame in ready]), arrays)


def _bias_sample(task: Task, atype: np.ndarray, arrays: Mapping[str, np.ndarray]) -> Sample:
    """Return the labels that an output bias is fitted to.

    Parameters
    ----------
    atype
        Types, (nframes, natoms).
    arrays
        Labels of these frames.

    Returns
    -------
    sample
        ``counts`` of each type (nframes, ntypes) and ``totals`` (nframes, dim_out); of atomic
        labels ``kinds`` (nframes, natoms) and ``values`` (nframes, natoms, dim_out).
    """
    model, loss = task.model, task.loss
    output, width, found = model.output, model.fitting.dim_out, {}
    if output.label in arrays:
        weight = np.ones(atype.shape)
        if loss.coefficients and output.coefficients in arrays:
            weight = arrays[output.coefficients]
        found["counts"] = stat.type_counts(atype, weight, model.ntypes)
        found["totals"] = arrays[output.label].reshape(len(atype), width)
    # The partition into atoms is arbitrary: it is only used if the loss fits it.
    if output.atomic.label in arrays:
        found["kinds"] = atype
        found["values"] = arrays[output.atomic.label].reshape(*atype.shape, width)
    return found


def _together(processes: Processes, mine: Sequence[tuple[int, Sample]]) -> list[Sample]:
    """Return the samples of each system, with the frames of all processes in their order."""
    if processes.size == 1:
        return [sample for _, sample in mine]
    told = [[k, {name: as_json(x) for name, x in one.items()}] for k, one in mine]
    parts: dict[int, list[Sample]] = {}
    for k, one in itertools.chain.from_iterable(processes.gather(told)):
        parts.setdefault(k, []).append({name: from_json(x) for name, x in one.items()})
    return [
        {name: np.concatenate([part[name] for part in found]) for name in found[0]}
        for _, found in sorted(parts.items())
    ]


def _output_bias(model: mdl.Model, samples: Sequence[Sample]) -> np.ndarray:
    """Return the output bias of each type, (ntypes, dim_out).

    Together with the net's bias it is the value fixed by the settings, else the mean of atomic
    labels, else the least-squares fit to the remainder of the frames' labels.
    """
    fixed = model.fixed_bias
    atoms = [sample for sample in samples if "kinds" in sample]
    if atoms:
        kinds = np.concatenate([sample["kinds"].ravel() for sample in atoms])
        values = np.concatenate([x["values"].reshape(-1, model.fitting.dim_out) for x in atoms])
        atomic = stat.atomic_bias(kinds, values, model.ntypes)
        fixed = np.where(np.isnan(fixed), atomic, fixed)
    bias = np.nan_to_num(fixed)
    whole = [sample for sample in samples if "counts" in sample]
    # An energy that is always zero does not determine its parts.
    if whole and not model.fitting.tot_ener_zero:
        counts = np.concatenate([sample["counts"] for sample in whole])
        counts[:, list(model.atom_exclude_types)] = 0
        totals = np.concatenate([sample["totals"] for sample in whole])
        bias = stat.output_bias(counts, totals, fixed, model.fitting.rcond)
    own = [0.0 if x is None else x for x in model.fitting.atom_ener or (None,) * model.ntypes]
    shift: np.ndarray = bias - np.array(own)[:, None]
    return shift

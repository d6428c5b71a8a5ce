"""The statistics of the training data that scale a model, and its initial parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from ... import models as mdl
from ... import precision as prec
from ... import statistics as stat
from ...neighbors.frame import Frame
from ...tree import Tree
from .absurd import refuse_absurd
from .setup import Setup
from .task import Task


def init_params(setup: Setup, task: Task, found: Mapping[str, np.ndarray]) -> Tree:
    """Return random nets with statistics from :func:`collect_statistics`, as NumPy arrays."""
    model = task.model
    params = mdl.init(model, setup.seeds["descriptor"], setup.seeds["fitting_net"])
    for name, value in found.items():
        stat.check_finite(name, value)
        if name in params["descriptor"]:
            # Files store them in the precision of the nets: a restart must not round differently.
            rounded = value.astype(prec.numpy_dtype(model.descriptor.precision))
            params["descriptor"][name] = rounded.astype(np.float64)
        elif name == "out_bias":
            params[name] = value
        else:
            params["fitting"][name] = value
    return params


@dataclass
class BiasSamples:
    """Labels for fitting an output bias, collected frame by frame."""

    counts: list[np.ndarray] = field(default_factory=list)  #: of each type, (nframes, ntypes)
    totals: list[np.ndarray] = field(default_factory=list)  #: (nframes, dim_out)
    kinds: list[np.ndarray] = field(default_factory=list)  #: types of atoms, (nframes·natoms,)
    values: list[np.ndarray] = field(default_factory=list)  #: theirs, (nframes·natoms, dim_out)

    def add(self, task: Task, ready: list[Frame], arrays: dict[str, np.ndarray]) -> None:
        """Take the labels of some frames."""
        model, loss = task.model, task.loss
        output, width = model.output, model.fitting.dim_out
        atype = np.stack([frame.atype for frame in ready])
        if output.label in arrays:
            weight = np.ones(atype.shape)
            if loss.coefficients and output.coefficients in arrays:
                weight = arrays[output.coefficients]
            self.counts.append(stat.type_counts(atype, weight, model.ntypes))
            self.totals.append(arrays[output.label].reshape(len(atype), width))
        # The partition into atoms is arbitrary: it is only used if the loss fits it.
        if output.atomic.label in arrays:
            self.kinds.append(atype.ravel())
            self.values.append(arrays[output.atomic.label].reshape(atype.size, width))


def collect_statistics(setup: Setup, task: Task) -> dict[str, np.ndarray]:
    """Return davg, dstd, out_bias and the statistics of fparam and aparam.

    Raises
    ------
    DataError
        If a label has an absurd value (which one).
    """
    model, section = task.model, setup.config.model
    source, fit = task.data.training.source, model.fitting
    protect = section.data_stat_protect
    sums, samples = model.descriptor.sums(()), BiasSamples()
    extra = {k: stat.no_sums(m) for k, m in fit.parameters.items()}
    for k, frames in source.first_frames(task.data.training.sizes, section.data_stat_nbatch):
        ready, arrays = source.load(k, frames, [model.output.label])
        refuse_absurd(task, source.systems[k], frames, arrays)
        sums = sums + model.descriptor.sums(ready)
        for kind in extra:
            extra[kind] = extra[kind] + stat.parameter_sums(arrays[kind], extra[kind].total.size)
        samples.add(task, ready, arrays)
    found = model.descriptor.statistics(sums, protect)
    found["out_bias"] = _output_bias(model, samples)
    for kind, total in extra.items():
        found[f"{kind}_avg"] = total.mean()
        found[f"{kind}_inv_std"] = 1.0 / total.deviation(protect)
    return found


def _output_bias(model: mdl.Model, samples: BiasSamples) -> np.ndarray:
    """Return the output bias of each type, (ntypes, dim_out).

    Together with the net's bias it is the value fixed by the settings, else the mean of atomic
    labels, else the least-squares fit to the remainder of the frames' labels.
    """
    fixed = model.fixed_bias
    if samples.kinds:
        kinds, values = np.concatenate(samples.kinds), np.concatenate(samples.values)
        atomic = stat.atomic_bias(kinds, values, model.ntypes)
        fixed = np.where(np.isnan(fixed), atomic, fixed)
    bias = np.nan_to_num(fixed)
    # An energy that is always zero does not determine its parts.
    if samples.counts and not model.fitting.tot_ener_zero:
        counts = np.concatenate(samples.counts)
        counts[:, list(model.atom_exclude_types)] = 0
        totals = np.concatenate(samples.totals)
        bias = stat.output_bias(counts, totals, fixed, model.fitting.rcond)
    own = [0.0 if x is None else x for x in model.fitting.atom_ener or (None,) * model.ntypes]
    shift: np.ndarray = bias - np.array(own)[:, None]
    return shift

"""From settings and data to a model that is ready to be trained."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .. import model as mdl
from .. import precision as prec
from .. import statistics as stat
from ..backend import Backend
from ..batch import Batcher
from ..config import Config, check_types
from ..data import System, batch_sizes, open_systems
from ..descriptor import SeE2A
from ..errors import ConfigError
from ..fitting import Fitting, energies
from ..learning_rate import LearningRate, learning_rate
from ..loss import EnergyLossConfig, huber_deltas
from ..optimizer import Adam
from ..spectrum import MARGIN, Spectrum
from ..surroundings import surroundings
from ..tree import Tree
from ._labels import check_labels
from ._source import Source
from ._statfile import StatFile

#: The sections of the input in error messages.
TRAINING_DATA, VALIDATION_DATA = "training.training_data", "training.validation_data"


@dataclass
class Setup:
    """Everything that a run needs, but for the parameters' values."""

    config: Config
    backend: Backend
    model: mdl.EnergyModel
    loss: EnergyLossConfig
    adam: Adam
    rate: LearningRate
    numb_steps: int
    training: Source
    training_sizes: list[int]
    validation: Source | None
    validation_sizes: list[int]


def _seed(seed: int | None) -> int:
    """Return the seed, or a random one where the input gives none."""
    return secrets.randbits(63) if seed is None else seed


def _sel_factor(sel: str) -> float:
    _, _, factor = sel.partition(":")
    return float(factor) if factor else 1.1


def build_model(config: Config, type_map: Sequence[str], sel: tuple[int, ...]) -> mdl.EnergyModel:
    """Return the settings of the model that the input describes.

    Raises
    ------
    ConfigError
        If ``sel`` has not one number for each type.
    """
    d, f = config.model.descriptor, config.model.fitting_net
    if len(sel) != len(type_map):
        raise ConfigError(
            f"model.descriptor.sel has {len(sel)} numbers, but there are {len(type_map)} types "
            f"({', '.join(type_map)}); give one for each"
        )
    descriptor = SeE2A(
        rcut=d.rcut,
        rcut_smth=d.rcut_smth,
        sel=sel,
        neuron=tuple(d.neuron),
        axis_neuron=d.axis_neuron,
        resnet_dt=d.resnet_dt,
        trainable=d.trainable,
        type_one_side=d.type_one_side,
        exclude_types=tuple(d.exclude_types),
        env_protection=d.env_protection,
        set_davg_zero=d.set_davg_zero,
        activation_function=d.activation_function,
        precision=prec.canonical(d.precision),
    )
    flags = f.trainable
    if isinstance(flags, bool):
        flags = (flags,) * (len(f.neuron) + 1)
    fitting = Fitting(
        ntypes=len(type_map),
        dim_descrpt=descriptor.dim_out,
        neuron=tuple(f.neuron),
        resnet_dt=f.resnet_dt,
        numb_fparam=f.numb_fparam,
        numb_aparam=f.numb_aparam,
        default_fparam=f.default_fparam,
        rcond=f.rcond,
        trainable=tuple(flags),
        activation_function=f.activation_function,
        precision=prec.canonical(f.precision),
        dim_case_embd=f.dim_case_embd,
        atom_ener=energies(f.atom_ener),
        layer_name=f.layer_name,
        use_aparam_as_mask=f.use_aparam_as_mask,
        tot_ener_zero=f.tot_ener_zero,
    )
    preset = (config.model.preset_out_bias or {}).get("energy")
    return mdl.EnergyModel(
        type_map=tuple(type_map),
        descriptor=descriptor,
        fitting=fitting,
        atom_exclude_types=tuple(config.model.atom_exclude_types),
        pair_exclude_types=tuple(config.model.pair_exclude_types),
        preset_out_bias=preset,
    )


def build_loss(config: Config, start_lr: float) -> EnergyLossConfig:
    """Return the settings of the loss that the input describes."""
    given = config.loss.model_dump(exclude={"type", "huber_delta"})
    deltas = huber_deltas(config.loss.huber_delta)
    return EnergyLossConfig(starter_learning_rate=start_lr, huber_delta=deltas, **given)


def build_optimizer(config: Config) -> Adam:
    """Return the settings of the optimizer that the input describes."""
    o = config.optimizer
    return Adam(
        beta1=o.adam_beta1,
        beta2=o.adam_beta2,
        weight_decay=o.weight_decay,
        decoupled=o.type == "AdamW",
        max_norm=config.training.gradient_max_norm or 0.0,
    )


def set_up(config: Config, backend: Backend, base: Path) -> Setup:
    """Open the data and return a setup whose settings all fit together.

    Parameters
    ----------
    base
        The folder of the input file, against which paths are resolved.

    Raises
    ------
    ConfigError, DataError
        If settings and data do not fit together.
    """
    training, section = config.training, config.training.training_data
    systems = open_systems(section.systems, config.model.type_map, base=base)
    type_map = config.model.type_map or systems[0].type_map
    if config.model.ntypes is None:
        check_types(config, type_map)
    sel = config.model.descriptor.sel
    if isinstance(sel, str):
        masked = config.model.fitting_net.use_aparam_as_mask
        found = surroundings(systems, config.model.descriptor.rcut, masked=masked)
        sel = stat.choose_sel(found.fullest, _sel_factor(sel))
    model = build_model(config, type_map, tuple(sel))
    sizes = batch_sizes(systems, section.batch_size, TRAINING_DATA)
    steps = training.numb_steps or _steps_of_epochs(training.numb_epoch or 0.0, systems, sizes)
    rate = learning_rate(config.learning_rate.model_dump(), steps)
    loss = build_loss(config, rate.start_lr)
    batcher = Batcher(
        model.descriptor.rcut, model.descriptor.sel, model.pair_exclude_types, backend.static_shapes
    )
    validation, validation_sizes = None, []
    if training.validation_data is not None:
        held_out = open_systems(training.validation_data.systems, type_map, base=base)
        validation = Source(held_out, batcher, model.fitting, loss)
        validation_sizes = batch_sizes(
            held_out, training.validation_data.batch_size, VALIDATION_DATA
        )
        check_labels("validation", held_out, loss)
    check_labels("training", systems, loss)
    source = Source(systems, batcher, model.fitting, loss)
    for each in (source, validation):
        if each is not None:
            each.check_atoms()
    return Setup(
        config=config,
        backend=backend,
        model=model,
        loss=loss,
        adam=build_optimizer(config),
        rate=rate,
        numb_steps=steps,
        training=source,
        training_sizes=sizes,
        validation=validation,
        validation_sizes=validation_sizes,
    )


def _steps_of_epochs(epochs: float, systems: Sequence[System], sizes: Sequence[int]) -> int:
    """Return how many steps see every frame so often."""
    batches = sum(s.nframes / size for s, size in zip(systems, sizes, strict=True) if size)
    return max(1, round(epochs * batches))


def init_params(setup: Setup, stat_file: Path | None) -> Tree:
    """Return random nets with the statistics of the training data, as NumPy arrays."""
    model, config = setup.model, setup.config
    seeds = (_seed(config.model.descriptor.seed), _seed(config.model.fitting_net.seed))
    params = mdl.init(model, *seeds)
    cache = StatFile(stat_file, setup)
    found = cache.read()
    if found is None:
        found = collect_statistics(setup)
        cache.write(found)
    for name, value in found.items():
        stat.check_finite(name, value)
        if name in ("davg", "dstd"):
            # Files have them as precise as the nets: a restart must not round what a run has not.
            rounded = value.astype(prec.numpy_dtype(model.descriptor.precision))
            params["descriptor"][name] = rounded.astype(np.float64)
        elif name == "out_bias":
            params[name] = value
        else:
            params["fitting"][name] = value
    return params


def survey(setup: Setup) -> tuple[Spectrum, str]:
    """Look at the frames that statistics are taken from.

    Returns
    -------
    spectrum
        The Chebyshev series with an interval that holds these frames.
    note
        What to say about neighbours beyond ``sel``; empty if there are none.
    """
    source = setup.training
    nearest, present, dropped, looked = np.inf, set(), 0, 0
    fullest = np.zeros(setup.model.ntypes, dtype=np.int64)
    section = setup.config.model
    for k, frames in source.first_frames(setup.training_sizes, section.data_stat_nbatch):
        ready, _ = source.load(k, frames)
        source.batcher.learn(ready)
        nearest = min(nearest, *(frame.nearest for frame in ready))
        present |= {key for frame in ready for key in frame.tables}
        dropped += sum(frame.dropped for frame in ready)
        looked += len(ready)
        fullest = np.max(np.stack([fullest, *(np.asarray(f.fullest) for f in ready)]), axis=0)
    reach = MARGIN * min(nearest, setup.model.descriptor.rcut)
    note = ""
    if dropped:
        enough = fullest.tolist()
        note = (
            f"warning: sel {list(setup.model.descriptor.sel)} is too small: in {looked} frames "
            f"{dropped} neighbours were dropped, the farthest first; {enough} would keep them all"
        )
    wanted = not setup.loss.needs_hessian
    return Spectrum(setup.backend, setup.model.descriptor, present, reach, wanted=wanted), note


def collect_statistics(setup: Setup) -> dict[str, np.ndarray]:
    """Return davg, dstd, out_bias and the statistics of fparam and aparam."""
    model, section = setup.model, setup.config.model
    source, fit = setup.training, model.fitting
    n, protect = model.ntypes, section.data_stat_protect
    sums = stat.no_sums(n, 2)
    counts, totals = [], []
    atoms: list[tuple[np.ndarray, np.ndarray]] = []
    extra = {k: stat.no_sums(m) for k, m in fit.parameters.items()}
    for k, frames in source.first_frames(setup.training_sizes, section.data_stat_nbatch):
        ready, arrays = source.load(k, frames, ("energy", "atom_ener"))
        sums = sums + stat.environment_sums(model.descriptor, ready)
        for kind in extra:
            extra[kind] = extra[kind] + stat.parameter_sums(arrays[kind], extra[kind].total.size)
        atype = np.stack([frame.atype for frame in ready])
        if "energy" in arrays:
            weight = np.ones(atype.shape)
            if setup.loss.enable_atom_ener_coeff and "atom_ener_coeff" in arrays:
                weight = arrays["atom_ener_coeff"]
            counts.append(stat.type_counts(atype, weight, n))
            totals.append(arrays["energy"])
        if "atom_ener" in arrays and "ae" in setup.loss.terms:
            atoms.append((atype.ravel(), arrays["atom_ener"].ravel()))
    davg, dstd = stat.environment_statistics(model.descriptor, sums, protect)
    bias = _energy_bias(model, counts, totals, atoms)
    found = {"davg": davg, "dstd": dstd, "out_bias": bias[:, None]}
    for kind, total in extra.items():
        found[f"{kind}_avg"] = total.mean()
        found[f"{kind}_inv_std"] = 1.0 / total.deviation(protect)
    return found


def _energy_bias(
    model: mdl.EnergyModel,
    counts: list[np.ndarray],
    totals: list[np.ndarray],
    atoms: list[tuple[np.ndarray, np.ndarray]],
) -> np.ndarray:
    """Return the output bias of each type, (ntypes,).

    Together with the net's own bias it is what the settings fix, else the mean of atomic labels,
    else the least-squares fit to the energies of frames.
    """
    n, fixed = model.ntypes, model.fixed_bias
    bias = np.array([0.0 if x is None else x for x in fixed])
    # An energy that is always zero says nothing about its parts.
    if counts and not model.fitting.tot_ener_zero:
        contributing = np.concatenate(counts)
        contributing[:, list(model.atom_exclude_types)] = 0
        bias = stat.output_bias(contributing, np.concatenate(totals), fixed, model.fitting.rcond)
    if atoms:
        kinds, values = (np.concatenate(x) for x in zip(*atoms, strict=True))
        atomic = stat.atomic_bias(kinds, values, n)
        free = np.array([x is None for x in fixed]) & ~np.isnan(atomic)
        bias = np.where(free, atomic, bias)
    own = [0.0 if x is None else x for x in model.fitting.atom_ener or (None,) * n]
    shift: np.ndarray = bias - np.array(own)
    return shift

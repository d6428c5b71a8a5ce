"""From settings and data to a model that is ready to be trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ... import models as mdl
from ... import statistics as stat
from ...backend import Backend
from ...batching.batch import Batcher
from ...config import Config, check_types
from ...data import System, batch_sizes, open_systems
from ...descriptors.se_e2_a._basis import HEADROOM, STRIDE, Spectrum, takes_series
from ...evaluation.labels import require_comparable
from ...loss import LossConfig
from ...neighbors.statistics import neighbor_statistics
from ...optim.adam import Adam
from ...optim.learning_rate import LearningRate, learning_rate
from .build import build_loss, build_model
from .dos_grid import build_grid
from .labels import check_labels
from .source import Source

#: The sections of the input in error messages.
TRAINING_DATA, VALIDATION_DATA = "training.training_data", "training.validation_data"


@dataclass
class Setup:
    """Everything that a run needs, but for the parameters' values."""

    config: Config
    backend: Backend
    model: mdl.Model
    loss: LossConfig
    adam: Adam
    rate: LearningRate
    numb_steps: int
    training: Source
    training_sizes: list[int]
    validation: Source | None
    validation_sizes: list[int]


def _sel_factor(sel: str) -> float:
    _, _, factor = sel.partition(":")
    return float(factor) if factor else 1.1


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
        found = neighbor_statistics(systems, config.model.descriptor.rcut, masked=masked)
        sel = stat.choose_sel(found.fullest, _sel_factor(sel))
    model = build_model(config, type_map, tuple(sel), build_grid(config, systems, base))
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
        validation = Source(held_out, batcher, model, loss)
        validation_sizes = batch_sizes(
            held_out, training.validation_data.batch_size, VALIDATION_DATA
        )
        _check("validation", held_out, model, loss)
    _check("training", systems, model, loss)
    source = Source(systems, batcher, model, loss)
    for each in (source, validation):
        if each is not None:
            each.check_atoms()
    source.plan(sizes)
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


def _check(kind: str, systems: Sequence[System], model: mdl.Model, loss: LossConfig) -> None:
    """Raise DataError if labels are missing, or have another size than the model's outputs."""
    check_labels(kind, systems, loss)
    require_comparable(model, systems)


def _steps_of_epochs(epochs: float, systems: Sequence[System], sizes: Sequence[int]) -> int:
    """Return how many steps see every frame so often."""
    batches = sum(s.nframes / size for s, size in zip(systems, sizes, strict=True) if size)
    return max(1, round(epochs * batches))


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
    ntypes = setup.model.ntypes
    nearest, dropped, looked = np.full((ntypes, ntypes), np.inf), 0, 0
    fullest = np.zeros(ntypes, dtype=np.int64)
    section = setup.config.model
    for k, frames in source.first_frames(setup.training_sizes, section.data_stat_nbatch):
        ready, _ = source.load(k, frames)
        source.batcher.reserve(ready)
        nearest = np.minimum(nearest, np.min([frame.nearest for frame in ready], axis=0))
        dropped += sum(frame.dropped for frame in ready)
        looked += len(ready)
        fullest = np.max(np.stack([fullest, *(np.asarray(f.fullest) for f in ready)]), axis=0)
    note = ""
    if dropped:
        enough = fullest.tolist()
        note = (
            f"warning: sel {list(setup.model.descriptor.sel)} is too small: in {looked} frames "
            f"{dropped} neighbours were dropped, the farthest first; {enough} would keep them all"
        )
    series = takes_series(section.embedding, setup.model.descriptor)
    wanted = series and not setup.loss.needs_hessian
    spectrum = Spectrum(
        setup.backend, setup.model.descriptor, wanted=wanted, headroom=HEADROOM, step=STRIDE
    )
    spectrum.include(nearest)
    return spectrum, note

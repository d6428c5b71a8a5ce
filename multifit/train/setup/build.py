"""From the input's sections to the settings of a model and a loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace

from ... import descriptors, dos
from ... import models as mdl
from ... import precision as prec
from ...config import Config
from ...data import WEIGHTS, System
from ...errors import ConfigError
from ...fitting import Fitting, energies, output_precision
from ...loss import DosLossConfig, EnergyLossConfig, LossConfig, huber_deltas


def build_model(
    config: Config,
    type_map: Sequence[str],
    sels: Sequence[tuple[int, ...]],
    grid: dos.Grid | None = None,
) -> mdl.Model:
    """Return the settings of the model in the input.

    Parameters
    ----------
    sels
        ``sel`` of each part of the descriptor.
    grid
        Energies of a density of states, if known.

    Raises
    ------
    ConfigError
        If the length of a ``sel`` is not the number of types.
    """
    for sel, (path, part) in zip(sels, config.model.descriptor.parts(), strict=True):
        if len(sel) != len(type_map) and not part.mixed_types:
            raise ConfigError(
                f"model.descriptor{path}.sel has {len(sel)} numbers, but there are {len(type_map)} "
                f"types ({', '.join(type_map)}); give one for each"
            )
    descriptor = descriptors.build_parts(config.model.descriptor, sels, type_map)
    fitting = _fitting(config, len(type_map), descriptor)
    return mdl.Model(
        type_map=tuple(type_map),
        descriptor=descriptor,
        fitting=fitting,
        atom_exclude_types=tuple(config.model.atom_exclude_types),
        pair_exclude_types=tuple(config.model.pair_exclude_types),
        preset_out_bias=config.model.preset or None,
        grid=grid,
    )


def _fitting(config: Config, ntypes: int, descriptor: descriptors.Descriptor) -> Fitting:
    section = config.model.fitting_net
    alone = energies(section.atom_ener)
    known = {field.name for field in fields(Fitting)}
    options = {name: getattr(section, name) for name in known if hasattr(section, name)}
    flags = section.trainable
    if isinstance(flags, bool):
        flags = (flags,) * (len(section.neuron) + 1)
    options |= {
        "ntypes": ntypes,
        "dim_descrpt": descriptor.dim_out,
        "mixed_types": any(
            part.mixed_types or part.one_fitting_net for _, part in config.model.descriptor.parts()
        ),
        "trainable": tuple(flags),
        "precision": prec.canonical(section.precision),
        "output_precision": output_precision(section.precision, section.output_precision),
        "atom_ener": alone,
        "type_columns": getattr(descriptor, "type_columns", ()) if alone else (),
    }
    return Fitting(**options)


def build_loss(config: Config, start_lr: float) -> LossConfig:
    """Return the settings of the loss that the input describes."""
    section, fitting = config.loss, config.model.fitting_net
    given = section.model_dump(exclude={"type", "huber_delta"})
    if section.type == "dos":
        assert fitting.type == "dos"
        return DosLossConfig(
            starter_learning_rate=start_lr,
            numb_dos=fitting.numb_dos,
            huber_delta=section.huber_delta,
            **given,
        )
    deltas = huber_deltas(section.huber_delta)
    return EnergyLossConfig(starter_learning_rate=start_lr, huber_delta=deltas, **given)


def with_frame_weights(loss: LossConfig, systems: Sequence[System]) -> LossConfig:
    """Return the settings of a loss with the weights of frames that some of the systems have."""
    having = frozenset().union(*(system.labels for system in systems))
    return replace(loss, frame_weights=tuple(key for key in WEIGHTS if key in having))

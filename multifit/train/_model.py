"""From the input's sections to the settings of a model and a loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from .. import dos
from .. import model as mdl
from .. import precision as prec
from ..config import Config
from ..data import System
from ..descriptor import SeE2A
from ..errors import ConfigError
from ..fitting import Fitting, energies
from ..loss import DosLossConfig, EnergyLossConfig, LossConfig, huber_deltas


def build_model(
    config: Config, type_map: Sequence[str], sel: tuple[int, ...], grid: dos.Grid | None = None
) -> mdl.Model:
    """Return the settings of the model that the input describes.

    Parameters
    ----------
    grid
        Of :func:`build_grid`.

    Raises
    ------
    ConfigError
        If ``sel`` has not one number for each type.
    """
    if len(sel) != len(type_map):
        raise ConfigError(
            f"model.descriptor.sel has {len(sel)} numbers, but there are {len(type_map)} types "
            f"({', '.join(type_map)}); give one for each"
        )
    descriptor = _descriptor(config, sel)
    fitting = _fitting(config, len(type_map), descriptor.dim_out)
    return mdl.Model(
        type_map=tuple(type_map),
        descriptor=descriptor,
        fitting=fitting,
        atom_exclude_types=tuple(config.model.atom_exclude_types),
        pair_exclude_types=tuple(config.model.pair_exclude_types),
        preset_out_bias=config.model.preset or None,
        grid=grid,
    )


def _descriptor(config: Config, sel: tuple[int, ...]) -> SeE2A:
    d = config.model.descriptor
    return SeE2A(
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


def _fitting(config: Config, ntypes: int, dim_descrpt: int) -> Fitting:
    section = config.model.fitting_net
    known = {field.name for field in fields(Fitting)}
    options = {name: getattr(section, name) for name in known if hasattr(section, name)}
    flags = section.trainable
    if isinstance(flags, bool):
        flags = (flags,) * (len(section.neuron) + 1)
    options |= {
        "ntypes": ntypes,
        "dim_descrpt": dim_descrpt,
        "trainable": tuple(flags),
        "precision": prec.canonical(section.precision),
        "atom_ener": energies(section.atom_ener),
    }
    return Fitting(**options)


def build_grid(config: Config, systems: Sequence[System], base: Path) -> dos.Grid | None:
    """Return the energies of a density of states: of the input, else of the data, else None.

    Parameters
    ----------
    systems
        The training data.
    base
        The folder of the input file, against which its paths are resolved.

    Raises
    ------
    ConfigError
        If the file of energies is missing or does not go with the input, or the number of
        electrons is given and nothing tells the energies.
    """
    section = config.model.fitting_net
    if section.type != "dos":
        return None
    energies: Sequence[float] | None = None
    if section.energies is not None:
        energies = dos.read_energies(base / section.energies, section.numb_dos)
    elif section.emin is not None and section.emax is not None:
        energies = dos.even_grid(section.emin, section.emax, section.numb_dos)
    else:
        common = dos.common_energies(systems)
        if common is not None and len(common) == section.numb_dos:
            energies = tuple(common.tolist())
    if energies is not None:
        return dos.Grid(tuple(energies), section.fermi_aligned, section.electrons)
    if section.electrons is not None:
        raise ConfigError(
            "model.fitting_net.electrons is given, but nothing tells the energies of the density "
            "of states: give emin and emax, or energies, or put one energies.npy into all systems"
        )
    return None


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

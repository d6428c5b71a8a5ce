"""The ``model`` section: descriptor, fitting net and how the model meets the data."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any, Literal, Self

from annotated_types import MinLen
from pydantic import Field, model_validator

from .. import sections as t
from ..fitting import layer_conflict, network
from ..outputs import OUTPUTS
from ._descriptor import DescriptorSection
from ._fitting_net import FittingNetSection

TypeMap = Annotated[
    Annotated[tuple[t.Text, ...], MinLen(1)] | None,
    t.Words("a list of one or more element names, or null"),
]
OutBias = Annotated[
    dict[Literal["energy"], Annotated[t.Energies, t.OrByName()]]
    | dict[Literal["dos"], Annotated[t.Spectra, t.OrByName()]]
    | None,
    t.Words(
        'null or {"energy": [...]} with a number or null for each type ({"dos": [...]} with a list '
        "of numb_dos numbers or null), or an object from the names in type_map to them"
    ),
]


Embedding = Annotated[
    Literal["auto", "spectral", "direct"], t.Words('one of "auto", "spectral" and "direct"')
]


class ModelSection(t.Section):
    """The model: a descriptor, a fitting net, and the statistics that scale them."""

    type: Literal["standard"] = Field(default="standard", description="Type of model.")
    type_map: TypeMap = Field(
        default=None,
        description="Names of the atom types, in the order of their indices. Without it, all "
        "systems must use the same indices in `type.raw`.",
    )
    type_embedding: Annotated[
        dict[str, Any] | None,
        t.Words("an object with the keys of a type embedding of DeePMD-kit, or null"),
    ] = Field(
        default=None,
        description="The type embedding of DeePMD-kit's TensorFlow. Its keys become `type_neuron`, "
        '… of the descriptor: `"type": "se_e2_a"` becomes `"se_e2_a_tebd"`, and so does '
        '`"se_a_ebd_v2"` (`"se_a_tpe_v2"`) with `"tebd_input_mode": "strip"`. With `se_atten` a '
        "single linear layer becomes `tebd_dim`.",
    )
    descriptor: DescriptorSection = Field(description="The descriptor.")
    fitting_net: FittingNetSection = Field(description="The fitting net.")
    data_stat_nbatch: t.Positive = Field(
        default=10, description="Number of batches of each system used for the statistics."
    )
    data_stat_protect: t.AboveZero = Field(
        default=0.01, description="Lower bound of standard deviations used for scaling."
    )
    data_bias_nsample: t.Positive = Field(
        default=10,
        description="Number of samples of each system used to change the output bias.",
    )
    embedding: Embedding = Field(
        default="auto",
        description="Evaluation of embedding nets: `auto` uses a Chebyshev series, exact to the "
        "last digits, if it converges; `spectral` refuses models without one; `direct` evaluates "
        "every pair and is slower. The results are the same.",
    )
    pair_exclude_types: t.TypePairs = Field(
        default=(), description="Pairs of types that are never neighbours of each other."
    )
    atom_exclude_types: t.Types = Field(
        default=(), description="Types whose atoms contribute 0 to the output."
    )
    preset_out_bias: OutBias = Field(
        default=None,
        description="Output bias of each type, in eV for energies, instead of the fitted one: "
        '`{"energy": [null, -1.0]}` or `{"energy": {"H": -1.0}}`; null is fitted. For densities of '
        'states `{"dos": [null, [0.1, …]]}` with `numb_dos` numbers per type.',
    )

    @property
    def preset(self) -> tuple[Any, ...]:
        """The bias of ``preset_out_bias`` for each type, or nothing."""
        given: dict[Any, tuple[Any, ...]] = self.preset_out_bias or {}
        return given.get(self.fitting_net.var_name, ())

    @property
    def ntypes(self) -> int | None:
        """Number of types, if given by ``type_map`` or ``sel``."""
        if self.type_map is not None:
            return len(self.type_map)
        for _, part in self.descriptor.parts():
            if not (part.mixed_types or isinstance(part.numbers, str)):
                return len(part.numbers)
        return None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        _check_type_map(self)
        _check_preset(self)
        _check_lengths(self)
        _check_type_indices(self)
        _check_energies(self)
        _check_layer_names(self)
        return self


def _check_type_map(model: ModelSection) -> None:
    for name, count in Counter(model.type_map or ()).items():
        if count > 1:
            raise t.relation("type_map", f'names "{name}" twice, but must name each type once')


def _check_preset(model: ModelSection) -> None:
    """Raise if ``preset_out_bias`` does not match the output of the fitting net."""
    net = model.fitting_net
    for name in model.preset_out_bias or ():
        if name != net.var_name:
            raise t.relation(
                "preset_out_bias",
                f'is of "{name}", but must be of "{net.var_name}" with fitting_net.type '
                f'"{net.type}"',
            )
    for a, given in enumerate(model.preset):
        if isinstance(given, tuple) and len(given) != net.dim_out:
            raise t.relation(
                f"preset_out_bias.{net.var_name}[{a}]",
                f"has length {len(given)}, but must have length {net.dim_out}, the value of "
                f"fitting_net.{OUTPUTS[net.var_name].components}",
            )


def _check_lengths(model: ModelSection) -> None:
    """Raise if the length of a list with an entry per type is not the number of types."""
    ntypes = model.ntypes
    if ntypes is None:
        return
    source = "type_map" if model.type_map is not None else "model.descriptor.sel"
    net = model.fitting_net
    for key, given in (
        *(
            (f"descriptor{path}.sel", part.numbers)
            for path, part in model.descriptor.parts()
            if not part.mixed_types
        ),
        ("fitting_net.atom_ener", net.atom_ener),
        ("fitting_net.electrons", net.electrons),
        (f"preset_out_bias.{net.var_name}", model.preset),
    ):
        if isinstance(given, tuple) and len(given) not in (0, ntypes):
            raise t.relation(
                key,
                f"has length {len(given)}, but must have length {ntypes}, one entry for each type "
                f"of {source}",
            )


def _check_type_indices(model: ModelSection) -> None:
    ntypes = model.ntypes
    if ntypes is None:
        return
    pairs = {
        **{
            f"descriptor{path}.exclude_types": getattr(part, "exclude_types", ())
            for path, part in model.descriptor.parts()
        },
        "pair_exclude_types": model.pair_exclude_types,
        "atom_exclude_types": (model.atom_exclude_types,),
    }
    for key, groups in pairs.items():
        for index in (i for group in groups for i in group):
            if index >= ntypes:
                raise t.relation(
                    key,
                    f"names type {index}, but must name types below {ntypes}: the indices count "
                    "from 0",
                )


def _check_energies(model: ModelSection) -> None:
    """Raise if ``atom_ener`` contradicts another option for the energy of an isolated atom."""
    key, given = "fitting_net.atom_ener", model.fitting_net.atom_ener
    name = model.fitting_net.var_name
    descriptor, ntypes = model.descriptor, model.ntypes or len(given)
    alone = [a for a, energy in enumerate(given) if energy is not None]
    # DeePMD-kit's form of a model has no place for the vectors of types that are not 0.
    ends = descriptor.appends_types and not descriptor.is_own
    if alone and (ends or not all(descriptor.vanishes_alone(a, ntypes) for a in alone)):
        unless = (
            "unless descriptor.set_davg_zero is true: else a descriptor without neighbours is not 0"
            if descriptor.can_vanish
            else f'with descriptor.type "{descriptor.type}", which is not 0 without neighbours'
        )
        raise t.relation(key, f"gives energies of isolated atoms, but must be left out {unless}")
    for a, (energy, other) in enumerate(zip(given, model.preset, strict=False)):
        if None not in (energy, other) and energy != other:
            raise t.relation(
                f"{key}[{a}]",
                f"is {energy}, but must be the same as preset_out_bias.{name}[{a}], {other}, or "
                "one of them null",
            )
    for a in model.atom_exclude_types:
        if a < len(given) and given[a] is not None:
            raise t.relation(
                f"{key}[{a}]",
                f"is {given[a]}, but must be null: atom_exclude_types sets the energy of type {a} "
                "to 0",
            )


def _check_layer_names(model: ModelSection) -> None:
    """Raise if layers of one name cannot share their parameters."""
    d, net = model.descriptor, model.fitting_net
    # Layers do not depend on the types, so that one type stands for all.
    conflict = layer_conflict(network(net, d.dim_out), net.layer_name)
    if conflict is not None:
        raise t.relation("fitting_net.layer_name", conflict)

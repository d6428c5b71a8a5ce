"""The whole input, and a walk through its sections."""

from __future__ import annotations

import functools
import typing
from collections.abc import Iterator
from types import MappingProxyType
from typing import Any, Self

from pydantic import Field, PrivateAttr, model_validator

from .. import sections as t
from ..loss import too_large_a_shift
from ..outputs import OUTPUTS
from ._learning_rate import LearningRateSection
from ._loss import EnergyLossSection, LossSection
from ._model import ModelSection
from ._optimizer import AdamSection, OptimizerSection
from ._training import TrainingSection, ValidatingSection


class Config(t.Section):
    """Each section configures one part of a run."""

    model: ModelSection = Field(description="Descriptor and fitting net.")
    learning_rate: LearningRateSection = Field(description="Learning-rate schedule.")
    loss: LossSection = Field(default_factory=EnergyLossSection, description="Loss function.")
    optimizer: OptimizerSection = Field(default_factory=AdamSection, description="Optimizer.")
    training: TrainingSection = Field(description="Data, number of steps and output.")
    validating: ValidatingSection = Field(
        default_factory=ValidatingSection, description="Validation on all validation data."
    )
    backend: t.MaybeText = Field(
        default=None,
        description="Backend: numpy, torch, jax, paddle or tensorflow; null leaves the choice to "
        "the command. Not a key of DeePMD-kit.",
    )
    _dropped: tuple[str, ...] = PrivateAttr(default=())
    _style: str = PrivateAttr(default="")

    @property
    def dropped(self) -> tuple[str, ...]:
        """Keys of DeePMD-kit in the input that have no effect."""
        return self._dropped

    @property
    def style(self) -> str:
        """The versions of DeePMD-kit whose style the input has, empty for the current one."""
        return self._style

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        steps, warmup = self.training.numb_steps, self.learning_rate.warmup_steps
        if steps is not None and warmup >= steps:
            raise t.relation(
                "learning_rate.warmup_steps",
                f"is {warmup}, but must be less than training.numb_steps, {steps}",
            )
        _check_loss(self)
        if self.model.fitting_net.tot_ener_zero and not _atoms_are_fitted(self):
            raise t.relation(
                "model.fitting_net.tot_ener_zero",
                "is true, but must be false unless the loss has a term of atomic energies "
                "(start_pref_ae, limit_pref_ae): nothing could be learnt from an energy that is "
                "always 0",
            )
        if self.validating.full_validation:
            _check_full_validation(self)
        return self


def _check_loss(config: Config) -> None:
    """Raise if the loss does not match the output of the model."""
    loss, net = config.loss, config.model.fitting_net
    if loss.type != net.type:
        given = "is" if "type" in loss.model_fields_set else "is missing, which means"
        raise t.relation(
            "loss.type",
            f'{given} "{loss.type}", but must be "{net.type}" with model.fitting_net.type '
            f'"{net.type}"',
        )
    if not loss.shift_agnostic:
        return
    if config.training.change_bias_after_training:
        raise t.relation(
            "training.change_bias_after_training",
            "is true, but must be false with loss.shift_agnostic: what is added to each type would "
            "be fitted to labels that have no place in energy",
        )
    rule = too_large_a_shift(net.dim_out, f"model.fitting_net.numb_dos, {net.dim_out}")
    if rule.broken(loss):
        raise t.relation(f"loss.{rule.key}", rule.says(loss))


def _atoms_are_fitted(config: Config) -> bool:
    """Return True if the loss depends on the energies of atoms, not only on their plain sum."""
    loss = config.loss
    return loss.has("ae") or (loss.has("e") and loss.enable_atom_ener_coeff)


def _check_full_validation(config: Config) -> None:
    """Raise if there are no data to validate on, or no labels for the metric."""
    net = config.model.fitting_net
    if not OUTPUTS[net.var_name].validation:
        raise t.relation(
            "validating.full_validation",
            f'is true, but must be false with model.fitting_net.type "{net.type}": its metrics are '
            "of energies, forces and virials; with validation_data, the best model by the "
            "validation loss is written anyway (model_best.dp)",
        )
    if config.validating.full_val_start == 1:  # never
        return
    if config.training.validation_data is None:
        raise t.relation(
            "validating.full_validation", "is true, but must be false without validation_data"
        )
    metric = config.validating.validation_metric
    term = metric[0].lower()
    if not config.loss.has(term):
        raise t.relation(
            "validating.validation_metric",
            f'is "{metric}", but must be of a label that the loss fits: '
            f"loss.start_pref_{term} and loss.limit_pref_{term} are 0",
        )


@functools.cache
def sections() -> MappingProxyType[str, tuple[type[t.Section], ...]]:
    """Return the classes of every section by its dotted path ("" for the whole input).

    A section that comes in several types, such as ``learning_rate``, has a class for each.
    """
    return MappingProxyType(dict(_walk("", (Config,))))


def _walk(
    path: str, classes: tuple[type[t.Section], ...]
) -> Iterator[tuple[str, tuple[type[t.Section], ...]]]:
    yield path, classes
    found: dict[str, dict[type[t.Section], None]] = {}
    for name, field in (item for cls in classes for item in cls.model_fields.items()):
        found.setdefault(name, {}).update(dict.fromkeys(_sections_in(field.annotation)))
    for name, inner in found.items():
        if inner and not set(inner) <= set(classes):  # parts have the keys of the whole
            yield from _walk(f"{path}.{name}".lstrip("."), tuple(inner))


def _sections_in(annotation: Any) -> Iterator[type[t.Section]]:
    """Yield the section classes of an annotation such as ``A | B`` or ``A | None``."""
    if isinstance(annotation, type) and issubclass(annotation, t.Section):
        yield annotation
    for part in typing.get_args(annotation):
        yield from _sections_in(part)

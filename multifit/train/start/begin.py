"""The state of a run, and where it comes from: nothing, a checkpoint, or another model."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ... import models as mdl
from ...config import notes as config_notes
from ...console.words import counted
from ...descriptors.se_e2_a._basis import Spectrum
from ...errors import TrainingError
from ...optim import adam as opt
from ...tree import Flat, Tree, flatten, map_leaves, unflatten
from ..report.progress import Display
from ..report.report import fit_bias
from ..setup import memory as memory
from ..setup.dos_grid import about_grid, given_up
from ..setup.labels import missing
from ..setup.setup import Setup, survey
from ..setup.stat_file import StatFile
from ..setup.statistics import collect_statistics, init_params
from . import changes as changes
from . import checkpoint as ckpt
from .finetune import finetune, init_model, require_davg
from .mismatch import require_same

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Start:
    """What a run starts from: nothing, or one of these files."""

    restart: Path | None = None
    init_model: Path | None = None
    finetune: Path | None = None


@dataclass
class Run:
    """A run in progress: parameters on the backend, and the rest of its state."""

    setup: Setup
    state: ckpt.State
    output: Path
    trainable: Flat
    frozen: Flat
    moments: dict[str, Flat]
    spectrum: Spectrum

    @property
    def params(self) -> Tree:
        """Nested, on the backend."""
        return unflatten({**self.frozen, **self.trainable})

    def to_numpy(self, flat: Flat) -> Flat:
        """Return a flat dict with NumPy arrays."""
        return {name: self.setup.backend.to_numpy(x) for name, x in flat.items()}

    def numpy_params(self) -> Tree:
        """Return the nested parameters as NumPy arrays."""
        return map_leaves(self.setup.backend.to_numpy, self.params)

    def content(self, params: Tree) -> dict[str, Any]:
        """Return a model file's content."""
        script = self.setup.config.model.model_dump(mode="json")
        script["descriptor"]["sel"] = list(self.setup.model.descriptor.sel)
        del script["embedding"]  # how a run computes says nothing about the model
        script["type_map"] = list(self.setup.model.type_map)
        name, coefficients = self.setup.backend.name, self.setup.loss.coefficients
        return ckpt.model_content(self.setup.model, params, script, name, coefficients)

    def save(self) -> Path:
        """Write the checkpoint of this step, and return its path.

        Checkpoints of later steps are of a run that was given up: they make way.
        """
        prefix = self.setup.config.training.save_ckpt
        state, spectrum = self.state, self.spectrum
        state.moments = {name: self.to_numpy(flat) for name, flat in self.moments.items()}
        state.series = spectrum.state()
        path = self.output / ckpt.name(prefix, state.step)
        ckpt.write(path, self.content(self.numpy_params()), state)
        log.info("wrote %s", path)
        ckpt.set_aside(self.output, prefix, state.step)
        return path


def begin(setup: Setup, start: Start, output: Path) -> tuple[Run, list[str]]:
    """Return the run at its first step, and what there is to say about it."""
    backend, model = setup.backend, setup.model
    _check_memory(setup)
    notes: list[str] = []
    stat_file = setup.config.training.stat_file
    cache = None if stat_file is None else output / stat_file
    if start.restart is not None:
        state, notes = _restart(setup, ckpt.find(start.restart, output))
    elif start.init_model is not None:
        params, more = init_model(model, start.init_model)
        state = ckpt.State(params)
        notes += [f"starting from the parameters of {start.init_model}", *more]
    else:
        found, more = _statistics(setup, cache)
        notes += more
        state = ckpt.State(init_params(setup, found))
        if start.finetune is not None:
            state.params, more = finetune(model, state.params, start.finetune)
            if _has_place(setup):
                state.params["out_bias"] = fit_bias(setup, state.params)
                what = f"{model.output.title} per type fitted to the data"
            else:
                what = "types keep their bias, for shift_agnostic labels have no place in energy"
            notes.append(f"fine-tuning {start.finetune}, {what}")
            notes += more
    state.input = setup.config.model_dump(mode="json")
    flat = flatten(map_leaves(backend.asarray, state.params))
    names = set(mdl.trainable_names(model))
    trainable = {name: x for name, x in flat.items() if name in names}
    if not trainable:
        raise TrainingError("nothing is trainable: set trainable in descriptor or fitting_net")
    frozen = {name: x for name, x in flat.items() if name not in names}
    moments = _moments(setup, state, trainable)
    spectrum, note = survey(setup)
    notes += [note] if note else []
    if state.series:
        spectrum.restore(state.series)
    spectrum.check(state.params)
    return Run(setup, state, output, trainable, frozen, moments, spectrum), notes


def _statistics(setup: Setup, cache: Path | None) -> tuple[dict[str, np.ndarray], list[str]]:
    """Return the statistics of the training data, and where they come from if not from these."""
    stored = StatFile(cache, setup)
    found = stored.read()
    if found is not None:
        return found, [f"statistics read from {stored.path}"]
    found = collect_statistics(setup)
    stored.write(found)
    return found, []


def _has_place(setup: Setup) -> bool:
    """Return whether labels are compared as they are, so that a bias can be fitted to them."""
    return not getattr(setup.loss, "shift_agnostic", 0)


def _check_memory(setup: Setup) -> None:
    """Raise TrainingError if the host has not the memory that Hessians take.

    A GPU has its own, and refuses by itself what it has not.
    """
    if not setup.loss.needs_hessian or not setup.backend.on_cpu:
        return
    limit = memory.available()
    sources = [("training", setup.training, setup.training_sizes)]
    if setup.validation is not None:
        sources.append(("validation", setup.validation, setup.validation_sizes))
    for kind, source, sizes in sources:
        memory.check_hessians(setup.model, source, sizes, kind, limit)


def _restart(setup: Setup, path: Path) -> tuple[ckpt.State, list[str]]:
    """Return the state of a checkpoint, and what is otherwise now than when it was written."""
    theirs, state, _ = ckpt.read(path)
    require_same(setup.model, theirs, path)
    require_davg(setup.model, state.params, path)
    _require_bias(setup.model, theirs, path)
    notes = [f"continuing {path} from step {state.step}"]
    if state.step >= setup.numb_steps:
        notes.append(f"nothing is left to train: the run has {setup.numb_steps} steps")
    nframes = np.array([system.nframes for system in setup.training.systems], dtype=np.int64)
    state.sampler, warning = changes.other_frames(state.sampler, nframes)
    given = setup.config.model_dump(mode="json")
    if state.input:  # checkpoints of the first version have none
        notes += changes.notes(state.input, given, resized=bool(warning))
    notes += [warning] if warning else []
    return state, notes + given_up(setup.model, theirs)


def _require_bias(model: mdl.Model, theirs: mdl.Model, path: Path) -> None:
    """Raise TrainingError if the biases that are fixed are not those of the checkpoint."""
    mine, before = model.fixed_bias, theirs.fixed_bias
    if np.array_equal(mine, before, equal_nan=True):
        return
    if model.output.components:
        others = ~((mine == before) | (np.isnan(mine) & np.isnan(before))).all(axis=1)
        names = ", ".join(model.type_map[a] for a in np.flatnonzero(others))
        what = f"is not what {path} was trained with for {names}"
    else:
        what = f"fixes {_fixed(model)}, but {path} was trained with {_fixed(theirs)}"
    raise TrainingError(
        f"model.preset_out_bias {what}: change it back, or use --init-model to begin a new run "
        "with it"
    )


def _fixed(model: mdl.Model) -> str:
    """Return the biases that the settings fix, with their types."""
    unit = model.output.unit
    fixed = [a for a, value in enumerate(model.fixed_bias[:, 0]) if not np.isnan(value)]
    given = (f"{model.type_map[a]} at {model.fixed_bias[a, 0]:g} {unit}" for a in fixed)
    return ", ".join(given) or f"no {model.output.title}"


def _moments(setup: Setup, state: ckpt.State, trainable: Flat) -> dict[str, Flat]:
    """Return the optimizer's moments, from the checkpoint where it has them."""
    backend = setup.backend
    host = {name: backend.to_numpy(x) for name, x in trainable.items()}
    zeros = opt.init(host)
    wanted = ["m", "v", "ema"] if setup.config.training.enable_ema else ["m", "v"]
    fresh = {"m": zeros["m"], "v": zeros["v"], "ema": host}
    found = {}
    for name in wanted:
        known = state.moments.get(name, {})
        # A parameter that was frozen before has no moments yet.
        values = {key: known.get(key, x) for key, x in fresh[name].items()}
        found[name] = {key: backend.asarray(x) for key, x in values.items()}
    return found


def introduce(display: Display, setup: Setup, notes: list[str]) -> None:
    """Say what is going to be trained on what."""
    systems, model = setup.training.systems, setup.model
    frames = sum(system.nframes for system in systems)
    flat, names = flatten(mdl.init(model, 0, 0)), set(mdl.trainable_names(model))
    count = sum(np.size(x) for name, x in flat.items() if name in names)
    version = setup.backend.describe()["version"]
    display.say(
        f"{setup.backend.name} {version}: {count:,} trainable parameters, "
        f"types {' '.join(model.type_map)}, sel {list(model.descriptor.sel)}, "
        f"rcut {model.descriptor.rcut} Å"
    )
    display.say(
        f"training on {counted(frames, 'frame')} in {counted(len(systems), 'system')}, "
        f"{counted(setup.numb_steps, 'step')}"
    )
    held_out = setup.validation.systems if setup.validation is not None else ()
    for kind, group in (("", systems), ("the validation data ", held_out)):
        for note in missing(kind, group, setup.loss):
            display.say(note)
    energies = about_grid(setup.config, model, systems)
    for note in [*energies, *config_notes(setup.config), *notes]:
        display.say(note)

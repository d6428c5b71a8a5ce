"""The training loop."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from .. import files
from .. import model as mdl
from .. import optimizer as opt
from ..backend import Backend
from ..batch import Batcher
from ..config import Config
from ..data import Sampler, system_probabilities, where
from ..errors import TrainingError
from ..loss import metric_names
from ..spectrum import Spectrum
from ..support import require
from ..tree import Flat, Tree, flatten, map_leaves, unflatten
from . import _checkpoint as ckpt
from ._finetune import finetune, init_model
from ._interrupt import Interrupt
from ._lcurve import LearningCurve, tensorboard
from ._progress import Display, duration
from ._report import finish, fit_bias
from ._setup import Setup, init_params, set_up, survey
from ._source import Source, Work, ahead
from ._step import Objective, scalars, train_step
from ._validate import FRAMES, Validator


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
        script["type_map"] = list(self.setup.model.type_map)
        return ckpt.model_content(self.setup.model, params, script, self.setup.backend.name)

    def save(self, path: Path) -> None:
        """Write a checkpoint."""
        self.state.moments = {name: self.to_numpy(flat) for name, flat in self.moments.items()}
        ckpt.write(path, self.content(self.numpy_params()), self.state)


def train(
    config: Config,
    backend: Backend,
    *,
    base: Path,
    output: Path,
    start: Start | None = None,
    console: Console | None = None,
    quiet: bool = False,
    began: float | None = None,
) -> int:
    """Train a model and write it; return the exit code.

    Parameters
    ----------
    config
        The settings, from :func:`multifit.config.load`.
    base
        The folder against which paths of data are resolved.
    output
        The folder to write into.
    start
        What to start from.
    began
        When the command was given, by :func:`time.monotonic`; now if not given.

    Raises
    ------
    ConfigError, DataError, TrainingError, FileFormatError
        With one sentence for the user; nothing that was there before is lost.
    """
    require("train", backend.name)
    began = time.monotonic() if began is None else began
    console = console or Console()
    output.mkdir(parents=True, exist_ok=True)
    files.remove_stale(output)
    setup = set_up(config, backend, base)
    run, notes = _begin(setup, start or Start(), output)
    with Display(console, setup.numb_steps, run.state.step, quiet) as display:
        _introduce(display, setup, notes)
        code = _loop(run, display, began)
    if code == 0:
        finish(run, console, quiet)
    return code


def _begin(setup: Setup, start: Start, output: Path) -> tuple[Run, list[str]]:
    """Return the run at its first step, and what there is to say about it."""
    backend, model, notes = setup.backend, setup.model, []
    stat_file = setup.config.training.stat_file
    cache = None if stat_file is None else output / stat_file
    if start.restart is not None:
        path = ckpt.find(start.restart)
        theirs, state, _ = ckpt.read(path)
        ckpt.require_same(model, theirs, path)
        notes.append(f"continuing {path} from step {state.step}")
    elif start.init_model is not None:
        state = ckpt.State(init_model(model, start.init_model))
        notes.append(f"starting from the parameters of {start.init_model}")
    else:
        state = ckpt.State(init_params(setup, cache))
        if start.finetune is not None:
            state.params, new = finetune(model, state.params, start.finetune)
            state.params["out_bias"] = fit_bias(setup, state.params)
            words = f"; new types: {', '.join(new)}" if new else ""
            notes.append(f"fine-tuning {start.finetune}, energy per type fitted to the data{words}")
    flat = flatten(map_leaves(backend.asarray, state.params))
    names = set(mdl.trainable_names(model))
    trainable = {name: x for name, x in flat.items() if name in names}
    if not trainable:
        raise TrainingError("nothing is trainable: set trainable in descriptor or fitting_net")
    frozen = {name: x for name, x in flat.items() if name not in names}
    moments = _moments(setup, state, trainable)
    spectrum = survey(setup)
    spectrum.check(state.params)
    return Run(setup, state, output, trainable, frozen, moments, spectrum), notes


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


def _introduce(display: Display, setup: Setup, notes: list[str]) -> None:
    """Say what is going to be trained on what."""
    systems, model = setup.training.systems, setup.model
    frames = sum(system.nframes for system in systems)
    count = sum(np.size(x) for x in flatten(mdl.init(model, 0, 0)).values())
    version = setup.backend.describe()["version"]
    display.say(
        f"{setup.backend.name} {version}: {count:,} parameters, types {' '.join(model.type_map)}, "
        f"sel {list(model.descriptor.sel)}, rcut {model.descriptor.rcut} Å"
    )
    display.say(f"training on {frames} frames in {len(systems)} systems, {setup.numb_steps} steps")
    for label in setup.loss.labels:
        without = [system.name for system in systems if label not in system.labels]
        if without:
            display.say(f"no {label} in {', '.join(without)}: this term of the loss is off there")
    for note in notes:
        display.say(note)


def _seeds(setup: Setup) -> int:
    seed = setup.config.training.seed
    if seed is None:
        return int(np.random.SeedSequence().generate_state(1)[0])
    return seed if isinstance(seed, int) else int(np.random.SeedSequence(seed).generate_state(1)[0])


def _sampler(source: Source, sizes: list[int], section: Any, seed: int) -> Sampler:
    probabilities = system_probabilities(
        source.systems, sizes, section.auto_prob, section.sys_probs
    )
    return Sampler(source.systems, sizes, probabilities, seed)


def _validator(setup: Setup, spectrum: Spectrum, seed: int) -> Validator | None:
    if setup.validation is None:
        return None
    section = setup.config.training.validation_data
    assert section is not None
    batcher = setup.training.batcher
    # A batcher of its own, and not the one that a thread uses meanwhile: runs stay reproducible.
    own = Batcher(batcher.rcut, batcher.sel, batcher.pair_exclude_types, batcher.static_shapes)
    setup.validation.batcher = own
    for k, frames in setup.validation.spread_frames(FRAMES):
        own.learn(setup.validation.load(k, frames)[0])
    return Validator(
        setup.backend,
        setup.model,
        setup.loss,
        setup.validation,
        _sampler(setup.validation, setup.validation_sizes, section, seed + 1),
        section.numb_btch,
        spectrum,
    )


def _loop(run: Run, display: Display, began: float) -> int:
    """Train until the last step, an interrupt or an early stop; return the exit code."""
    setup, training = run.setup, run.setup.config.training
    seed = _seeds(setup)
    sampler = _sampler(setup.training, setup.training_sizes, training.training_data, seed)
    if run.state.sampler:
        sampler.restore(run.state.sampler)
    validator = _validator(setup, run.spectrum, seed)
    names = metric_names(setup.loss)
    after = run.state.step
    curve = LearningCurve(run.output / training.disp_file, names, validator is not None, after)
    board = tensorboard(run.output / training.tensorboard_log_dir) if training.tensorboard else None
    objective = Objective(setup.backend, setup.model, setup.loss)
    step = train_step(objective, setup.adam, training.ema_decay if training.enable_ema else None)
    works = ahead(setup.training, sampler)
    with Interrupt() as interrupt:
        for number in range(after + 1, setup.numb_steps + 1):
            before = time.monotonic()
            metrics, lr = _advance(run, step, works, number)
            display.step(number, time.monotonic() - before)
            if number == after + 1:
                display.say(f"first step after {time.monotonic() - began:.1f} s")
            if number == 1 or number % training.disp_freq == 0 or number == setup.numb_steps:
                run.spectrum.check(run.numpy_params())
                held_out = validator.batch_metrics(run.params, lr) if validator else None
                curve.write(number, metrics, held_out, lr)
                display.show(number, metrics, held_out, lr)
                _log(board, number, metrics, held_out, lr, training.tensorboard_freq)
            stop = False
            if number % training.save_freq == 0 or number == setup.numb_steps:
                stop = _save(run, validator, display)
            if interrupt.exit_code is not None:
                return _stop(run, display, interrupt.exit_code)
            if stop:
                display.say(
                    f"stopping early at step {number}: no better validation error in "
                    f"{training.early_stopping} validations"
                )
                break
    curve.close()
    if board is not None:
        board.close()
    display.say(f"trained {run.state.step - after} steps in {duration(time.monotonic() - began)}")
    return 0


def _advance(
    run: Run, step: Any, works: Iterator[Work], number: int
) -> tuple[dict[str, float], float]:
    """Do one step; return the metrics of its batch before the update, and the learning rate."""
    setup, backend = run.setup, run.setup.backend
    work = next(works)
    batch, label = (map_leaves(backend.asarray, x) for x in (work.batch, work.label))
    basis = run.spectrum.basis(work.nearest)
    if basis is not None:
        batch["basis"] = basis
    lr = setup.rate.at(number - 1)
    values = scalars(backend, setup.adam, lr, number)
    trainable, moments, found = step(run.trainable, run.frozen, run.moments, batch, label, values)
    metrics = {name: float(backend.to_numpy(x)) for name, x in found.items()}
    if not math.isfinite(metrics["rmse"]):
        _not_finite(run, work, number)
    run.trainable, run.moments = trainable, moments
    run.state.step, run.state.sampler = number, work.sampler
    return metrics, lr


def _not_finite(run: Run, work: Work, number: int) -> None:
    """Raise TrainingError, naming the frames whose own loss is not finite.

    The parameters before the step are kept in a checkpoint if they are good.
    """
    setup = run.setup
    one = Validator(
        setup.backend, setup.model, setup.loss, setup.training, _nothing(setup), 1, run.spectrum
    )
    bad = []
    for frame in work.frames:
        alone = setup.training.work(work.system, np.array([frame]))
        if not math.isfinite(
            one.work_metrics(run.params, alone, setup.rate.at(number - 1))["rmse"]
        ):
            bad.append(where(setup.training.systems[work.system], int(frame)))
    kept = ""
    good = all(np.all(np.isfinite(x)) for x in run.to_numpy(run.trainable).values())
    if good and run.state.step:
        path = run.output / ckpt.name(setup.config.training.save_ckpt, run.state.step)
        run.save(path)
        kept = f"; the state before it is in {path}"
    blame = f"in {bad[0]}" if bad else "in no single frame, but in the whole batch"
    more = f" and {len(bad) - 1} more frames" if len(bad) > 1 else ""
    raise TrainingError(
        f"the loss is not finite at step {number}, {blame}{more}: check this data, lower start_lr "
        f"or set gradient_max_norm{kept}"
    )


def _nothing(setup: Setup) -> Sampler:
    """Return a sampler for a validator that draws no batches of its own."""
    return Sampler(
        setup.training.systems,
        setup.training_sizes,
        np.ones(len(setup.training_sizes)),
        0,
    )


def _save(run: Run, validator: Validator | None, display: Display) -> bool:
    """Write a checkpoint and, if it is, the best one; return whether to stop early."""
    training = run.setup.config.training
    state, prefix = run.state, training.save_ckpt
    if validator is not None:
        score = validator.score(run.params)
        if state.best is None or score < state.best:
            state.best, state.stale = score, 0
            files.write(run.output / "model_best.dp", run.content(run.numpy_params()))
        else:
            state.stale += 1
        display.say(
            f"validation error (√loss with its limits) {score:.4e} at step {state.step}"
            + (", the best so far" if state.stale == 0 else f", best {state.best:.4e}")
        )
    run.save(run.output / ckpt.name(prefix, state.step))
    ckpt.prune(run.output, prefix, training.max_ckpt_keep)
    return bool(training.early_stopping) and state.stale >= training.early_stopping


def _stop(run: Run, display: Display, code: int) -> int:
    """Write a checkpoint after a signal, and say how to go on."""
    path = run.output / ckpt.name(run.setup.config.training.save_ckpt, run.state.step)
    run.save(path)
    display.say(f"interrupted at step {run.state.step}; continue with --restart {path}")
    return code


def _log(
    board: Any,
    step: int,
    training: dict[str, float],
    validation: dict[str, float] | None,
    lr: float,
    every: int,
) -> None:
    """Write to TensorBoard, if it is wanted."""
    if board is None or step % every:
        return
    for kind, metrics in (("train", training), ("validation", validation or {})):
        for name, value in metrics.items():
            board.add_scalar(f"{kind}/{name}", value, step)
    board.add_scalar("lr", lr, step)

"""``multifit md``: molecular dynamics with a model."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError

if TYPE_CHECKING:
    from ..interfaces.md import Files, Outcome, Settings

#: Options that are fields of :class:`multifit.interfaces.md.Settings`, with unit and help text.
OPTIONS = {
    "temperature": (float, "K", "temperature of initial velocities and thermostat (default: 300)"),
    "pressure": (float, "BAR", "pressure of the ensemble npt (default: 1)"),
    "timestep": (float, "FS", "time step (default: 0.5)"),
    "steps": (int, "N", "steps of the whole run (default: 1000)"),
    "interval": (int, "N", "steps between two frames and log lines (default: 10)"),
    "tau-t": (float, "FS", "time constant of the thermostat (default: 100)"),
    "tau-p": (float, "FS", "time constant of the barostat (default: 1000)"),
    "friction": (float, "1/PS", "friction; nvt then is Langevin dynamics"),
    "seed": (int, "N", "seed of velocities and thermostat (default: 1)"),
    "skin": (float, "Å", "range of neighbour lists beyond the cutoff (default: 1)"),
    "max-temperature": (
        *(float, "K"),
        "stop the run above (default: 10 times the temperature, at least 5000)",
    ),
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    from ._data import add_engine_backend, add_model_parameters

    parser.add_argument("model", type=Path, help="model file or checkpoint")
    parser.add_argument("structure", type=Path, help="structure in any format of ASE")
    parser.add_argument("--ensemble", choices=("nve", "nvt", "npt"), help="ensemble (default: nvt)")
    parser.add_argument(
        "--cell",
        choices=("isotropic", "full"),
        help="how npt changes the cell (default: isotropic)",
    )
    for name, (kind, unit, text) in OPTIONS.items():
        parser.add_argument(f"--{name}", type=kind, metavar=unit, help=text)
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("md"),
        metavar="NAME",
        help="writes NAME.xyz, NAME.log, NAME.restart.h5 and NAME.png (default: md)",
    )
    parser.add_argument("--minimize", action="store_true", help="minimize the energy first")
    parser.add_argument(
        "--new-velocities",
        action="store_true",
        help="draw velocities even if the structure has some",
    )
    add_model_parameters(parser)
    parser.add_argument(
        "--time-limit", type=float, metavar="MIN", help="save and stop after so many minutes"
    )
    files = parser.add_mutually_exclusive_group()
    files.add_argument("--restart", action="store_true", help="continue the run of NAME")
    files.add_argument("--force", action="store_true", help="replace the files of NAME")
    add_engine_backend(parser)


def run(args: argparse.Namespace) -> int:
    """Run the simulation and return the exit code; 75 or 130 if it was stopped."""
    from ..signals import stoppable

    return stoppable(lambda: _simulate(args))


def _simulate(args: argparse.Namespace) -> int:
    from ..console.tables import console, progress
    from ..interfaces import require

    require("ase", "ase")
    from ..interfaces import md
    from ..signals import Interrupt

    settings, files = _settings(args), md.Files(args.output)
    if args.time_limit is not None and not args.time_limit > 0:
        raise ConfigError(f"--time-limit is {args.time_limit}, but must be > 0")
    if not args.restart:
        files.check_new(args.force, args.structure)
    elif args.minimize or args.new_velocities:
        raise ConfigError(
            "--restart continues with the saved positions and velocities; leave out --minimize and "
            "--new-velocities"
        )
    else:
        files.try_all()
    atoms = _atoms(args, settings)
    out = console()
    bar, task = progress(settings.ensemble, settings.steps, "steps")

    def watch(step: int, kelvin: float) -> None:
        bar.update(task, completed=step, description=f"{settings.ensemble} {kelvin:.0f} K")

    with Interrupt() as interrupt, bar:
        outcome = md.simulate(
            atoms,
            settings,
            files,
            minimize=args.minimize,
            draw=args.new_velocities,
            restart=args.restart,
            stopped=_stopped(args.time_limit, lambda: interrupt.exit_code is not None),
            watch=watch,
        )
    for line in _report(outcome, settings, files, len(atoms)):
        out.print(line, markup=False, soft_wrap=True)
    return 0 if outcome.finished else interrupt.exit_code or 75


def _settings(args: argparse.Namespace) -> Settings:
    """Return the settings; options that were not given have their defaults."""
    from ..interfaces.md import Settings

    names = ["ensemble", "cell", *(name.replace("-", "_") for name in OPTIONS)]
    given = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    settings = Settings(**given)
    settings.require_used(given)
    return settings


def _atoms(args: argparse.Namespace, settings: Settings) -> Any:
    """Return the structure with the model as calculator."""
    from ..interfaces import md
    from ..interfaces._backend import as_potential
    from ._data import read_parameters

    potential = as_potential(args.model, args.backend)
    return md.load(potential, args.structure, settings, **read_parameters(args))


def _stopped(minutes: float | None, signalled: Callable[[], bool]) -> Callable[[], bool]:
    """Return a function that tells if the run is to end: after a signal or a time."""
    from . import BEGAN

    end = float("inf") if minutes is None else BEGAN + 60 * minutes
    return lambda: signalled() or time.monotonic() >= end


def _report(outcome: Outcome, settings: Settings, files: Files, natoms: int) -> list[str]:
    """Draw the figure, and return the lines about the run."""
    from .. import plots
    from ..interfaces.md import averages

    rows = files.rows()
    targets = {"temperature_K": settings.temperature, "pressure_bar": settings.pressure}
    kept = {"nve": (), "nvt": ("temperature_K",), "npt": tuple(targets)}[settings.ensemble]
    figure = plots.simulation_figure(rows, natoms, {key: targets[key] for key in kept})
    plots.save(figure, files.picture)
    lines = []
    if outcome.minimized:
        lines.append(f"minimized the energy in {outcome.minimized} steps")
    steps = outcome.last - outcome.first
    if steps:
        each = outcome.seconds / steps
        speed = 86400 / each * settings.timestep * 1e-6
        lines.append(
            f"steps {outcome.first} to {outcome.last}: {1000 * each:.1f} ms/step, "
            f"{speed:.3g} ns/day"
        )
    elif outcome.first:
        reached = f"the run has already reached step {outcome.first}"
        lines.append(f"{reached}; a larger --steps extends it")
    lines += averages(rows, natoms, settings.ensemble == "nve")
    names = (files.trajectory, files.log, files.picture, files.state)
    lines.append(f"wrote {', '.join(map(str, names))}")
    if not outcome.finished:
        lines.append(f"stopped at step {outcome.last} of {settings.steps}; --restart continues")
    return lines

"""The command: what is compared, and where the report goes."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from multifit.support import GRADIENTS

from . import busy, distributed, elements, examples, inference, lammps, machine, systems, training
from .document import write_docs
from .figures import draw
from .processes import run
from .programs import FRAMEWORK, SAME, Peer, environment, installed, peers, versions
from .results import InferenceCase, Report, TrainingCase, merged, read, usual
from .studies import write
from .tables import markdown

HERE = Path(__file__).resolve().parent

#: What is measured where nothing else is asked for: in full, and quickly.
FULL: dict[str, Any] = {"steps": 120, "interval": 20, "rounds": 3, "seconds": 4.0, "limit": 60.0}
FULL |= {"sizes": [24, 192, 1536, 5184, 12288, 41472, 98304]}
QUICK: dict[str, Any] = {"steps": 12, "interval": 4, "rounds": 1, "seconds": 0.5, "limit": 10.0}
QUICK |= {"sizes": [24, 192, 768]}

#: Studies that train with one input, and the backends that they compare.
STUDIES: dict[str, tuple[Any, Collection[str]]] = {
    "distributed": (distributed, GRADIENTS),
    "threads": (busy, SAME),
    "elements": (elements, SAME),
}


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command's arguments."""
    made = argparse.ArgumentParser(
        prog="python benchmarks",
        description="Time training and inference of multifit beside deepmd-kit.",
    )
    add = made.add_argument
    add("--quick", action="store_true", help="two minutes, to see that everything works")
    kinds = ("training", "inference", "lammps", "examples", *STUDIES)
    add("--only", choices=kinds, help="lammps and those after it: only with this")
    add("--task", choices=("ener", "dos"), default="ener", help="dos: training only")
    add("--systems", nargs="+", type=Path, metavar="DIR", help="data (default: our own)")
    add("--folder", type=Path, metavar="DIR", help="inputs with their data, for examples")
    add("--model", type=Path, help="for inference (default: the one that training leaves)")
    add("--backends", nargs="+", choices=("numpy", *SAME), default=["numpy", *SAME])
    add("--peers", nargs="*", choices=list(FRAMEWORK), help="default: all with an interpreter")
    add("--precision", nargs="+", choices=("float64", "float32"), default=["float64"])
    add("--batch-size", nargs="+", type=int, default=[1], metavar="N", help="frames at once")
    add("--sizes", nargs="+", type=int, metavar="N", help="atoms, for inference")
    add("--ranks", nargs="+", type=int, default=[1], metavar="N", help="processes, for lammps")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto")
    add("--steps", type=int, help="of a training run")
    add("--interval", type=int, help="steps that are timed together")
    add("--rounds", type=int, help="how often each program runs")
    add("--seconds", type=float, help="to spend on one size of one program")
    add("--limit", type=float, help="seconds of a prediction above which a size is left out")
    add("--output", type=Path, default=HERE / "results", metavar="DIR")
    add(
        "--write-docs", nargs="+", type=Path, metavar="JSON",
        help="put the results of one or more runs into docs/, measure nothing",
    )  # fmt: skip
    return made


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the arguments, presets filled in."""
    made = parser()
    args = made.parse_args(argv)
    for name, value in (QUICK if args.quick else FULL).items():
        if getattr(args, name) is None:
            setattr(args, name, value)
    if args.steps < 3 * args.interval:
        made.error("--steps must be at least three times --interval: the first one is left out")
    if args.device == "cuda" and not machine.has_gpu():
        made.error("--device cuda, but nvidia-smi shows no GPU; leave it out to run on the CPU")
    files = [path / "type.raw" for path in args.systems or ()] + (args.write_docs or [])
    for path in [*files, *([args.model] if args.model else [])]:
        if not path.is_file():
            made.error(f"there is no {path}")
    if args.only == "examples" and not (args.folder and args.folder.is_dir()):
        made.error("--only examples needs --folder: one with training inputs and their data")
    args.sizes = sorted(args.sizes)
    args.batch_size = sorted(args.batch_size)
    return args


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and write the report."""
    args = parse(argv)
    if args.write_docs:
        report = merged([read(path) for path in args.write_docs])
        print(f"wrote {write_docs(report, HERE.parent / 'docs')}")
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that programs are ended, too
    backends, notes = installed(args.backends)
    found, more = peers(args.peers, os.environ)
    report = Report(
        created=time.strftime("%Y-%m-%d"),
        command=described(sys.argv[1:] if argv is None else argv),
        machine=machine.describe(),
        versions=versions(found),
        caution=machine.caution(),
        notes=notes + more,
    )
    if report.caution:
        print(report.caution)
    for note in report.notes:
        print(f"left out: {note}")
    with tempfile.TemporaryDirectory() as scratch:
        if args.only == "examples":
            return run_examples(args, backends, found, Path(scratch))
        suite = Suite(args, report, backends, found, Path(scratch))
        if args.only == "lammps":
            suite.simulate()
        if args.only in STUDIES:
            return suite.study(args.only)
        if args.only in (None, "training"):
            suite.train()
        if args.only in (None, "inference") and args.task == "ener":
            suite.predict()
    print(f"\n{markdown(report)}\nin {args.output}: report.md, results.json, figures")
    return 0


def run_examples(
    args: argparse.Namespace, backends: Sequence[str], found: Sequence[Peer], scratch: Path
) -> int:
    """Run every input of the folder, and return the exit code: 1 if one fails without a reason."""
    programs = training.trainers([name for name in backends if name in SAME], found)
    programs.sort(key=lambda program: not program.run.ours)
    made: list[examples.Example] = []
    for example in examples.measure(
        args.folder, programs, scratch=scratch, environment=environment(args.device)
    ):
        made.append(example)
        path = write(made, args.output / "examples.json")
    if not made:
        raise SystemExit(f"there is no training input in {args.folder}")
    print(f"\n{examples.markdown(made)}\nwrote {path}")
    return int(any(each.outcome.startswith("failed") for each in made))


def described(argv: Sequence[str]) -> str:
    """Return the command without the folders of this machine, nor where results go."""
    given = list(argv)
    if "--output" in given:
        place = given.index("--output")
        del given[place : place + 2]
    words = [Path(word).name if "/" in word else word for word in given]
    return " ".join(["python benchmarks", *words])


class Suite:
    """The cases of one run of the suite, written after each."""

    def __init__(
        self,
        args: argparse.Namespace,
        report: Report,
        backends: Sequence[str],
        found: Sequence[Peer],
        scratch: Path,
    ) -> None:
        self.args, self.report, self.backends, self.peers = args, report, backends, found
        self.scratch = scratch
        self.environment: Mapping[str, str] = environment(args.device)
        self.systems = self._systems()

    def _systems(self) -> list[Path]:
        if self.args.systems:
            return [path.resolve() for path in self.args.systems]
        if self.args.task == "dos":
            return [systems.largest_silicon()]
        return [systems.enlarged(self.scratch, max(self.args.batch_size))]

    def folder(self, precision: str, batch: int) -> Path:
        """Return the folder of a case, with its ``input.json``."""
        path = self.scratch / f"{precision}-{batch}"
        if not path.exists():
            path.mkdir()
            sections = systems.model(self.args.task, precision, self.systems[0])
            keys = {"batch_size": batch, "numb_steps": self.args.steps}
            keys |= {"disp_freq": self.args.interval, "save_freq": self.args.steps}
            systems.write_input(path / "input.json", sections, self.systems, **keys)
        return path

    def study(self, name: str) -> int:
        """Carry out a study that trains with one input, and return the exit code."""
        module, able = STUDIES[name]
        args = self.args
        found = module.measure(
            [each for each in self.backends if each in able],
            source=self.folder(args.precision[0], args.batch_size[0]),
            rounds=args.rounds,
            interval=args.interval,
            limit_s=120 + 10 * args.steps,
            environment=self.environment,
        )
        print(f"wrote {write(found, args.output / f'{name}.json')}")
        return int(any(each.note for each in found))

    def train(self) -> None:
        """Time training for each precision and batch size."""
        args, system = self.args, self.systems[0]
        names = ", ".join(path.name for path in self.systems)
        for precision in args.precision:
            for batch in args.batch_size:
                print(f"\ntraining, {precision}, {batch} frames in a batch", flush=True)
                atoms = len(systems.types(system))
                case = TrainingCase(args.task, precision, batch, atoms, names)
                self.report.training.append(case)
                sections = systems.model(args.task, precision, system)
                with self._written():
                    training.time_case(
                        case,
                        training.trainers([b for b in self.backends if b in SAME], self.peers),
                        systems.products(sections[0], args.task, system, batch),
                        source=self.folder(precision, batch),
                        rounds=args.rounds,
                        interval=args.interval,
                        limit_s=120 + 10 * args.steps,
                        environment=self.environment,
                    )

    def predict(self) -> None:
        """Time inference for each precision, or with the one model that was given."""
        args = self.args
        plan = inference.Plan(self.sizes(), args.rounds, args.seconds, args.limit)
        for precision in args.precision[: 1 if args.model else None]:
            folder = self.folder(precision, args.batch_size[0])
            source = self._model(folder)
            print(f"\nenergy and forces, {source.name}", flush=True)
            model = folder / "inference.dp"
            model.write_bytes(source.read_bytes())
            label = args.model.name if args.model else f"trained for {args.steps} steps"
            case = InferenceCase("the model's own" if args.model else precision, label)
            self.report.inference.append(case)
            programs, notes = inference.predictors(
                self.backends, self.peers, model, self.environment
            )
            self.report.notes += notes
            with self._written():
                inference.time_case(
                    case, programs, plan,
                    system=self.systems[0], folder=folder, environment=self.environment,
                )  # fmt: skip

    def simulate(self) -> None:
        """Time steps of molecular dynamics in LAMMPS."""
        args = self.args
        folder = self.folder(args.precision[0], args.batch_size[0])
        model = folder / "inference.dp"
        model.write_bytes(self._model(folder).read_bytes())
        label = args.model.name if args.model else f"trained for {args.steps} steps"
        print("\nmolecular dynamics in LAMMPS", flush=True)
        case = InferenceCase(args.precision[0], label)
        self.report.dynamics.append(case)
        programs, notes = lammps.engines(
            self.backends, args.ranks, model, self.environment, os.environ
        )
        self.report.notes += notes
        plan = inference.Plan(self.sizes(), args.rounds, args.seconds, args.limit)
        with self._written():
            lammps.time_case(case, programs, plan, system=self.systems[0], folder=folder)

    def sizes(self) -> tuple[tuple[int, int], ...]:
        """Return (atoms, frames): each size with one frame, the usual one in batches too."""
        batches = [(usual(self.args.sizes), n) for n in self.args.batch_size if n > 1]
        return (*((size, 1) for size in self.args.sizes), *batches)

    def _model(self, folder: Path) -> Path:
        """Return the model for inference; trains one if nothing did."""
        if self.args.model:
            return Path(self.args.model).resolve()
        path = folder / "model.dp"
        trainable = [name for name in self.backends if name in SAME]
        if not path.exists() and trainable:
            command = ["-m", "multifit", "train", "input.json", "--backend", trainable[0]]
            outcome = run([sys.executable, *command], folder, self.environment, 1200.0)
            print(outcome.tail(3), flush=True)
        if not path.exists():
            raise SystemExit("no backend trained a model for inference; give one with --model")
        return path

    @contextlib.contextmanager
    def _written(self) -> Iterator[None]:
        """Write the report when a case has been measured, or as far as it was if it is stopped."""
        try:
            yield
        finally:
            self.write()

    def write(self) -> None:
        """Write what is known so far."""
        output = self.args.output
        output.mkdir(parents=True, exist_ok=True)
        self.report.write(output / "results.json")
        figures = draw(self.report, output)
        text = markdown(self.report, figures=[path.name for path in figures])
        (output / "report.md").write_text(text)

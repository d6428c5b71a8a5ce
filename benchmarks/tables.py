"""The report in markdown: tables of times, ratios and memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from .programs import TITLE
from .results import (
    PRODUCTS,
    InferenceCase,
    InferenceRun,
    Point,
    Report,
    TrainingCase,
    TrainingRun,
    median,
    usual,
)

#: What stands where nothing was measured.
NOTHING = "—"

#: Sizes from which on the cost of an atom should not change.
LARGE = 1000


def markdown(report: Report, figures: Sequence[str] = (), level: int = 2) -> str:
    """Return the report.

    Parameters
    ----------
    figures
        Files of the pictures, as the text shall refer to them.
    level
        Of the headings.
    """
    heading = "#" * level
    parts = [_conditions(report)]
    for case, key in training_keys(report):
        parts += [f"{heading} {training_title(case)}", _training(case)]
        parts += _pictures(figures, "training", key)
    for one, key in inference_keys(report):
        parts += [f"{heading} {inference_title(one)}", *_inference(one)]
        parts += _pictures(figures, "inference", key)
        parts += _pictures(figures, "scaling", key)
    for dynamics in report.dynamics:
        parts += [f"{heading} Molecular dynamics in LAMMPS", *_dynamics(dynamics)]
    return "\n\n".join(part for part in parts if part) + "\n"


def training_title(case: TrainingCase) -> str:
    """Return what a case of training is, in words."""
    what = {"ener": "energies and forces", "dos": "densities of states"}[case.task]
    frames = "1 frame" if case.batch == 1 else f"{case.batch} frames"
    return f"Training on {what}: {case.precision}, {frames} of {case.atoms} atoms in a batch"


def inference_title(case: InferenceCase) -> str:
    """Return what a case of inference is, in words."""
    words = case.precision if case.precision.startswith("float") else case.model
    return f"Energy and forces: {words}"


def training_keys(report: Report) -> list[tuple[TrainingCase, str]]:
    """Return the cases of training, each with what tells it from others, for file names."""
    keys = [f"{case.task}-{case.precision}-{case.batch}" for case in report.training]
    return list(zip(report.training, _numbered(keys), strict=True))


def inference_keys(report: Report) -> list[tuple[InferenceCase, str]]:
    """Return the cases of inference, each with what tells it from others, for file names."""
    words = [case.precision for case in report.inference]
    keys = [word if word.startswith("float") else "model" for word in words]
    return list(zip(report.inference, _numbered(keys), strict=True))


def _numbered(keys: Sequence[str]) -> list[str]:
    """Return the keys, those that come again with a number."""
    return [f"{key}-{n + 1}" if (n := keys[:k].count(key)) else key for k, key in enumerate(keys)]


def _pictures(figures: Sequence[str], kind: str, key: str) -> list[str]:
    alt = {"training": "Time of a training step", "inference": "Time of energies and forces"}
    alt["scaling"] = "Time per atom over the number of atoms"
    return [f"![{alt[kind]}]({f})" for f in figures if f.endswith(f"bench-{kind}-{key}.png")]


def _conditions(report: Report) -> str:
    machine = "; ".join(f"{name}: {value}" for name, value in report.machine.items())
    held = [
        f"- {name}: {', '.join(f'{what} {version}' for what, version in found.items())}"
        for name, found in report.versions.items()
    ]
    head = f"`{report.command}`, {report.created}.\n\nMachine: {machine}.\n\nVersions:"
    notes = [f"- {note}" for note in report.notes]
    tail = ["\nLeft out:", "", *notes] if notes else []
    busy = ["", f"**{report.caution}**"] if report.caution else []
    return "\n".join([head, "", *held, *tail, *busy])


def table(head: Sequence[str], rows: Iterable[Sequence[str]], texts: int = 1) -> str:
    """Return a table; the first columns are texts, the others are numbers."""
    lines = [head, ["---"] * texts + ["---:"] * (len(head) - texts), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def _number(value: float | None, form: str) -> str:
    return NOTHING if value is None else f"{value:{form}}"


def fastest(medians: Iterable[float | None]) -> float | None:
    """Return the smallest of the times that there are."""
    return min((m for m in medians if m is not None), default=None)


def _ratio(above: float | None, below: float | None) -> str:
    return NOTHING if above is None or not below else f"{above / below:.2f}"


def floors(case: TrainingCase) -> tuple[dict[str, float], float | None]:
    """Return the floor of each framework, and the machine's: the lowest."""
    found = {name: m for name, ms in case.floor_ms.items() if (m := median(ms)) is not None}
    return found, fastest(found.values())


def _training(case: TrainingCase) -> str:
    peers = [run for run in case.runs if not run.ours]
    best = fastest(median(run.step_ms) for run in peers)
    floor, lowest = floors(case)
    head = ["program", "ms/step", "range", "atoms·steps/s", "first step, s", "memory, MB"]
    columns: list[Callable[[TrainingRun], str]] = [
        lambda run: run.note or _number(median(run.step_ms), ".1f"),
        lambda run: _range(run.step_ms),
        lambda run: _per_second(case, median(run.step_ms)),
        lambda run: _number(median(run.first_s), ".1f"),
        lambda run: _number(max(run.memory_mb, default=None), ",.0f"),
    ]
    if any(run.gpu_mb for run in case.runs):
        head.append("GPU memory, MB")
        columns.append(lambda run: _number(max(run.gpu_mb, default=None), ",.0f"))
    if peers:
        head += ["× deepmd-kit's fastest", "× deepmd-kit's same"]
        columns.append(lambda run: _ratio(best, median(run.step_ms)))
        same = {run.framework: median(run.step_ms) for run in peers}
        columns.append(lambda run: _ratio(same.get(run.framework), median(run.step_ms)))
    head += ["/ own floor", "/ floor"]
    columns.append(lambda run: _ratio(median(run.step_ms), floor.get(run.framework)))
    columns.append(lambda run: _ratio(median(run.step_ms), lowest))
    rows = [[run.name, *(column(run) for column in columns)] for run in case.runs]
    each = ", ".join(f"{TITLE[name]} {ms:.1f}" for name, ms in floor.items())
    under = (
        f"\n\nFloor (products of matrices of the fitting nets alone), ms: {each}." if each else ""
    )
    return f"Data: {case.data}.\n\n{table(head, rows)}{under}"


def _range(values: Sequence[float]) -> str:
    return f"{min(values):.1f}–{max(values):.1f}" if values else NOTHING


def _per_second(case: TrainingCase, step_ms: float | None) -> str:
    return NOTHING if not step_ms else f"{case.atoms * case.batch / step_ms * 1e3:,.0f}"


def call_ms(run: InferenceRun, atoms: int, frames: int = 1) -> float | None:
    """Return the median time of a call at a size."""
    for point in run.points:
        if (point.atoms, point.frames) == (atoms, frames):
            return median(point.call_ms)
    return None


def _inference(case: InferenceCase) -> list[str]:
    sizes = sorted({p.atoms for run in case.runs for p in run.points if p.frames == 1})
    if not sizes:
        return []
    main, found = usual(sizes), [f"Model: {case.model}."]
    for atoms in (n for n in sizes if n <= main):
        found += [f"A frame of {atoms} atoms:", _one_size(case, atoms)]
    if len(sizes) > 1:
        found += ["Time per atom in µs:", _scaling(case, sizes)]
    found += ["Largest memory in MB:", _memory(case, sizes, lambda p: p.memory_mb)]
    if any(p.gpu_mb for run in case.runs for p in run.points):
        found += ["Largest memory on the GPU in MB:", _memory(case, sizes, lambda p: p.gpu_mb)]
    batches = sorted({p.frames for run in case.runs for p in run.points})
    if len(batches) > 1:
        head = ["frames in a call", *map(str, batches)]
        rows = [
            [run.name, *(_batched(call_ms(run, main, n), n) for n in batches)] for run in case.runs
        ]
        found += [f"Several frames of {main} atoms, ms per frame:", table(head, rows)]
    return found


def _batched(ms: float | None, frames: int) -> str:
    return NOTHING if ms is None else f"{ms / frames:.2f}"


def _one_size(case: InferenceCase, atoms: int) -> str:
    peers = [run for run in case.runs if not run.ours]
    plain = fastest(call_ms(run, atoms) for run in peers if "compressed" not in run.name)
    small = fastest(call_ms(run, atoms) for run in peers if "compressed" in run.name)
    head = ["program", "ms", "range"]
    more = [("× deepmd-kit's fastest", plain), ("× its fastest compressed", small)]
    alone = fastest(call_ms(run, atoms) for run in case.runs if run.name == PRODUCTS)
    more = [(title, best) for title, best in more if best is not None]
    head += [title for title, _ in more] + ["/ products"] * (alone is not None)
    head += ["max \\|ΔE\\| per atom, eV", "max \\|ΔF\\|, eV/Å"]
    devices = any(run.gpu_mb for run in (p for r in case.runs for p in r.points))
    rows = []
    for run in case.runs:
        ms = call_ms(run, atoms)
        point = run.point(atoms)
        row = [run.name, point.note or _number(ms, ".2f"), _range(point.call_ms)]
        row += [_ratio(best, ms) for _, best in more]
        row += [_ratio(ms, alone)] * (alone is not None)
        row += [_number(run.energy_error, ".0e"), _number(run.force_error, ".0e")]
        rows.append([*row, run.device or NOTHING] if devices else row)
    return table([*head, "device"] if devices else head, rows)


def _scaling(case: InferenceCase, sizes: Sequence[int]) -> str:
    rows = []
    for run in case.runs:
        cells = []
        for atoms in sizes:
            ms = call_ms(run, atoms)
            cells.append(run.point(atoms).note if ms is None else f"{ms / atoms * 1e3:.1f}")
        rows.append([run.name, *(cell or NOTHING for cell in cells)])
    head = ["atoms", *(f"{n:,}" for n in sizes)]
    if sum(n >= LARGE for n in sizes) > 1:
        head.append(f"max/min from {LARGE:,} on")
        rows = [[*row, _flatness(run, sizes)] for row, run in zip(rows, case.runs, strict=True)]
    return table(head, rows)


def _flatness(run: InferenceRun, sizes: Sequence[int]) -> str:
    large = [ms / n for n in sizes if n >= LARGE and (ms := call_ms(run, n)) is not None]
    return f"{max(large) / min(large):.2f}" if len(large) > 1 else NOTHING


def _dynamics(case: InferenceCase) -> list[str]:
    """Return tables of steps per second, ratios to deepmd-kit's, and memory."""
    sizes = sorted({point.atoms for run in case.runs for point in run.points})
    peers = [run for run in case.runs if not run.ours]

    def rows(cell: Callable[[InferenceRun, int], str]) -> str:
        head = ["atoms", *(f"{n:,}" for n in sizes)]
        return table(head, [[run.name, *(cell(run, n) for n in sizes)] for run in case.runs])

    def speed(run: InferenceRun, atoms: int) -> str:
        ms = call_ms(run, atoms)
        return run.point(atoms).note or (NOTHING if ms is None else f"{1e3 / ms:.2f}")

    found = [f"Model: {case.model}. Steps per second:", rows(speed)]
    for peer in peers:
        found += [
            f"× {peer.name}:",
            rows(lambda run, n, peer=peer: _ratio(call_ms(peer, n), call_ms(run, n))),  # type: ignore[misc]
        ]
    return [*found, "Largest memory in MB:", _memory(case, sizes, lambda p: p.memory_mb)]


def _memory(
    case: InferenceCase, sizes: Sequence[int], held: Callable[[Point], Sequence[float]]
) -> str:
    rows = [
        [run.name, *(_number(max(held(run.point(n)), default=None), ",.0f") for n in sizes)]
        for run in case.runs
    ]
    return table(["atoms", *(f"{n:,}" for n in sizes)], rows)

"""``multifit show``: the contents of a model file."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..console.words import printable
from ..errors import ConfigError, FileFormatError, did_you_mean
from ._origin import origin_lines

if TYPE_CHECKING:
    import numpy as np

    from ..models import Model
    from ..tree import Tree

Lines = Iterator[tuple[str, str]]


@dataclass(frozen=True)
class Shown:
    """A model file that was read."""

    path: Path
    model: Model
    params: Tree
    content: dict[str, Any]


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("model", type=Path, metavar="MODEL", help="model or checkpoint")
    parser.add_argument(
        "attributes",
        nargs="*",
        metavar="PART",
        help=f"show only these parts: {', '.join(PARTS)}",
    )
    parser.add_argument(
        "--input", action="store_true", help="print the model section of its input.json instead"
    )


def run(args: argparse.Namespace) -> int:
    """Print the contents of the file, and return the exit code."""
    from ..inference.model_file import SCRIPT, read_model

    for name in args.attributes:
        if name not in PARTS:
            raise ConfigError(
                f"multifit show has no part {name!r}{did_you_mean(name, PARTS)}; "
                f"choose from {', '.join(PARTS)}"
            )
    shown = Shown(args.model, *read_model(args.model))
    if args.input:
        script = shown.content.get(SCRIPT)
        if not isinstance(script, dict):
            raise FileFormatError(
                f"{args.model} does not say which input it was made from ({SCRIPT})"
            )
        print(json.dumps(script, indent=2))
        return 0
    lines = [line for name in args.attributes or PARTS for line in PARTS[name](shown)]
    width = max((len(name) for name, _ in lines), default=0)
    for name, value in lines:
        print(printable(f"{name:<{width}}  {value}"))  # a file may hold codes for terminals
    return 0


def _file(shown: Shown) -> Lines:
    content = shown.content
    training = content.get("training")
    kind = shown.model.output.model
    if isinstance(training, dict):
        kind = f"checkpoint of {kind}, step {training.get('step', '?')}"
    yield "file", f"{shown.path} ({shown.path.stat().st_size:,} bytes)"
    yield "kind", kind.removeprefix("an ").removeprefix("a ")
    software = [str(content[key]) for key in ("software", "version") if content.get(key)]
    if content.get("backend"):
        software.append(f"({content['backend']})")
    yield "written by", " ".join(software) or "unknown software"
    if content.get("time"):
        yield "written at", str(content["time"])


def _type_map(shown: Shown) -> Lines:
    yield "type map", " ".join(shown.model.type_map)


def _descriptor(shown: Shown) -> Lines:
    model, names = shown.model, shown.model.type_map
    yield from model.descriptor.describe(names)
    excluded = sorted({*model.descriptor.exclude_types, *model.pair_exclude_types})
    if excluded:
        yield "excluded pairs", ", ".join(f"{names[a]}–{names[b]}" for a, b in excluded)


def _fitting_net(shown: Shown) -> Lines:
    model, f = shown.model, shown.model.fitting
    per = "for all types" if f.mixed_types else "for each type"
    nets = f"{f.n_networks} × {_layers((f.dim_in, *f.neuron, f.dim_out))}, one {per}"
    if f.neuron:  # without hidden layers these settings have no effect
        nets += f", {f.activation_function}{_resnet(f.resnet_dt)}"
    yield "fitting nets", f"{nets}, {f.precision}"
    if f.numb_fparam:
        default = "" if f.default_fparam is None else f" (default {list(f.default_fparam)})"
        yield "fparam", f"{f.numb_fparam} for each frame{default}"
    if f.use_aparam_as_mask:
        yield "aparam", "0 for an atom that is not there"
    elif f.numb_aparam:
        yield "aparam", f"{f.numb_aparam} for each atom"
    if f.dim_case_embd:
        yield "case", _case(shown.params["fitting"]["case_embd"])
    if f.layer_name is not None:
        shared = [f"{k}" if name is None else f"{k} {name}" for k, name in enumerate(f.layer_name)]
        yield "layers", f"{', '.join(shared)}  (those of one name share their parameters)"
    if f.atom_ener is not None:
        given = zip(model.type_map, f.atom_ener, strict=True)
        shown_energies = [f"{name} {x:g}" for name, x in given if x is not None]
        yield "isolated atoms", f"{'  '.join(shown_energies)}  (eV, kept)"
    if f.tot_ener_zero:
        yield "total energy", "0: the mean of the atomic energies is subtracted"
    left_out = sorted({*f.exclude_types, *model.atom_exclude_types})
    if left_out:
        yield "excluded types", " ".join(model.type_map[a] for a in left_out)


def _grid(shown: Shown) -> Lines:
    """Yield the components of the output, and their energies if it has a grid."""
    model, output, grid = shown.model, shown.model.output, shown.model.grid
    if not output.components:
        return
    yield "components", f"{model.fitting.dim_out} for each atom, {output.unit}"
    if not output.has_grid:
        return
    if grid is None:
        yield "energies", "not known"
        return
    yield "energies", _range(grid.array)
    zero = "the Fermi level of each frame (fermi_aligned)" if grid.fermi_aligned else "the data's"
    yield "zero of energy", zero
    if grid.electrons is None:
        yield "electrons", "not known, so no Fermi levels and gaps are predicted"
        return
    counts = "  ".join(f"{a} {n:g}" for a, n in zip(model.type_map, grid.electrons, strict=True))
    yield "electrons", f"{counts}  (those of an atom in the DOS)"


def _range(energies: np.ndarray) -> str:
    """Return the ends of a grid, and its steps."""
    steps = energies[1:] - energies[:-1]
    low, high = float(steps.min()), float(steps.max())
    even = high - low <= 1e-6 * high
    how = f"even steps of {steps.mean():.6g} eV" if even else f"steps of {low:.4g} to {high:.4g} eV"
    return f"{energies[0]:.6g} to {energies[-1]:.6g} eV: {len(energies)} with {how}"


def _size(shown: Shown) -> Lines:
    from ..models import trainable_names
    from ..tree import flatten

    flat = flatten(shown.params)
    names = set(trainable_names(shown.model))
    # Statistics of the descriptor have no level below its own.
    nets = {
        name: x.size
        for name, x in flat.items()
        if ".nets." in name
        or name in names
        or re.fullmatch(r"descriptor\.(list\.\d+\.)?\w+\..*", name)
    }
    trainable = sum(size for name, size in nets.items() if name in names)
    embedding = sum(size for name, size in nets.items() if name.startswith("descriptor."))
    total = sum(nets.values())
    yield "parameters", f"{total:,} ({trainable:,} trainable, {total - trainable:,} frozen)"
    yield "  of nets", f"embedding {embedding:,}, fitting {total - embedding:,}"
    rest = sum(x.size for x in flat.values()) - total
    yield "  besides", f"{rest:,} numbers from statistics of the data"


def _bias(shown: Shown) -> Lines:
    from ..evaluation.bias import type_bias

    output, bias = shown.model.output, type_bias(shown.model, shown.params)
    pairs = zip(shown.model.type_map, bias, strict=True)
    if output.components:
        means = "  ".join(f"{name} {values.mean():.6f}" for name, values in pairs)
        yield "bias", f"{means}  (mean of {bias.shape[1]} components, {output.unit})"
        return
    values = "  ".join(f"{name} {value:.6f}" for name, (value,) in pairs)
    yield f"{output.title} bias", f"{values}  ({output.unit}/atom)"


def _case(embedding: np.ndarray) -> str:
    """Return the numbers that encode the case."""
    count = f"{embedding.size} number{'s' * (embedding.size != 1)}"
    chosen = embedding.nonzero()[0]
    if not chosen.size:
        return f"{count}, all 0"
    if chosen.size == 1 and embedding[chosen[0]] == 1:
        return f"{count}, 1 for case {chosen[0]} and 0 for the others"
    return f"{count}: {' '.join(f'{x:g}' for x in embedding)}"


def _layers(neuron: tuple[int, ...]) -> str:
    return "-".join(map(str, neuron))


def _resnet(resnet_dt: bool) -> str:
    return ", resnet_dt" if resnet_dt else ""


#: Available attributes, in the order of the output.
PARTS: dict[str, Callable[[Shown], Lines]] = {
    "file": _file,
    "type-map": _type_map,
    "descriptor": _descriptor,
    "fitting-net": _fitting_net,
    "grid": _grid,
    "size": _size,
    "bias": _bias,
    "origin": lambda shown: origin_lines(shown.content),
}

"""``multifit change-bias``: the bias of each type, fitted again or given."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ..console.words import counted, few
from ..errors import ConfigError, DataError
from ._data import (
    add_backend_argument,
    add_data_arguments,
    open_data,
    other_names,
    positive,
)
from ._output import add_force, check_output

if TYPE_CHECKING:
    import numpy as np
    from rich.table import Table

    from ..data import System
    from ..evaluation.bias_data import BiasData
    from ..inference.potential import Potential
    from ..models import Model


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("model", type=Path, metavar="MODEL", help="model or checkpoint")
    add_data_arguments(parser, required=False)
    parser.add_argument(
        "-b",
        "--bias-value",
        nargs="+",
        type=float,
        metavar="EV",
        help="set these biases, one per type of the model, instead of fitting",
    )
    parser.add_argument(
        "-n",
        "--numb-batch",
        type=positive,
        default=0,
        metavar="N",
        help="use N evenly spaced frames of each system (default: 0, all)",
    )
    parser.add_argument(
        "-m",
        "--mode",
        choices=("change", "set"),
        default="change",
        help="change: fit a shift to the errors of the model (default); set: fit the bias to the "
        "labels alone",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        help="output file (default: MODEL with _updated before its extension)",
    )
    add_force(parser)
    add_backend_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Write the model with its new bias, and return the exit code."""
    from .. import files
    from ..console.tables import console
    from ..evaluation.bias import fit_bias, type_bias, with_type_bias
    from ..inference import provenance
    from ..inference.model_file import read_model
    from ..inference.potential import Potential
    from ..inference.uncertainty import KEY
    from ._allocator import keep_freed_memory
    from ._coefficients import note, trained_with
    from ._outside import collect, warnings

    output = args.output or args.model.with_stem(f"{args.model.stem}_updated")
    inputs = (args.model, *(args.system or ()), *([args.datafile] if args.datafile else ()))
    check_output(output, "--output", inputs, model=True, replace=args.force)
    model, params, content = read_model(args.model)
    bias_data, about = None, list[str]()
    if args.system or args.datafile:
        keep_freed_memory()
        potential, weighted = Potential(model, params, args.backend), trained_with(content)
        collect(potential, content)
        systems = open_data(args, model.type_map)
        bias_data = _bias_data(potential, systems, args.numb_batch, weighted)
        about = [note(model.output, systems, weighted)]
        about += warnings(systems, {str(args.model): potential})
    old = type_bias(model, params)
    if args.bias_value is not None:
        new = _given(model, args.bias_value)
    elif bias_data is None:
        raise DataError("change-bias needs data to fit to (-s DATA) or the biases (-b EV …)")
    else:
        new = fit_bias(model, params, bias_data, args.mode)
    out_bias = with_type_bias(model, params, new)
    content["model"]["@variables"]["out_bias"] = out_bias[None, :, :]
    dropped = content.pop(KEY, None) is not None  # calibrated with the errors of the old bias
    content[provenance.KEY] = provenance.changed(content, "change-bias", args.model)
    files.write(output, content)
    out = console()
    out.print(_table(model, old, new, bias_data, fitted=args.bias_value is None))
    mode = args.mode if args.bias_value is None else "given"
    for line in filter(None, [*_remarks(model, old, new, bias_data, mode), *about]):
        out.print(line, markup=False, soft_wrap=True)
    if dropped:
        out.print("the uncertainty is dropped: calibrate it again with multifit uncertainty")
    out.print(f"wrote {output}", markup=False, soft_wrap=True)
    return 0


def _bias_data(
    potential: Potential, systems: list[System], limit: int, coefficients: bool
) -> BiasData:
    """Return labels and predictions of frames, with a progress bar.

    Parameters
    ----------
    limit
        Number of frames of each system; 0 for all.
    coefficients
        As for :func:`multifit.evaluation.predictions.predictions`.

    Raises
    ------
    DataError
        If no system has the model's labels.
    """
    from ..console.tables import progress
    from ..evaluation.bias_data import collect, known_atoms
    from ..evaluation.predictions import spread_frames

    keys = known_atoms(potential.model)
    labelled = [system for system in systems if system.labels.intersection(keys)]
    if not labelled:
        advice = other_names(systems, keys)
        raise DataError(
            f"no {' or '.join(keys)} in the data ({few([system.name for system in systems])}); a "
            f"bias is fitted to {' and '.join(f'{key}.npy' for key in keys)}"
            f"{f'; {advice}' if advice else ''}"
        )
    bar, task = progress("predicting", sum(len(spread_frames(s, limit)) for s in labelled))
    with bar:
        return collect(potential, labelled, limit, lambda n: bar.advance(task, n), coefficients)


def _given(model: Model, values: list[float]) -> np.ndarray:
    """Return the biases of the command line, (ntypes, 1), one for each type and finite."""
    import numpy as np

    output = model.output
    if output.components:
        raise ConfigError(
            f"-b gives one energy for each type, but the model predicts a {output.title}: fit "
            "its bias to data (-s DATA)"
        )
    names = ", ".join(model.type_map)
    if len(values) != model.ntypes:
        raise ConfigError(
            f"-b has {len(values)} values, but the model has {model.ntypes} types ({names}); "
            "give one for each, in this order"
        )
    if not np.isfinite(values).all():
        raise ConfigError(
            f"-b holds a value that is not finite; give {output.plural} in {output.unit} "
            f"for {names}"
        )
    return np.array(values)[:, None]


def _table(
    model: Model,
    old: np.ndarray,
    new: np.ndarray,
    bias_data: BiasData | None,
    *,
    fitted: bool,
) -> Table:
    """Return the biases before and after; for many components their mean."""
    from ..console.tables import plain_table

    output = model.output
    title = f"Mean {output.title}" if output.components else output.title.capitalize()
    unit = output.unit if output.components else f"{output.unit}/atom"
    found = plain_table(f"{title} per type, {unit}")
    found.add_column("type")
    for name in ("old", "new", "change"):
        found.add_column(name, justify="right", no_wrap=True)
    found.add_column("")
    absent = None if bias_data is None or not fitted else bias_data.absent()
    for a, name in enumerate(model.type_map):
        note = "not in the data" if absent is not None and absent[a] else ""
        if fitted and model.preset_out_bias and model.preset_out_bias[a] is not None:
            note = "preset_out_bias"
        if fitted and model.fitting.atom_ener and model.fitting.atom_ener[a] is not None:
            note = "atom_ener"
        before, after = old[a].mean(), new[a].mean()
        found.add_row(name, f"{before:.6f}", f"{after:.6f}", f"{after - before:+.6f}", note)
    return found


def _remarks(
    model: Model,
    old: np.ndarray,
    new: np.ndarray,
    bias_data: BiasData | None,
    mode: str,
) -> list[str]:
    """Return notes on the data behind the new biases."""
    if bias_data is None:
        return []
    output, remarks, shift = model.output, [], new - old
    if len(bias_data.label):
        before, after = bias_data.rmse_per_atom(), bias_data.rmse_per_atom(shift)
        remarks.append(
            f"rmse of the {output.title}/atom over {counted(len(bias_data.label), 'frame')}: "
            f"{before:.3e} {output.unit} before, {after:.3e} {output.unit} after"
        )
    if bias_data.atoms is not None:
        before, after = bias_data.atoms.rmse(), bias_data.atoms.rmse(shift)
        number = counted(int(bias_data.atoms.number.sum()), "atom")
        remarks.append(
            f"rmse of the atomic {output.title} over {number}: "
            f"{before:.3e} {output.unit} before, {after:.3e} {output.unit} after"
        )
    what = "changes" if mode == "change" else "values"
    present = int((~bias_data.absent()).sum())
    open_ = bool((~bias_data.absent() & ~bias_data.known()).any())
    if mode != "given" and open_ and bias_data.rank < present:
        remarks.append(
            f"the frames have {bias_data.rank} independent composition"
            f"{'s' * (bias_data.rank != 1)} of {present} types, so that they fix only sums of the "
            f"biases: of all that fit equally well, the smallest {what} were taken"
        )
    return remarks

"""``multifit export``: a model as a file that a framework or LAMMPS runs."""

from __future__ import annotations

import argparse
from pathlib import Path


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("model", type=Path, metavar="MODEL", help="model or checkpoint")
    form = parser.add_mutually_exclusive_group(required=True)
    form.add_argument(
        "-f",
        "--format",
        help="pt2 or torchscript (PyTorch), stablehlo (JAX), savedmodel (TensorFlow), paddle; or "
        "mliap",
    )
    form.add_argument(
        "--lammps-mliap",
        dest="format",
        action="store_const",
        const="mliap",
        help="the pickle for LAMMPS' pair_style mliap unified, which needs multifit",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        help="file or folder to write (default: the name of MODEL with the suffix of the format, "
        "in this folder)",
    )
    parser.add_argument("--force", action="store_true", help="overwrite FILE")


def run(args: argparse.Namespace) -> int:
    """Write the export, and return the exit code."""
    from ..interfaces.export import export

    print(f"wrote {export(args.model, args.format, args.output, force=args.force)}")
    return 0

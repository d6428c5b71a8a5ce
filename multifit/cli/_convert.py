"""``multifit convert``: the same model in another file format."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..errors import FileFormatError


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("input", type=Path, metavar="INPUT", help="model or checkpoint")
    parser.add_argument(
        "output", type=Path, metavar="OUTPUT", help="output file: .dp, .json or .yaml"
    )
    parser.add_argument("--force", action="store_true", help="overwrite OUTPUT")


def run(args: argparse.Namespace) -> int:
    """Write the file, and return the exit code."""
    from .. import files

    content = files.read(args.input)
    if not isinstance(content.get("model"), dict):
        raise FileFormatError(f"{args.input} holds no model (it has no key 'model')")
    if args.output.exists() and not args.force:
        raise FileFormatError(f"{args.output} exists; choose another name, or add --force")
    # The rest is copied unchanged, including unknown keys.
    training = content.pop("training", None)
    files.write(args.output, content)
    left_out = "" if training is None else " (without the state of the training)"
    print(f"wrote {args.output}{left_out}")
    return 0

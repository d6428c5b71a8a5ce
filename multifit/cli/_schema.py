"""``multifit schema``: the JSON Schema of ``input.json``, for editors."""

from __future__ import annotations

import argparse
import json
from pathlib import Path


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="output file (default: stdout)"
    )


def run(args: argparse.Namespace) -> int:
    """Print or write the schema, and return the exit code."""
    from ..config import json_schema

    # ASCII only: stdout may be in any encoding, and editors read \\u00c5 as Å.
    text = json.dumps(json_schema(), indent=2) + "\n"
    if args.output is None:
        print(text, end="")
        return 0
    from ..files._atomic import write_atomically

    write_atomically(args.output, text.encode())
    print(f"wrote {args.output}")
    return 0

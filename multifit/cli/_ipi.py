"""``multifit ipi``: the forces of a model for i-PI."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..errors import ConfigError


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    from ._data import add_engine_backend, add_model_parameters

    parser.add_argument("model", type=Path, help="model file or checkpoint")
    parser.add_argument(
        "structure", type=Path, help="the atoms in the order of i-PI's input, in any format of ASE"
    )
    parser.add_argument("--unix", metavar="NAME", help="Unix socket: the address in i-PI's input")
    parser.add_argument("--host", help="host of the server (default: localhost)")
    parser.add_argument("--port", type=int, help="port of the server (default: 31415)")
    parser.add_argument(
        "--wait", type=float, default=60.0, metavar="S", help="seconds to wait for it (default: 60)"
    )
    parser.add_argument(
        "--skin", type=float, default=1.0, metavar="Å", help="range of lists beyond the cutoff"
    )
    add_model_parameters(parser)
    add_engine_backend(parser)


def run(args: argparse.Namespace) -> int:
    """Serve until the server ends, and return the exit code."""
    from ..console.tables import console
    from ..console.words import counted
    from ..interfaces import require

    if args.unix is not None and (args.host is not None or args.port is not None):
        raise ConfigError(
            "--unix names a socket of this machine, which has no host and no port; leave out "
            "--unix, or --host and --port"
        )
    require("ase", "ipi")
    from ..interfaces._backend import as_potential
    from ..interfaces._structure import load_structure
    from ..interfaces.ipi import PORT, serve
    from ._data import read_parameters

    potential = as_potential(args.model, args.backend)
    given = read_parameters(args)
    atoms = load_structure(potential, args.structure, skin=args.skin, **given)
    atoms.get_forces()  # compiled before the server waits for it
    out = console()
    if not atoms.pbc.any():
        out.print(
            f"{args.structure} is not periodic: the model sees a cluster, whatever cell i-PI "
            "sends; give a structure with its cell for a crystal or a liquid",
            markup=False,
            soft_wrap=True,
        )
    host, port = args.host or "localhost", PORT if args.port is None else args.port
    calls = serve(atoms, unix=args.unix, host=host, port=port, wait=args.wait)
    out.print(f"i-PI has ended, after {counted(calls, 'evaluation')}", markup=False)
    return 0

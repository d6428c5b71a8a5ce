"""``multifit neighbor-stat``: distances and numbers of neighbours in data."""

from __future__ import annotations

import argparse

from ..console.words import counted
from ._data import add_data_arguments, open_data


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_data_arguments(parser)
    parser.add_argument(
        "-r", "--rcut", type=float, required=True, metavar="RCUT", help="cut-off in Å"
    )
    parser.add_argument(
        "-t",
        "--type-map",
        nargs="+",
        metavar="ELEMENT",
        help="order of the types (default: as in the data)",
    )
    parser.add_argument(
        "--mask",
        action="store_true",
        help="ignore atoms with aparam 0 (use_aparam_as_mask)",
    )


def run(args: argparse.Namespace) -> int:
    """Print the statistics, and return the exit code."""
    from ..console.systems import guessed
    from ..console.tables import console, plain_table, progress
    from ..statistics import choose_sel
    from ..survey import Scope, combine, survey_systems
    from ..survey.doubts import doubts
    from ..survey.seen import closest_atoms, fullest_atom

    systems = open_data(args, args.type_map)
    names = systems[0].type_map
    total = sum(system.nframes for system in systems)
    bar, task = progress("counting", total)
    scope = Scope(args.rcut, masked=args.mask)
    with bar:
        found = survey_systems(systems, scope, lambda n: bar.advance(task, n))
    whole = combine(systems, found, args.rcut)
    sel = choose_sel(whole.fullest)
    table = plain_table(f"Neighbours within {args.rcut:g} Å")
    table.add_column("type")
    table.add_column("most", justify="right")
    table.add_column("sel", justify="right")
    table.add_column("around", overflow="fold")
    for b, name in enumerate(names):
        around = fullest_atom(systems, found, scope, b)
        table.add_row(name, str(whole.fullest[b]), str(sel[b]), around)
    together = choose_sel([whole.together])[0]
    if len(names) > 1:
        table.add_row("all together", str(whole.together), str(together), whole.together_at)
    out = console()
    out.print(table)
    number = f"{counted(total, 'frame')} of {counted(len(systems), 'system')}"
    lines = [f"no two atoms are within {args.rcut:g} Å in {number}"]
    closest = closest_atoms(systems, found, scope)
    if closest:
        lines = [
            f"shortest distance: {whole.distance:.4f} Å, {closest}",
            f'"sel": {list(sel)} leaves a margin of 10 % over the most in {number}',
            f'"sel": {together} does so for se_atten and se_e3_tebd, which have slots for all '
            f'types together, and with this cut-off "nsel" for a block of dpa2, and "e_sel" or '
            '"a_sel" for dpa3',
        ]
    lines += filter(None, [guessed(systems), *doubts(systems, found)])
    for line in lines:
        out.print(line, markup=False, soft_wrap=True)
    return 0

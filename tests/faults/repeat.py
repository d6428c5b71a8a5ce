"""Train twice with one seed, and resume at several steps: the results are equal, bit by bit.

Usage: python tests/faults/repeat.py [--backend torch] [--steps 50] [--at 1 25 | --every]
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from _water import fit, labelled, recipe, write
from kills import OPTIONS, PREFIX, TABLES, arrays

from multifit import files


def differences(first: Path, second: Path, steps: int) -> list[str]:
    """Return what differs in the last checkpoints and in the tables of two runs."""
    contents = [files.read(folder / f"{PREFIX}-{steps}.dp") for folder in (first, second)]
    one, other = (arrays({key: x[key] for key in ("model", "training")}) for x in contents)
    found = [name for name in TABLES if (first / name).read_text() != (second / name).read_text()]
    if contents[0]["training"]["best"] != contents[1]["training"]["best"]:
        found.append("best")
    return found + [
        key
        for key in sorted(one.keys() | other.keys())
        if key not in one or key not in other or one[key].tobytes() != other[key].tobytes()
    ]


def run(backend: str, steps: int, resumed: list[int], once: bool = False) -> str:
    """Raise AssertionError if a run differs; return a sentence with the numbers.

    Parameters
    ----------
    once
        True to leave out the second whole run.
    """
    with tempfile.TemporaryDirectory(prefix="repeat-") as place:
        folder = Path(place)
        write(folder / "data", labelled(5))
        write(folder / "valid", labelled(3))
        given = recipe(steps=steps, **OPTIONS | {"training__max_ckpt_keep": steps})
        whole, again, after = (folder / name for name in ("whole", "again", "after"))
        for output in (whole,) if once else (whole, again):
            fit(folder, given, output=output, backend=backend)
        if not once:
            assert not differences(whole, again, steps), differences(whole, again, steps)
        for step in resumed:
            after.mkdir()
            for name in (f"{PREFIX}-{step}.dp", *TABLES):
                shutil.copy(whole / name, after)
            restart = after / f"{PREFIX}-{step}.dp"
            fit(folder, given, output=after, backend=backend, restart=restart)
            assert not differences(whole, after, steps), (step, differences(whole, after, steps))
            shutil.rmtree(after)
    return (
        f"{backend}: {'a run' if once else 'two runs'} of {steps} steps, and those resumed at "
        f"{len(resumed)} steps, are identical"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--backend", default="torch")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--at", type=int, nargs="*", default=[1, 25])
    parser.add_argument("--every", action="store_true", help="resume at every step")
    parser.add_argument("--once", action="store_true", help="do not repeat the whole run")
    args = parser.parse_args()
    at = list(range(1, args.steps)) if args.every else args.at
    print(run(args.backend, args.steps, at, args.once))


if __name__ == "__main__":
    main()

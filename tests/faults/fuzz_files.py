"""Mutate files of all kinds, and check that each ends in a sentence or a right result.

``python tests/faults/fuzz_files.py --cases 10000`` prints a table, and every failure with the
number that repeats it: ``--only 4711``. Each case runs in a child process with 1 GB and 10 s, whose
audit events prove that nothing outside of its folder is opened and nothing is executed.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import multiprocessing
import os
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parent)]
os.environ.setdefault("OMP_NUM_THREADS", "1")

from _limited import Outcome, limited  # noqa: E402
from _targets import TARGETS, make_seeds, warm_up  # noqa: E402


def kind_of(number: int) -> str:
    """Return the kind of file of a case; each kind has its share of every hundred."""
    names = [name for name, (share, _) in TARGETS.items() for _ in range(share)]
    return names[(number * 37) % len(names)]


def run_case(number: int, seeds: Path, place: Path) -> Outcome:
    """Mutate one file, use it, and return what came of it.

    Parameters
    ----------
    number
        Of the case; the same number is the same damage.
    seeds
        The unchanged files.
    place
        Folder to work in, which is emptied.
    """
    _, target = TARGETS[kind_of(number)]
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(seeds, place)
    path = place / target.path
    path.write_bytes(target.change(path.read_bytes(), random.Random(number)))
    return limited(lambda: target.use(place), place)


@contextlib.contextmanager
def prepared() -> Iterator[tuple[Path, Path]]:
    """Yield a folder with the unchanged files, and one to work in."""
    with tempfile.TemporaryDirectory(prefix="multifit-fuzz-") as folder:
        seeds, place = Path(folder) / "seeds", Path(folder) / "case"
        # In a process of its own: a framework that trains must not be forked.
        maker = multiprocessing.get_context("spawn").Process(target=make_seeds, args=(seeds,))
        maker.start()
        maker.join()
        if maker.exitcode:
            raise RuntimeError("the unchanged files cannot be made")
        shutil.copytree(seeds, place)
        here = Path.cwd()
        os.chdir(place)
        with contextlib.redirect_stdout(io.StringIO()):
            warm_up(place)
        os.chdir(here)
        yield seeds, place


def run_all(numbers: Iterable[int], verbose: bool = False) -> Iterator[tuple[int, Outcome]]:
    """Yield the outcome of each case."""
    with prepared() as (seeds, place):
        for number in numbers:
            outcome = run_case(number, seeds, place)
            if verbose:
                print(f"{number} {kind_of(number)}: {outcome.kind}: {outcome.text}")
            yield number, outcome


def main() -> int:
    """Run the cases of the command line, and return 1 if one fails."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cases", type=int, default=300)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--only", type=int, nargs="*", help="print these cases in full")
    args = parser.parse_args()
    numbers = args.only or range(args.first, args.first + args.cases)
    counts: Counter[tuple[str, str]] = Counter()
    slowest = largest = failures = 0.0
    for number, outcome in run_all(numbers, verbose=bool(args.only)):
        counts[kind_of(number), outcome.kind] += 1
        slowest, largest = max(slowest, outcome.seconds), max(largest, outcome.peak)
        if not outcome.good:
            failures += 1
            last = outcome.text.strip().splitlines()[-1:] or [""]
            print(f"case {number}, {kind_of(number)}: {outcome.kind}: {last[0]:.300}", flush=True)
    kinds = sorted({kind for _, kind in counts}, key=lambda kind: (kind != "right", kind))
    print(f"{'file':<14}" + "".join(f"{kind:>14}" for kind in kinds))
    for name in TARGETS:
        print(f"{name:<14}" + "".join(f"{counts[name, kind]:>14}" for kind in kinds))
    print(f"{failures:.0f} failures; slowest {slowest:.1f} s, largest {largest / 2**20:.0f} MB")
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main())

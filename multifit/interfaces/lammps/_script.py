"""A user's input file, run command by command.

LAMMPS cannot call Python at a line of its input, so the lines are read here and handed to it one
by one. It replaces variables, evaluates conditions and runs the commands; what decides which line
comes next (``jump``, ``label``, ``next``, ``include``, ``if``, ``quit``) is done here, as LAMMPS
does it, because LAMMPS does not know the file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import EngineError
from ._attach import run_command
from ._ranks import Ranks
from ._words import Word, logical_lines, words

#: The variable of LAMMPS that tells which branch of an ``if`` is taken.
BRANCH = "multifit_branch"

#: Files included in one another; more are an endless circle.
DEEPEST = 50


class Quit(Exception):
    """The command ``quit``."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


@dataclass
class Source:
    """A file that is being read."""

    name: str
    lines: list[str]
    at: int = 0  #: the next line
    label: str = ""  #: lines are skipped up to this label


class Script:
    """An input file and the files that it includes.

    Parameters
    ----------
    lmp
        LAMMPS.
    ranks
        Its processes; the first one reads files.
    special
        Functions for commands that LAMMPS does not have; each is given the words after the name of
        the command, and returns False if LAMMPS shall run it.
    watch
        Functions for commands of LAMMPS, called with the words after the name once they have run.
    check
        Called after each command of LAMMPS; raises the error of a run.
    before
        Functions that are called before commands of LAMMPS.
    """

    def __init__(
        self,
        lmp: Any,
        ranks: Ranks,
        special: dict[str, Callable[[list[str]], bool]],
        watch: dict[str, Callable[[list[str]], None]],
        check: Callable[[], None],
        before: dict[str, Callable[[], None]] | None = None,
    ) -> None:
        self._lmp, self._ranks, self._check = lmp, ranks, check
        self._special, self._watch, self._before = special, watch, before or {}
        self._stack: list[Source] = []
        self._skip_jump = False
        self._control: dict[str, Callable[[list[Word], str], None]] = {
            "jump": self._jump,
            "label": self._label,
            "next": self._next,
            "include": self._include,
            "if": self._if,
            "quit": self._quit,
        }

    def run(self, path: str) -> int:
        """Run a file and return its exit code: that of ``quit``, or 0.

        Raises
        ------
        MultifitError
            If LAMMPS or a command meets an error.
        """
        self._stack = [self._open(path)]
        try:
            while self._stack:
                line = self._next_line()
                if line is not None:
                    self.execute(line)
        except Quit as exc:
            return exc.code
        return 0

    def _next_line(self) -> str | None:
        """Return the next command, or None if the file at the top has ended."""
        source = self._stack[-1]
        while source.at < len(source.lines):
            line = source.lines[source.at]
            source.at += 1
            if not source.label:
                return line
            if [w.text for w in words(line)[:2]] == ["label", source.label]:
                source.label = ""
        if source.label:
            raise EngineError(f"{source.name} has no label {source.label}, to which a line jumps")
        self._stack.pop()
        return None

    def execute(self, line: str) -> None:
        """Run one command."""
        given = words(line)
        if given and given[0].raw.startswith("$"):
            line = self._expanded(line)
            given = words(line)
        if not given:
            return
        name, rest = given[0].text, given[1:]
        if name in self._control:
            self._control[name](rest, line)
            return
        if name in self._special:
            expanded = [word.text for word in words(self._expanded(line))[1:]]
            if self._special[name](expanded):
                return
        if name in self._before:
            self._before[name]()
        if name in self._watch:
            # Expanded once, and run so: a variable may give another value the next time.
            line = self._expanded(line)
            rest = words(line)[1:]
        run_command(self._lmp, line)
        self._check()
        if name in self._watch:
            self._watch[name]([word.text for word in rest])

    def _expanded(self, line: str) -> str:
        """Return a line with its variables replaced by LAMMPS."""
        if "$" not in line:
            return line
        try:
            return str(self._lmp.expand(line))
        except Exception as exc:  # LAMMPS has no class for its errors
            raise EngineError(f"LAMMPS: {' '.join(str(exc).split())}, in the line: {line}") from exc

    def _arguments(self, line: str) -> list[str]:
        return [word.text for word in words(self._expanded(line))[1:]]

    def _open(self, path: str) -> Source:
        """Return a file; read by the first process."""
        text: str | None = None
        problem = f"cannot open the input file {path}"
        if self._ranks.rank == 0:
            try:
                text = Path(path).read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as exc:
                problem = f"{problem}: {getattr(exc, 'strerror', None) or exc}"
        text, problem = self._ranks.share((text, problem))
        if text is None:
            raise EngineError(problem)
        return Source(path, logical_lines(text))

    def _jump(self, _: Sequence[Word], line: str) -> None:
        if self._skip_jump:
            self._skip_jump = False
            return
        given = self._arguments(line)
        if len(given) not in (1, 2):
            raise EngineError(f"jump needs a file and perhaps a label, in the line: {line}")
        if given[0] == "SELF":
            self._stack[-1].at = 0
        else:
            self._stack[-1] = self._open(given[0])
        self._stack[-1].label = given[1] if len(given) == 2 else ""

    def _label(self, rest: Sequence[Word], line: str) -> None:
        if len(rest) != 1:
            raise EngineError(f"label needs one name, in the line: {line}")

    def _next(self, _: Sequence[Word], line: str) -> None:
        names = self._arguments(line)
        run_command(self._lmp, line)
        # LAMMPS deletes variables that have no further value, and skips the next jump.
        if names and not self._lmp.has_id("variable", names[0]):
            self._skip_jump = True

    def _include(self, _: Sequence[Word], line: str) -> None:
        given = self._arguments(line)
        if len(given) != 1:
            raise EngineError(f"include needs one file, in the line: {line}")
        if len(self._stack) >= DEEPEST:
            raise EngineError(f"{given[0]} is included by itself")
        self._stack.append(self._open(given[0]))

    def _if(self, rest: list[Word], line: str) -> None:
        """Let LAMMPS choose the branch, and run its commands."""
        branches = _branches(rest, line)
        parts = []
        for number, branch in enumerate(branches):
            mark = f'"variable {BRANCH} string {number}"'
            if branch.condition is None:
                parts.append(f"else {mark}")
            elif number == 0:
                parts.append(f"if {branch.condition} then {mark}")
            else:
                parts.append(f"elif {branch.condition} {mark}")
        run_command(self._lmp, f'variable {BRANCH} string "-1"')
        run_command(self._lmp, " ".join(parts))
        chosen = int(self._lmp.extract_variable(BRANCH))
        run_command(self._lmp, f"variable {BRANCH} delete")
        for command in branches[chosen].commands if chosen >= 0 else ():
            self.execute(command)
            if self._stack and self._stack[-1].label:  # a jump: the rest is skipped
                break

    def _quit(self, _: Sequence[Word], line: str) -> None:
        given = self._arguments(line)
        try:
            raise Quit(int(given[0]) if given else 0)
        except ValueError as exc:
            raise EngineError(f"quit needs an integer, in the line: {line}") from exc


@dataclass(frozen=True)
class Branch:
    """A condition, with its quotes, and the commands that it guards."""

    condition: str | None  #: None for else
    commands: list[str]


def _branches(given: Sequence[Word], line: str) -> list[Branch]:
    """Return the branches of an ``if`` from the words after it."""
    if len(given) < 3 or given[1].raw != "then":
        raise EngineError(f"if needs a condition, then and a command, in the line: {line}")
    found = [Branch(given[0].raw, [])]
    rest = list(given[2:])
    while rest:
        word = rest.pop(0)
        if word.raw == "elif" and rest:
            found.append(Branch(rest.pop(0).raw, []))
        elif word.raw == "else":
            found.append(Branch(None, []))
        else:
            found[-1].commands.append(word.text)
    return found

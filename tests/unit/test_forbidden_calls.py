"""No code of multifit runs, unpickles or imports what a file says: a walk through its syntax."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]

#: Calls that execute what they are given, whatever it is.
NEVER = {
    *("eval", "exec", "compile", "__import__", "breakpoint"),
    *("os.system", "os.popen", "os.execv", "os.execve", "os.execvp", "os.spawnv", "os.posix_spawn"),
    *("subprocess.getoutput", "subprocess.getstatusoutput", "runpy.run_path", "runpy.run_module"),
    *("pickle.load", "pickle.loads", "pickle.Unpickler", "marshal.load", "marshal.loads"),
    *("shelve.open", "dill.load", "dill.loads", "cloudpickle.load", "joblib.load"),
    *("yaml.unsafe_load", "yaml.full_load", "yaml.load_all", "numpy.memmap", "np.memmap"),
    *(
        "torch.jit.load",
        "paddle.load",
        "tf.keras.models.load_model",
        "ase.io.read",
        "shutil.unpack_archive",
    ),
}

#: Calls that depend on their arguments → the test of a call that is safe.
DEPENDING = {
    "np.load": lambda call: _keyword(call, "allow_pickle") is False,
    "numpy.load": lambda call: _keyword(call, "allow_pickle") is False,
    "torch.load": lambda call: _keyword(call, "weights_only") is True,
    "yaml.load": lambda call: _names_safe_loader(call),
    "yaml.parse": lambda call: _names_safe_loader(call),
    "subprocess.run": lambda call: _is_list_without_shell(call),
    "subprocess.Popen": lambda call: _is_list_without_shell(call),
    "importlib.import_module": lambda call: False,
    "iread": lambda call: _keyword(call, "format") == "extxyz",
    "pickle.dumps": lambda call: False,
    "pickle.dump": lambda call: False,
}

#: (file, call) → the reason why it is harmless.
ALLOWED = {
    ("multifit/interfaces/mliap.py", "pickle.dumps"): "LAMMPS demands a pickle; it is written only",
    ("multifit/__init__.py", "importlib.import_module"): "names of a table of this package",
    ("multifit/distributed/_local.py", "subprocess.Popen"): "the user's own command, again",
    ("multifit/cli/__init__.py", "importlib.import_module"): "a module of the table of commands",
    ("multifit/config/__init__.py", "importlib.import_module"): "names of a table of this package",
    ("multifit/outputs.py", "importlib.import_module"): "modules of the table of outputs",
    (
        "multifit/interfaces/__init__.py",
        "importlib.import_module",
    ): "engines named by the caller's code",
}


def _keyword(call: ast.Call, name: str) -> object:
    """Return a constant keyword of a call; an object unlike any other if there is none."""
    values = [k.value for k in call.keywords if k.arg == name]
    return values[0].value if values and isinstance(values[0], ast.Constant) else ast


def _names_safe_loader(call: ast.Call) -> bool:
    """Return True if the loader is one of the two places that derive it from the safe one."""
    given = [k.value for k in call.keywords if k.arg == "Loader"] or call.args[1:2]
    text = ast.unparse(given[0]) if given else ""
    return text in ("Loader", "loader", "_strict_loader(yaml, path)")


def _is_list_without_shell(call: ast.Call) -> bool:
    return isinstance(call.args[0], ast.List) and _keyword(call, "shell") in (ast, False)


@functools.cache
def _files() -> list[tuple[str, ast.Module]]:
    return list(_parsed())


def _parsed() -> Iterator[tuple[str, ast.Module]]:
    for folder in ("multifit", "backends"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            yield name, ast.parse(path.read_text(encoding="utf-8"))


def _calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    """Yield the dotted name of each called function, without names of arrays and models."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
            yield ast.unparse(node.func), node


def test_nothing_is_executed_or_unpickled() -> None:
    wrong, used = [], set()
    for name, tree in _files():
        for called, call in _calls(tree):
            suspect = called in NEVER or (called in DEPENDING and not DEPENDING[called](call))
            if suspect and (name, called) in ALLOWED:
                used.add((name, called))
            elif suspect:
                wrong.append(f"{name}:{call.lineno}: {ast.unparse(call)[:80]}")
    assert not wrong
    assert used == set(ALLOWED), "an exception is not needed any more"


def test_dangerous_functions_have_no_other_names() -> None:
    """Functions must be called by the names that the test above knows."""
    modules = {name.partition(".")[0] for name in (*NEVER, *DEPENDING) if "." in name}
    modules -= {"np", "numpy", "ase", "os", "importlib", "torch", "paddle", "tf", "shutil"}
    hidden = {"np.load": "load", "os": "system popen execv", "importlib": "import_module"}
    wrong = []
    for name, tree in _files():
        for node in ast.walk(tree):
            if not isinstance(node, ast.ImportFrom) or node.level:
                continue
            names = {alias.name for alias in node.names}
            bad = node.module in modules or names & set(hidden.get(node.module or "", "").split())
            if bad:
                wrong.append(f"{name}:{node.lineno}: from {node.module} import {', '.join(names)}")
    assert not wrong


def test_a_loader_of_yaml_derives_from_the_safe_one() -> None:
    found = []
    for name, tree in _files():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and node.name == "Loader":
                found.append(name)
                assert "yaml.SafeLoader" in ast.unparse(node.bases[0]), name
    assert found == ["multifit/config/_yaml.py", "multifit/files/_yaml.py"]


def test_the_walk_finds_what_it_should() -> None:
    for text in ("eval(x)", "np.load(p)", "torch.load(p)", "subprocess.run(x, shell=True)"):
        ((called, call),) = _calls(ast.parse(text))
        assert called in NEVER or not DEPENDING[called](call)

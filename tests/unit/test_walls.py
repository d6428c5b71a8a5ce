"""Walls between the rooms: who may import what, and what is public."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import _contract
import pytest
from _backends import FRAMEWORKS, INSTALLED

import multifit
import multifit.autodiff
import multifit.deepmd
import multifit.dos
import multifit.files
import multifit.fitting
import multifit.loss
import multifit.models
from multifit.backend import KNOWN, Backend, get_backend

ROOT = Path(multifit.__file__).parent
#: The checkout; an installed package has no such files beside it.
SOURCE = Path(__file__).parents[2]
ADAPTERS = [
    path for name in KNOWN if (path := ROOT.parent / "backends" / f"multifit_{name}").is_dir()
]
FORBIDDEN = ("torch", "jax", "jaxlib", "tensorflow", "paddle", "mindspore")
HEAVY = ("h5py", "pydantic", "matplotlib", "yaml", "rich", "ase", "numpy")
MODULES = sorted(
    ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__")
    for path in ROOT.rglob("*.py")
    if path.name != "__main__.py"
)

#: What the packages of the numerical core give away.
PUBLIC = {
    "multifit": {"Potential", "__version__", "load"},
    "multifit.autodiff": {
        *("Dual", "Forward", "ForwardArithmetic", "Reverse", "ReverseArithmetic", "Node"),
        *("constant", "pullback", "value_of", "with_pullback"),
    },
    "multifit.dos": {
        *("Grid", "even_grid", "read_energies", "from_content", "to_content"),
        *("check_labels", "common_energies", "keys", "labels_on_grid", "load_labels"),
        *("Levels", "electron_count", "electrons_of", "levels"),
    },
    "multifit.deepmd": {
        *("DOSFittingNet", "EnergyFittingNet", "GeneralFitting", "InvarFitting"),
        *("DOSLoss", "EnergyLoss"),
    },
    "multifit.fitting": {
        *("DOSFittingNet", "EnergyFittingNet", "GeneralFitting", "InvarFitting", "Fitting"),
        *("fit", "fit_all", "init", "trainable_names", "deserialize", "serialize"),
        *("FITTING_RANGES", "FITTING_RULES", "layer_conflict", "network", "settings"),
        *("energies", "gives_energies", "output_precision", "take_nets"),
    },
    "multifit.loss": {
        *("DOSLoss", "DosLossConfig", "EnergyLoss", "EnergyLossConfig", "LossConfig"),
        *("dos_loss", "energy_loss", "compute_loss", "has", "huber_deltas"),
        *("DOS_RULES", "DOS_TERMS", "ENERGY_RULES", "ENERGY_TERMS", "LABELS"),
        *("DOS_RANGES", "ENERGY_RANGES", "too_large_a_shift", "labels", "predictions"),
    },
    "multifit.models": {
        *("compared_atoms", "prepared"),
        *("Model", "Preset", "init", "trainable_names"),
        *("evaluate", "evaluate_energy", "deserialize", "serialize"),
        *("directions", "evaluate_hessian", "from_content", "native_parameters", "to_content"),
    },
    "multifit.files": {
        *("Lock", "OLD", "old_name", "check_version", "read", "remove_stale", "try_file"),
        *("try_write", "write"),
        *("items", "mapping", "number", "parameter", "required"),
    },
}


def _python(code: str) -> str:
    """Return what a fresh interpreter prints."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_core_imports_no_framework() -> None:
    code = f"""
import importlib, sys
from multifit.errors import EngineError
for name in {MODULES!r}:
    try:
        importlib.import_module(name)
    except EngineError:  # an engine that is not installed
        assert name.startswith("multifit.interfaces.")
print(sorted(set({FORBIDDEN!r}) & set(sys.modules)))
"""
    assert _python(code).strip() == "[]"


def test_importing_multifit_costs_next_to_nothing() -> None:
    code = f"""
import sys
before = set(sys.modules)
import multifit
print(sorted(set({HEAVY!r}) & set(sys.modules)), len(set(sys.modules) - before) < 60)
"""
    assert _python(code).strip() == "[] True"


def test_the_command_line_starts_without_heavy_imports() -> None:
    code = f"""
import sys
from multifit.inference.potential import Potential
import multifit.cli
print(sorted(set({HEAVY[:4]!r}) & set(sys.modules)))
"""
    assert _python(code).strip() == "[]"


def test_only_the_command_line_knows_the_command_line() -> None:
    inside = ROOT / "cli"
    for path in ROOT.rglob("*.py"):
        if inside in path.parents or path == ROOT / "__main__.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            name = (node.module or "") if isinstance(node, ast.ImportFrom) else ""
            assert "cli" not in name.split("."), path


def _imports(folder: Path) -> set[str]:
    """Return the top-level names that the files of a folder import, anywhere in them."""
    found = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.partition(".")[0])
    return found


def test_no_file_of_the_core_names_a_framework() -> None:
    assert not _imports(ROOT) & {*FORBIDDEN, *(folder.name for folder in ADAPTERS)}


@pytest.mark.parametrize("folder", ADAPTERS, ids=lambda folder: folder.name)
def test_adapters_do_not_know_one_another(folder: Path) -> None:
    others = {other.name for other in ADAPTERS} - {folder.name}
    own = FRAMEWORKS.get(folder.name.removeprefix("multifit_"), "")
    frameworks = set(FORBIDDEN) - {own, f"{own}lib"}
    assert not _imports(folder) & (others | frameworks)
    assert "multifit" in _imports(folder) or folder.name != "multifit_numpy"


@pytest.mark.parametrize("name", PUBLIC)
def test_packages_give_away_what_is_written_here(name: str) -> None:
    tree = ast.parse(Path(sys.modules[name].__file__ or "").read_text(encoding="utf-8"))
    if name == "multifit":
        assert set(multifit.__all__) == PUBLIC[name]
        return
    lazy = [node for part in tree.body if isinstance(part, ast.If) for node in part.body]
    reexported = {
        alias.asname
        for node in [*tree.body, *lazy]
        if isinstance(node, ast.ImportFrom) and node.module not in ("__future__", "typing")
        for alias in node.names
    }
    assert reexported == PUBLIC[name]
    assert all(hasattr(sys.modules[name], public) for public in PUBLIC[name])
    assert PUBLIC[name] <= set(dir(sys.modules[name]))


def test_public_names_are_importable() -> None:
    for name in multifit.__all__:
        assert getattr(multifit, name) is not None
    for name in multifit._MODULES:
        assert getattr(multifit, name).__name__ == f"multifit.{name}"
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = multifit.nothing


def test_every_module_says_what_it_is() -> None:
    for path in [*ROOT.rglob("*.py"), *(p for folder in ADAPTERS for p in folder.rglob("*.py"))]:
        text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
        assert text, path


def test_a_type_checker_sees_every_adapter_as_a_backend() -> None:
    checked = tomllib.loads((SOURCE / "pyproject.toml").read_text())["tool"]["mypy"]
    assert _contract.__name__ in checked["modules"]
    assert set(_contract.conforming.__annotations__) == {*KNOWN, "strict", "return"}
    assert {f"multifit_{name}" for name in KNOWN} <= set(checked["packages"])


@pytest.mark.parametrize("name", ["numpy", *INSTALLED])
def test_adapters_satisfy_the_contract(name: str) -> None:
    adapter: Backend = get_backend(name)
    assert isinstance(adapter, Backend)
    assert adapter.name == name
    assert set(adapter.describe()) >= {"version", "devices"}


def test_contributing_names_tables_that_there_are() -> None:
    text = (SOURCE / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(\w*TERMS|LABELS)`", text))
    assert named == {"ENERGY_TERMS", "DOS_TERMS", "LABELS"}
    assert all(hasattr(multifit.loss, name) for name in named)


def test_what_has_to_pass_includes_the_documentation() -> None:
    steps = (SOURCE / ".ci/run").read_text(encoding="utf-8")
    assert "check sphinx-build -q -W -n -E docs" in steps
    assert ",docs]" in steps


def test_the_core_does_not_import_the_classes_of_deepmd_kit() -> None:
    code = """
import sys
import multifit.fitting, multifit.loss, multifit.models
print("multifit.deepmd" in sys.modules, multifit.loss.EnergyLoss.__module__)
"""
    assert _python(code).strip() == "False multifit.deepmd._losses"

"""``DOSFittingNet``: its signature, what it refuses and under which names, and its files."""

from __future__ import annotations

import ast
import copy
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from _backends import INSTALLED
from _compare import same

from multifit import fitting as fit
from multifit.backend import get_backend
from multifit.errors import ConfigError, FileFormatError, UnsupportedError
from multifit.fitting import DOSFittingNet, EnergyFittingNet, GeneralFitting, InvarFitting

DIM, POINTS = 5, 7

#: As DeePMD-kit's documentation has it.
SIGNATURE = """
def DOSFittingNet(ntypes: int, dim_descrpt: int, numb_dos: int = 300, neuron: list[int] =
[120, 120, 120], resnet_dt: bool = True, numb_fparam: int = 0, numb_aparam: int = 0, bias_dos:
numpy.ndarray | None = None, rcond: float | None = None, trainable: bool | list[bool] = True,
activation_function: str = 'tanh', precision: str = DEFAULT_PRECISION, mixed_types: bool = False,
exclude_types: list[int] = [], type_map: list[str] | None = None, seed: int | list[int] | None =
None): pass
"""


def _documented() -> list[tuple[str, Any]]:
    """Return the documented names and defaults, with tuples for lists."""
    one = ast.parse(" ".join(SIGNATURE.split())).body[0]
    assert isinstance(one, ast.FunctionDef)
    names = [arg.arg for arg in one.args.args]
    values = [
        "float64" if isinstance(x, ast.Name) else ast.literal_eval(x) for x in one.args.defaults
    ]
    free = [inspect.Parameter.empty] * (len(names) - len(values))
    values = [tuple(x) if isinstance(x, list) else x for x in values]
    return list(zip(names, [*free, *values], strict=True))


def test_the_signature_is_the_documented_one() -> None:
    given = inspect.signature(DOSFittingNet).parameters.values()
    positional = [p for p in given if p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
    assert [(p.name, p.default) for p in positional] == _documented()
    assert {p.name for p in given if p not in positional} == {
        *("dim_case_embd", "default_fparam", "backend")
    }


def test_positions_are_what_they_are_called() -> None:
    bias = np.arange(2.0 * POINTS).reshape(2, POINTS)
    net = DOSFittingNet(
        2, DIM, POINTS, [4, 3], False, 1, 2, bias, 1e-3, [True, False, True], "gelu", "float32",
        True, [1], ["O", "H"], 5,
    )  # fmt: skip
    c = net.config
    assert (c.ntypes, c.dim_descrpt, c.dim_out, c.neuron) == (2, DIM, POINTS, (4, 3))
    assert (c.resnet_dt, c.numb_fparam, c.numb_aparam) == (False, 1, 2)
    assert (c.rcond, c.trainable) == (1e-3, (True, False, True))
    assert (c.activation_function, c.precision, c.mixed_types) == ("gelu", "float32", True)
    assert (c.exclude_types, net.type_map, c.var_name) == ((1,), ["O", "H"], "dos")
    same(net.bias_dos, bias, rtol=0.0)
    assert repr(net).startswith("<DOSFittingNet dos of 2 types from 5, neuron [4, 3], float32")


@pytest.mark.parametrize("name", ["numpy", *INSTALLED])
def test_the_bias_is_kept_and_added(name: str) -> None:
    rng = np.random.default_rng(0)
    bias, backend = rng.normal(size=(2, POINTS)), get_backend(name)
    net = DOSFittingNet(2, DIM, POINTS, [4], bias_dos=bias, seed=1, backend=backend)
    free = DOSFittingNet(2, DIM, POINTS, [4], seed=1)
    same(free.bias_dos, np.zeros((2, POINTS)), rtol=0.0)
    d, atype = rng.normal(size=(2, 3, DIM)), np.array([[0, 1, -1], [1, 1, 0]])
    want = free(d, atype)["dos"] + np.where(atype[:, :, None] < 0, 0.0, bias[atype])
    same(backend.to_numpy(net(d, atype)["dos"]), want, rtol=1e-12)
    assert type(net.bias_dos) is type(backend.asarray(bias))
    again = DOSFittingNet.deserialize(net.serialize(), backend=backend)
    same(backend.to_numpy(again.bias_dos), bias, rtol=0.0)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"numb_dos": 0}, "numb_dos must be an integer ≥ 1, but is 0"),
        ({"numb_dos": -3}, "numb_dos must be an integer ≥ 1, but is -3"),
        ({"numb_dos": 2.5}, "numb_dos must be an integer ≥ 1, but is 2.5"),
        ({"numb_dos": "7"}, "numb_dos must be an integer ≥ 1, but is '7'"),
        ({"numb_dos": True}, "numb_dos must be an integer ≥ 1, but is True"),
        (
            {"bias_dos": np.zeros((POINTS, 2))},
            r"^bias_dos has the shape \(7, 2\), but must be \(2, 7\)$",
        ),
        ({"bias_dos": np.zeros(2)}, r"^bias_dos has the shape \(2,\), but must be \(2, 7\)$"),
        ({"bias_dos": [[1.0], [1.0, 2.0]]}, r"^bias_dos must be an array of numbers \(2, 7\): "),
        ({"bias_dos": "none"}, r"^bias_dos must be an array of numbers \(2, 7\): "),
        (
            {"bias_dos": np.where(np.arange(14).reshape(2, 7) == 9, np.nan, 1.0)},
            r"^bias_dos\[1, 2\] is nan, but all must be finite$",
        ),
        ({"ntypes": 0}, "ntypes must be an integer ≥ 1, but is 0"),
        ({"trainable": [True]}, "trainable has length 1, but must have length 2"),
        ({"exclude_types": [2]}, "exclude_types names type 2, but there are 2 types"),
    ],
)
def test_what_is_wrong_is_called_as_the_caller_called_it(
    options: dict[str, Any], says: str
) -> None:
    given = {"ntypes": 2, "dim_descrpt": DIM, "numb_dos": POINTS, "neuron": [4]}
    with pytest.raises(ConfigError, match=says):
        DOSFittingNet(**{**given, **options})


def test_other_classes_call_it_otherwise() -> None:
    with pytest.raises(ConfigError, match="dim_out must be an integer ≥ 1, but is 0"):
        InvarFitting("x", 1, DIM, 0, [4])
    with pytest.raises(ConfigError, match=r"^bias_atom has the shape \(2, 1\), but must be"):
        InvarFitting("x", 1, DIM, 2, [4], bias_atom=np.zeros((2, 1)))


# Files.


def _node(**options: Any) -> dict[str, Any]:
    return DOSFittingNet(2, DIM, POINTS, [4], seed=1, **options).serialize()


def test_a_net_survives_its_file_form() -> None:
    net = DOSFittingNet(
        2, DIM, POINTS, [4, 4], numb_fparam=1, numb_aparam=1, dim_case_embd=2, seed=3,
        default_fparam=[0.5], exclude_types=[1], type_map=["O", "H"],
    )  # fmt: skip
    net.set_case_embd(1)
    node = net.serialize()
    assert (node["type"], node["var_name"], node["dim_out"]) == ("dos", "dos", POINTS)
    for cls in (DOSFittingNet, InvarFitting, GeneralFitting):
        again = cls.deserialize(node)
        assert again.config == net.config
        assert again.type_map == net.type_map
        same(again.params, net.params, rtol=0.0)


def test_a_class_refuses_the_nets_of_another() -> None:
    energy, dos = EnergyFittingNet(2, DIM, [4], seed=1).serialize(), _node()
    with pytest.raises(FileFormatError, match="one of 'energy', but DOSFittingNet is for 'dos'"):
        DOSFittingNet.deserialize(energy)
    with pytest.raises(FileFormatError, match="one of 'dos', but EnergyFittingNet is for 'energy'"):
        EnergyFittingNet.deserialize(dos)
    other = InvarFitting("x", 2, DIM, 3, [4], seed=1)
    assert other.serialize()["type"] == "invar"
    assert InvarFitting.deserialize(other.serialize()).config == other.config
    with pytest.raises(FileFormatError, match="one of 'x', but DOSFittingNet"):
        DOSFittingNet.deserialize(other.serialize())
    several = InvarFitting("energy", 2, DIM, 3, [4], seed=1)
    assert several.serialize()["type"] == "invar"


def _without(key: str) -> Callable[[dict[str, Any]], None]:
    return lambda node: node.pop(key)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            lambda node: node.update(type="ener"),
            "var_name is 'dos', but a fitting net of type 'ener' gives 'energy'",
        ),
        (
            lambda node: node.update(var_name="energy"),
            "var_name is 'energy', but a fitting net of type 'dos' gives 'dos'",
        ),
        (
            lambda node: node.update(type="ener", var_name="energy"),
            "dim_out is 7, but a fitting net of type 'ener' gives 1 component",
        ),
        (
            lambda node: node.update(dim_out=POINTS + 1),
            r"dim_out is 8, but fitting\.nets\.0 gives 7 components",
        ),
        (_without("dim_out"), "dim_out is missing, the number of points"),
        (
            lambda node: node["@variables"].update(bias_atom_e=np.zeros((2, 1))),
            r"fitting.bias_atom_e has the shape \(2, 1\), but its settings ask for \(2, 7\)",
        ),
        (
            lambda node: node["@variables"].update(bias_atom_e=None),
            r"fitting.bias_atom_e is missing",
        ),
        (lambda node: node.update({"@version": 5}), "newer multifit"),
    ],
)
def test_files_that_contradict_themselves_are_refused(
    change: Callable[[dict[str, Any]], None], says: str
) -> None:
    node = copy.deepcopy(_node())
    change(node)
    with pytest.raises(FileFormatError, match=says):
        fit.deserialize(node)


def test_a_layer_of_another_width_is_refused() -> None:
    node = copy.deepcopy(_node())
    for net in node["nets"]["networks"]:
        del net["out_dim"]
    node["dim_out"] = POINTS + 1
    with pytest.raises(FileFormatError, match=r"layers\.1\.w has the shape \(4, 7\), but its set"):
        fit.deserialize(node)


@pytest.mark.parametrize("kind", ["polar", None, "property"])
def test_other_kinds_of_nets_are_refused(kind: Any) -> None:
    with pytest.raises(
        UnsupportedError, match=f"of type {kind!r}; multifit reads 'ener' and 'dos'"
    ):
        fit.deserialize({**_node(), "type": kind})


@pytest.mark.parametrize("version", [1, 2, 3, 4])
def test_every_version_is_read(version: int) -> None:
    """As releases before 3.2 wrote it: without what came later, and nets that say less."""
    net = DOSFittingNet(2, DIM, POINTS, [4, 4], numb_fparam=1, seed=3)
    node = copy.deepcopy(net.serialize()) | {"@version": version}
    later = {4: ("default_fparam",), 3: ("dim_case_embd",), 2: ("type_map", "var_name")}
    for since, keys in later.items():
        for key in keys if version < since else ():
            del node[key]
    if version < 3:
        del node["@variables"]["case_embd"]
    again = DOSFittingNet.deserialize({**node, "trainable": True})
    assert again.config.var_name == "dos"
    assert again.config.trainable == (True, True, True)
    same(again.params, net.params, rtol=0.0)


def test_the_form_of_deepmd_kits_tensorflow_backend_is_read() -> None:
    """It says of arrays that are not there that they are None."""
    node = copy.deepcopy(_node())
    for key in ("fparam_avg", "fparam_inv_std", "aparam_avg", "aparam_inv_std", "case_embd"):
        node["@variables"][key] = None
    node |= {"exclude_types": [], "trainable": [True, True], "spin": None, "atom_ener": None}
    same(DOSFittingNet.deserialize(node).params, DOSFittingNet.deserialize(_node()).params, 0.0)

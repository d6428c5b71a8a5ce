"""Fitting nets: inputs, exclusions, pullbacks, and the classes with DeePMD's signatures."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from _backends import INSTALLED, TRAINABLE, StrictBackend
from _brute import network
from _compare import same
from _derivatives import by_differences_of, by_framework, contracted, pulled

from multifit import files
from multifit import fitting as fit
from multifit import precision as prec
from multifit.backend import Backend, get_backend
from multifit.errors import ConfigError, FileFormatError, UnsupportedError
from multifit.fitting import EnergyFittingNet, Fitting, InvarFitting
from multifit.tree import Tree, flatten, map_leaves, unflatten

NUMPY = get_backend("numpy")
DIM, ATOMS = 5, 4
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "mixed types": {"mixed_types": True},
    "fparam": {"numb_fparam": 2},
    "aparam": {"numb_aparam": 1},
    "both, two outputs": {"numb_fparam": 1, "numb_aparam": 2, "dim_out": 2},
    "float32": {"precision": "float32", "numb_fparam": 1},
    "case": {"dim_case_embd": 3, "numb_aparam": 1},
    "atom_ener": {"atom_ener": (-1.5, None)},
    "atom_ener, inputs": {"atom_ener": (-1.5, 2.0), "numb_fparam": 1, "dim_case_embd": 2},
    "atom_ener, mixed types, case": {
        **{"atom_ener": (-1.5, None), "mixed_types": True, "dim_case_embd": 2},
    },
    "shared layers": {"layer_name": ("a", None, None)},
    "shared within": {"layer_name": (None, "a", "a", "end"), "neuron": (6, 6, 6)},
    "mask": {"numb_aparam": 1, "use_aparam_as_mask": True},
    "linear": {"neuron": ()},
    "float16": {"precision": "float16", "atom_ener": (None, 2.0)},
}
#: How exact arithmetic of each precision is.
EXACT = {"float64": 1e-13, "float32": 1e-5, "float16": 1e-2}


def _net(**options: Any) -> tuple[Fitting, Tree]:
    config = Fitting(ntypes=2, dim_descrpt=DIM, **{"neuron": (6, 6), **options})
    rng = np.random.default_rng(3)
    params = fit.init(config, 4)
    params["bias_atom_e"] = rng.normal(size=(2, config.dim_out))
    if config.dim_case_embd:
        params["case_embd"] = rng.normal(size=config.dim_case_embd)
    for name in ("fparam", "aparam"):
        if f"{name}_avg" in params:
            size = params[f"{name}_avg"].shape
            params[f"{name}_avg"] = rng.normal(size=size)
            params[f"{name}_inv_std"] = rng.uniform(0.5, 2.0, size=size)
    return config, params


def _inputs(config: Fitting, seed: int = 0) -> tuple[np.ndarray, Any, Any]:
    rng = np.random.default_rng(seed)
    d = rng.normal(size=(ATOMS, DIM))
    sizes = (config.numb_fparam, config.numb_aparam)
    fparam, aparam = (rng.normal(size=(ATOMS, n)) if n else None for n in sizes)
    return d, fparam, aparam


def _by_hand(config: Fitting, params: Tree, k: int) -> Tree:
    """Return the k-th net with all its layers, those of one name from where they come first."""
    nets, layers = params["nets"], {}
    for j in range(len(config.neuron) + 1):
        name = None if config.layer_name is None else config.layer_name[j]
        if name is None:
            layers[str(j)] = nets[str(k)]["layers"][str(j)]
        else:
            layers[str(j)] = nets["0"]["layers"][str((config.layer_name or ()).index(name))]
    return {"layers": layers}


def _block(config: Fitting, params: Tree, centre: int, fparam: Any, aparam: Any) -> Any:
    def block(backend: Backend, d: Any) -> Any:
        extra = [None if x is None else backend.asarray(x) for x in (fparam, aparam)]
        own = map_leaves(backend.asarray, params)
        return fit.fit(backend.xp, config, own, centre, d, *extra)

    return block


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("centre", [0, 1])
def test_outputs_follow_the_formula(options: dict[str, Any], centre: int) -> None:
    config, params = _net(**options)
    d, fparam, aparam = _inputs(config)
    y, _ = _block(config, params, centre, fparam, aparam)(NUMPY, d)
    net = _by_hand(config, params, 0 if config.mixed_types else centre)
    for n in range(ATOMS):
        rest = []
        if fparam is not None:
            rest.append((fparam[n] - params["fparam_avg"]) * params["fparam_inv_std"])
        if aparam is not None and not config.use_aparam_as_mask:
            rest.append((aparam[n] - params["aparam_avg"]) * params["aparam_inv_std"])
        if config.dim_case_embd:
            rest.append(params["case_embd"])
        want = network(net, np.concatenate([d[n], *rest]), linear_end=True)
        given = config.atom_ener or (None, None)
        if given[centre] is not None or (config.mixed_types and any(given)):
            want = want - network(net, np.concatenate([0.0 * d[n], *rest]), linear_end=True)
        same(y[n], want + params["bias_atom_e"][centre], rtol=EXACT[config.precision])
    assert y.dtype == np.float64


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_the_pullback_is_the_derivative(options: dict[str, Any], strict: StrictBackend) -> None:
    config, params = _net(**options)
    d, *extra = _inputs(config)
    block = _block(config, params, 1, *extra)
    y_bar = np.random.default_rng(1).normal(size=(ATOMS, config.dim_out))
    got = pulled(NUMPY, block, d, y_bar)
    if config.precision == "float64":
        same(got, by_differences_of(block, d, y_bar), rtol=1e-8)
    if config.precision not in prec.HALF:  # which the standard does not have
        same(pulled(strict, block, d, y_bar), got, rtol=EXACT[config.precision])


@pytest.mark.parametrize("name", TRAINABLE)
@pytest.mark.parametrize(
    "key", ["mixed types", "both, two outputs", "atom_ener, inputs", "shared within"]
)
def test_the_pullback_is_what_the_framework_derives(name: str, key: str) -> None:
    config, params = _net(**OPTIONS[key])
    d, *extra = _inputs(config)
    block, backend = _block(config, params, 1, *extra), get_backend(name)
    y_bar = np.random.default_rng(2).normal(size=(ATOMS, config.dim_out))
    got = by_framework(backend, contracted(backend, block, y_bar), d)
    same(got, pulled(NUMPY, block, d, y_bar))


def test_an_excluded_type_gives_and_pulls_nothing() -> None:
    config, params = _net(exclude_types=(1,))
    d, *extra = _inputs(config)
    y, pullback = _block(config, params, 1, *extra)(NUMPY, d)
    same(y, np.zeros((ATOMS, 1)), atol=0.0)
    same(pullback(np.ones((ATOMS, 1))), np.zeros((ATOMS, DIM)), atol=0.0)
    other, _ = _block(config, params, 0, *extra)(NUMPY, d)
    assert np.all(other != 0.0)


def test_a_parameter_that_is_missing_is_named() -> None:
    config, params = _net(numb_aparam=1)
    with pytest.raises(ValueError, match="numb_aparam = 1, but no aparam was given"):
        fit.fit(NUMPY.xp, config, params, 0, np.zeros((2, DIM)))


def test_names_of_what_is_trained() -> None:
    config, _ = _net(mixed_types=True, trainable=(False, False, True), numb_fparam=1)
    assert list(fit.trainable_names(config)) == ["nets.0.layers.2.w", "nets.0.layers.2.b"]
    config, _ = _net()
    assert len(list(fit.trainable_names(config))) == 2 * 7


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_a_net_survives_its_file_form(options: dict[str, Any]) -> None:
    config, params = _net(**options)
    again, back = fit.deserialize(fit.serialize(config, params, ["O", "H"]))
    assert again.network == config.network
    assert again.dim_out == config.dim_out
    same(back, params, rtol=0.0)


# The classes.


def _class_case(backend: str, **options: Any) -> tuple[EnergyFittingNet, dict[str, np.ndarray]]:
    rng = np.random.default_rng(8)
    net = EnergyFittingNet(
        2, DIM, [6, 6], numb_fparam=1, numb_aparam=2, seed=3, backend=backend, **options
    )
    inputs = {
        "descriptor": rng.normal(size=(3, ATOMS, DIM)),
        "atype": np.array([[0, 1, 1, -1], [1, 0, -1, 0], [1, 1, 1, 1]]),
        "fparam": rng.normal(size=(3, 1)),
        "aparam": rng.normal(size=(3, ATOMS, 2)),
    }
    return net, inputs


def test_what_the_class_is_can_be_seen() -> None:
    net = EnergyFittingNet(2, DIM, [4, 4])
    want = "<EnergyFittingNet energy of 2 types from 5, neuron [4, 4], float64, on numpy>"
    assert repr(net) == want


@pytest.mark.parametrize("name", INSTALLED)
def test_the_class_takes_arrays_of_numpy_everywhere(name: str) -> None:
    options: dict[str, Any] = {"numb_fparam": 1, "numb_aparam": 1, "use_aparam_as_mask": True}
    net, plain = (
        EnergyFittingNet(2, DIM, [4, 4], seed=1, backend=backend, **options)
        for backend in (name, "numpy")
    )
    descriptor = np.linspace(-1.0, 1.0, 3 * DIM).reshape(1, 3, DIM)
    given: dict[str, Any] = {"fparam": np.ones((1, 1)), "aparam": np.array([[[1], [0], [2]]])}
    atype = np.array([[0, 1, 1]])
    got = net(descriptor, atype, **given)["energy"]
    same(net.backend.to_numpy(got), plain(descriptor, atype, **given)["energy"])


@pytest.mark.parametrize("name", ["numpy", *INSTALLED])
def test_the_class_gives_each_atom_the_net_of_its_type(name: str) -> None:
    net, inputs = _class_case(name)
    arrays = {key: net.backend.asarray(x) for key, x in inputs.items()}
    got = net.backend.to_numpy(net(**arrays)["energy"])
    config, params = net.config, map_leaves(net.backend.to_numpy, net.params)
    want = np.zeros((3, ATOMS, 1))
    for f, i in np.ndindex(3, ATOMS):
        if (a := inputs["atype"][f, i]) >= 0:
            x = [inputs["descriptor"][f, i], inputs["fparam"][f], inputs["aparam"][f, i]]
            one = [part[None, :] for part in x]
            want[f, i] = fit.fit(NUMPY.xp, config, params, int(a), *one)[0][0]
    same(got, want)


def test_the_class_takes_a_default_fparam() -> None:
    net, inputs = _class_case("numpy", default_fparam=[0.25])
    short = {key: x for key, x in inputs.items() if key != "fparam"}
    same(net(**short)["energy"], net(**short, fparam=np.full((3, 1), 0.25))["energy"], rtol=0.0)


def test_the_class_survives_its_file_form() -> None:
    net, inputs = _class_case("numpy", type_map=["O", "H"])
    for cls in (EnergyFittingNet, fit.GeneralFitting):
        again = cls.deserialize(net.serialize())
        assert again.type_map == ["O", "H"]
        assert isinstance(again, cls)
        same(again(**inputs)["energy"], net(**inputs)["energy"], rtol=0.0)
    assert list(net.parameters()) == list(again.parameters())


def test_an_invariant_has_its_own_name_and_bias() -> None:
    bias = np.array([[1.0, 2.0, 3.0]])
    net = InvarFitting("dos", 1, DIM, 3, [4], bias_atom=bias, seed=0)
    free = InvarFitting("dos", 1, DIM, 3, [4], seed=0)
    d, atype = np.ones((1, 2, DIM)), np.zeros((1, 2), dtype=int)
    same(net(d, atype)["dos"], free(d, atype)["dos"] + bias, rtol=1e-14)


def test_the_class_refuses_what_it_can_not_do() -> None:
    with pytest.raises(UnsupportedError, match="spin"):
        EnergyFittingNet(1, DIM, spin=object())
    with pytest.raises(UnsupportedError, match=r"the numpy backend does not support .* bfloat16"):
        EnergyFittingNet(1, DIM, precision="bfloat16")
    with pytest.raises(ConfigError, match="trainable has length 2, but must have length 3: 2 for"):
        EnergyFittingNet(1, DIM, [4, 4], trainable=[True, False])
    with pytest.raises(ConfigError, match="default_fparam has length 1, but must have length 0"):
        EnergyFittingNet(1, DIM, [4], default_fparam=[1.0])
    with pytest.raises(ConfigError, match="did you mean 'tanh'"):
        EnergyFittingNet(1, DIM, [4], activation_function="tahn")
    with pytest.raises(ConfigError, match=r"must be \(1, 2\)"):
        InvarFitting("x", 1, DIM, 2, [4], bias_atom=np.zeros((2, 1)))


OUT_OF_RANGE: list[tuple[dict[str, Any], str]] = [
    ({"exclude_types": [5]}, "exclude_types names type 5, but there are 2 types"),
    ({"exclude_types": [5], "atom_ener": [1.0, None]}, "exclude_types names type 5"),
    ({"exclude_types": [-1]}, "exclude_types names type -1"),
    ({"numb_fparam": -1}, "numb_fparam must be an integer ≥ 0, but is -1"),
    ({"numb_aparam": 1.0}, "numb_aparam must be an integer ≥ 0, but is 1.0"),
    ({"dim_case_embd": -2}, "dim_case_embd must be an integer ≥ 0, but is -2"),
    ({"neuron": [4, 0]}, r"neuron\[1\] must be an integer ≥ 1, but is 0"),
    ({"trainable": "false"}, "trainable must be True or False, but is 'false'"),
    ({"trainable": ["false", True]}, r"trainable\[0\] must be True or False, but is 'false'"),
    ({"trainable": []}, "trainable has length 0, but must have length 2"),
    ({"resnet_dt": "no"}, "resnet_dt must be True or False, but is 'no'"),
    ({"mixed_types": 1}, "mixed_types must be True or False, but is 1"),
    ({"tot_ener_zero": "false"}, "tot_ener_zero must be True or False, but is 'false'"),
    ({"atom_ener": [math.nan, None]}, r"atom_ener\[0\] must be a finite number, but is nan"),
    ({"atom_ener": ["1", None]}, r"atom_ener\[0\] must be a finite number, but is '1'"),
    (
        {"numb_fparam": 1, "default_fparam": [math.inf]},
        r"default_fparam\[0\] must be a finite number, but is inf",
    ),
    ({"rcond": 1.0}, "rcond must be None or a number ≥ 0 and < 1, but is 1.0"),
    ({"rcond": -1e-3}, "rcond must be None or a number ≥ 0 and < 1, but is -0.001"),
    ({"rcond": "1e-3"}, "rcond must be None or a number"),
]


@pytest.mark.parametrize(("options", "says"), OUT_OF_RANGE)
def test_the_class_refuses_what_is_out_of_range(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        EnergyFittingNet(2, DIM, **{"neuron": [4], **options})


def test_numbers_of_numpy_are_numbers() -> None:
    net = EnergyFittingNet(
        2,
        DIM,
        np.array([4, 4]),
        numb_fparam=np.int64(1),
        default_fparam=np.ones(1, dtype=np.float32),
        atom_ener=np.array([1.0, 2.0]),
        trainable=np.array([True, False, True]),
        rcond=np.float32(0.5),
        exclude_types=np.array([], dtype=int),
    )
    assert net.config.trainable == (True, False, True)
    assert net.config.atom_ener == (1.0, 2.0)
    assert EnergyFittingNet.deserialize(net.serialize()).config == net.config


@pytest.mark.parametrize(
    ("made", "given", "says"),
    [
        (
            {"numb_fparam": 2},
            {"fparam": (1, 1)},
            r"\(1, 1\), but must be \(1, 2\): numb_fparam is 2",
        ),
        ({"numb_fparam": 1}, {"fparam": (2, 1)}, r"\(2, 1\), but must be \(1, 1\)"),
        ({}, {"fparam": (1, 3)}, r"fparam of the shape \(1, 3\) was given, but numb_fparam is 0"),
        ({"numb_aparam": 2}, {"aparam": (1, 3, 1)}, r"\(1, 3, 1\), but must be \(1, 3, 2\)"),
        ({"numb_aparam": 1}, {"aparam": (1, 1, 1)}, r"\(1, 1, 1\), but must be \(1, 3, 1\)"),
        ({}, {"aparam": (1, 3, 1)}, "but numb_aparam is 0"),
    ],
)
def test_the_class_refuses_parameters_of_wrong_shape(
    made: dict[str, Any], given: dict[str, Any], says: str
) -> None:
    net = EnergyFittingNet(2, DIM, [4], seed=0, **made)
    arrays = {key: np.ones(shape) for key, shape in given.items()}
    with pytest.raises(ValueError, match=says):
        net(np.zeros((1, 3, DIM)), np.zeros((1, 3), dtype=int), **arrays)


def test_the_class_refuses_inputs_of_wrong_shape() -> None:
    net = EnergyFittingNet(2, DIM, [4], seed=0)
    with pytest.raises(ValueError, match="7 components, but dim_descrpt is 5"):
        net(np.zeros((1, 1, 7)), np.zeros((1, 1), dtype=int))
    with pytest.raises(ValueError, match="type 2, but ntypes is 2"):
        net(np.zeros((1, 1, DIM)), np.full((1, 1), 2))
    with pytest.raises(ValueError, match=r"atype has the shape \(1,\), but must be \(1, 1\)"):
        net(np.zeros((1, 1, DIM)), np.zeros(1, dtype=int))


def test_a_file_with_spin_is_refused() -> None:
    node = EnergyFittingNet(1, DIM, [4], seed=0).serialize()
    with pytest.raises(UnsupportedError, match="spin"):
        fit.deserialize({**node, "spin": {"use_spin": [True]}})


def test_a_file_without_an_array_is_refused() -> None:
    node = EnergyFittingNet(1, DIM, [4], numb_fparam=1, seed=0).serialize()
    node["@variables"] = {**node["@variables"], "fparam_avg": None}
    with pytest.raises(FileFormatError, match=r"fitting.fparam_avg is missing"):
        fit.deserialize(node)


# Options that change what the energy is.


def test_an_isolated_atom_has_the_energy_that_is_given() -> None:
    net = EnergyFittingNet(3, DIM, [4, 4], atom_ener=[-1.5, None, 2.0], seed=1)
    d, atype = np.zeros((1, 3, DIM)), np.array([[0, 1, 2]])
    alone = net(d, atype)["energy"][0, :, 0]
    assert alone[0] == -1.5
    assert alone[2] == 2.0
    assert alone[1] not in (0.0, -1.5, 2.0)
    free = EnergyFittingNet(3, DIM, [4, 4], atom_ener=[None] * 3, seed=1)
    assert free.config.atom_ener is None
    assert free(d, atype)["energy"][0, 1, 0] == alone[1]


def test_an_isolated_atom_has_it_whatever_the_parameters() -> None:
    net = EnergyFittingNet(
        1, DIM, [4, 4], numb_fparam=2, numb_aparam=1, dim_case_embd=2, atom_ener=[-1.5], seed=1
    )
    net.set_case_embd(1)
    rng = np.random.default_rng(0)
    d, atype = np.zeros((2, 3, DIM)), np.zeros((2, 3), dtype=int)
    extra = {"fparam": rng.normal(size=(2, 2)), "aparam": rng.normal(size=(2, 3, 1))}
    same(net(d, atype, **extra)["energy"], np.full((2, 3, 1), -1.5), rtol=1e-15)


def test_one_net_for_all_types_leaves_out_the_vacuum_for_all() -> None:
    net = EnergyFittingNet(2, DIM, [4], atom_ener=[-1.5, None], mixed_types=True, seed=1)
    alone = net(np.zeros((1, 2, DIM)), np.array([[0, 1]]))["energy"][0, :, 0]
    same(alone, np.array([-1.5, 0.0]), rtol=0.0)


def test_energies_of_isolated_atoms_contradict_other_options() -> None:
    with pytest.raises(ConfigError, match="atom_ener has 1 entries, but there are 2 types"):
        EnergyFittingNet(2, DIM, atom_ener=[1.0])
    with pytest.raises(ConfigError, match="tot_ener_zero is true, but must be false with atom"):
        EnergyFittingNet(1, DIM, atom_ener=[1.0], tot_ener_zero=True)
    with pytest.raises(ConfigError, match=r"exclude_types is \[1\], but must be empty with tot_en"):
        EnergyFittingNet(2, DIM, exclude_types=[1], tot_ener_zero=True)
    with pytest.raises(ConfigError, match=r"type 1 the energy 2.0, but exclude_types sets it to 0"):
        EnergyFittingNet(2, DIM, atom_ener=[None, 2.0], exclude_types=[1])
    with pytest.raises(ConfigError, match=r"bias_atom gives type 0 \[3.0\], but atom_ener 1.0"):
        InvarFitting("x", 1, DIM, 1, [4], bias_atom=np.full((1, 1), 3.0), atom_ener=[1.0])
    one = InvarFitting("x", 2, DIM, 1, [4], bias_atom=np.ones((2, 1)), atom_ener=[1.0, None])
    same(one.params["bias_atom_e"], np.ones((2, 1)), rtol=0.0)


def test_a_case_is_an_input_that_is_zero_or_one() -> None:
    net = EnergyFittingNet(1, DIM, [4], dim_case_embd=3, seed=1)
    d, atype = np.ones((1, 1, DIM)), np.zeros((1, 1), dtype=int)
    values = [float(net(d, atype)["energy"][0, 0, 0])]
    for case in range(3):
        net.set_case_embd(case)
        values.append(float(net(d, atype)["energy"][0, 0, 0]))
        same(net.params["case_embd"], np.eye(3)[case], rtol=0.0)
    assert len(set(values)) == 4
    assert "case_embd" not in "".join(fit.trainable_names(net.config))
    again = EnergyFittingNet.deserialize(net.serialize())
    assert float(again(d, atype)["energy"][0, 0, 0]) == values[-1]
    with pytest.raises(ConfigError, match="there is no case 3: dim_case_embd is 3"):
        net.set_case_embd(3)
    with pytest.raises(ConfigError, match="dim_case_embd is 0"):
        EnergyFittingNet(1, DIM, [4]).set_case_embd(0)


@pytest.mark.parametrize("name", ["numpy", *INSTALLED])
def test_an_atom_with_the_parameter_zero_is_not_there(name: str) -> None:
    net = EnergyFittingNet(
        2, DIM, [4], numb_aparam=1, use_aparam_as_mask=True, seed=2, backend=name
    )
    plain = EnergyFittingNet(2, DIM, [4], seed=2)
    d = np.random.default_rng(1).normal(size=(2, 3, DIM))
    atype, real = np.array([[0, 1, 1], [0, 0, 1]]), np.array([[1, 0, 1], [1, 1, 0]])
    arrays = [net.backend.asarray(x) for x in (d, atype)]
    aparam = net.backend.asarray(real[:, :, None].astype(np.float64))
    got = net.backend.to_numpy(net(*arrays, aparam=aparam)["energy"])
    same(got, plain(d, atype)["energy"] * real[:, :, None])
    assert not any("aparam" in key for key in net.parameters())
    node = net.serialize()["@variables"]
    assert (node["aparam_avg"], node["aparam_inv_std"]) == (np.zeros(1), np.ones(1))
    with pytest.raises(ValueError, match="use_aparam_as_mask, but no aparam was given"):
        net(*arrays)


def test_a_mask_is_one_number() -> None:
    for n in (0, 2):
        with pytest.raises(ConfigError, match=f"numb_aparam is {n}, but must be 1"):
            EnergyFittingNet(1, DIM, numb_aparam=n, use_aparam_as_mask=True)


@pytest.mark.parametrize("name", ["numpy", *INSTALLED])
def test_the_total_can_be_zero(name: str) -> None:
    net = EnergyFittingNet(3, DIM, [4], tot_ener_zero=True, backend=name, seed=2)
    plain = EnergyFittingNet(3, DIM, [4], seed=2)
    d = np.random.default_rng(1).normal(size=(2, 4, DIM))
    atype = np.array([[0, 1, 2, -1], [-1, -1, -1, -1]])
    got = net.backend.to_numpy(net(*map(net.backend.asarray, (d, atype)))["energy"])
    want = plain(d, atype)["energy"].copy()
    want[0, :3] -= want[0, :3].mean()
    same(got, want)
    same(got.sum(axis=1), np.zeros((2, 1)), atol=1e-14)
    assert got[0, 0, 0] != 0.0


# Layers that share their parameters.


def test_layers_of_one_name_are_there_once() -> None:
    config, params = _net(layer_name=("a", "b", None))
    assert list(fit.trainable_names(config)) == [
        *(f"nets.0.layers.0.{name}" for name in ("w", "b")),
        *(f"nets.0.layers.1.{name}" for name in ("w", "b", "idt")),
        *(f"nets.{k}.layers.2.{name}" for k in (0, 1) for name in ("w", "b")),
    ]
    assert set(flatten(params["nets"])) == {
        name.removeprefix("nets.") for name in fit.trainable_names(config)
    }
    config, params = _net(layer_name=("a", "b", "c"))
    assert set(params["nets"]) == {"0"}
    _, alone = _net()
    same(params["nets"]["0"], alone["nets"]["0"], rtol=0.0)  # the seed gives the same


@pytest.mark.parametrize("name", TRAINABLE)
def test_gradients_of_shared_layers_add_up(name: str) -> None:
    config, params = _net(layer_name=("a", "b", None))
    free, apart = _net()
    backend, d = get_backend(name), np.random.default_rng(5).normal(size=(ATOMS, DIM))

    def gradient(config: Fitting, params: Tree) -> dict[str, np.ndarray]:
        def f(flat: Any) -> Any:
            own = {**map_leaves(backend.asarray, params), "nets": unflatten(flat)}
            values = [fit.fit(backend.xp, config, own, a, backend.asarray(d))[0] for a in range(2)]
            return sum(backend.xp.sum(y * y) for y in values), {}

        flat = {key: backend.asarray(x) for key, x in flatten(params["nets"]).items()}
        _, grads = backend.compile(backend.value_and_grad(f))(flat)
        return {key: backend.to_numpy(x) for key, x in grads.items()}

    full = fit.deserialize({**fit.serialize(config, params), "layer_name": None})[1]
    shared, each = gradient(config, params), gradient(free, {**apart, "nets": full["nets"]})
    for key, value in shared.items():
        other = f"1{key[1:]}"
        same(value, each[key] if other in shared else each[key] + each[other])


def test_layers_that_differ_can_not_share() -> None:
    with pytest.raises(ConfigError, match=r"0 and 1 both 'a', but they are 5×6 tanh and 6×6 tanh"):
        EnergyFittingNet(1, DIM, [6, 6], layer_name=["a", "a", None])
    with pytest.raises(ConfigError, match="1 and 2 both 'a', but trainable is True and False"):
        EnergyFittingNet(
            1,
            DIM,
            [6, 6, 6],
            layer_name=[None, "a", "a", None],
            trainable=[True, True, False, True],
        )
    with pytest.raises(ConfigError, match="layer_name has length 2, but must have length 3: 2 for"):
        EnergyFittingNet(1, DIM, [6, 6], layer_name=["a", "b"])


def test_a_file_has_shared_layers_in_full_and_once(tmp_path: Path) -> None:
    config, params = _net(layer_name=(None, "a", "a", "b"), neuron=(6, 6, 6))
    node = fit.serialize(config, params)
    layers = [net["layers"] for net in node["nets"]["networks"]]
    assert layers[1][2]["@variables"]["w"] is layers[0][1]["@variables"]["w"]
    files.write(tmp_path / "net.dp", {"fitting": node})
    with h5py.File(tmp_path / "net.dp") as file:
        assert len(file) == len(flatten(params))
    back = files.read(tmp_path / "net.dp")["fitting"]
    again, read = fit.deserialize(back)
    assert again.layer_name == config.layer_name
    same(read, params, rtol=0.0)
    changed = back["nets"]["networks"][1]["layers"][2]["@variables"]
    changed["w"] = changed["w"] + 1.0
    with pytest.raises(FileFormatError, match=r"fitting\.nets\.1\.layers\.2\.w differs from .*'a'"):
        fit.deserialize(back)


# What DeePMD-kit wrote before.


@pytest.mark.parametrize("version", [1, 2, 3])
def test_earlier_versions_are_read(version: int) -> None:
    net = EnergyFittingNet(2, DIM, [6, 6], numb_fparam=1, numb_aparam=2, seed=3)
    node = net.serialize()
    later = {3: ("default_fparam",), 2: ("dim_case_embd",), 1: ("type_map", "var_name")}
    for since, keys in later.items():
        for key in keys if version <= since else ():
            del node[key]
    if version < 3:
        del node["@variables"]["case_embd"]
    # As its PyTorch backend has it.
    for name in ("fparam_avg", "aparam_inv_std"):
        node["@variables"][name] = node["@variables"][name].astype(np.float32)
    node |= {"@version": version, "atom_ener": [None, None], "trainable": True}
    again, params = fit.deserialize(node)
    assert again.atom_ener is None
    assert again.trainable == (True, True, True)
    same(params, net.params, rtol=1e-7)
    with pytest.raises(FileFormatError, match="version"):
        fit.deserialize({**node, "@version": 5})

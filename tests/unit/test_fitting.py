"""Fitting nets: inputs, exclusions, pullbacks, and the classes with DeePMD's signatures."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from _backends import INSTALLED, TRAINABLE, StrictBackend
from _brute import network
from _compare import same
from _derivatives import by_differences_of, by_framework, contracted, pulled

from multifit import fitting as fit
from multifit.backend import Backend, get_backend
from multifit.errors import ConfigError, FileFormatError, UnsupportedError
from multifit.fitting import EnergyFittingNet, Fitting, InvarFitting
from multifit.tree import Tree, map_leaves

NUMPY = get_backend("numpy")
DIM, ATOMS = 5, 4
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "mixed types": {"mixed_types": True},
    "fparam": {"numb_fparam": 2},
    "aparam": {"numb_aparam": 1},
    "both, two outputs": {"numb_fparam": 1, "numb_aparam": 2, "dim_out": 2},
    "float32": {"precision": "float32", "numb_fparam": 1},
}


def _net(**options: Any) -> tuple[Fitting, Tree]:
    config = Fitting(ntypes=2, dim_descrpt=DIM, neuron=(6, 6), **options)
    rng = np.random.default_rng(3)
    params = fit.init(config, 4)
    params["bias_atom_e"] = rng.normal(size=(2, config.dim_out))
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
    net = params["nets"]["0" if config.mixed_types else str(centre)]
    for n in range(ATOMS):
        x = [d[n]]
        if fparam is not None:
            x.append((fparam[n] - params["fparam_avg"]) * params["fparam_inv_std"])
        if aparam is not None:
            x.append((aparam[n] - params["aparam_avg"]) * params["aparam_inv_std"])
        want = network(net, np.concatenate(x), linear_end=True) + params["bias_atom_e"][centre]
        same(y[n], want, rtol=1e-13 if config.precision == "float64" else 1e-5)
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
    same(pulled(strict, block, d, y_bar), got, rtol=1e-13 if got.dtype == np.float64 else 1e-5)


@pytest.mark.parametrize("name", TRAINABLE)
@pytest.mark.parametrize("key", ["mixed types", "both, two outputs"])
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
    with pytest.raises(UnsupportedError, match="tot_ener_zero"):
        EnergyFittingNet(1, DIM, tot_ener_zero=True)
    with pytest.raises(UnsupportedError, match="dim_case_embd = 2"):
        EnergyFittingNet(1, DIM, dim_case_embd=2)
    with pytest.raises(ConfigError, match="trainable has 2 entries"):
        EnergyFittingNet(1, DIM, [4, 4], trainable=[True, False])
    with pytest.raises(ConfigError, match="default_fparam has 1 numbers"):
        EnergyFittingNet(1, DIM, [4], default_fparam=[1.0])
    with pytest.raises(ConfigError, match="did you mean 'tanh'"):
        EnergyFittingNet(1, DIM, [4], activation_function="tahn")
    with pytest.raises(ConfigError, match=r"must be \(1, 2\)"):
        InvarFitting("x", 1, DIM, 2, [4], bias_atom=np.zeros((2, 1)))


def test_the_class_refuses_inputs_of_wrong_shape() -> None:
    net = EnergyFittingNet(2, DIM, [4], seed=0)
    with pytest.raises(ValueError, match="7 components, but dim_descrpt is 5"):
        net(np.zeros((1, 1, 7)), np.zeros((1, 1), dtype=int))
    with pytest.raises(ValueError, match="type 2, but ntypes is 2"):
        net(np.zeros((1, 1, DIM)), np.full((1, 1), 2))


@pytest.mark.parametrize(
    ("key", "value"), [("dim_case_embd", 1), ("tot_ener_zero", True), ("atom_ener", [1.0])]
)
def test_a_file_with_a_foreign_option_is_refused(key: str, value: Any) -> None:
    node = EnergyFittingNet(1, DIM, [4], seed=0).serialize()
    with pytest.raises(UnsupportedError, match=key):
        fit.deserialize({**node, key: value})


def test_a_file_without_an_array_is_refused() -> None:
    node = EnergyFittingNet(1, DIM, [4], numb_fparam=1, seed=0).serialize()
    node["@variables"] = {**node["@variables"], "fparam_avg": None}
    with pytest.raises(FileFormatError, match=r"fitting.fparam_avg must have the shape \(1,\)"):
        fit.deserialize(node)

"""The Chebyshev series of an embedding net: its basis, its values, its pullback, its growth."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from _backends import INSTALLED, StrictBackend
from _cases import build, draw
from _compare import same
from _derivatives import by_differences_of

from multifit import descriptor as dsc
from multifit.backend import Backend, get_backend
from multifit.descriptor._direct import direct
from multifit.descriptor._spectral import spectral
from multifit.spectrum import FEWEST, MARGIN, MOST, Spectrum
from multifit.tree import Tree, map_leaves

S_MAX = 1.3
SCALE = (0.2, 0.4)
COUNT = FEWEST


def value(basis: dict[str, np.ndarray], coefficients: np.ndarray, s: np.ndarray) -> np.ndarray:
    return np.polynomial.chebyshev.chebval(s * basis["scale"] - 1.0, coefficients)


@pytest.mark.parametrize("count", [1, 2, 7, 64])
def test_the_basis_is_exact_for_polynomials(count: int) -> None:
    basis = dsc.chebyshev_basis(count, S_MAX)
    polynomial = np.random.default_rng(count).normal(size=count)
    points = np.linspace(0.0, S_MAX, 31)
    x = 2.0 * points / S_MAX - 1.0
    at_nodes = np.polynomial.chebyshev.chebval(2.0 * basis["nodes"] / S_MAX - 1.0, polynomial)
    coefficients = basis["transform"] @ at_nodes
    same(coefficients, polynomial, rtol=1e-12)
    same(value(basis, coefficients, points), np.polynomial.chebyshev.chebval(x, polynomial), 1e-12)
    slope = np.polynomial.chebyshev.chebder(np.append(polynomial, 0.0))
    wanted = np.polynomial.chebyshev.chebval(x, slope)
    same(value(basis, basis["derivative"] @ coefficients, points), wanted, rtol=1e-12)


def test_nodes_lie_inside_the_interval() -> None:
    nodes = dsc.chebyshev_basis(33, S_MAX)["nodes"]
    assert (np.diff(nodes) < 0).all()
    assert nodes.min() > 0
    assert nodes.max() < S_MAX


def case(seed: int = 0, activation: str = "tanh") -> tuple[Any, Tree, np.ndarray, np.ndarray]:
    """Return a net, its parameters, s (n, k) with empty slots, and R̃ (n, 4, k)."""
    rng = np.random.default_rng(seed)
    model = build(activation=activation)
    net = draw(model)["descriptor"]["embeddings"]["0"]
    s = rng.uniform(0.0, S_MAX, size=(3, 5))
    s[0, -1] = s[2, -2] = 0.0
    s[1, 0], s[1, 1] = S_MAX, 1e-9
    rows = rng.normal(size=(3, 4, 5))
    rows[:, 0] = (s - SCALE[0]) / SCALE[1]
    return model.descriptor.network, net, s, rows


def on(backend: Backend, pullback_of: np.ndarray, activation: str = "tanh") -> Any:
    """Return value and pullback of the series and of the definition, as NumPy arrays."""
    network, net, s, rows = case(activation=activation)
    xp, array = backend.xp, backend.asarray
    params = map_leaves(array, net)
    basis = map_leaves(array, dsc.chebyshev_basis(COUNT, S_MAX))
    scale = tuple(array(np.asarray(x)) for x in SCALE)
    found = []
    for t, pullback in (
        spectral(xp, network, params, basis, scale, array(s), array(rows)),
        direct(xp, network, params, array(rows)),
    ):
        found.append((backend.to_numpy(t), backend.to_numpy(pullback(array(pullback_of)))))
    return found


T_BAR = np.random.default_rng(4).normal(size=(3, 4, 6))


@pytest.mark.parametrize("name", ["numpy", *INSTALLED, "strict"])
def test_the_series_is_the_definition(name: str, strict: StrictBackend) -> None:
    backend = strict if name == "strict" else get_backend(name)
    series, definition = on(backend, T_BAR)
    same(series[0], definition[0], rtol=1e-11)
    # Differentiating a series of K terms costs a factor of about K² at the ends of its interval.
    same(series[1], definition[1], rtol=1e-11)
    same(definition, on(get_backend("numpy"), T_BAR)[1], rtol=1e-13)


@pytest.mark.parametrize("activation", sorted(dsc.SMOOTH))
def test_every_smooth_activation_has_a_series(activation: str) -> None:
    series, definition = on(get_backend("numpy"), T_BAR, activation)
    same(series[0], definition[0], rtol=1e-11)
    same(series[1], definition[1], rtol=1e-11)


def test_the_pullback_is_the_derivative() -> None:
    network, net, _, rows = case()
    basis = dsc.chebyshev_basis(48, S_MAX)
    # Away from the ends of the interval, where differences would leave it.
    rows[:, 0] = np.clip(rows[:, 0], -0.4, 2.6)

    def block(backend: Backend, x: Any) -> Any:
        s = x[:, 0, :] * SCALE[1] + SCALE[0]
        return spectral(backend.xp, network, net, basis, SCALE, s, x)

    _, pullback = block(get_backend("numpy"), rows)
    same(pullback(T_BAR), by_differences_of(block, rows, T_BAR), rtol=1e-8)


# How the series grows.


def spectrum(nearest: float = 1.0, **more: Any) -> tuple[Spectrum, Tree]:
    model = build(**more)
    backend = get_backend("numpy")
    return Spectrum(backend, model.descriptor, {(0, 0), (0, 1)}, nearest), draw(model)


def test_a_closer_pair_enlarges_the_interval() -> None:
    grown, _ = spectrum(nearest=1.0)
    first = grown.basis(1.0)
    assert grown.basis(1.2) is first
    assert grown.nearest == 1.0
    second = grown.basis(0.7)
    assert grown.nearest == pytest.approx(MARGIN * 0.7)
    assert second["nodes"].max() > 1 / 0.7 > first["nodes"].max()
    # In proportion, so that the nodes stay as dense.
    assert len(second["nodes"]) >= FEWEST / 0.63
    assert len(second["nodes"]) % 16 == 0


def test_an_absurdly_close_pair_falls_back_to_the_definition() -> None:
    grown, _ = spectrum(nearest=1.0)
    assert grown.basis(0.05) is None
    assert not grown.usable


@pytest.mark.parametrize("more", [{"activation": "relu"}, {"precision": "float32"}])
def test_what_is_not_smooth_or_not_double_is_evaluated_directly(more: dict[str, str]) -> None:
    grown, _ = spectrum(**more)
    assert not grown.usable
    assert grown.basis(1.0) is None


def test_a_stiff_net_takes_more_coefficients() -> None:
    grown, params = spectrum(nearest=1.0)
    grown.check(params)
    count = grown.count
    stiff = params["descriptor"]["embeddings"]["0"]["layers"]["0"]
    stiff["w"] = stiff["w"] * 150.0
    grown.check(params)
    assert count < grown.count <= MOST
    assert len(grown.basis(1.0)["nodes"]) == grown.count
    stiff["w"] = stiff["w"] * 1000.0
    grown.check(params)
    assert grown.basis(1.0) is None


def test_only_nets_that_are_met_are_looked_at() -> None:
    grown, params = spectrum(nearest=1.0)
    stiff = params["descriptor"]["embeddings"]["1"]["layers"]["0"]
    stiff["w"] = stiff["w"] * 1000.0
    params["descriptor"]["davg"][0, 1, 0] = 0.5  # where the step of the net is
    lucky = replace(grown, present={(0, 0), (1, 0)})
    lucky.check(params)
    assert lucky.usable
    grown.check(params)
    assert not grown.usable


def test_new_pairs_are_looked_at_when_they_are_met() -> None:
    grown, params = spectrum(nearest=1.0)
    grown.present = {(0, 0)}
    stiff = params["descriptor"]["embeddings"]["1"]["layers"]["0"]
    stiff["w"] = stiff["w"] * 12.0
    params["descriptor"]["davg"][0, 1, 0] = 0.5
    asked = []

    def current() -> Tree:
        asked.append(True)
        return params

    grown.basis_for(1.0, [(0, 0)], current)
    assert not asked
    basis = grown.basis_for(1.0, [(0, 0), (0, 1)], current)
    assert grown.count > FEWEST
    assert grown.present == {(0, 0), (0, 1)}
    assert len(basis["nodes"]) == grown.count
    grown.basis_for(1.0, [(0, 1)], current)
    assert len(asked) == 1
    grown.basis_for(0.8, [(0, 1)], current)
    assert len(asked) == 2

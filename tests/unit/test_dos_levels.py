"""Fermi level, gap and number of electrons, where they are known analytically."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from multifit.dos import Grid, Levels, electron_count, electrons_of, even_grid, levels
from multifit.dos._integral import Integral

GRID = Grid(even_grid(-20.0, 20.0, 2001))
SIGMA = 0.3

densities = st.one_of(st.just(0.0), st.floats(1e-3, 10.0))
dos_rows = arrays(np.float64, (2, 12), elements=densities)
NODES = np.cumsum([0.0, *(0.1 + np.random.default_rng(1).uniform(size=11))]) - 3.0
UNEVEN = Grid(tuple(NODES.tolist()))


def gaussians(centres: list[float], electrons: list[float], sigma: float = SIGMA) -> np.ndarray:
    x = (GRID.array[:, None] - np.array(centres)) / sigma
    return np.exp(-(x**2) / 2) @ np.array(electrons) / (sigma * math.sqrt(2 * math.pi))


def band(bottom: float, top: float, height: float) -> np.ndarray:
    def step(edge: float) -> np.ndarray:
        x = (GRID.array - edge) / (SIGMA * math.sqrt(2))
        return np.array([math.erf(value) for value in x])

    return height * (step(bottom) - step(top)) / 2


def one(dos: np.ndarray, electrons: float, **options: float) -> Levels:
    """The levels of one frame as floats."""
    return Levels(*(x[0] for x in levels(GRID, dos[None], np.array([electrons]), **options)))


class TestMetals:
    def test_free_electrons(self) -> None:
        """D = a√ε: n(E_F) = ⅔ a E_F^(3/2), no gap."""
        grid = Grid(even_grid(0.0, 10.0, 1001))
        want = np.array([0.5, 2.0, 5.0, 9.0])
        got = levels(grid, np.tile(3 * np.sqrt(grid.array), (4, 1)), 2 * want**1.5)
        np.testing.assert_allclose(got.fermi_level, want, atol=1e-3)
        np.testing.assert_array_equal(got.gap[:3], 0.0)
        np.testing.assert_array_equal(got.vbm[:3], got.fermi_level[:3])
        np.testing.assert_array_equal(got.cbm[:3], got.fermi_level[:3])
        np.testing.assert_allclose(got.electrons, 2 * want**1.5, rtol=1e-12)

    @pytest.mark.parametrize("electrons", [0.1, 2.0, 7.0, 17.0])
    def test_a_flat_band(self, electrons: float) -> None:
        got = one(band(-5.0, 5.0, 2.0), electrons)
        assert got.gap == 0
        if electrons > 1:
            assert got.fermi_level == pytest.approx(-5 + electrons / 2, abs=1e-3)

    def test_a_level_that_is_half_filled(self) -> None:
        """One electron more and one less fill up to gaps, which are none at the Fermi level."""
        got = one(gaussians([-8.0, 0.0, 5.0], [2.0, 2.0, 2.0]), 3.0)
        assert got.gap == 0
        assert got.fermi_level == pytest.approx(0.0, abs=1e-9)
        assert one(gaussians([0.0], [2.0]), 1.0).gap == 0


class TestGaps:
    @pytest.mark.parametrize("width", [5.0, 6.0, 10.0, 30.0])
    def test_two_levels(self, width: float) -> None:
        gap = width * SIGMA
        got = one(gaussians([-gap / 2, gap / 2], [2.0, 2.0]), 2.0)
        assert got.gap == pytest.approx(gap, abs=1e-4 * SIGMA)
        assert got.fermi_level == pytest.approx(0.0, abs=1e-9)
        assert got.electrons == pytest.approx(2.0, abs=1e-9)

    @pytest.mark.parametrize("width", [1.0, 3.0, 4.8])
    def test_broadening_closes_narrow_gaps(self, width: float) -> None:
        gap = width * SIGMA
        assert one(gaussians([-gap / 2, gap / 2], [2.0, 2.0]), 2.0).gap == 0

    @pytest.mark.parametrize(("electrons", "error"), [(4.0, 1.349), (6.0, 1.935)])
    def test_degenerate_levels(self, electrons: float, error: float) -> None:
        got = one(gaussians([-3.0, 3.0], [electrons] * 2), electrons)
        assert got.gap - 6.0 == pytest.approx(-error * SIGMA, abs=1e-3 * SIGMA)
        half = one(gaussians([-3.0, 3.0], [electrons] * 2), electrons, delta=electrons / 2)
        assert half.gap == pytest.approx(6.0, abs=1e-3 * SIGMA)

    @pytest.mark.parametrize("height", [1.0, 5.0, 20.0])
    def test_bands(self, height: float) -> None:
        dos = band(-10.0, 0.0, height) + band(2.0, 12.0, height)
        got = one(dos, 10 * height, delta=0.4 * height * SIGMA)
        assert got.gap == pytest.approx(2.0, abs=0.005 * SIGMA)
        assert got.fermi_level == pytest.approx(1.0, abs=1e-6)
        deep = one(dos, 10 * height, delta=2 * height)
        assert deep.gap == pytest.approx(2.0 + 4.0, abs=1e-2)

    def test_a_molecule(self) -> None:
        """Levels about as water has them."""
        got = one(gaussians([-19.5, -13.0, -9.3, -7.3, 0.6, 2.5], [2.0] * 6, 0.1), 8.0)
        assert got.vbm == pytest.approx(-7.3, abs=1e-6)
        assert got.cbm == pytest.approx(0.6, abs=1e-6)
        assert got.fermi_level == pytest.approx(-3.35, abs=1e-6)
        assert got.gap == got.cbm - got.vbm

    def test_a_gap_without_any_states(self) -> None:
        energies = GRID.array
        dos = np.where((energies < -1) | (energies > 3), 2.0, 0.0)
        got = one(dos, float(electron_count(GRID, dos[None], 0.0)[0]), delta=1e-3)
        assert got.fermi_level == pytest.approx(1.0, abs=1e-9)
        assert got.gap == pytest.approx(4.0, abs=0.05)

    @pytest.mark.parametrize("error", [-0.4, -0.1, 0.1, 0.4])
    def test_a_fit_with_some_electrons_too_many(self, error: float) -> None:
        dos = gaussians([-8.0, -3.0, 3.0], [4.0, 2.0 + error, 2.0])
        got = one(dos, 6.0)
        assert got.gap == pytest.approx(6.0, abs=0.6 * SIGMA)
        assert got.fermi_level == pytest.approx(0.0, abs=0.6 * SIGMA)
        assert got.electrons == pytest.approx(6.0 + error, abs=1e-6)

    def test_dips_below_zero_count_as_zero(self) -> None:
        dos = gaussians([-3.0, 3.0], [2.0, 2.0])
        wavy = dos - 1e-3 * np.sin(GRID.array * 7) ** 2 * (dos < 1e-3)
        for got, want in zip(one(wavy, 2.0), one(np.maximum(wavy, 0.0), 2.0), strict=True):
            assert got == want
        assert one(wavy, 2.0).gap == pytest.approx(6.0, abs=1e-2)


class TestNotReached:
    def test_too_many_electrons(self) -> None:
        got = levels(GRID, np.tile(gaussians([0.0], [2.0]), (3, 1)), np.array([2.5, 1.0, np.nan]))
        for values in got:
            assert np.isnan(values).tolist() == [True, False, True]

    @pytest.mark.parametrize("electrons", [0.0, -1.0])
    def test_no_electrons(self, electrons: float) -> None:
        assert all(np.isnan(x) for x in one(gaussians([0.0], [2.0]), electrons))

    def test_the_grid_ends_below_the_empty_states(self) -> None:
        got = one(gaussians([0.0], [2.0]), 1.5)
        assert np.isnan([got.gap, got.vbm, got.cbm]).all()
        assert 0 < got.fermi_level < 1
        assert got.electrons == pytest.approx(1.5)

    def test_not_a_number_in_a_frame(self) -> None:
        dos = np.tile(gaussians([-3.0, 3.0], [2.0, 2.0]), (2, 1))
        dos[0, 7] = np.nan
        got = levels(GRID, dos, np.array([2.0, 2.0]))
        assert np.isnan(got.fermi_level).tolist() == [True, False]
        assert got.gap[1] == pytest.approx(6.0)

    def test_no_frames(self) -> None:
        got = levels(GRID, np.zeros((0, 2001)), np.zeros(0))
        assert [x.shape for x in got] == [(0,)] * 5

    def test_exactly_all_states(self) -> None:
        dos = np.full((1, 12), 0.1)
        total = 0.1 * (NODES[-1] - NODES[0])
        got = levels(UNEVEN, dos, np.array([total]))
        assert got.fermi_level[0] == pytest.approx(NODES[-1])

    def test_wrong_shapes(self) -> None:
        with pytest.raises(ValueError, match=r"shape \(2001,\), expected \(nframes, 2001\)"):
            levels(GRID, np.zeros(2001), np.ones(1))
        with pytest.raises(ValueError, match="expected"):
            electron_count(GRID, np.zeros((1, 7)), 0.0)


def test_aligned_grids_count_up_to_zero() -> None:
    aligned = Grid(GRID.energies, fermi_aligned=True)
    dos = gaussians([-3.0, 0.0, 3.0], [2.0, 2.0, 2.0])[None]
    got = levels(aligned, dos, np.array([2.5]))
    assert got.electrons[0] == pytest.approx(3.0)
    assert got.fermi_level[0] == levels(GRID, dos, np.array([2.5])).fermi_level[0]
    assert np.isnan(levels(aligned, dos, np.array([7.0])).electrons[0])


class TestElectrons:
    def test_of_atoms(self) -> None:
        grid = Grid((0.0, 1.0), electrons=(6.0, 1.0))
        atype = np.array([[0, 1, 1], [1, 1, -1], [-1, -1, -1]])
        np.testing.assert_array_equal(electrons_of(grid, atype), [8.0, 2.0, 0.0])
        np.testing.assert_array_equal(electrons_of(grid, np.zeros((0, 3), dtype=int)), [])
        with pytest.raises(ValueError, match=r"atoms of type 2, but .* only 2 types"):
            electrons_of(grid, np.array([[2]]))
        with pytest.raises(ValueError, match="does not say how many electrons"):
            electrons_of(Grid((0.0, 1.0)), atype)

    def test_count_outside_the_grid(self) -> None:
        got = electron_count(UNEVEN, np.ones((4, 12)), np.array([-9.0, 99.0, NODES[0], NODES[-1]]))
        np.testing.assert_allclose(got, [np.nan, np.nan, 0.0, NODES[-1] - NODES[0]])

    def test_count_is_the_integral(self) -> None:
        dos = np.random.default_rng(0).uniform(size=(1, 12))
        at = 0.3 * NODES[4] + 0.7 * NODES[5]
        fine = np.union1d(np.linspace(NODES[0], at, 200), NODES[:5])
        want = np.trapezoid(np.interp(fine, NODES, dos[0]), fine)
        np.testing.assert_allclose(electron_count(UNEVEN, dos, at), [want], rtol=1e-12)


@given(dos_rows, st.floats(0.001, 1.0), st.floats(0.001, 1.0))
def test_count_and_energy_are_inverse(dos: np.ndarray, one: float, other: float) -> None:
    below = Integral(NODES, dos)
    totals = below.at_nodes[:, -1]
    low, high = (part * totals for part in sorted((one, other)))
    energies = below.energy(low), below.energy(high)
    found = np.isfinite(energies[0])
    assert (found == (low > 0)).all()
    np.testing.assert_allclose(below.count(energies[0])[found], low[found], rtol=1e-9, atol=1e-12)
    assert (energies[0] <= energies[1])[found].all()


@given(dos_rows, st.floats(0.05, 0.9), st.floats(-50, 50), st.floats(0.1, 50))
@settings(max_examples=60)
def test_levels_go_with_energies_and_not_with_size(
    dos: np.ndarray, part: float, shift: float, size: float
) -> None:
    electrons = part * np.trapezoid(dos, NODES, axis=1)
    start = levels(UNEVEN, dos, electrons, delta=0.1)
    moved = levels(Grid(tuple((NODES + shift).tolist())), dos, electrons, delta=0.1)
    larger = levels(UNEVEN, size * dos, size * electrons, delta=size * 0.1)
    # Where dos just dips to the threshold, rounding decides whether there is a gap.
    same = np.isfinite(start.gap) & ((start.gap > 0) == (moved.gap > 0))
    for name in ("fermi_level", "vbm", "cbm"):
        want = getattr(start, name)
        np.testing.assert_allclose(getattr(moved, name)[same] - shift, want[same], atol=1e-6)
    same &= (start.gap > 0) == (larger.gap > 0)
    np.testing.assert_allclose(larger.fermi_level[same], start.fermi_level[same], atol=1e-6)
    np.testing.assert_allclose(larger.gap[same], start.gap[same], atol=1e-6)


@given(dos_rows, st.floats(0.05, 0.9))
@settings(max_examples=60)
def test_edges_enclose_the_fermi_level(dos: np.ndarray, part: float) -> None:
    got = levels(UNEVEN, dos, part * np.trapezoid(dos, NODES, axis=1))
    known = np.isfinite(got.gap)
    assert (got.gap[known] >= 0).all()
    assert (got.vbm <= got.fermi_level)[known].all()
    assert (got.fermi_level <= got.cbm)[known].all()

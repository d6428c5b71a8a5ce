"""Statistics of the data against loops over every slot."""

from __future__ import annotations

from typing import Any

import _brute as brute
import numpy as np
import pytest
from _cases import System, batcher, build, crystal, frame, molecule
from _compare import same

from multifit import statistics as stat
from multifit.descriptors._statistics import environment_statistics, environment_sums
from multifit.descriptors.se_e2_a import SeE2A
from multifit.errors import DataError
from multifit.models import Model

OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "excluded": {"exclude_types": ((0, 1),)},
    "cut at sel": {"sel": (2, 3)},
    "protected": {"env_protection": 0.2},
    "one type absent": {"sel": (8, 12, 4)},
}


def _sums(model: Model, systems: list[System]) -> stat.Sums:
    b = batcher(model)
    return environment_sums(model.descriptor, [frame(b, one) for one in systems])


def _slots(config: SeE2A, systems: list[System], a: int) -> np.ndarray:
    """Return R of every slot of every atom of type a, (n, 4), zeros for an empty slot."""
    rows = []
    for system in systems:
        for i in np.flatnonzero(system.atype == a):
            near = brute.neighbours(system, int(i), config.rcut)
            for b, slots in enumerate(config.sel):
                kept = [one for one in near if one[1] == b][:slots]
                full = np.zeros((slots, 4))
                if (a, b) not in config.excluded:
                    for k, (length, _, r) in enumerate(kept):
                        full[k] = brute.environment_row(config, length, r)
                rows.append(full)
    return np.concatenate(rows) if rows else np.zeros((0, 4))


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_environment_statistics_are_those_of_loops(options: dict[str, Any]) -> None:
    model, systems = build(**options), [crystal(), molecule(), crystal(2)]
    config, n = model.descriptor, model.ntypes
    davg, dstd = environment_statistics(config, _sums(model, systems))
    for a in range(n):
        rows = _slots(config, systems, a)
        radial, angular = rows[:, 0], rows[:, 1:].reshape(-1)
        mean = radial.mean() if len(rows) else 0.0
        # Deviations are those of the population; a type that does not occur has 0.1.
        deviation = [max(x.std(), 0.01) if len(rows) else 0.1 for x in (radial, angular)]
        for b in range(n):
            same(davg[a, b], [mean, 0.0, 0.0, 0.0], rtol=1e-12)
            same(dstd[a, b], [deviation[0], *[deviation[1]] * 3], rtol=1e-10)


def test_davg_can_be_kept_at_zero() -> None:
    config = SeE2A(3.6, 1.5, (8, 12), set_davg_zero=True)
    davg, dstd = environment_statistics(config, _sums(build(), [crystal()]))
    free, spread = environment_statistics(build().descriptor, _sums(build(), [crystal()]))
    same(davg, np.zeros((2, 2, 4)), atol=0.0)
    same(dstd, spread, rtol=0.0)
    assert np.all(free[..., 0] > 0.0)


def test_small_deviations_are_protected() -> None:
    sums = stat.parameter_sums(np.full((5, 2), 3.0), 2)
    same(sums.mean(), [3.0, 3.0])
    same(sums.deviation(0.25), [0.25, 0.25])
    same(stat.no_sums(2).deviation(0.01), [0.1, 0.1])


def test_systems_add_up() -> None:
    model = build()
    apart = _sums(model, [crystal()]) + _sums(model, [molecule()])
    together = _sums(model, [crystal(), molecule()])
    same(apart.deviation(0.01), together.deviation(0.01), rtol=1e-14)


def test_parameter_statistics_are_those_of_numpy() -> None:
    values = np.random.default_rng(0).normal(size=(4, 6, 3))
    one, two = stat.parameter_sums(values[:1], 3), stat.parameter_sums(values[1:], 3)
    rows = values.reshape(-1, 3)
    same((one + two).mean(), rows.mean(axis=0), rtol=1e-13)
    same((one + two).deviation(1e-9), rows.std(axis=0), rtol=1e-12)


# Output bias.

COUNTS = np.array([[2, 4], [1, 2], [3, 1], [0, 5]])
BIAS = np.array([[-3.0], [0.5]])


def test_the_bias_fits_exact_sums() -> None:
    same(stat.output_bias(COUNTS, COUNTS @ BIAS), BIAS, rtol=1e-12)


def test_the_bias_is_the_best_fit() -> None:
    energies = np.random.default_rng(1).normal(size=(4, 3))
    bias = stat.output_bias(COUNTS, energies)
    # At the minimum of Σ(counts·bias − e)² the residual is orthogonal to every column.
    same(COUNTS.T @ (COUNTS @ bias - energies), np.zeros((2, 3)), atol=1e-12)


def test_given_biases_are_kept_and_the_others_fitted_to_the_rest() -> None:
    energies = COUNTS @ BIAS + 0.1
    same(stat.output_bias(COUNTS, energies, np.array([[-3.0], [np.nan]]))[0], [-3.0], rtol=0.0)
    rest = energies + 3.0 * COUNTS[:, :1]
    want = (COUNTS[:, 1] @ rest) / (COUNTS[:, 1] @ COUNTS[:, 1])
    same(stat.output_bias(COUNTS, energies, np.array([[-3.0], [np.nan]]))[1], want, rtol=1e-12)
    same(stat.output_bias(COUNTS, energies, np.array([[1.0], [2.0]])), [[1.0], [2.0]], rtol=0.0)


def test_types_that_always_come_together_share_the_bias() -> None:
    water = np.array([[1, 2], [2, 4], [4, 8]])
    bias = stat.output_bias(water, water @ BIAS)
    same(water @ bias, water @ BIAS, rtol=1e-12)
    same(bias, np.array([[1.0], [2.0]]) * -2.0 / 5.0, rtol=1e-12)


def test_a_type_without_atoms_has_no_bias() -> None:
    counts = np.concatenate([COUNTS, np.zeros((4, 1), dtype=int)], axis=1)
    same(stat.output_bias(counts, COUNTS @ BIAS), [[-3.0], [0.5], [0.0]], atol=1e-12)


def test_rcond_drops_small_singular_values() -> None:
    nearly = np.array([[1.0, 1.0], [1.0, 1.001], [1.0, 0.999]])
    energies = np.array([[2.0], [2.1], [1.9]])
    same(stat.output_bias(nearly, energies, rcond=1e-2), np.ones((2, 1)), rtol=1e-2)
    assert np.abs(stat.output_bias(nearly, energies)).max() > 10.0


def test_atomic_labels_give_their_mean() -> None:
    atype = np.array([[0, 1, 1, -1], [1, 0, 0, -1]])
    labels = np.array([[1.0, 2.0, 4.0, 99.0], [6.0, 2.0, 3.0, 99.0]])
    same(stat.atomic_bias(atype, labels, 3), [[2.0], [4.0], [np.nan]], rtol=1e-14)
    both = np.stack([labels, 10.0 * labels], axis=-1)
    same(stat.atomic_bias(atype, both, 3)[:2], [[2.0, 20.0], [4.0, 40.0]], rtol=1e-14)


# Slots.


@pytest.mark.parametrize(
    ("fullest", "sel"),
    [((0,), (4,)), ((3,), (4,)), ((4,), (8,)), ((40, 80), (44, 88)), ((46, 92), (52, 104))],
)
def test_automatic_sel_has_a_tenth_to_spare(fullest: tuple[int], sel: tuple[int]) -> None:
    assert stat.choose_sel(fullest) == sel
    assert all(s % 4 == 0 and s >= 1.1 * n for s, n in zip(sel, fullest, strict=True))


def test_statistics_that_are_not_finite_are_refused() -> None:
    stat.check_finite("bias", np.ones(2))
    with pytest.raises(DataError, match="bias that are not finite"):
        stat.check_finite("bias", np.array([1.0, np.nan]))

"""How two models differ, in the words of the input."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from _cases import build

from multifit.descriptors.se_e2_r import SeE2R
from multifit.dos import Grid, even_grid
from multifit.errors import TrainingError
from multifit.train.start.mismatch import differences, require_same


def test_long_lists_are_shown_whole_unless_they_are_energies() -> None:
    pairs = tuple((a, b) for a in range(4) for b in range(a, 4))[:8]
    mine, theirs = (build(sel=(4,) * 4, pair_exclude_types=x) for x in (pairs, pairs[1:]))
    with pytest.raises(TrainingError, match=r"pair_exclude_types is \[\[0, 0\], \[0, 1\], .* in"):
        require_same(mine, theirs, Path("m.dp"))
    mine, theirs = (
        build(numb_dos=9, grid=Grid((*even_grid(-4, 3, 8), last))) for last in (4.0, 5.0)
    )
    says = (
        r"grid of energies .* is a list of 9 from -4 to 4 in the input and a list of 9 from -4 to 5"
    )
    with pytest.raises(TrainingError, match=says):
        require_same(mine, theirs, Path("m.dp"))


def test_another_descriptor_is_all_that_is_said() -> None:
    """Of equal size, two descriptors differ in no shape of the fitting net."""
    mine = build(neuron=(3, 6))
    radial = SeE2R(3.6, 1.5, (8, 12), (3, 12))
    theirs = replace(mine, descriptor=radial)
    assert radial.dim_out == mine.descriptor.dim_out
    assert differences(mine, theirs) == {"descriptor.type": ("se_e2_a", "se_e2_r")}
    with pytest.raises(TrainingError) as caught:
        require_same(mine, theirs, Path("model.dp"))
    says = 'model.descriptor.type is "se_e2_a" in the input and "se_e2_r" in the file'
    assert says in str(caught.value)
    assert "--finetune" not in str(caught.value)

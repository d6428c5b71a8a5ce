"""Hybrids: neighbours of each part, hybrids in hybrids, and what does not fit together."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from _cases import crystal, draw, molecule
from _compare import same

from multifit import models as mdl
from multifit.config import parse
from multifit.descriptors import get_descriptor
from multifit.descriptors.dpa1 import SeAtten
from multifit.descriptors.hybrid import Hybrid
from multifit.descriptors.se_e2_a import SeE2A
from multifit.errors import ConfigError, UnsupportedError
from multifit.fitting import Fitting
from multifit.inference.potential import Potential
from multifit.neighbors.frame import for_part, frame
from multifit.neighbors.requirements import together
from multifit.support import FEATURES, Asked, require_all

FAR = SeE2A(3.6, 1.5, (30, 40), (3, 6), axis_neuron=2)
NEAR = SeE2A(2.4, 0.5, (3, 4), (2, 4), axis_neuron=2, type_one_side=False)
MIXED = SeAtten(3.0, 0.5, (9,), ntypes=2, neuron=(3, 6), axis_neuron=2, attn_layer=0)


def _model(descriptor: Any) -> mdl.Model:
    return mdl.Model(("O", "H"), descriptor, Fitting(2, descriptor.dim_out, neuron=(4,)))


@pytest.mark.parametrize("parts", [(FAR, NEAR), (NEAR, MIXED), (MIXED, FAR, NEAR)])
def test_each_part_has_the_neighbours_it_would_have_alone(parts: tuple[Any, ...]) -> None:
    whole = together([part.requires() for part in parts])
    for system in (crystal(), molecule()):
        pbc = [system.cell is not None] * 3

        def of(needs: Any, system: Any = system, pbc: Any = pbc) -> Any:
            given = (needs.rcut, needs.sel, (), "", needs.total)
            return frame(system.coord, system.cell, pbc, system.atype, *given)

        for part in parts:
            got, want = for_part(of(whole), whole, part.requires()), of(part.requires())
            assert got.tables.keys() == want.tables.keys()
            for b, table in want.tables.items():
                for mine, other in zip(got.tables[b], table, strict=True):
                    np.testing.assert_array_equal(mine, other)
            same(got.nearest, want.nearest)
            assert bool(got.dropped) == bool(want.dropped) or part.rcut < whole.rcut


def test_the_descriptor_is_those_of_its_parts_side_by_side() -> None:
    hybrid = Hybrid((FAR, NEAR, MIXED))
    assert hybrid.dim_out == FAR.dim_out + NEAR.dim_out + MIXED.dim_out
    seeds = (1, 2, 3)
    params = hybrid.init(seeds)
    for k, part in enumerate(hybrid.list):
        same(params["list"][str(k)], part.init(seeds[k]))


def test_a_hybrid_in_a_file_of_a_hybrid_counts_as_its_parts() -> None:
    flat, inner = Hybrid((FAR, NEAR, MIXED)), Hybrid((NEAR, MIXED))
    params = flat.init(3)
    node = flat.serialize(params)
    first, *rest = node["list"]
    nested = {**node, "list": [first, {**node, "list": rest}]}
    found, back = Hybrid.deserialize(nested)
    assert found == flat == Hybrid((FAR, inner))
    same(back, params)


def test_neighbours_beyond_sel_of_a_part_are_told(caplog: pytest.LogCaptureFixture) -> None:
    model = _model(Hybrid((FAR, replace(NEAR, sel=(1, 1)))))
    system = crystal()
    potential = Potential(model, draw(model))
    from multifit.inference.seen import Watch

    told: list[str] = []
    potential.runner.watch = Watch(model, None, told.append)  # type: ignore[attr-defined]
    potential.predict(system.coord, system.atype, system.cell)
    assert any("within 2.4 Å" in text and "(sel 1)" in text for text in told)


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ((), "list is empty"),
        ((FAR, replace(NEAR, env_protection=0.1)), "env_protection 0, 0.1, but all must have"),
        ((FAR, replace(NEAR, sel=(3, 4, 5))), "parts for 2, 3 types"),
    ],
)
def test_parts_that_do_not_fit_together(parts: tuple[Any, ...], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Hybrid(parts)


def _input(**changes: Any) -> dict[str, Any]:
    part = {"type": "se_a", "rcut": 4.0, "sel": [20, 40], "neuron": [4, 8]} | changes
    other = {"type": "se_r", "rcut": 6.0, "sel": "auto", "neuron": [4, 8]}
    return {
        "model": {
            "type_map": ["O", "H"],
            "descriptor": {"type": "hybrid", "list": [part, other]},
            "fitting_net": {},
        },
        "learning_rate": {"start_lr": 1e-3, "stop_lr": 1e-5},
        "training": {"training_data": {"systems": "data"}, "numb_steps": 1},
    }


def test_aliases_of_types_and_keys_are_those_of_a_descriptor() -> None:
    part = {"type": "dpa1", "sel": 60, "stripped_type_embedding": True, "attn_layer": 0}
    first = parse(_input(**part)).model.descriptor.list[0]
    assert (first.type, first.tebd_input_mode) == ("se_atten", "strip")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"rcut": -1}, r"list\[0\].rcut in input is -1, but must be a number > 0"),
        ({"sel": [1, 2, 3]}, r"list\[0\].sel in input has length 3"),
        ({"nuron": [1]}, r"list\[0\].nuron in input is not a known key \(did you mean 'neuron'"),
        ({"attn": 3}, r"list\[0\].attn in input belongs to the type"),
        ({"type": "hybrid"}, r"list\[0\].type .* put its parts into the outer list"),
        ({"type": "dpa4"}, r"list\[0\].type in input is .*dpa4.*does not have"),
        ({"exclude_types": [[0, 5]]}, r"list\[0\].exclude_types in input names type 5"),
        ({"lmax": 2}, r"list\[0\].lmax in input is 2, a DeePMD-kit option"),
        ({"env_protection": 0.1}, r"descriptor.list in input has parts with env_protection 0.1, 0"),
    ],
)
def test_a_mistake_in_a_part_is_told_with_its_place(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        parse(_input(**changes))


@pytest.mark.parametrize("given", [[], {}, [3]])
def test_a_list_without_descriptors(given: Any) -> None:
    content = _input()
    content["model"]["descriptor"]["list"] = given
    with pytest.raises(ConfigError, match=r"list in input is .* must be a list of one or more"):
        parse(content)


def test_a_key_of_the_parts_beside_the_list() -> None:
    content = _input()
    content["model"]["descriptor"]["rcut"] = 6.0
    with pytest.raises(ConfigError, match="rcut in input is a key of the descriptors in list"):
        parse(content)


def test_the_support_matrix_asks_for_every_part(monkeypatch: pytest.MonkeyPatch) -> None:
    get_descriptor("se_e2_a")
    row = FEATURES["descriptor se_e2_a"]
    monkeypatch.setitem(FEATURES, row.title, replace(row, backends=frozenset({"numpy"})))
    with pytest.raises(UnsupportedError, match="se_e2_a"):
        require_all(Asked(descriptor=Hybrid((MIXED, FAR))), "jax")

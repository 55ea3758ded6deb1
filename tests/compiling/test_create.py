"""Optimizers by name, by rule, and by the text of one."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from neuropt.compiling.create import create_optimizer
from neuropt.compiling.rule_optimizer import RuleOptimizer
from neuropt.optimizers import PowerSign
from search_space import RuleError, parse_rule, zoo


def parameters() -> list[Tensor]:
    return [torch.ones(2, requires_grad=True)]


def test_a_rule_is_itself() -> None:
    rule = parse_rule("beta = 0.5; u = ema(g, beta)")
    optimizer = create_optimizer(rule, parameters(), lr=0.5, beta=0.9)
    assert isinstance(optimizer, RuleOptimizer)
    assert (optimizer.rule, optimizer.param_groups[0]["beta"]) == (rule, 0.9)


def test_text_is_a_rule() -> None:
    optimizer = create_optimizer("g * ld", parameters(), decay_steps=10)
    assert isinstance(optimizer, RuleOptimizer)


def test_names_of_the_catalogue_come_first() -> None:
    assert isinstance(create_optimizer("adam", parameters()), torch.optim.Adam)
    assert isinstance(create_optimizer("powersign-ld", parameters(), decay_steps=10), PowerSign)
    assert isinstance(create_optimizer("momentum", parameters(), lr=0.1), torch.optim.SGD)


@pytest.mark.parametrize("name", ["signum", "bello-01"])
def test_then_those_of_the_zoo(name: str) -> None:
    optimizer = create_optimizer(name, parameters())
    assert isinstance(optimizer, RuleOptimizer)
    assert optimizer.rule == zoo()[name]


def test_an_unknown_name_names_its_neighbours() -> None:
    with pytest.raises(
        ValueError, match=r"'powersing' is no optimizer and no rule; did you mean .*powersign.*neuropt optimizers"
    ):
        create_optimizer("powersing", parameters())


def test_a_text_that_is_no_rule_shows_the_place() -> None:
    with pytest.raises(RuleError, match=r"g \+ \* m\n +\^"):
        create_optimizer("g + * m", parameters())


def test_unknown_hyperparameters_are_refused_everywhere() -> None:
    for name in ("adam", "lion", "g"):
        with pytest.raises(TypeError, match="momentun"):
            create_optimizer(name, parameters(), momentun=0.9)


def test_other_types_are_refused() -> None:
    with pytest.raises(TypeError, match="must be a str or a Rule, but got int"):
        create_optimizer(3, parameters())  # type: ignore[arg-type]  # the point of the test

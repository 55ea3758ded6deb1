"""`RuleOptimizer` steps parameters that are sharded over processes as it does whole ones, in every form."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from torch.nn import Parameter

from neuropt.compiling.rule_optimizer import RuleOptimizer
from tests.sharding import assert_shards_step_as_the_whole_does

RULES = {
    "adam": "adam",
    "draws": "drop(m, 0.3) + noise(0.1)",
    "norms": "n = 0.9 * prev(n) + norm(g); u = m / n + mean(w) * g + dot(g, w) * 1e-3",
    "a norm of what is remembered": "u = 1e-2 * norm(1 + prev(u)) * g",
}
FORMS = {"loop": {"foreach": False}, "foreach": {"foreach": True}, "fused": {"fused": True}}


def make(rule: str, form: dict[str, bool], parameters: list[Parameter]) -> RuleOptimizer:
    return RuleOptimizer(parameters, rule, lr=0.1, **form)


@pytest.mark.slow
def test_shards_step_as_the_whole_does(tmp_path: Path) -> None:
    makes = {
        f"{form}, {name}": partial(make, rule, chosen) for form, chosen in FORMS.items() for name, rule in RULES.items()
    }
    assert_shards_step_as_the_whole_does(makes, tmp_path)

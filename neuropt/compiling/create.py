"""One way to get any optimizer: a rule, the text of one, a name in the catalogue, or a name in the zoo."""

from __future__ import annotations

import difflib
import re
from typing import Any

from torch.optim import Optimizer
from torch.optim.optimizer import ParamsT

from neuropt.compiling.rule_optimizer import RuleOptimizer
from neuropt.optimizers.catalogue import create_named, named_optimizers
from search_space import Rule, RuleError, parse_rule, zoo

_LIKE_A_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*", re.ASCII)


def create_optimizer(name_or_rule: str | Rule, params: ParamsT, **hyper: Any) -> Optimizer:
    """Make an optimizer.

    Args:
        name_or_rule: looked up as a name of the catalogue (`adam`, `powersign-ld`), which torch and hand-written classes serve; then as a
            name of the zoo, then as rule text. A `Rule` is itself.
        params: parameters, named parameters or parameter groups.
        hyper: lr and whatever else the optimizer takes; for rules see `RuleOptimizer`.

    Raises:
        RuleError: a text that is neither a name nor a rule.
        ValueError: what looks like a name and is none, with the nearest names; or a bad value.
        TypeError: a hyperparameter that the optimizer does not have.

    Example:
        >>> import torch
        >>> w = torch.zeros(2, requires_grad=True)
        >>> type(create_optimizer("adam", [w])).__name__, type(create_optimizer("g * exp(sign(g) * sign(m))", [w])).__name__
        ('Adam', 'RuleOptimizer')
    """
    if isinstance(name_or_rule, Rule):
        return RuleOptimizer(params, name_or_rule, **hyper)
    if not isinstance(name_or_rule, str):
        raise TypeError(f"name_or_rule must be a str or a Rule, but got {type(name_or_rule).__name__}.")
    if name_or_rule in named_optimizers():
        return create_named(name_or_rule, params, **hyper)
    return RuleOptimizer(params, _rule(name_or_rule), **hyper)


def _rule(text: str) -> Rule:
    known = zoo()
    if text in known:
        return known[text]
    try:
        return parse_rule(text)
    except RuleError as error:
        if not _LIKE_A_NAME.fullmatch(text) or len(text) > 64:
            raise
        names = sorted(known.keys() | named_optimizers().keys())
        near = difflib.get_close_matches(text, names)
        hint = f"did you mean {' or '.join(near)}? " if near else ""
        raise ValueError(
            f"{text!r} is no optimizer and no rule; {hint}`neuropt optimizers` lists all names."
        ) from error

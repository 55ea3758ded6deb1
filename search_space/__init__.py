"""The language of update rules: pure numpy, no torch, no ray."""

from search_space.identity import Identity, functional_key, identify, same_rule
from search_space.interpreter import Interpreter, run
from search_space.known_rules import KnownRule, describe_zoo, zoo
from search_space.latex import to_latex
from search_space.loading import list_spaces, load_space
from search_space.rule import Equation, Rule, RuleError
from search_space.screening import Screening, negate, screen
from search_space.simplifying import simplify
from search_space.space import SearchSpace
from search_space.sugar import expand
from search_space.text import parse_expression, parse_rule
from search_space.trajectory import Trajectory, probe_trajectory

__all__ = [
    "Equation",
    "Identity",
    "Interpreter",
    "KnownRule",
    "Rule",
    "RuleError",
    "Screening",
    "SearchSpace",
    "Trajectory",
    "describe_zoo",
    "expand",
    "functional_key",
    "identify",
    "list_spaces",
    "load_space",
    "negate",
    "parse_expression",
    "parse_rule",
    "probe_trajectory",
    "run",
    "same_rule",
    "screen",
    "simplify",
    "to_latex",
    "zoo",
]

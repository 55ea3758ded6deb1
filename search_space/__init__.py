"""The language of update rules: pure numpy, no torch, no ray."""

from search_space.interpreter import Interpreter, run
from search_space.rule import Equation, Rule, RuleError
from search_space.sugar import expand
from search_space.text import parse_expression, parse_rule

__all__ = ["Equation", "Interpreter", "Rule", "RuleError", "expand", "parse_expression", "parse_rule", "run"]

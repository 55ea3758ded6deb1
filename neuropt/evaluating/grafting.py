"""AdaGraft's pairs as rules: the length of one rule's update in the direction of another's.

graft(sgd, adam)      u = norm(u_sgd) / (norm(u_adam) + 1e-16) u_adam, of each tensor
"""

from __future__ import annotations

import re

from search_space import Rule, zoo
from search_space.expression import Call, Expression, Number, Previous, Symbol, rebuild
from search_space.rule import Equation

EPS = 1e-16
MEMBERS = ("sgd", "momentum", "adagrad", "rmsprop", "adam", "yogi")
_PAIR = re.compile(r"graft\(\s*([a-z0-9-]+)\s*,\s*([a-z0-9-]+)\s*\)", re.ASCII)


def pair_name(magnitude: str, direction: str) -> str:
    """Return how a pair is typed and shown.

    >>> pair_name("sgd", "adam")
    'graft(sgd, adam)'
    """
    return f"graft({magnitude}, {direction})"


def read_pair(text: str) -> tuple[str, str] | None:
    """Return magnitude and direction of a pair, or None where the text is of another kind.

    Raises:
        ValueError: a name that the zoo does not have.
    """
    match = _PAIR.fullmatch(text.strip())
    if match is None:
        return None
    for name in match.groups():
        if name not in zoo():
            raise ValueError(f"{text!r}: no rule is called {name!r}; `neuropt optimizers` lists all names")
    return match[1], match[2]


def grafted(magnitude: Rule, direction: Rule) -> Rule:
    """Return the rule of a pair; both keep their own state and see the same gradient.

    u = norm(M) / (norm(D) + 1e-16) D

    >>> print(grafted(zoo()["sgd"], zoo()["sgd"]).text)
    m_u = g
    d_u = g
    u = norm(m_u) / (norm(d_u) + 1e-16) * d_u

    Source: Agarwal et al., "Disentangling adaptive gradient methods from learning rates", arXiv:2002.11803, 2020.
    """
    (names, equations), (others, reached) = _prefixed(magnitude, "m_"), _prefixed(direction, "d_")
    length, reach = (Call("norm", (Symbol(name),)) for name in ("m_u", "d_u"))
    scale = Call("/", (length, Call("+", (reach, Number(EPS)))))
    return Rule(names + others, (*equations, *reached, Equation("u", Call("*", (scale, Symbol("d_u"))))))


def _prefixed(rule: Rule, prefix: str) -> tuple[tuple[tuple[str, float], ...], tuple[Equation, ...]]:
    """Return hyperparameters and equations of a rule under other names."""
    own = {name for name, _ in rule.hyperparameters} | {equation.name for equation in rule.equations}

    def renamed(node: Expression) -> Expression:
        match node:
            case Symbol(name) if name in own:
                return Symbol(prefix + name)
            case Previous(name, start) if name in own:
                return Previous(prefix + name, start)
            case _:
                return node

    hyperparameters = tuple((prefix + name, value) for name, value in rule.hyperparameters)
    equations = tuple(Equation(prefix + e.name, rebuild(e.expression, renamed)) for e in rule.equations)
    return hyperparameters, equations

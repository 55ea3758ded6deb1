"""An update rule: named equations that end in `u`; then `w <- w - lr * u`.

PowerSign is one hyperparameter fixed, one remembered value, one result:

    beta = 0.9
    m = beta * prev(m) + (1 - beta) * g
    u = exp(sign(g) * sign(m)) * g

A rule is a frozen value. It is checked when it is made: every name it reads exists, every call has its arguments, nothing is deeper or
longer than the limits below, so that whatever takes a `Rule` may trust it.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace

from search_space.expression import Call, Expression, Number, Previous, Symbol, depth, rebuild, walk
from search_space.primitives import PRIMITIVES
from search_space.printing import print_expression, print_number

INPUTS = {
    "g": "gradient",
    "w": "parameter",
    "t": "steps done before this one",
    "T": "planned steps",
    "lr": "learning rate",
}
RESULT = "u"
MAX_DEPTH = 100
MAX_NODES = 5_000
MAX_DRAWS = 1_000

REMEMBERING = {"ema": (2,), "debiased": (2,), "cumsum": (1, 2), "cummax": (1, 2), "delay": (1,)}
"""Functions that become equations of their own (see `sugar`), with the numbers of arguments they take."""
DECAYS = {"ld": (), "cd": (1, 2), "rd": (1, 2)}
"""Decay functions of t and T; each may also stand alone, as `cd`."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}", re.ASCII)


def _average(x: Expression, beta: float) -> Expression:
    return Call("ema", (x, Number(beta)))


def _corrected(name: str, beta: float) -> Expression:
    steps = Call("+", (Symbol("t"), Number(1.0)))
    return Call("/", (Symbol(name), Call("-", (Number(1.0), Call("**", (Number(beta), steps))))))


def _scaled(x: Expression, second_moment: Expression) -> Expression:
    return Call("/", (x, Call("+", (Call("sqrt", (second_moment,)), Number(1e-8)))))


_g = Symbol("g")
READY: dict[str, Expression] = {
    "m": _average(_g, 0.9),
    "v": _average(Call("**", (_g, Number(2.0))), 0.999),
    "gamma": _average(Call("**", (_g, Number(3.0))), 0.999),
    "mhat": _corrected("m", 0.9),
    "vhat": _corrected("v", 0.999),
    "gammahat": _corrected("gamma", 0.999),
    "adam": _scaled(Symbol("mhat"), Symbol("vhat")),
    "rmsprop": _scaled(_g, _average(Call("**", (_g, Number(2.0))), 0.9)),
}
"""Names that a rule may read without defining them."""
REMEMBERED_READY = ("m", "v", "gamma")


class RuleError(ValueError):
    """A text that is not a rule, or a rule that cannot be: says what, where, and what would be right."""


@dataclass(frozen=True, slots=True)
class Equation:
    """One line of a rule: `name = expression`."""

    name: str
    expression: Expression


@dataclass(frozen=True)
class Rule:
    """An update rule.

    Args:
        hyperparameters: (name, value) pairs; they appear in an optimizer's `param_groups` and can be overridden there.
        equations: in order; the last one defines `u`. An equation reads inputs, hyperparameters, equations above it, `prev` of any
            equation, and the names in `READY`.

    Raises:
        RuleError: a name that does not exist, a wrong number of arguments, or a limit that is passed.

    >>> rule = Rule((), (Equation("u", Symbol("g")),))
    >>> print(rule)
    g
    """

    hyperparameters: tuple[tuple[str, float], ...]
    equations: tuple[Equation, ...]

    def __post_init__(self) -> None:
        _check_size(self.equations)
        object.__setattr__(self, "equations", _number_draws(self.equations))
        _check_names(self)
        _check_calls(self)

    @property
    def text(self) -> str:
        """The rule as text, which `parse_rule` reads back to an equal rule: the form in which rules are stored and sent."""
        if not self.hyperparameters and len(self.equations) == 1:
            return print_expression(self.equations[0].expression)
        next_draw = [0]
        lines = [f"{name} = {print_number(value)}" for name, value in self.hyperparameters]
        lines += [f"{e.name} = {print_expression(e.expression, next_draw)}" for e in self.equations]
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.text

    def calls(self) -> set[str]:
        """Return the names of all functions and operators the rule uses."""
        return {n.function for e in self.equations for n in walk(e.expression) if isinstance(n, Call)}

    def reads(self, name: str) -> bool:
        """Whether any equation reads the input or equation `name`; decays read t and T, `prev(name)` does not count."""
        found = {n.name for e in self.equations for n in walk(e.expression) if isinstance(n, Symbol)}
        decayed = bool((found | self.calls()) & DECAYS.keys())
        return name in found or (name in ("t", "T") and decayed)

    @property
    def pointwise(self) -> bool:
        """Whether each element of the update depends on that element's own history only (no norm, mean or dot)."""
        return not any(PRIMITIVES[f].kind == "reducing" for f in self.calls() if f in PRIMITIVES)

    @property
    def deterministic(self) -> bool:
        """Whether the rule draws no random numbers."""
        return not any(PRIMITIVES[f].kind == "drawing" for f in self.calls() if f in PRIMITIVES)


def is_name(text: str) -> bool:
    """Whether `text` can name an equation or a hyperparameter."""
    return _NAME.fullmatch(text) is not None and text not in INPUTS and not _is_function(text)


def _is_function(name: str) -> bool:
    return name in PRIMITIVES or name in REMEMBERING or name in DECAYS or name == "prev"


def _check_size(equations: tuple[Equation, ...]) -> None:
    nodes = 0
    for equation in equations:
        nodes += sum(1 for _ in walk(equation.expression))
        if depth(equation.expression) > MAX_DEPTH:
            raise RuleError(
                f"equation {equation.name!r} is nested deeper than {MAX_DEPTH}; name its inner parts as equations"
            )
    if nodes > MAX_NODES:
        raise RuleError(f"a rule has at most {MAX_NODES} operations, but this one has {nodes}")


def _number_draws(equations: tuple[Equation, ...]) -> tuple[Equation, ...]:
    """Give each `noise` and `drop` without a number the one of its place in the text; check that no two share one."""
    place, numbers = 0, set[int]()

    def number(node: Expression) -> Expression:
        nonlocal place
        if not isinstance(node, Call) or node.function not in PRIMITIVES or PRIMITIVES[node.function].kind != "drawing":
            return node
        node = node if node.draw is not None else replace(node, draw=place)
        place += 1
        assert node.draw is not None
        if node.draw in numbers or not 0 <= node.draw < MAX_DRAWS:
            raise RuleError(
                f"draw {node.draw} of {node.function!r} must be unlike all others of the rule and in 0..{MAX_DRAWS - 1}; "
                "leave the number out to have one chosen"
            )
        numbers.add(node.draw)
        return node

    return tuple(Equation(e.name, rebuild(e.expression, number)) for e in equations)


def _check_names(rule: Rule) -> None:
    if not rule.equations or rule.equations[-1].name != RESULT:
        raise RuleError("the last equation of a rule must define the update: u = ...")
    defined = [name for name, _ in rule.hyperparameters] + [equation.name for equation in rule.equations]
    for name in defined:
        if not is_name(name):
            what = "an input" if name in INPUTS else "a function" if _is_function(name) else "not a name"
            raise RuleError(f"{name!r} cannot be defined: it is {what}; choose another name")
        if defined.count(name) > 1:
            raise RuleError(f"{name!r} is defined twice; give the second one another name")
    if any(not math.isfinite(value) for _, value in rule.hyperparameters):
        raise RuleError("hyperparameters must be finite numbers")
    equations = {equation.name for equation in rule.equations}
    _check_starts(rule)
    known = set(INPUTS) | {name for name, _ in rule.hyperparameters} | ((READY.keys() | DECAYS.keys()) - equations)
    for equation in rule.equations:
        for node in walk(equation.expression):
            if isinstance(node, Symbol) and node.name not in known:
                later = node.name in equations
                cure = (
                    f"read prev({node.name}), or move its equation up"
                    if later
                    else f"known here: {', '.join(sorted(known))}"
                )
                raise RuleError(f"{node.name!r} is not defined above equation {equation.name!r}; {cure}")
            if isinstance(node, Previous) and node.name not in equations | set(REMEMBERED_READY):
                raise RuleError(f"prev({node.name}) reads an equation that does not exist; define {node.name} = ...")
        known.add(equation.name)


def _check_starts(rule: Rule) -> None:
    first: dict[str, float] = {}
    for equation in rule.equations:
        for node in walk(equation.expression):
            if isinstance(node, Previous) and first.setdefault(node.name, node.start) != node.start:
                raise RuleError(
                    f"prev({node.name}) starts at {first[node.name]:g} and at {node.start:g}; a value has one start"
                )


def _check_calls(rule: Rule) -> None:
    for equation in rule.equations:
        for node in walk(equation.expression):
            if isinstance(node, Number | Previous) and not math.isfinite(
                node.value if isinstance(node, Number) else node.start
            ):
                raise RuleError(f"numbers in a rule must be finite, but equation {equation.name!r} has one that is not")
            if isinstance(node, Call):
                check_arguments(node.function, len(node.arguments))


def check_arguments(function: str, count: int) -> None:
    """Raise a RuleError unless `function` exists and takes `count` arguments."""
    if function in PRIMITIVES:
        accepted: tuple[int, ...] = (PRIMITIVES[function].arity,)
    elif function in REMEMBERING or DECAYS.get(function):
        accepted = (REMEMBERING | DECAYS)[function]
    else:
        names = sorted(
            n for n in (PRIMITIVES.keys() | REMEMBERING.keys() | DECAYS.keys() | {"prev"}) if n.isidentifier()
        )
        raise RuleError(f"{function!r} is not a function of the rule language; there are {', '.join(names)}")
    if count not in accepted:
        wanted = " or ".join(map(str, accepted))
        raise RuleError(f"{function} takes {wanted} argument{'s' if accepted != (1,) else ''}, but got {count}")

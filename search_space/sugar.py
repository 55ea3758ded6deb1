"""What a rule may say in short, and what it means in full.

Three shortenings, each an example of its kind:

- a function that remembers, `ema(g, 0.9)`, becomes an equation of its own, `ema_1 = 0.9 * prev(ema_1) + (1 - 0.9) * g`;
- a name that is ready, `vhat`, becomes the equations that define it;
- a decay, `ld`, becomes its formula in t and T, `1 - min(t, T) / T`.

`expand` removes all three; interpreter, compiler, identity and exports see only expanded rules.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from search_space.expression import Call, Expression, Number, Previous, Symbol, walk
from search_space.rule import DECAYS, READY, REMEMBERING, Equation, Rule

_t, _T, _ONE, _HALF = Symbol("t"), Symbol("T"), Number(1.0), Number(0.5)


def _call(function: str, *arguments: Expression) -> Call:
    return Call(function, arguments)


def ema(name: str, x: Expression, beta: Expression) -> Expression:
    """m = beta prev(m) + (1 - beta) x, from 0."""
    return _call("+", _call("*", beta, Previous(name)), _call("*", _call("-", _ONE, beta), x))


def cumsum(name: str, x: Expression, decay: Expression | None = None) -> Expression:
    """s = decay prev(s) + x, from 0; decay is 1 if left out. With decay 0.9 it is momentum's buffer."""
    return _call("+", _decayed(name, decay), x)


def cummax(name: str, x: Expression, decay: Expression | None = None) -> Expression:
    """n = max(decay prev(n), x), from 0; decay is 1 if left out. With decay 0.999 and |g| it is Adamax's norm."""
    return _call("max", _decayed(name, decay), x)


def _decayed(name: str, decay: Expression | None) -> Expression:
    return Previous(name) if decay is None else _call("*", decay, Previous(name))


def bias_correction(beta: Expression) -> Expression:
    """1 - beta^(t+1): what an average that started at 0 has seen of its input after t+1 steps (Kingma and Ba 2015, section 3)."""
    return _call("-", _ONE, _call("**", beta, _call("+", _t, _ONE)))


def _zero_after(decay: Expression, phase: Expression, limit: Expression | None) -> Expression:
    return decay if limit is None else _call("where", _call(">=", phase, limit), Number(0.0), decay)


def linear_decay() -> Expression:
    """1 - t/T, t capped at T."""
    return _call("-", _ONE, _call("/", _call("min", _t, _T), _T))


def cosine_decay(periods: Expression = _HALF, zero_after: Expression | None = None) -> Expression:
    """0.5 (1 + cos(2 pi n t/T)), t capped at T; 0 once n t/T >= zero_after. (Bello et al. 2017, the authors' code.)"""
    phase = _call("/", _call("*", periods, _call("min", _t, _T)), _T)
    wave = _call("cos", _call("*", Number(6.283185307179586), phase))
    return _zero_after(_call("*", _HALF, _call("+", _ONE, wave)), phase, zero_after)


def restart_decay(periods: Expression = _ONE, zero_after: Expression | None = None) -> Expression:
    """0.5 (1 + cos(pi ((t n) mod T)/T)), t capped at T; 0 once n t/T >= zero_after. At t = T the mod wraps, as the authors' code does."""
    travelled = _call("*", _call("min", _t, _T), periods)
    wave = _call("cos", _call("/", _call("*", Number(3.141592653589793), _call("mod", travelled, _T)), _T))
    return _zero_after(_call("*", _HALF, _call("+", _ONE, wave)), _call("/", travelled, _T), zero_after)


_RECURRENCES: dict[str, Callable[..., Expression]] = {"ema": ema, "cumsum": cumsum, "cummax": cummax}
DECAY_FORMULAS = {"ld": linear_decay, "cd": cosine_decay, "rd": restart_decay}


def expand(rule: Rule) -> Rule:
    """Return the rule with every shortening written out; it computes the same numbers.

    >>> from search_space import parse_rule
    >>> print(expand(parse_rule("sign(m)")))
    m = 0.9 * prev(m) + (1 - 0.9) * g
    u = sign(m)
    """
    return _Expansion(rule).result()


class _Expansion:
    """One pass over the equations, which puts what they need in front of them."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.given = {equation.name for equation in rule.equations} | dict(rule.hyperparameters).keys()
        self.taken = set(self.given)
        for equation in rule.equations:
            self.taken |= {node.name for node in walk(equation.expression) if isinstance(node, Symbol | Previous)}
        self.ready: dict[str, str] = {}  # a ready name -> the equation that defines it here
        self.equations: list[Equation] = []

    def result(self) -> Rule:
        for equation in self.rule.equations:
            self.equations.append(Equation(equation.name, self.expression(equation.expression, equation.name)))
        return Rule(self.rule.hyperparameters, tuple(self.equations))

    def fresh(self, stem: str) -> str:
        number = 1
        while f"{stem}_{number}" in self.taken:
            number += 1
        self.taken.add(f"{stem}_{number}")
        return f"{stem}_{number}"

    def name_of(self, ready: str) -> str:
        """Return the equation for a ready name, adding it first if need be. Ready names build on ready names, never on a user's."""
        if ready not in self.ready:
            self.ready[ready] = self.fresh(ready) if ready in self.given else ready
            name = self.ready[ready]
            self.equations.append(Equation(name, self.ready_expression(READY[ready], name)))
        return self.ready[ready]

    def ready_expression(self, expression: Expression, name: str) -> Expression:
        if isinstance(expression, Symbol) and expression.name in READY:
            return Symbol(self.name_of(expression.name))
        if isinstance(expression, Call):
            arguments = tuple(self.ready_expression(x, "") for x in expression.arguments)
            return self.call(replace(expression, arguments=arguments), name)
        return expression

    def expression(self, node: Expression, name: str = "") -> Expression:
        """Expand `node`; `name` is the equation that it is the whole of, if any."""
        match node:
            case Symbol(symbol) if symbol in self.given:
                return node
            case Symbol(symbol) if symbol in DECAYS:
                return DECAY_FORMULAS[symbol]()
            case Symbol(symbol) if symbol in READY:
                return Symbol(self.name_of(symbol))
            case Previous(previous, start) if previous in READY and previous not in self.given:
                return Previous(self.name_of(previous), start)
            case Call():
                arguments = tuple(self.expression(argument) for argument in node.arguments)
                return self.call(node if arguments == node.arguments else replace(node, arguments=arguments), name)
            case _:
                return node

    def call(self, node: Call, name: str) -> Expression:
        if node.function in DECAYS:
            return DECAY_FORMULAS[node.function](*node.arguments)
        if node.function not in REMEMBERING:
            return node
        if node.function == "debiased":
            x, beta = node.arguments
            return _call("/", self.remember("ema", (x, beta), ""), bias_correction(beta))
        return self.remember(node.function, node.arguments, name)

    def remember(self, function: str, arguments: tuple[Expression, ...], name: str) -> Expression:
        """Return the recurrence itself where it is a whole equation, else the name of an equation made for it."""
        if function == "delay":
            return self.delay(arguments[0])
        own = name or self.fresh(function)
        recurrence = _RECURRENCES[function](own, *arguments)
        if name:
            return recurrence
        self.equations.append(Equation(own, recurrence))
        return Symbol(own)

    def delay(self, x: Expression) -> Expression:
        """Return x one step ago, 0 at first: the past of an equation made for it."""
        own = self.fresh("delay")
        # a number alone would read back as a hyperparameter, which has no past
        self.equations.append(Equation(own, _call("*", _ONE, x) if isinstance(x, Number) else x))
        return Previous(own)

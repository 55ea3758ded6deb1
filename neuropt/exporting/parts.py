"""A rule taken apart for a file: its equations as lines of Python, what it remembers, and what it reads."""

from __future__ import annotations

from dataclasses import dataclass

from neuropt.compiling.program import ValueKind, equation_kinds
from neuropt.exporting.expression_text import ExpressionText
from search_space import Equation, Rule, expand
from search_space.expression import Call, Expression, Number, Previous, Symbol, rebuild, walk
from search_space.rule import DECAYS, INPUTS, RESULT


def with_named_decays(rule: Rule) -> tuple[Rule, dict[str, str]]:
    """Give each decay of a rule an equation of its own, since its formula is long and it has a name: ld, cd or rd.

    Returns:
        the rule, and for each new equation the name that it should have in Python.

    >>> from search_space import parse_rule
    >>> with_named_decays(parse_rule("g * cd(2)"))[0].text.splitlines()
    ['cd_decay = cd(2)', 'u = g * cd_decay']
    """
    constants = {name for name, _ in rule.hyperparameters}
    taken = constants | {equation.name for equation in rule.equations}
    found: dict[Expression, str] = {}

    def named(node: Expression) -> Expression:
        match node:
            case Symbol(decay) if decay in DECAYS:
                pass
            case Call(decay, arguments) if decay in DECAYS and all(_is_constant(x, constants) for x in arguments):
                pass
            case _:
                return node
        if node not in found:
            name = f"{decay}_decay"
            while name in taken:
                name += "_"
            taken.add(name)
            found[node] = name
        return Symbol(found[node])

    equations = tuple(Equation(e.name, rebuild(e.expression, named)) for e in rule.equations)
    decays = tuple(Equation(name, decay) for decay, name in found.items())
    return Rule(rule.hyperparameters, decays + equations), {name: name[:2] for name in found.values()}


def _without_factor_1(node: Expression) -> Expression:
    """Return x for x * 1, which formulas of decays hold where they are not told how often to go round."""
    match node:
        case Call("*", (x, Number(1.0))):
            return x
    return node


def _is_constant(expression: Expression, constants: set[str]) -> bool:
    return isinstance(expression, Number) or (isinstance(expression, Symbol) and expression.name in constants)


def live_equations(rule: Rule) -> list[Equation]:
    """Return the equations of an expanded rule that the update needs, now or in a later step."""
    by_name, live, waiting = {e.name: e for e in rule.equations}, set[str](), [RESULT]
    while waiting:
        name = waiting.pop()
        if name in by_name and name not in live:
            live.add(name)
            waiting += [n.name for n in walk(by_name[name].expression) if isinstance(n, Symbol | Previous)]
    return [equation for equation in rule.equations if equation.name in live]


def without_decoupled_decay(rule: Rule) -> tuple[Rule, float | None]:
    """Take `+ weight_decay * w` off the update, where a rule ends in it and reads weight_decay nowhere else.

    Returns:
        the rule without it, and the value of weight_decay; the rule itself and None where it does not end so.

    >>> from search_space import zoo
    >>> rule, weight_decay = without_decoupled_decay(zoo()["lion"])
    >>> rule.text.splitlines()[-1], weight_decay
    ('u = sign(beta1 * prev(m) + (1 - beta1) * g)', 0.0)
    """
    decay = Call("*", (Symbol("weight_decay"), Symbol("w")))
    readers = [n for e in rule.equations for n in walk(e.expression) if n == Symbol("weight_decay")]
    match rule.equations[-1].expression:
        case Call("+", (rest, last)) if (
            last == decay and len(readers) == 1 and "weight_decay" in dict(rule.hyperparameters)
        ):
            hyperparameters = tuple((n, v) for n, v in rule.hyperparameters if n != "weight_decay")
            return Rule(hyperparameters, (*rule.equations[:-1], Equation(RESULT, rest))), dict(rule.hyperparameters)[
                "weight_decay"
            ]
    return rule, None


@dataclass(frozen=True, slots=True)
class Line:
    """An equation as Python: of which name, of which kind."""

    name: str
    text: str
    kind: ValueKind


def named_averages(rule: Rule, expanded: Rule) -> dict[str, str]:
    """Return what to call the averages that `debiased` makes: m where it is that of mhat, as the papers do.

    >>> from search_space import zoo
    >>> named_averages(zoo()["adam"], expand(zoo()["adam"]))
    {'ema_1': 'm', 'ema_2': 'v'}
    """
    own = {name for name, _ in rule.hyperparameters} | {e.name for e in expanded.equations} | set(INPUTS)
    found: dict[str, str] = {}
    for equation in rule.equations:
        stem = equation.name.removesuffix("hat")
        corrected = next(e.expression for e in expanded.equations if e.name == equation.name)
        match equation.expression, corrected:
            case Call("debiased"), Call("/", (Symbol(average), _)) if stem not in {"", equation.name} | own:
                found[average] = stem
    return found


class Parts:
    """What of a file depends on the rule.

    Args:
        rule: as it was given.
        writer: of the target's expressions.

    `hyperparameters` are by their Python names; `remembered` gives each name that `prev` reads its start; `symbols` are all names read.
    """

    def __init__(self, rule: Rule, writer: ExpressionText) -> None:
        names = writer.names
        rule, decays = with_named_decays(rule)
        expanded = expand(rule)
        wishes = decays | named_averages(rule, expanded)
        self.live = [
            Equation(e.name, rebuild(e.expression, _without_factor_1)) if e.name in decays else e
            for e in live_equations(expanded)
        ]
        self.hyperparameters = {names.of(name): value for name, value in rule.hyperparameters}
        for equation in self.live:
            if equation.name != RESULT:
                names.of(equation.name, wishes.get(equation.name))
        self.writer = writer
        self.kinds: dict[str, ValueKind] = {name: "number" for name, _ in rule.hyperparameters}
        self.kinds |= equation_kinds(expanded)
        self.lines = [Line(e.name, self.writer.equation(e.name, e.expression), self.kinds[e.name]) for e in self.live]
        nodes = [node for e in self.live for node in walk(e.expression)]
        self.symbols = {node.name for node in nodes if isinstance(node, Symbol)}
        self.draws = [node for node in nodes if isinstance(node, Call) and node.draw is not None]
        self.remembered = {node.name: node.start for node in nodes if isinstance(node, Previous)}
        self.decays = rule.reads("T")

    def name(self, name: str) -> str:
        """Return the Python name of an equation."""
        return self.writer.name(name)

    def previous(self, name: str) -> str:
        """Return the Python name of an equation's value one step ago."""
        return self.writer.text(Previous(name))[0]

    def is_input(self, name: str) -> bool:
        """Whether an equation is g or w under another name: their memory is the caller's."""
        expressions = {equation.name: equation.expression for equation in self.live}
        while isinstance(symbol := expressions.get(name), Symbol):
            name = symbol.name
        return name in ("g", "w")

"""A rule as one Python file that imports torch only: a class that reads like the rule, and a test of itself.

The body of the class is the rule, equation by equation, under its own names; around it stands what a torch optimizer needs. Rule text
and provenance come from outside: they reach the file as escaped ASCII inside docstrings, as numbers, and as names made of letters,
digits and underscores, never as anything else.
"""

from __future__ import annotations

import builtins
import keyword
import re
from collections.abc import Iterable, Mapping, Sequence

from neuropt.compiling.program import equation_kinds
from neuropt.compiling.ranges import range_of
from neuropt.exporting.provenance import Provenance
from neuropt.exporting.recording import DECAY_STEPS, SEED, START, record
from neuropt.exporting.torch_templates import CHECK, CLASS, DRAWS, FILE, HELPER_TEXTS, LOAD, SELF_TEST
from neuropt.exporting.torch_text import Names, TorchText, literal
from search_space import Equation, Rule, expand, zoo
from search_space.expression import Call, Expression, Number, Previous, Symbol, rebuild, walk
from search_space.rule import DECAYS, RESULT

FALLBACK_NAME = "FoundRule"
LONGEST_FACT = 2_000
LINE = 120


def export_torch(rule: Rule, provenance: Provenance) -> str:
    """Return the source of a torch optimizer that needs torch and nothing else.

    `python FILE` replays recorded steps, and exits with 1 where they differ.

    >>> from search_space import parse_rule
    >>> "m = 0.9 * m_prev + (1 - 0.9) * g" in export_torch(parse_rule("m"), Provenance())
    True
    """
    body = _Body(rule)
    name = class_name(provenance.name)
    facts = "\n".join(f"    {label + ':':<9} {_escaped(fact)}" for label, fact in provenance.lines())
    return FILE.substitute(
        name=name,
        facts=f"\n\n{facts}" if facts else "",
        formula=_formula(rule, "    "),
        helpers="\n\n".join([HELPER_TEXTS[helper] for helper in body.helpers] + [DRAWS] * bool(body.draws)),
        body=_class(name, rule, body, provenance),
        test=_self_test(name, rule, body, provenance),
    )


def class_name(name: str | None) -> str:
    """Return a class name that is as near to a rule's name as Python allows.

    >>> class_name("powersign-ld"), class_name("import os"), class_name("1"), class_name(None)
    ('PowersignLd', 'ImportOs', 'FoundRule', 'FoundRule')
    """
    words = re.findall(r"[A-Za-z0-9]+", (name or "")[:64])
    found = "".join(word[0].upper() + word[1:] for word in words)
    is_taken = keyword.iskeyword(found) or hasattr(builtins, found) or found == "Optimizer"
    return found if found.isidentifier() and not is_taken else FALLBACK_NAME


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


class _Body:
    """What of the class depends on the rule: lines of Python, not yet indented."""

    def __init__(self, rule: Rule) -> None:
        names, (rule, decays) = Names(), with_named_decays(rule)
        expanded = expand(rule)
        self.live = live_equations(expanded)
        self.hyperparameters = {names.of(name): value for name, value in rule.hyperparameters}
        for equation in self.live:
            names.of(equation.name, decays.get(equation.name))
        self.writer = TorchText(names)
        self.equations = [self.writer.equation(e.name, e.expression) for e in self.live]
        nodes = [node for e in self.live for node in walk(e.expression)]
        self.symbols = {node.name for node in nodes if isinstance(node, Symbol)}
        self.draws = [node for node in nodes if isinstance(node, Call) and node.draw is not None]
        self.remembered = {node.name: node.start for node in nodes if isinstance(node, Previous)}
        self.kinds = {name: "number" for name, _ in rule.hyperparameters} | equation_kinds(expanded)
        self.helpers = ("number", *sorted(self.writer.helpers))
        self.decays = rule.reads("T")

    def starts(self) -> list[str]:
        """Give the state its first values."""
        forms = {"number": "{0}", "reduced": "g.new_full((), {0})", "tensor": "torch.full_like(g, {0})"}
        return [
            f'state["{self.writer.name(name)}"] = '
            + ("torch.zeros_like(g)" if start == 0 and kind == "tensor" else forms[kind].format(float(start)))
            for name, start, kind in ((n, s, self.kinds[n]) for n, s in self.remembered.items())
        ]

    def reads(self) -> list[str]:
        """Read hyperparameters, inputs, state and random numbers into local names."""
        numbers = ["lr", *self.hyperparameters]
        loop = f"number(group[name]) for name in {_quoted(numbers)}"
        several = f"{', '.join(numbers)} = ({loop})"
        if len(several) > LINE - 8:
            several = f"{', '.join(numbers)} = (\n            {_wrapped(loop)}\n        )"
        lines = [several if len(numbers) > 1 else 'lr = number(group["lr"])']
        lines += ["w = real.to(g.dtype)"] * ("w" in self.symbols)
        lines += ['t = state["step"].double()'] * ("t" in self.symbols)
        lines += ['T = number(group["decay_steps"])'] * ("T" in self.symbols)
        for name in self.remembered:
            value = f'state["{self.writer.name(name)}"]'
            value = f"number({value})" if self.kinds[name] == "number" else value
            lines.append(f"{self.writer.text(Previous(name))[0]} = {value}")
        lines += ['step = int(state["step"])'] * bool(self.draws)
        for node in self.draws:
            source = "normal" if node.function == "noise" else "uniform"
            lines.append(
                f'{self.writer.drawn(source, node.draw)} = {source}(g, group["seed"], index, {node.draw}, step)'
            )
        return lines

    def writes(self) -> list[str]:
        """Keep what the next step reads."""
        forms = {"number": "float({0})", "reduced": "{0}.to(g.dtype)", "tensor": "{0}.to(g.dtype)"}
        lines = []
        for name in self.remembered:
            form = "{0}.clone()" if self._is_input(name) else forms[self.kinds[name]]
            lines.append(f'state["{self.writer.name(name)}"] = {form.format(self.writer.name(name))}')
        return lines

    def _is_input(self, name: str) -> bool:
        """Whether an equation is g or w under another name: their memory is the caller's."""
        expressions = {equation.name: equation.expression for equation in self.live}
        while isinstance(symbol := expressions.get(name), Symbol):
            name = symbol.name
        return name in ("g", "w")


def _class(name: str, rule: Rule, body: _Body, provenance: Provenance) -> str:
    options = {"lr": "lr", **{h: h for h in body.hyperparameters}}
    options |= {"decay_steps": "decay_steps"} if body.decays else {}
    options |= {"seed": "seed"} if body.draws else {}
    options |= {"maximize": "maximize"}
    arguments = ["self", "params", f"lr={float(provenance.lr)!r}", "*"]
    arguments += [f"{h}={literal(float(value))[0]}" for h, value in body.hyperparameters.items()]
    arguments += ["decay_steps"] * body.decays + ["seed=0"] * bool(body.draws) + ["maximize=False"]
    return CLASS.substitute(
        name=name,
        formula=_formula(rule, " " * 8),
        signature=_bracketed("    def __init__(", arguments, "):"),
        defaults=_bracketed("        defaults = {", [f'"{key}": {value}' for key, value in options.items()], "}"),
        checks=_checks(body.hyperparameters, rule in zoo().values()),
        load=LOAD if any(body.kinds[name] != "number" for name in body.remembered) else "",
        loop="index, (group, p) in enumerate(parameters)" if body.draws else "group, p in parameters",
        index=", index" * bool(body.draws),
        starts=_lines(body.starts(), 12),
        reads=_lines(body.reads(), 8),
        equations=_lines(body.equations, 8),
        writes=_lines(body.writes(), 8),
    ).replace("\n\n\n", "\n\n")


def _checks(hyperparameters: Mapping[str, float], of_zoo: bool) -> str:
    """Return the lines that refuse bad values of lr and hyperparameters."""
    values = {"lr": 0.0, **hyperparameters}
    ranges = {name: found for name, own in values.items() if (found := range_of(name, own, of_zoo=of_zoo))}
    claims = (
        # a claim, how it is said, and of which hyperparameters
        ("-torch.inf < group[name] < torch.inf", "a finite number", list(values)),
        ("group[name] >= 0", ">= 0", [name for name, allowed in ranges.items() if not allowed.above_low]),
        ("group[name] > 0", "> 0", [name for name, allowed in ranges.items() if allowed.above_low]),
        ("group[name] < 1", "< 1", [name for name, allowed in ranges.items() if allowed.high == 1]),
    )
    return "\n".join(CHECK.substitute(claim=c, said=said, names=_quoted(names)) for c, said, names in claims if names)


def _self_test(name: str, rule: Rule, body: _Body, provenance: Provenance) -> str:
    recording = record(rule, provenance.lr)
    options = f"lr={float(recording.lr)!r}"
    options += f", decay_steps={DECAY_STEPS}" * body.decays + f", seed={SEED}" * bool(body.draws)
    return SELF_TEST.substitute(
        name=name,
        start=_row(START),
        gradients=_rows(recording.gradients),
        parameters=_rows(recording.parameters),
        options=options,
    )


def _escaped(text: str) -> str:
    """Return text as it may stand in a docstring: printable ASCII, in which nothing ends the docstring; Python reads it back."""
    shown = text if len(text) <= LONGEST_FACT else text[:LONGEST_FACT] + "..."
    return shown.encode("unicode_escape").decode("ascii").replace('"', '\\"')


def _formula(rule: Rule, indent: str) -> str:
    text = rule.text if "\n" in rule.text or rule.text.startswith("u = ") else f"u = {rule.text}"
    return "\n".join(indent + _escaped(line) for line in text.split("\n"))


def _quoted(names: Iterable[str]) -> str:
    quoted = [f'"{name}"' for name in names]
    return f"({', '.join(quoted)}{',' * (len(quoted) == 1)})"


def _lines(lines: Sequence[str], spaces: int) -> str:
    return "\n".join(" " * spaces + line for line in lines)


def _wrapped(loop: str) -> str:
    """Return a comprehension inside twelve spaces as ruff formats it: on one line, or with `for` on its own."""
    return loop if len(loop) <= LINE - 12 else loop.replace(" for ", f"\n{' ' * 12}for ", 1)


def _bracketed(head: str, items: list[str], tail: str) -> str:
    """Return `head items tail` as ruff formats it: on one line, else arguments on one line of their own, else one item a line."""
    line, indent = f"{head}{', '.join(items)}{tail}", " " * (len(head) - len(head.lstrip()))
    if len(line) <= LINE:
        return line
    inner = f"{indent}    {', '.join(items)}"
    if len(inner) > LINE or tail == "}":
        inner = "\n".join(f"{indent}    {item}," for item in items)
    return f"{head}\n{inner}\n{indent}{tail}"


def _row(values: Iterable[float]) -> str:
    return f"[{', '.join(literal(float(f'{value:.12g}'))[0] for value in values)}]"


def _rows(rows: Sequence[Sequence[float]]) -> str:
    return "".join(["[\n", *(f"    {_row(row)},\n" for row in rows), "]"]) if rows else "[]"

"""A rule as one Python file that imports torch only: a class that reads like the rule, and a test of itself.

The body of the class is the rule, equation by equation, under its own names; around it stands what a torch optimizer needs. Rule text
and provenance come from outside: they reach the file as escaped ASCII inside docstrings, as numbers, and as names made of letters,
digits and underscores, never as anything else.
"""

from __future__ import annotations

from neuropt.compiling.ranges import range_of
from neuropt.exporting.expression_text import Names
from neuropt.exporting.layout import class_name, fill, formatted, formula, headline, indented, quoted, row, rows
from neuropt.exporting.parts import Parts
from neuropt.exporting.provenance import Provenance
from neuropt.exporting.recording import DECAY_STEPS, SEED, START, record
from neuropt.exporting.torch_templates import (
    CHECK,
    CHECK_SEED,
    CLASS,
    DECAY,
    DECOUPLED,
    DRAWS,
    FILE,
    FOREACH_LOOP,
    HELPER_TEXTS,
    JOIN,
    LOAD,
    LOOP,
    PART,
    SELF_TEST,
    TOGETHER,
)
from neuropt.exporting.torch_text import TORCH, TorchText
from search_space import Rule, zoo


def export_torch(rule: Rule, provenance: Provenance) -> str:
    """Return the source of a torch optimizer that needs torch and nothing else.

    `python FILE` replays recorded steps, and exits with 1 where they differ.

    >>> from search_space import parse_rule
    >>> "m = 0.9 * m_prev + (1 - 0.9) * g" in export_torch(parse_rule("m"), Provenance())
    True
    """
    body = _Body(rule)
    name = class_name(provenance.name)
    source = FILE.substitute(
        headline=headline(name, provenance),
        formula=formula(rule, 4),
        helpers="\n\n".join([HELPER_TEXTS[helper] for helper in body.helpers] + [DRAWS] * bool(body.draws)),
        body=_class(name, rule, body, provenance),
        test=_self_test(name, rule, body, provenance),
    )
    return formatted(source)


class _Body(Parts):
    """What of the class depends on the rule: lines of Python, not yet indented."""

    def __init__(self, rule: Rule) -> None:
        self.decoupled = "weight_decay" not in dict(rule.hyperparameters)
        reserved = TORCH.reserved + " weight_decay" * self.decoupled
        super().__init__(rule, TorchText(Names(reserved)))
        self.helpers = ("number", *sorted(self.writer.helpers))
        self.foreach = rule.pointwise and not self.draws

    def loop(self) -> str:
        """Step every parameter that has a gradient."""
        if self.foreach:
            return FOREACH_LOOP
        loop = "index, (group, p) in enumerate(pairs)" if self.draws else "group, p in pairs"
        return LOOP.substitute(loop=loop, index=", index" * bool(self.draws))

    def together(self) -> str:
        """Define how alike tensors are one, in a rule that updates each element by itself."""
        if not self.foreach:
            return ""
        names = [self.name(name) for name in self.remembered if self.kinds[name] == "tensor"]
        if not names:
            return fill(TOGETHER, numbers="value in self.state[p].values()", join="", part="")
        numbers = f"name, value in self.state[p].items() if name not in {quoted(names)}"
        join, part = (form.substitute(names=quoted(names)) for form in (JOIN, PART))
        return fill(TOGETHER, numbers=numbers, join=join, part=part)

    def load(self) -> str:
        """Define how half precision is loaded, in a rule that remembers tensors."""
        if all(self.kinds[name] == "number" for name in self.remembered):
            return ""
        return LOAD.substitute(names=quoted(["step", *map(self.name, self.remembered)]))

    def starts(self) -> list[str]:
        """Give the state its first values."""
        forms = {"number": "{0}", "reduced": "g.new_full((), {0})", "tensor": "torch.full_like(g, {0})"}
        return [
            f'state["{self.name(name)}"] = '
            + ("torch.zeros_like(g)" if start == 0 and kind == "tensor" else forms[kind].format(float(start)))
            for name, start, kind in ((n, s, self.kinds[n]) for n, s in self.remembered.items())
        ]

    def reads(self) -> list[str]:
        """Read hyperparameters, inputs, state and random numbers into local names."""
        numbers = ["lr", *self.hyperparameters]
        loop = f"number(group[name]) for name in {quoted(numbers)}"
        lines = [f"{', '.join(numbers)} = ({loop})"] if len(numbers) > 1 else ['lr = number(group["lr"])']
        lines += ["w = real.to(g.dtype)"] * ("w" in self.symbols)
        lines += ['t = state["step"].double()'] * ("t" in self.symbols)
        lines += ['T = number(group["decay_steps"])'] * ("T" in self.symbols)
        for name in self.remembered:
            value = f'state["{self.name(name)}"]'
            value = f"number({value})" if self.kinds[name] == "number" else value
            lines.append(f"{self.previous(name)} = {value}")
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
            form = "{0}.clone()" if self.is_input(name) else forms[self.kinds[name]]
            lines.append(f'state["{self.name(name)}"] = {form.format(self.name(name))}')
        return lines


def _class(name: str, rule: Rule, body: _Body, provenance: Provenance) -> str:
    options = [
        "lr",
        *body.hyperparameters,
        *["weight_decay"] * body.decoupled,
        *["decay_steps"] * body.decays,
        *["seed"] * bool(body.draws),
    ]
    options += ["maximize", *["foreach"] * body.foreach]
    arguments = ["self", "params", f"lr={float(provenance.lr)!r}", "*"]
    arguments += [f"{h}={body.writer.literal(float(value))[0]}" for h, value in body.hyperparameters.items()]
    arguments += ["weight_decay=0.0"] * body.decoupled
    arguments += ["decay_steps"] * body.decays + ["seed=0"] * bool(body.draws)
    arguments += ["maximize=False", *["foreach=None"] * body.foreach]
    return fill(
        CLASS,
        name=name,
        formula=formula(rule, 8),
        signature=", ".join(arguments),
        defaults=", ".join(f'"{key}": {key}' for key in options),
        decoupled=DECOUPLED if body.decoupled else "",
        checks=_checks(body, rule in zoo().values()),
        load=body.load(),
        loop=body.loop(),
        together=body.together(),
        index=", index" * bool(body.draws),
        starts=indented(body.starts(), 12),
        reads=indented(body.reads(), 8),
        equations=indented([line.text for line in body.lines], 8),
        writes=indented(body.writes(), 8),
        decay=DECAY if body.decoupled else "",
    )


def _checks(body: _Body, of_zoo: bool) -> str:
    """Return the lines that refuse bad values of what a group holds."""
    values = {"lr": 0.0, **body.hyperparameters} | ({"weight_decay": 0.0} if body.decoupled else {})
    planned = ["decay_steps"] * body.decays
    ranges = {name: found for name, own in values.items() if (found := range_of(name, own, of_zoo=of_zoo))}
    claims = (
        # a claim, how it is said, and of which hyperparameters
        ("-torch.inf < group[name] < torch.inf", "finite", [*values, *planned]),
        ("group[name] >= 0", ">= 0", [name for name, allowed in ranges.items() if not allowed.above_low]),
        ("group[name] > 0", "> 0", [name for name, allowed in ranges.items() if allowed.above_low] + planned),
        ("group[name] < 1", "< 1", [name for name, allowed in ranges.items() if allowed.high == 1]),
    )
    checks = [CHECK.substitute(claim=c, said=said, names=quoted(names)) for c, said, names in claims if names]
    return "\n".join(checks + [CHECK_SEED] * bool(body.draws))


def _self_test(name: str, rule: Rule, body: _Body, provenance: Provenance) -> str:
    recording = record(rule, provenance.lr)
    options = f"lr={float(recording.lr)!r}"
    options += f", decay_steps={DECAY_STEPS}" * body.decays + f", seed={SEED}" * bool(body.draws)
    return SELF_TEST.substitute(
        name=name,
        start=row(START, "torch.inf"),
        gradients=rows(recording.gradients, "torch.inf"),
        parameters=rows(recording.parameters, "torch.inf"),
        options=options,
    )

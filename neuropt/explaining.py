"""Explain a rule: its equations in full, its formula, what it remembers, and which known optimizer it is."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from search_space import Identity, Rule, expand, identify, simplify, to_latex, zoo
from search_space.expression import Previous, walk


@dataclass(frozen=True, slots=True)
class Explanation:
    """What there is to say of a rule.

    Args:
        text: as it is stored.
        expanded: its equations with every shortening written out.
        latex: the formula of `expanded`.
        hyperparameters: name -> value.
        kind: "pointwise", or "reducing" if it reads a norm, mean or dot product of whole tensors.
        remembers: values that are kept from step to step, for each parameter.
        needs_steps: whether it reads T, the planned number of steps.
        draws: whether it draws random numbers.
        same_as: zoo names of the same update, up to a positive factor.
        opposite_of: zoo names of the opposite update.
    """

    text: str
    expanded: str
    latex: str
    hyperparameters: dict[str, float]
    kind: str
    remembers: tuple[str, ...]
    needs_steps: bool
    draws: bool
    same_as: tuple[str, ...]
    opposite_of: tuple[str, ...]

    def as_dict(self) -> dict[str, object]:
        """Return it as plain values, for JSON."""
        return asdict(self)


def explain_rule(rule: Rule) -> Explanation:
    """Return what there is to say of `rule`.

    >>> from search_space import parse_rule
    >>> explanation = explain_rule(parse_rule("exp(sign(g) * sign(m)) * g"))
    >>> explanation.same_as, explanation.remembers, explanation.kind
    (('powersign',), ('m',), 'pointwise')
    """
    full = expand(rule)
    same_as, opposite_of = known_as(rule)
    return Explanation(
        text=rule.text,
        expanded=full.text if full != rule else rule.text,
        latex=to_latex(full),
        hyperparameters=dict(rule.hyperparameters),
        kind="pointwise" if rule.pointwise else "reducing",
        remembers=remembered(simplify(full)),
        needs_steps=rule.reads("T"),
        draws=not rule.deterministic,
        same_as=same_as,
        opposite_of=opposite_of,
    )


def remembered(rule: Rule) -> tuple[str, ...]:
    """Return the equations of an expanded rule that are read again one step later."""
    read = {n.name for e in rule.equations for n in walk(e.expression) if isinstance(n, Previous)}
    return tuple(equation.name for equation in rule.equations if equation.name in read)


def known_as(rule: Rule) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names of the zoo's rules that are this one up to a positive factor, and up to a negative one."""
    own = identify(rule)
    found = {name: identify(known) for name, known in zoo().items()}
    same = tuple(name for name, identity in found.items() if _same(own, identity))
    opposite = tuple(name for name, identity in found.items() if identity.either == own.either and name not in same)
    return same, opposite


def _same(a: Identity, b: Identity) -> bool:
    return a.structural == b.structural or a.positive == b.positive

"""Cheap tests that a rule passes before it is trained.

On a recorded trajectory of the task: the update must use the gradient, be finite, and point along it or against it. Then a short
descent of a quadratic with the task's own sizes must succeed at one learning rate at least. `1e-3 * w`, `exp(1 / g)` and `sign(w)` are
turned down by one test each, `g ** 2` by the cosine, `-g` passes with sign -1: it descends once negated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np

from search_space import draws
from search_space.expression import Call, Expression, Previous, Symbol, rebuild, walk
from search_space.graph import Node, order, rule_graph
from search_space.primitives import PRIMITIVES, Array
from search_space.probes import ELEMENTS, probe_values
from search_space.program import Program
from search_space.rule import READY, RESULT, Equation, Rule
from search_space.simplifying import simplify
from search_space.trajectory import Trajectory, probe_trajectory

LEAST_COSINE = 0.02
"""Below this mean cosine with the gradient, of either sign, a rule is not trained."""
LARGEST = 1e12
"""An update beyond this has exploded."""
RATES = (1e-3, 1e-2, 1e-1, 0.5)
"""Learning rates of the quadratic, in units of (size of w) / (size of u)."""
DESCENT_STEPS = 8
LEAST_DESCENT = 1e-4
"""The part of the loss that must be gone after them."""
_ELEMENTS = 16


@dataclass(frozen=True, slots=True)
class Screening:
    """What screening found.

    Args:
        accepted: whether to train the rule.
        reason: why not.
        sign: -1 if the rule descends only when negated.
        scale: mean |u| on the trajectory; divide learning rates by it.
        cosine: mean over the steps of the cosine between u and g.
    """

    accepted: bool
    reason: str | None
    sign: int
    scale: float
    cosine: float


def screen(rule: Rule, trajectory: Trajectory | None = None) -> Screening:
    """Test `rule` on a recorded trajectory; on a synthetic one if none is given.

    >>> from search_space import parse_rule
    >>> screen(parse_rule("-g")).sign
    -1
    >>> screen(parse_rule("1e-3 * w")).reason
    'does not use the gradient'
    """
    return screen_node(rule_graph(rule), _default() if trajectory is None else trajectory)


def screen_node(root: Node, trajectory: Trajectory) -> Screening:
    """Test the rule whose update is `root`."""
    found = screen_on_trajectory(root, trajectory)
    if found.accepted and not _descends(root, found.sign, found.scale, trajectory):
        return replace(found, accepted=False, reason="does not descend a quadratic")
    return found


def screen_on_trajectory(root: Node, trajectory: Trajectory) -> Screening:
    """Do the tests of `screen_node` but for the last, which descends a quadratic."""
    if not root.uses_gradient or _same_for_all_gradients(root):
        return Screening(False, "does not use the gradient", 1, 0.0, 0.0)
    u = trajectory.values(root)
    sizes = np.abs(u)
    scale = float(sizes.mean())
    if not np.isfinite(scale):
        return Screening(False, "not finite on the trajectory", 1, scale, 0.0)
    if sizes.max() > LARGEST:
        return Screening(False, "explodes on the trajectory", 1, scale, 0.0)
    cosine = mean_cosine(u, trajectory)
    sign = -1 if cosine < 0.0 else 1
    if abs(cosine) < LEAST_COSINE:
        return Screening(False, "does not follow the gradient", sign, scale, cosine)
    return Screening(True, None, sign, scale, cosine)


def negate(rule: Rule) -> Rule:
    """Return the rule with the opposite update.

    >>> from search_space import parse_rule
    >>> print(negate(parse_rule("w - g")))
    g - w
    """
    *others, last = rule.equations
    result = last
    if RESULT in {n.name for e in rule.equations for n in walk(e.expression) if isinstance(n, Previous)}:
        # what u remembers keeps its sign: it becomes an equation of its own
        name = _fresh_name(rule)
        others = [Equation(e.name, _renamed(e.expression, name)) for e in others]
        others.append(Equation(name, _renamed(last.expression, name)))
        result = Equation(RESULT, Symbol(name))
    negated = Equation(RESULT, Call("neg", (result.expression,)))
    return simplify(Rule(rule.hyperparameters, (*others, negated)))


def _renamed(expression: Expression, name: str) -> Expression:
    return rebuild(expression, lambda n: replace(n, name=name) if isinstance(n, Previous) and n.name == RESULT else n)


def _fresh_name(rule: Rule) -> str:
    taken = {e.name for e in rule.equations} | {name for name, _ in rule.hyperparameters} | READY.keys()
    return next(name for name in (f"u_{i}" for i in range(1, len(taken) + 2)) if name not in taken)


def _same_for_all_gradients(root: Node) -> bool:
    """Whether the update is equal where only gradients differ: `w + 0 * g` uses g in its text only."""
    u = probe_values()(root)
    half = ELEMENTS // 2
    first, second = u[..., :half], u[..., half:]
    if bool(np.array_equal(first, second, equal_nan=True)):
        return not any(_mixes_elements(node) for node, _ in order(root, lambda n: False))
    return False


def _mixes_elements(node: Node) -> bool:
    primitive = PRIMITIVES.get(node.function)
    return primitive is not None and primitive.kind == "reducing"


def mean_cosine(update: Array, trajectory: Trajectory) -> float:
    """Return the mean over the steps of <u, g> / (|u| |g|); a step at which either is 0 counts as 0.

    Args:
        update: (steps, elements), finite.
    """
    largest = np.abs(update).max(axis=1)  # (steps,); keeps squares of large updates finite
    u = update / np.where(largest > 0.0, largest, 1.0)[:, None]
    norms = np.sqrt(np.einsum("te,te->t", u, u)) * trajectory.gradient_norms
    products = np.einsum("te,te->t", u, trajectory.gradients)
    return float(np.mean(products / np.where(norms > 0.0, norms, 1.0)))


def _descends(root: Node, sign: int, scale: float, trajectory: Trajectory) -> bool:
    """Whether f = 1/2 sum h w^2 goes down from the task's size of w, with gradients of the task's size, at one of `RATES`."""
    curvature, w, loss = _quadratic(*trajectory.sizes)
    rates = np.array(RATES)[:, None] * (trajectory.sizes[0] / scale)
    program = Program(root, lambda n: n.function in ("input", "normal", "uniform"))
    constants: dict[str, Any] = {"T": float(DESCENT_STEPS), "lr": rates}

    def inputs(t: int) -> list[Any]:
        values = constants | {"g": curvature * w, "w": w, "t": float(t)}
        return [_input(node, values, t) for node in program.inputs]

    with np.errstate(all="ignore"):
        registers = program.start(inputs(0))
        for t in range(DESCENT_STEPS):
            registers[: len(program.inputs)] = inputs(t)
            w = w - rates * sign * program.step(registers)
        return bool((np.square(w) @ curvature < (1.0 - LEAST_DESCENT) * loss).any())


@cache
def _quadratic(size_w: float, size_g: float) -> tuple[Array, Array, Array]:
    """Return its curvature h (elements,), where it starts, (rates, elements), and twice its value there (rates,)."""
    curvature = np.geomspace(0.3, 3.0, _ELEMENTS) * (size_g / size_w)
    w = np.broadcast_to(size_w * draws.normal(_ELEMENTS, 5, 0, 0, 0), (len(RATES), _ELEMENTS))
    return curvature, w, np.square(w) @ curvature


def _input(node: Node, values: Mapping[str, Any], t: int) -> Any:
    if node.function == "input":
        return values[str(node.value)]
    return _draws(node.function, int(str(node.value)))[t]


@cache
def _draws(kind: str, number: int) -> Array:
    source = draws.normal if kind == "normal" else draws.uniform
    return np.stack([source(_ELEMENTS, 6, 0, number, t) for t in range(DESCENT_STEPS)])


@cache
def _default() -> Trajectory:
    return probe_trajectory()

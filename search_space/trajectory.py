"""Run a rule over a recorded trajectory, all steps in one numpy call.

While a rule is only looked at, the gradients and parameters are known beforehand, so `exp(g) * w` at all steps is one call on arrays
of shape (steps, ..., elements). Only remembered values go step by step, and only the operations that depend on their past. Values are
kept by the key of their node: the moments, and most of what the next rule asks for, are computed once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from search_space import draws
from search_space.graph import Node
from search_space.primitives import PRIMITIVES, Array
from search_space.program import Program

KEPT_BYTES = 32 * 2**20
"""Values kept for one trajectory; then all are forgotten."""


class Values:
    """Computes the values of nodes over a trajectory, and keeps them.

    Args:
        inputs: g, w, t, T, lr by name; arrays of shape (steps, ..., elements) or numbers.
        draw: the random numbers of one draw, ("normal" or "uniform", number) -> (steps, ..., elements).
    """

    def __init__(self, inputs: dict[str, Any], draw: Callable[[str, int], Array]) -> None:
        self.inputs = inputs
        self.draw = draw
        self.shape: tuple[int, ...] = np.shape(inputs["g"])
        self.kept: dict[bytes, Any] = {}
        self.limit = max(64, KEPT_BYTES // (8 * int(np.prod(self.shape))))

    def __call__(self, root: Node) -> Array:
        """Return the value of `root` at every step, (steps, ..., elements)."""
        with np.errstate(all="ignore"):
            value = np.asarray(self.value(root), np.float64)
        return value if value.shape == self.shape else np.broadcast_to(value, self.shape)

    def value(self, root: Node) -> Any:
        """Return the value of `root`, without a steps axis where it is the same at all steps."""
        kept, programs = self.kept, dict[bytes, Program]()
        if len(kept) > self.limit:
            kept.clear()
        stack = [root]
        while stack:
            node = stack[-1]
            if node.key in kept:
                stack.pop()
                continue
            below: Sequence[Node] = node.arguments
            if node.function == "recurrence":
                if node.key not in programs:
                    programs[node.key] = Program(node, _outside(node))
                below = programs[node.key].inputs
            waiting = [n for n in below if n.key not in kept]
            if waiting:
                stack.extend(waiting)
                continue
            kept[node.key] = self.recur(programs[node.key]) if node.key in programs else self.compute(node)
            stack.pop()
        return kept[root.key]

    def compute(self, node: Node) -> Any:
        """Return the value of a node whose arguments are known."""
        arguments = [self.kept[a.key] for a in node.arguments]
        primitive = PRIMITIVES.get(node.function)
        if primitive is not None:
            return primitive.numpy(*arguments)
        match node.function, node.value:
            case "number", value:
                return value
            case "input", str(name):
                return self.inputs[name]
            case ("normal" | "uniform") as kind, int(number):
                return self.draw(kind, number)
            case "delayed", float(start):
                return self.delay(arguments[0], start)
        raise AssertionError(node)

    def moves(self, value: Any) -> bool:
        """Whether `value` has a steps axis; numbers and reductions of numbers have none."""
        return np.ndim(value) == len(self.shape)

    def delay(self, value: Any, start: float) -> Array:
        """Return `value` one step ago."""
        if not self.moves(value):
            value = np.full((self.shape[0],) + (1,) * (len(self.shape) - 1), np.ravel(value)[0], np.float64)
        return np.concatenate([np.full_like(value[:1], start), value[:-1]])

    def recur(self, program: Program) -> Array:
        """Return a remembered value at every step."""
        values = [self.kept[n.key] for n in program.inputs]
        moving = [(i, v) for i, v in enumerate(values) if self.moves(v)]
        registers = program.start([v[0] if self.moves(v) else v for v in values])
        path = []
        for t in range(self.shape[0]):
            for i, v in moving:
                registers[i] = v[t]
            path.append(program.step(registers))
        shape = np.broadcast_shapes(*{np.shape(p) for p in path})
        ones = (1,) * (len(self.shape) - 1 - len(shape))  # what counts steps has no element axis
        return np.array([np.broadcast_to(p, shape) for p in path], np.float64).reshape(self.shape[0], *ones, *shape)


def _outside(recurrence: Node) -> Callable[[Node], bool]:
    return lambda node: not node.is_open and node is not recurrence


@dataclass(frozen=True, eq=False)
class Trajectory:
    """Recorded gradients and parameters, on which rules are screened.

    Args:
        gradients: (steps, elements); a sample of a few hundred elements of a model is enough.
        weights: (steps, elements), where each gradient was taken.
        learning_rate: what rules that read lr see.

    Raises:
        ValueError: shapes that differ, fewer than 2 steps, or numbers that are not finite.
    """

    gradients: Array
    weights: Array
    learning_rate: float = 1e-3

    def __post_init__(self) -> None:
        for name in ("gradients", "weights"):
            array = np.array(getattr(self, name), np.float64)
            array.setflags(write=False)
            object.__setattr__(self, name, array)
            if array.ndim != 2 or array.shape[0] < 2 or array.shape[1] < 1 or not np.isfinite(array).all():
                raise ValueError(f"{name} must be finite, of shape (steps >= 2, elements >= 1), but got {array.shape}")
        if self.gradients.shape != self.weights.shape:
            raise ValueError(
                f"gradients and weights must have one shape, but got {self.gradients.shape} and {self.weights.shape}"
            )

    @cached_property
    def values(self) -> Values:
        """Values of rules over this trajectory; T is its number of steps."""
        steps, elements = self.gradients.shape
        t = np.arange(steps, dtype=np.float64)[:, None]
        inputs = {"g": self.gradients, "w": self.weights, "t": t, "T": float(steps), "lr": self.learning_rate}

        @lru_cache(maxsize=16)  # kept when values are forgotten: rules with noise or drop share the first few
        def draw(kind: str, number: int) -> Array:
            source = draws.normal if kind == "normal" else draws.uniform
            return np.stack([source(elements, 0, 0, number, step) for step in range(steps)])

        return Values(inputs, draw)

    @cached_property
    def sizes(self) -> tuple[float, float]:
        """Root mean squares of the parameters and of the gradients; 1 where all are 0."""
        w, g = (float(np.sqrt(np.mean(np.square(x)))) for x in (self.weights, self.gradients))
        return w or 1.0, g or 1.0

    @cached_property
    def gradient_norms(self) -> Array:
        """(steps,)"""
        return np.asarray(np.linalg.norm(self.gradients, axis=1))


def probe_trajectory(steps: int = 32, elements: int = 256) -> Trajectory:
    """Return a synthetic trajectory: gradients of a noisy quadratic under gradient descent, over four decades of size.

    Recorded gradients of the task itself tell more: on those of real networks the sign of the cosine agrees with this one's in about
    three rules of four.
    """
    curvature = np.geomspace(1e-3, 1.0, elements)
    w = draws.normal(elements, 1, 0, 0, 0)
    weights, gradients = [], []
    for t in range(steps):
        g = curvature * (w + 0.5 * draws.normal(elements, 2, 0, 0, t))
        g[draws.uniform(elements, 3, 0, 0, t) < 0.05] = 0.0  # as after a ReLU
        weights.append(w)
        gradients.append(g)
        w = w - 0.1 * g
    return Trajectory(np.stack(gradients), np.stack(weights))

"""A whole step of one tensor as one function of flat tensors, from the straight-line form of a rule.

`m = 0.9 * prev(m) + 0.1 * g; u = sign(m)` becomes the graph

    m_new = 0.9 * m + 0.1 * g
    w.copy_(w - lr * sign(m_new))
    m.copy_(m_new)

which a compiler fuses into one loop: every element is read once and written once. What differs between steps (lr, hyperparameters, and
whatever else is a number, such as a bias correction) comes in one small tensor, so nothing is compiled again when it changes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx
from torch.fx.proxy import GraphAppendingTracer

from neuropt.compiling.kernel_primitives import KERNEL_PRIMITIVES, drawn
from neuropt.compiling.program import Program
from neuropt.compiling.signs import SignPower, sign_powers
from neuropt.compiling.torch_primitives import fitting
from search_space.draws import keys

KEYS = {"noise": 4, "drop": 2}
"""How many keys a draw needs: two for each of its uniforms."""


@dataclass(frozen=True, eq=False)
class Kernel:
    """A step as a graph: (w, g, numbers, keys, *remembered) -> nothing; w and remembered are written.

    Args:
        program: any.
        dtype: of the arithmetic; w and g may have another.
        kept: dtype of what is remembered.
        device: where it runs.
        maximize: step along -g.
    """

    program: Program
    dtype: torch.dtype
    kept: torch.dtype
    device: torch.device
    maximize: bool

    @cached_property
    def tensors(self) -> tuple[str, ...]:
        """Names of what is remembered in tensors, in the order of the arguments."""
        return tuple(r.name for r in self.program.remembered if r.kind != "number")

    @cached_property
    def powers(self) -> dict[int, SignPower]:
        return sign_powers(self.program)

    @cached_property
    def read(self) -> tuple[int, ...]:
        """The values of kind `number` that tensors are computed from, but for constants."""
        program = self.program
        used = {program.result, *(r.value for r in program.remembered if r.kind != "number")}
        used.update(*(i.arguments for i in program.instructions[program.numbers :]))
        fixed = {n for n, leaf in enumerate(program.leaves) if leaf.source == "constant"}
        return tuple(sorted(n for n in used - fixed if program.kinds[n] == "number"))

    @cached_property
    def divisors(self) -> tuple[int, ...]:
        """The values of kind `number` by which tensors are divided."""
        per_element = self.program.instructions[self.program.numbers :]
        divided = {i.arguments[1] for i in per_element if i.function == "/"}
        return tuple(sorted(n for n in divided if self.program.kinds[n] == "number"))

    def numbers(self, lr: float, values: Sequence[Any]) -> Tensor:
        """Return the argument `numbers`, from lr and `evaluate_numbers`."""
        given = [lr, *(values[n] for n in self.read)]
        for power in self.powers.values():
            given.extend(power.values(values))
        for divisor in self.divisors:
            given.extend(reciprocal(values[divisor]))
        with np.errstate(over="ignore"):  # what is too large becomes infinite
            found = torch.from_numpy(np.array(given, np.float32 if self.dtype == torch.float32 else np.float64))
        return self._sent(found)

    def keys(self, seed: int, parameter: int, t: int) -> Tensor | None:
        """Return the argument `keys`, or None for a rule that draws nothing; the arguments are those of `search_space.draws.keys`."""
        found: list[int] = []
        for i in self.program.instructions:
            if i.draw is not None:
                for stream in range(KEYS[i.function] // 2):
                    found.extend(keys(seed, parameter, i.draw, t, stream))
        return self._sent(torch.tensor(found)) if found else None

    def _sent(self, numbers: Tensor) -> Tensor:
        """Return numbers on the device; a copy that blocks would wait for all that a GPU has still to do."""
        return numbers.to(self.device, non_blocking=self.device.type == "cuda")

    def graph(self) -> fx.GraphModule:
        """Return the step as straight-line torch code."""
        graph = fx.Graph()
        tracer = GraphAppendingTracer(graph)

        def placeholder(name: str) -> fx.Proxy:
            return fx.Proxy(graph.placeholder(name), tracer)

        def called(function: Callable[..., Any], *arguments: Any, **options: Any) -> fx.Proxy:
            return fx.Proxy(tracer.create_node("call_function", function, arguments, options), tracer)

        w, g, numbers, keys = (placeholder(name) for name in ("w", "g", "numbers", "keys"))
        remembered = {name: placeholder(f"remembered_{i}") for i, name in enumerate(self.tensors)}
        self._write(w, g, numbers, keys, remembered, called)
        graph.output(())
        return fx.GraphModule({}, graph)

    # The arguments are proxies: what is computed with them is written into the graph.
    def _write(
        self,
        w_given: Any,
        g_given: Any,
        numbers: Any,
        keys: Any,
        remembered: dict[str, Any],
        called: Callable[..., Any],
    ) -> None:
        program, slots = self.program, iter(range(1 + len(self.read) + 3 * len(self.powers) + 2 * len(self.divisors)))
        given_numbers = numbers.unbind(0)
        lr = given_numbers[next(slots)]
        values: dict[int, Any] = {number: given_numbers[next(slots)] for number in self.read}
        powers = {number: [given_numbers[next(slots)] for _ in range(3)] for number in self.powers}
        w, g = w_given.to(self.dtype), g_given.to(self.dtype)
        reciprocals = {number: [given_numbers[next(slots)] for _ in range(2)] for number in self.divisors}
        given = {"w": w, "g": -g if self.maximize else g}
        for number, leaf in enumerate(program.leaves):
            if leaf.source == "constant":
                constant = fitting(leaf.number, self.dtype)
                values[number] = called(torch.full, (), constant, dtype=self.dtype, device=self.device)
            elif leaf.source == "input" and leaf.name in given:
                values[number] = given[leaf.name]
            elif leaf.source == "previous" and leaf.kind != "number":
                values[number] = remembered[leaf.name].to(self.dtype)
        element = called(torch.arange, g_given.shape[0].node, device=self.device) if not program.deterministic else None
        streams = self._draws(element, keys.unbind(0) if element is not None else None)
        start = len(program.leaves) + program.numbers
        for number, i in enumerate(program.instructions[program.numbers :], start):
            if number in powers:
                values[number] = _selected(self.powers[number], values, powers[number])
                continue
            arguments = [values[argument] for argument in i.arguments]
            if i.function == "/" and i.arguments[1] in reciprocals:
                mantissa, power = reciprocals[i.arguments[1]]
                values[number] = arguments[0] * mantissa * power
                continue
            if i.function in ("**", "pow_abs"):
                arguments[1] = self._exponent(i.arguments[1], arguments[1])
            if i.draw is not None:
                arguments.append(next(streams))
            values[number] = KERNEL_PRIMITIVES[i.function](*arguments)
        # what is remembered may be a leaf itself, `m = w` or `a = prev(b)`, whose memory is written here; the compiler takes a clone
        # away and reads what was written, but it keeps the least of a number and itself
        kept = {
            r.name: torch.minimum(values[r.value], values[r.value])
            if r.value < len(program.leaves)
            else values[r.value]
            for r in program.remembered
            if r.kind != "number"
        }
        w_given.copy_(w - lr * values[program.result])
        for name, value in kept.items():
            remembered[name].copy_(value)

    def _exponent(self, value: int, found: Any) -> Any:
        """Return a constant exponent as a float, for which there are faster and exacter forms: x * x, sqrt(x)."""
        leaves = self.program.leaves
        is_constant = value < len(leaves) and leaves[value].source == "constant"
        # x ** -0.5 as 1 / sqrt(x) is -inf at -0.0 and nan at -inf; with a tensor exponent it is the real power
        return leaves[value].number if is_constant and leaves[value].number != -0.5 else found

    def _draws(self, element: Any, keys: Any) -> Iterator[Any]:
        """Give what the draws draw, in the order of the instructions."""
        place = 0
        for i in self.program.instructions:
            if i.draw is not None:
                count = KEYS[i.function]
                yield drawn(i.function, element, [keys[place + k] for k in range(count)]).to(self.dtype)
                place += count


def reciprocal(number: float) -> tuple[float, float]:
    """Return two factors, one in (1/2, 1] and a power of two: a product with both is a quotient to the last bit, and many times faster.

    >>> reciprocal(-3.0)
    (-0.6666666666666666, 0.5)
    """
    fraction, exponent = math.frexp(number)
    mantissa = 0.5 / fraction if fraction else math.copysign(math.inf, number)
    return mantissa, math.ldexp(1.0, 1 - exponent) if exponent > -1023 else math.inf


def _selected(power: SignPower, values: dict[int, Any], outcomes: Sequence[Any]) -> Any:
    """Choose by the sign of a product, which is that of `sign(x) * sign(y)` also where `x * y` would underflow or be 0 * inf."""
    one, minus_one, zero = outcomes
    first, *others = [values[number] for number in power.signed]
    above, below, least = first > 0, first < 0, torch.abs(first)
    for x in others:
        above, below = (above & (x > 0)) | (below & (x < 0)), (above & (x < 0)) | (below & (x > 0))
        least = torch.minimum(least, torch.abs(x))
    return torch.where(above, one, torch.where(below, minus_one, zero + least))  # neither: one is 0, or one is NaN

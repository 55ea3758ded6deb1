"""Run a program on torch tensors: one step of one tensor, as a loop over its instructions.

`m = 0.9 * prev(m) + 0.1 * g; u = m` runs as

    a = 0.9 * m_old      over the memory of m_old, which is read for the last time
    b = 0.1 * g          in new memory: g is the caller's
    a = a + b            over the memory of a; a is u and the new m

so a value that dies gives its memory to the next, and what is remembered stays where it was.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from neuropt.compiling.program import Instruction, Program, Remembered, compile_text
from neuropt.compiling.torch_primitives import TORCH_PRIMITIVES, fitting
from search_space.primitives import PRIMITIVES

Value = Tensor | float
Draw = Callable[[str, int], Tensor]
"""(function, draw) -> the drawn numbers in the shape, dtype and place of the tensor: normals for `noise`, uniforms for `drop`.
Their memory is donated: the step may overwrite it."""


PLAIN: dict[str, Callable[..., float]] = {"+": operator.add, "-": operator.sub, "*": operator.mul}
"""What IEEE defines to the last bit, and Python computes without exceptions."""


def evaluate_numbers(program: Program, given: Mapping[str, Any], remembered: Mapping[str, Any]) -> list[Any]:
    """Return the values of kind `number`, in float64, and None for all others: a list as long as `program.kinds`.

    Args:
        program: any.
        given: t, T, lr and the hyperparameters, by name: Python floats, or numpy arrays that broadcast against each other, such as
            (children, 1) for a population whose members differ in them.
        remembered: values of remembered numbers, by name.

    >>> from neuropt.compiling.program import compile_text
    >>> evaluate_numbers(compile_text("g * 2 ** t"), {"t": 3.0}, {})
    [None, 2.0, 3.0, 8.0, None]
    """
    constants, inputs, steps = program.number_steps
    values: list[Any] = list(constants)
    for number, name, is_remembered in inputs:
        values[number] = remembered.get(name) if is_remembered else given[name]
    if steps:
        with np.errstate(all="ignore"):
            for number, function, arguments in steps:
                values[number] = _number(function, [values[argument] for argument in arguments])
    return values


def _number(function: str, arguments: list[Any]) -> Any:
    if function in PLAIN:
        return PLAIN[function](*arguments)  # on floats the same number as numpy's, many times faster
    result = PRIMITIVES[function].numpy(*arguments)
    is_array = any(isinstance(argument, np.ndarray) for argument in arguments)
    return result if is_array else float(np.asarray(result).item())


@dataclass(frozen=True, slots=True)
class _Step:
    """One instruction, its torch function looked up.

    Args:
        function: arguments -> result; with `out=` where `into` is a position.
        arguments: values that it reads.
        draw: what it draws, or None.
        into: position of the argument whose memory the result takes; None for new memory.
        dying: values that are read for the last time.
    """

    function: Callable[..., Tensor]
    arguments: tuple[int, ...]
    draw: tuple[str, int] | None
    into: int | None
    dying: tuple[int, ...]


class Execution:
    """A program ready to run on torch tensors.

    >>> from neuropt.compiling.program import compile_text
    >>> execution = Execution(compile_text("m = 0.5 * prev(m) + 0.5 * g; u = 2 * m"))
    >>> g, w = torch.tensor([1.0, -2.0]), torch.zeros(2)
    >>> execution.step(g, w, execution.numbers({}, {}), execution.start(w))
    (tensor([ 1., -2.]), {'m': tensor([ 0.5000, -1.0000])})
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self.steps = [_planned(program, position) for position in range(program.numbers, len(program.instructions))]
        self.copied = _copied(program)
        self.inputs = [
            (n, leaf.name) for n, leaf in enumerate(program.leaves) if leaf.name in "gw" and leaf.source == "input"
        ]

    def numbers(self, given: Mapping[str, float], remembered: Mapping[str, Any]) -> list[Any]:
        """Return the values of kind `number`, as `evaluate_numbers`; tensors for which they are equal may share them."""
        return evaluate_numbers(self.program, given, remembered)

    def start(self, w: Tensor) -> dict[str, Value]:
        """Return what is remembered before the first step of a parameter like `w`: tensors, one number each row, or floats."""
        return {r.name: _start(r, w) for r in self.program.remembered}

    def step(
        self, g: Tensor, w: Tensor, numbers: list[Any], remembered: Mapping[str, Value], draw: Draw | None = None
    ) -> tuple[Tensor, dict[str, Value]]:
        """Return the update u and what the next step reads.

        Args:
            g: gradient: of any shape for a pointwise program, of shape (..., elements) for one with reductions. Not written.
            w: parameter, likewise.
            numbers: from `numbers`.
            remembered: from `start` or the last step. The memory of its tensors is donated: it may be overwritten.
            draw: random numbers, for a program that draws.

        Returns:
            u in the shape of g, which may be g itself or a remembered tensor: to be read before the next step and not written;
            and the remembered values.
        """
        program = self.program
        values: list[Any] = [None if number is None else fitting(number, g.dtype) for number in numbers]
        for number, name in self.inputs:
            values[number] = g if name == "g" else w
        for r in program.remembered:
            if r.kind != "number":
                values[r.leaf] = remembered[r.name]
        for number, step in enumerate(self.steps, len(program.leaves) + program.numbers):
            arguments = [values[argument] for argument in step.arguments]
            if step.draw is not None:
                assert draw is not None
                arguments.append(draw(*step.draw))
            out = {} if step.into is None else {"out": arguments[step.into]}
            values[number] = step.function(*arguments, **out)
            for dead in step.dying:
                values[dead] = None
        kept = {r.name: (numbers if r.kind == "number" else values)[r.value] for r in program.remembered}
        for name in self.copied:
            kept[name] = kept[name].clone()
        u = values[program.result]
        return (u.expand_as(g) if isinstance(u, Tensor) else torch.full_like(g, u)), kept


@lru_cache(maxsize=256)
def execution_of(text: str) -> Execution:
    """Compile a rule once for all optimizers that have it; an `Execution` holds no state."""
    return Execution(compile_text(text))


def _start(remembered: Remembered, w: Tensor) -> Value:
    match remembered.kind:
        case "number":
            return remembered.start
        case "reduced":
            return w.new_full((*w.shape[:-1], 1), remembered.start)
        case "tensor":
            return torch.full_like(w, remembered.start, memory_format=torch.preserve_format)


def _planned(program: Program, position: int) -> _Step:
    """Look an instruction's function up, and see whether one of its arguments leaves memory for the result."""
    instruction = program.instructions[position]
    row = TORCH_PRIMITIVES[instruction.function]
    dying = tuple({a for a in instruction.arguments if program.last_use[a] == position})
    draw = None if instruction.draw is None else (instruction.function, instruction.draw)
    into = _free_argument(program, instruction, dying, row.reusable) if row.into else None
    function = row.function if into is None or row.into is None else row.into
    return _Step(function, instruction.arguments, draw, into, dying)


def _free_argument(
    program: Program, instruction: Instruction, dying: tuple[int, ...], reusable: tuple[int, ...]
) -> int | None:
    """Return the position of an argument that dies here, is ours, is as large as the result, and stands where it may be reused."""
    for position, argument in enumerate(instruction.arguments):
        ours = argument >= len(program.leaves) or program.leaves[argument].source == "previous"
        everywhere = (p for p, other in enumerate(instruction.arguments) if other == argument)
        same_size = program.kinds[argument] == instruction.kind
        if argument in dying and ours and same_size and all(p in reusable for p in everywhere):
            return position
    drawn = len(instruction.arguments)
    return drawn if instruction.draw is not None and drawn in reusable else None


def _copied(program: Program) -> tuple[str, ...]:
    """Return the remembered values that would share memory with an input or with another remembered value."""
    taken = {n for n, leaf in enumerate(program.leaves) if leaf.source == "input"}
    copied = []
    for r in program.remembered:
        if r.kind != "number" and r.value in taken:
            copied.append(r.name)
        taken.add(r.value)
    return tuple(copied)

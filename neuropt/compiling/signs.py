"""Powers of signs: `base ** (f * sign(g) * sign(m))` has three values, so a kernel selects instead of computing a power for each element.

    s = sign(g) * sign(m)                          -1, 0, 1, or NaN
    base ** (f * s) = base ** f    where s = 1
                      1            where s = 0
                      base ** -f   where s = -1
                      NaN          where s = NaN

The same for `exp(f * s)`. Both are continuous at 0, so it does not matter that a sign may be -0. (1 ** NaN would be 1; it is NaN here.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from neuropt.compiling.program import Instruction, Program, fold


@dataclass(frozen=True, slots=True)
class SignPower:
    """An instruction that takes three values.

    Args:
        signed: numbers of the values of whose signs s is the product.
        factors: numbers of the values, of kind `number`, whose product is f.
        negated: whether it is -f.
        base: number of the base's value; None for e.
    """

    signed: tuple[int, ...]
    factors: tuple[int, ...]
    negated: bool
    base: int | None

    def values(self, numbers: Sequence[float]) -> tuple[float, float, float]:
        """Return what it is where s is 1, -1 and 0, in float64.

        Args:
            numbers: from `evaluate_numbers`.
        """
        f = math.prod((numbers[factor] for factor in self.factors), start=-1.0 if self.negated else 1.0)
        raised = [
            fold("exp", [e]) if self.base is None else fold("**", [numbers[self.base], e]) for e in (f, -f, f * 0)
        ]
        return raised[0], raised[1], raised[2]


def sign_powers(program: Program) -> dict[int, SignPower]:
    """Return the instructions of a program that are powers of products of signs, by their value numbers.

    >>> from neuropt.compiling.program import compile_text
    >>> program = compile_text("base = 2; u = base ** (ld * sign(g) * sign(m)) * g")
    >>> [power.values([2.0] * len(program.kinds)) for power in sign_powers(program).values()]
    [(4.0, 0.25, 1.0)]
    """
    found = {}
    for number, instruction in enumerate(program.instructions, len(program.leaves)):
        if instruction.kind != "tensor":
            continue
        match instruction:
            case Instruction("exp", (exponent,)):
                base = None
            case Instruction("**", (base, exponent)) if program.kinds[base] == "number":
                pass
            case _:
                continue
        signed, factors, negated = list[int](), list[int](), False
        waiting = [exponent]
        while waiting:
            value = waiting.pop()
            match _instruction(program, value):
                case _ if program.kinds[value] == "number":
                    factors.append(value)
                case Instruction("*", arguments):
                    waiting.extend(arguments)
                case Instruction("neg", arguments):
                    waiting.extend(arguments)
                    negated = not negated
                case Instruction("sign", arguments):
                    signed.extend(arguments)
                case _:
                    break
        else:
            found[number] = SignPower(tuple(signed), tuple(factors), negated, base)
    return found


def _instruction(program: Program, value: int) -> Instruction | None:
    """Return the instruction that computes a value, or None for a leaf."""
    position = value - len(program.leaves)
    return program.instructions[position] if position >= 0 else None

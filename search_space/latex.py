r"""Rules as formulas, through sympy's printer.

    m = 0.9 * prev(m) + 0.1 * g           m_{t} = 0.9 m_{t-1} + 0.1 g_{t}
    u = exp(sign(g) * sign(m)) * g        u_{t} = e^{\operatorname{sign}{\left(g_{t} \right)} ...} g_{t}

Everything is built without evaluation and printed without sorting, so that the formula keeps the form of the rule. sympy is imported
here only, and at the first call only: it takes longer to import than the rest of this package.
"""

from __future__ import annotations

import importlib
import re
from typing import Any, assert_never

from search_space.expression import Call, Expression, Number, Previous, Symbol
from search_space.primitives import COMPARISON, PRIMITIVES
from search_space.printing import print_number
from search_space.rule import INPUTS, READY, Rule

_GREEK = re.compile(
    "alpha|beta|gamma|delta|epsilon|zeta|eta|theta|kappa|lambda|mu|nu|xi|rho|sigma|tau|phi|chi|psi|omega"
)
_CONSTANTS = {2.718281828459045: "e", 3.141592653589793: r"\pi", 6.283185307179586: r"2 \pi"}
_SIGNED = ("+", "-", "*", "/", "neg")
_FIXED = {"t": "t", "T": "T", "lr": r"\eta", "eps": r"\epsilon"}


def to_latex(rule: Rule) -> str:
    r"""Return `rule` as aligned equations; expand it first to see what its shortenings mean.

    >>> from search_space import parse_rule
    >>> print(to_latex(parse_rule("beta = 0.9; m = beta * prev(m) + g; u = m / 2")))
    \begin{aligned}
    \beta &= 0.9 \\
    m_{t} &= \beta m_{t-1} + g_{t} \\
    u_{t} &= \frac{m_{t}}{2}
    \end{aligned}
    """
    sympy: Any = importlib.import_module("sympy")
    constants = {name for name, _ in rule.hyperparameters}
    lines = [f"{_name(name, '')} &= {_number(value)}" for name, value in rule.hyperparameters]
    with sympy.evaluate(False):
        for equation in rule.equations:
            formula = _formula(sympy, equation.expression, constants)
            lines.append(f"{_name(equation.name, 't')} &= {sympy.latex(formula, order='none')}")
    return "\\begin{aligned}\n" + " \\\\\n".join(lines) + "\n\\end{aligned}"


def _formula(sympy: Any, expression: Expression, constants: set[str]) -> Any:
    match expression:
        case Number(value) if value < 0.0:
            return sympy.Symbol(f"-{_number(-value)}")
        case Number(value):
            return sympy.Integer(int(value)) if value.is_integer() and value < 1e6 else sympy.Symbol(_number(value))
        case Symbol(name):
            varies = name not in constants and (name in READY or name not in _FIXED)
            return sympy.Symbol(_name(name, "t" if varies else ""))
        case Previous(name):
            return sympy.Symbol(_name(name, "t-1"))
        case Call("*", (x, Number(value))) if value >= 0.0 and not isinstance(
            x, Number
        ):  # "x 2" would read as an index
            return _formula(sympy, Call("*", (Number(value), x)), constants)
        case Call(function, arguments):
            parts = [_formula(sympy, argument, constants) for argument in arguments]
            if function in _SIGNED:
                # - (-x) needs its parentheses, which sympy leaves out
                later = 0 if function == "neg" else 1
                for i in range(later, len(parts)):
                    parts[i] = _enclosed(sympy, parts[i]) if _is_negative(arguments[i]) else parts[i]
            if function in PRIMITIVES and PRIMITIVES[function].precedence == COMPARISON:
                # as they are: sympy would solve conditions for what stands inside of others, and may fail
                parts = [sympy.Symbol(sympy.latex(part, order="none")) for part in parts]
            if function in PRIMITIVES:
                return PRIMITIVES[function].sympy(sympy, *parts)
            return sympy.Function(function)(*parts)
        case _:
            assert_never(expression)


def _is_negative(expression: Expression) -> bool:
    """Whether the formula begins with a minus."""
    match expression:
        case Number(value):
            return value < 0.0
        case Call("neg"):
            return True
        case Call("*" | "/", (first, _)):
            return _is_negative(first)
        case _:
            return False


def _enclosed(sympy: Any, formula: Any) -> Any:
    return sympy.Symbol(rf"\left({sympy.latex(formula, order='none')}\right)")


def _number(value: float) -> str:
    r"""1e-08 -> 10^{-8}, 2.5e-07 -> 2.5 \cdot 10^{-7}."""
    if value in _CONSTANTS:
        return _CONSTANTS[value]
    if 0.0 < value < 1e-2:
        mantissa, exponent = re.sub(r"\.?0+(?=e)", "", f"{value:.15e}").split("e")
        power = f"10^{{{int(exponent)}}}"
        return power if mantissa == "1" else rf"{mantissa} \cdot {power}"
    return print_number(value)


def _name(name: str, time: str) -> str:
    r"""Return the symbol of a name: mhat at t is \hat{m}_{t}, beta1 is \beta_{1}, weight_decay is \mathrm{weight\_decay}."""
    if name in _FIXED and (name in INPUTS or not time):
        return _FIXED[name]
    if name in ("ld", "cd", "rd"):
        return rf"\operatorname{{{name}}}"
    stem, digits = re.fullmatch(r"(.*?)_?(\d*)", name, re.DOTALL).groups()  # type: ignore[union-attr]
    stem = stem or name
    hat = stem.endswith("hat") and len(stem) > 3
    stem = stem[:-3] if hat else stem
    if _GREEK.fullmatch(stem):
        letter = "\\" + stem
    elif len(stem) == 1:
        letter = stem
    else:
        letter = rf"\mathrm{{{stem.replace('_', chr(92) + '_')}}}"
    letter = rf"\hat{{{letter}}}" if hat else letter
    below = ",".join(part for part in (digits, time) if part)
    return f"{letter}_{{{below}}}" if below else letter

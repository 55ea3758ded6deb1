"""Expressions of a rule as lines of Python that compute with torch.

    exp(sign(g) * sign(m)) * g      ->   torch.exp(sign(g) * sign(m)) * g
    clip(g, 1e-4)                   ->   g.clamp(-0.0001, 0.0001)

More than a table of spellings, for three reasons: torch's functions take no Python numbers, so that constants are wrapped; `clamp` keeps
NaN as min and max do, and reads better; comparisons become numbers of the gradient's type. t, T, lr and hyperparameters are 0-d float64
tensors, so that division by zero gives infinity and not an exception.
"""

from __future__ import annotations

from neuropt.exporting.expression_text import COMPARISONS, ExpressionText, Language, Names, Text
from search_space.expression import Expression
from search_space.primitives import ATOM, LOG_FLOOR, MINUS, POWER, PRODUCT, SUM

_LARGEST_SCALAR = 3e38
"""`clamp` refuses a Python number beyond the dtype of its tensor, which may be float32."""
HELPERS = ("sign", "norm")
"""Primitives that are functions of the exported file."""
_FUNCTIONS = {name: f"torch.{name}" for name in ("abs", "exp", "log", "sqrt", "cos", "tanh", "mean")}
_FUNCTIONS |= {name: name for name in HELPERS}
TORCH = Language(
    spellings={"where": "torch.where({0}, {1}, {2})"},
    reserved="torch Optimizer self params param_groups p group state step index real number seed maximize decay_steps "
    "closure loss defaults options value uniform normal keys mix sign norm foreach",
    helpers=HELPERS,
    infinity="torch.inf",
    nan="torch.nan",
    pi="torch.pi",
)


class TorchText(ExpressionText):
    """Writes the expressions of one rule for torch."""

    def __init__(self, names: Names) -> None:
        super().__init__(TORCH, names)

    def tensor(self, expression: Expression) -> str:
        """Return text for an argument that must be a tensor."""
        text = self.text(expression)[0]
        return f"number({text})" if self.constant(expression) is not None else text

    def call(self, function: str, arguments: tuple[Expression, ...], draw: int | None) -> Text:
        if function in _FUNCTIONS:
            self.helpers |= {function} & set(HELPERS)
            return f"{_FUNCTIONS[function]}({self.tensor(arguments[0])})", ATOM
        match function, arguments:
            case _, (x, y) if function in COMPARISONS:
                return f"({self.relation(function, x, y)}).to(g.dtype)", ATOM
            case "log_abs", (x,):
                return f"torch.log(torch.abs({self.tensor(x)}).clamp(min={LOG_FLOOR!r}))", ATOM
            case "mod", (x, y):
                return f"torch.remainder({self.text(x)[0]}, {self.text(y)[0]})", ATOM
            case "pow_abs", (x, y):
                return f"torch.abs({self.tensor(x)}) ** {self.inside(y, MINUS)}", POWER
            case (("min" | "max"), (x, y)):
                return self.bounded(function, x, y), ATOM
            case "clip", (x, c):
                return self.clip(x, c), ATOM
            case "clamp", (x, low, high):
                return self.clamp(x, low, high), ATOM
            case "dot", (x, y):
                return f"torch.sum({self.inside(x, PRODUCT)} * {self.inside(y, PRODUCT + 1)})", ATOM
            case "drop", (x, p):
                kept = f"{self.drawn('uniform', draw)} >= {self.inside(p, SUM)}"
                return f"torch.where({kept}, {self.tensor(x)}, 0.0)", ATOM
        return super().call(function, arguments, draw)

    def scalar(self, expression: Expression) -> float | None:
        """Return a constant that `clamp` takes as it is."""
        value = self.constant(expression)
        return value if value is not None and abs(value) < _LARGEST_SCALAR else None

    def bounded(self, function: str, x: Expression, y: Expression) -> str:
        """min and max: against a constant as clamp, which keeps NaN as they do."""
        if self.scalar(x) is not None:
            x, y = y, x
        if self.scalar(y) is not None:
            bound = "max" if function == "min" else "min"
            return f"{self.inside(x, ATOM)}.clamp({bound}={self.text(y)[0]})"
        return f"torch.{function}imum({self.tensor(x)}, {self.tensor(y)})"

    def clip(self, x: Expression, c: Expression) -> str:
        bound = self.scalar(c)
        if bound is not None and bound >= 0 and self.constant(x) is None:
            return f"{self.inside(x, ATOM)}.clamp({self.literal(-bound)[0]}, {self.literal(bound)[0]})"
        value = self.constant(c)
        negative = f"-{self.inside(c, ATOM)}" if value is None else f"number({self.literal(-value)[0]})"
        return f"torch.maximum(torch.minimum({self.tensor(x)}, {self.tensor(c)}), {negative})"

    def clamp(self, x: Expression, low: Expression, high: Expression) -> str:
        if self.scalar(low) is not None and self.scalar(high) is not None:
            return f"{self.inside(x, ATOM)}.clamp({self.text(low)[0]}, {self.text(high)[0]})"
        return f"torch.minimum(torch.maximum({self.tensor(x)}, {self.tensor(low)}), {self.tensor(high)})"

    def condition(self, expression: Expression) -> str:
        value = self.constant(expression)
        return super().condition(expression) if value is None else f"torch.tensor({value != 0})"

    def where(self, condition: Expression, x: Expression, y: Expression) -> str:
        both = self.constant(x) is not None and self.constant(y) is not None  # two Python numbers would become float32
        first, second = (self.tensor(x), self.tensor(y)) if both else (self.text(x)[0], self.text(y)[0])
        return f"torch.where({self.condition(condition)}, {first}, {second})"

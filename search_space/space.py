"""A search space: which rules exist, and the strings of tokens that name them.

A string is groups of five tokens, `op1 op2 u1 u2 b`, and a group's value is b(u1(op1), u2(op2)) (Bello et al. 2017). With one group
of `icml2017`, PowerSign's neighbour `exp(sign(g)) * g` is `sign(g), g, exp(x), x, x * y`; with two, the value of the first group is an
operand of the second, and the value of the last is the update.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from search_space.decoding import PER_GROUP, Decoder
from search_space.encoding import Encoder
from search_space.expression import Call, Expression, Number, Symbol, depth, rebuild, substitute, walk
from search_space.masks import Automaton, Constraints, String, Tokens
from search_space.rule import MAX_DEPTH, RESULT, Equation, Rule, RuleError
from search_space.text import parse_expression

OPERAND, UNARY, BINARY = 0, 1, 2
MAX_GROUPS = 6
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_X, _Y = Symbol("x"), Symbol("y")
_UNCORRECTED: dict[str, Expression] = {name: Symbol(name[:-3]) for name in ("mhat", "vhat", "gammahat")}


@dataclass(frozen=True)
class SearchSpace:
    """A vocabulary, a number of groups, and the constraints on strings.

    Args:
        name: of the space.
        description: one line.
        groups: groups of five tokens in a string, 1 to 6.
        operands: rule texts, such as "g ** 2" or "noise(noise_std)".
        unary: rule texts in x, such as "clip(x, 1e-5)".
        binary: rule texts in x and y, such as "x / (y + 1e-8)"; "x" keeps the left.
        bias_correction: False reads m, v, gamma for mhat, vhat, gammahat.
        noise_std: what the name noise_std stands for in operands.
        drop_rescale: True divides what drop(x, p) keeps by 1 - p.
        distinct_operands: op1 is not op2.
        no_final_add: the last group does not add.
        use_earlier_results: every group after the first has an earlier result as an operand.
        forbid_unused_results: every result but the last is used by a later group; the dropped side of keep-left is no use.
        source: where the vocabulary is from.

    Raises:
        ValueError: says which field, what it got, and what would be valid.

    >>> from search_space import load_space
    >>> space = load_space("tiny")
    >>> space.decode((2, 0, 2, 0, 1)).text
    'exp(sign(g)) * g'
    >>> space.size, space.allowed_size
    (768, 384)
    """

    name: str
    description: str
    groups: int
    operands: tuple[str, ...]
    unary: tuple[str, ...]
    binary: tuple[str, ...]
    bias_correction: bool = True
    noise_std: float = 0.1
    drop_rescale: bool = False
    distinct_operands: bool = True
    no_final_add: bool = True
    use_earlier_results: bool = True
    forbid_unused_results: bool = True
    source: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
            # runs are named after their space
            raise ValueError(
                f"name must be letters, digits, '.', '_' and '-', a letter or digit first, but got {self.name!r:.80}"
            )
        if isinstance(self.groups, bool) or not isinstance(self.groups, int) or not 1 <= self.groups <= MAX_GROUPS:
            raise ValueError(f"groups must be a whole number from 1 to {MAX_GROUPS}, but got {self.groups!r}")
        if isinstance(self.noise_std, bool) or not 0.0 <= self.noise_std < float("inf"):
            raise ValueError(f"noise_std must be a finite number from 0, but got {self.noise_std!r}")
        for kind in ("operands", "unary", "binary"):
            _check_texts(kind, getattr(self, kind), (MAX_DEPTH - 10) // (2 * self.groups + 1))
        if self.allowed_size == 0:
            raise ValueError(
                "the constraints allow no string at all; add operands or binary functions, or switch one off"
            )

    # -- strings ---------------------------------------------------------------------------------------------------------------

    @property
    def choices(self) -> tuple[int, ...]:
        """The number of tokens at each position; operand positions grow by one for each earlier result."""
        return self._constraints.choices

    @property
    def kinds(self) -> tuple[int, ...]:
        """What each position holds: 0 operand, 1 unary, 2 binary."""
        return (OPERAND, OPERAND, UNARY, UNARY, BINARY) * self.groups

    @cached_property
    def size(self) -> int:
        """How many strings there are."""
        return int(np.prod(np.array(self.choices, dtype=object)))

    @cached_property
    def allowed_size(self) -> int:
        """How many strings the constraints allow."""
        return self._automaton.strings

    def masks(self, prefixes: Tokens) -> NDArray[np.bool_]:
        """Return which tokens may come next; a prefix that can be completed always has one.

        Args:
            prefixes: (batch, k) tokens so far.

        Returns:
            (batch, choices[k]), True where allowed.
        """
        if prefixes.ndim != 2 or prefixes.shape[1] >= len(self.choices):
            raise ValueError(f"prefixes must have shape (batch, k < {len(self.choices)}), but got {prefixes.shape}")
        return self._automaton.masks(prefixes)

    def allows(self, tokens: String) -> bool:
        """Whether a whole string keeps the constraints."""
        return self._automaton.allows(np.array(self._checked(tokens), np.int64))

    def describe(self, tokens: String) -> str:
        """Return the texts of the tokens.

        >>> from search_space import load_space
        >>> load_space("tiny").describe((2, 0, 2, 0, 1))
        '[sign(g), g, exp(x), x, x * y]'
        """
        texts = [self._text(kind, token) for kind, token in zip(self.kinds, self._checked(tokens), strict=True)]
        return " ".join(f"[{', '.join(texts[i : i + PER_GROUP])}]" for i in range(0, len(texts), PER_GROUP))

    def _text(self, kind: int, token: int) -> str:
        texts = (self.operands, self.unary, self.binary)[kind]
        return texts[token] if token < len(texts) else f"r{token - len(texts) + 1}"

    def _checked(self, tokens: String) -> tuple[int, ...]:
        checked = tuple([int(token) for token in tokens])
        if len(checked) != len(self.choices):
            raise ValueError(
                f"tokens must be {len(self.choices)} numbers for {self.groups} groups, but got {len(checked)}"
            )
        for position, (token, count) in enumerate(zip(checked, self.choices, strict=True)):
            if not 0 <= token < count:
                raise ValueError(f"tokens[{position}] must be in 0..{count - 1}, but got {token}")
        return checked

    # -- rules -----------------------------------------------------------------------------------------------------------------

    def decode(self, tokens: String) -> Rule:
        """Return the rule that a string names, simplified; results that are read twice become equations."""
        return Decoder(self._operands, self._unary, self._binary).rule(self._checked(tokens))

    def encode(self, rule: Rule) -> tuple[int, ...] | None:
        """Return an allowed string that names `rule`, or None if none is found.

        >>> from search_space import load_space, parse_rule
        >>> space = load_space("tiny")
        >>> space.describe(space.encode(parse_rule("g * exp(sign(g))")))
        '[sign(g), g, exp(x), x, x * y]'
        """
        return self._encoder.encode(rule, self.decode, self.allows)

    @cached_property
    def _constraints(self) -> Constraints:
        return Constraints(
            groups=self.groups,
            operands=len(self.operands),
            unary=len(self.unary),
            binary=len(self.binary),
            keep_left=frozenset(i for i, b in enumerate(self._binary) if _Y not in walk(b)),
            sums=frozenset(i for i, b in enumerate(self._binary) if b in _SUMS) if self.no_final_add else frozenset(),
            distinct_operands=self.distinct_operands,
            use_earlier_results=self.use_earlier_results,
            forbid_unused_results=self.forbid_unused_results,
        )

    @cached_property
    def _automaton(self) -> Automaton:
        return Automaton(self._constraints)

    @cached_property
    def _encoder(self) -> Encoder:
        return Encoder(self.groups, self._operands, self._unary, self._binary)

    @cached_property
    def _operands(self) -> tuple[Expression, ...]:
        return tuple(self._expression(text) for text in self.operands)

    @cached_property
    def _unary(self) -> tuple[Expression, ...]:
        return tuple(self._expression(text) for text in self.unary)

    @cached_property
    def _binary(self) -> tuple[Expression, ...]:
        return tuple(self._expression(text) for text in self.binary)

    def _expression(self, text: str) -> Expression:
        """Return a vocabulary entry under the options."""
        expression = substitute(parse_expression(text), {"noise_std": Number(float(self.noise_std))})
        if not self.bias_correction:
            expression = substitute(expression, _UNCORRECTED)
        return rebuild(expression, _rescaled) if self.drop_rescale else expression


_SUMS = (Call("+", (_X, _Y)), Call("+", (_Y, _X)))


def _rescaled(node: Expression) -> Expression:
    match node:
        case Call("drop", (_, Number(p))) if p < 1.0:
            return Call("/", (node, Number(1.0 - p)))
        case _:
            return node


def _check_texts(kind: str, texts: object, deepest: int) -> None:
    """Raise a ValueError that names the entry unless `texts` are rule texts in x and y as the kind has them."""
    variables = {"operands": (), "unary": (_X,), "binary": (_X, _Y)}[kind]
    if not isinstance(texts, tuple) or not 1 <= len(texts) <= 1000:
        raise ValueError(f"{kind} must be a list of 1 to 1000 rule texts, but got {texts!r:.200}")
    for i, text in enumerate(texts):
        if not isinstance(text, str):
            raise ValueError(f'{kind}[{i}] must be a rule text such as "g ** 2", but got {text!r:.200}')
        try:
            expression = parse_expression(text)
            values: dict[str, Expression] = {v.name: Symbol("g") for v in variables}
            tried = substitute(expression, values | {"noise_std": Number(0.1)})
            Rule((), (Equation(RESULT, tried),))
        except RuleError as error:
            raise RuleError(f"{kind}[{i}] is not a rule text{_in(variables)}: {error}") from None
        if depth(expression) > deepest:
            raise ValueError(f"{kind}[{i}] is nested deeper than {deepest}: {text!r:.80}")
        if variables and _X not in walk(expression):
            raise ValueError(f"{kind}[{i}] must contain x, such as exp(x), but got {text!r}")


def _in(variables: tuple[Symbol, ...]) -> str:
    return f" in {' and '.join(v.name for v in variables)}" if variables else ""
